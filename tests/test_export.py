"""What is exported is run, on the whole data set, and compared with what the board said."""

import dataclasses
import json
import sys

import joblib
import numpy as np
import pytest
from click.testing import CliRunner
from exported_nets import RUNS, random_network, run_c, run_onnx, train
from fixgrad import Network
from fixgrad.cli import cli
from fixgrad.errors import ModelError, UsageError
from fixgrad.export import FORMATS, to_sklearn
from fixgrad.export.c_source import c_header
from fixgrad.initial import read_parameters
from fixgrad.quantize import real_parameters
from fixgrad.reference import Reference
from small_runs import iris_run

LOGITS_APART = 0.25
"""A float net has no rounding of activations: measured are 0.17 at most, docs/EXPORT.md."""

CLASSES_APART = 1 / 500
"""Measured is one sample of 1797."""


@pytest.fixture(scope="module", params=list(RUNS))
def trained(request):
    return train(request.param)


def test_c_gives_the_bits_of_the_board(trained, tmp_path):
    lines = [line.split() for line in run_c(trained.network, trained.features, tmp_path)]
    count = trained.network.config.outputs
    logits = np.array([[int(word) for word in line[:count]] for line in lines])
    np.testing.assert_array_equal(logits, trained.said.logits)
    if trained.outputs.classes is not None:
        said = [int(line[count]) for line in lines]
        np.testing.assert_array_equal(said, trained.outputs.classes)
    else:
        values = [[float.fromhex(word) for word in line[count:]] for line in lines]
        np.testing.assert_array_equal(values, trained.outputs.values)


@pytest.mark.parametrize("flags", [("-O0", "-fsanitize=undefined,address"), ("-O3",)])
@pytest.mark.parametrize("seed", range(6))
def test_c_of_any_network_gives_the_bits_of_the_reference(seed, flags, tmp_path):
    network, features = random_network(seed)
    lines = run_c(network, features, tmp_path, *flags, "-fno-sanitize-recover=all")
    count = network.config.outputs
    logits = np.array([[int(word) for word in line.split()[:count]] for line in lines])
    expected = Reference(network.config, network.state).logits(features.astype(np.int32))
    np.testing.assert_array_equal(logits, expected)


def test_integer_onnx_gives_the_bits_of_the_board(trained, tmp_path):
    (path,) = FORMATS["onnx-int"][1](trained.network, tmp_path / "net.onnx")
    result = run_onnx(path, trained.features)
    np.testing.assert_array_equal(result["accumulators"], trained.said.logits)
    check_answers(result, trained)


@pytest.mark.parametrize("seed", range(12))
def test_integer_onnx_of_any_network_gives_the_bits_of_the_reference(seed, tmp_path):
    network, features = random_network(seed)
    (path,) = FORMATS["onnx-int"][1](network, tmp_path / "net.onnx")
    expected = Reference(network.config, network.state).logits(features.astype(np.int32))
    np.testing.assert_array_equal(run_onnx(path, features)["accumulators"], expected)


def check_answers(result, trained):
    """Compare classes exactly, and numbers as float32 has them."""
    if trained.outputs.classes is not None:
        np.testing.assert_array_equal(result["class"], trained.outputs.classes)
    else:
        np.testing.assert_allclose(result["values"], trained.outputs.values, rtol=1e-4)
    if trained.outputs.probabilities is not None:
        np.testing.assert_allclose(
            result["probabilities"], trained.outputs.probabilities, atol=1e-5
        )


@pytest.mark.parametrize("name", ["onnx", "onnx-qdq"])
def test_float_onnx_says_what_the_board_says(trained, name, tmp_path):
    (path,) = FORMATS[name][1](trained.network, tmp_path / "net.onnx")
    result = run_onnx(path, trained.features)
    logits = np.ldexp(trained.said.logits.astype(float), trained.network.logit_exponent)
    assert np.abs(result["logits"] - logits).max() < LOGITS_APART
    if trained.outputs.classes is not None:
        agree = np.mean(result["class"] == trained.outputs.classes)
        assert agree >= 1 - CLASSES_APART


def test_scikit_learn_says_what_the_board_says(trained, tmp_path):
    try:
        (path,) = FORMATS["sklearn"][1](trained.network, tmp_path / "net.joblib")
    except ModelError:
        used = {activation.name for activation in trained.network.config.activations}
        assert "SIGN" in used or len(used) > 1
        return
    model, inside = joblib.load(path), inside_limits(trained)
    assert inside.mean() > 0.7
    said = model.predict(trained.features[inside])
    if trained.outputs.classes is None:
        values = trained.outputs.values[inside, 0]
        assert np.abs(said - values).max() < 0.1 * values.std()
        return
    names = np.array(trained.network.form.class_names)[trained.outputs.classes[inside]]
    assert np.mean(said == names) >= 1 - CLASSES_APART
    assert np.abs(shares_of(model, trained)[inside]
                  - trained.outputs.probabilities[inside]).max() < 0.1


def inside_limits(trained):
    """Tell the samples none of whose inputs is cut off: scikit-learn's net does not cut."""
    scaling = trained.network.form.scaling
    x = (trained.features - scaling.offset) * scaling.factor
    return (np.abs(x) <= scaling.input_max).all(axis=1)


def shares_of(model, trained):
    """Return the probabilities in our order of classes."""
    order = [list(model.classes_).index(name) for name in trained.network.form.class_names]
    return model.predict_proba(trained.features)[:, order]


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a"), ("b", "c", "a")])
def test_scikit_learn_sorts_the_classes_that_we_do_not(order):
    trained = train("iris" if len(order) == 3 else "breast_cancer")
    form = trained.network.form
    target = dataclasses.replace(form.target, names=order)
    network = dataclasses.replace(
        trained.network, form=dataclasses.replace(form, target=target)
    )
    inside = inside_limits(trained)
    said = to_sklearn(network).predict(trained.features[inside])
    wanted = np.array(order)[trained.outputs.classes[inside]]
    assert np.mean(said == wanted) >= 1 - CLASSES_APART


def test_two_softmax_outputs_become_one_logistic_output():
    trained = train("breast_cancer", layers=(30, 8, 2), activation="relu",
                    loss="softmax_cross_entropy", learning_rate=0.05)
    model = to_sklearn(trained.network)
    assert model.coefs_[-1].shape == (8, 1)
    inside = inside_limits(trained)
    apart = shares_of(model, trained)[inside] - trained.outputs.probabilities[inside]
    assert np.abs(apart).max() < 0.1


def test_npz_is_an_initial_file_with_the_same_integers(trained, tmp_path):
    (path,) = FORMATS["npz"][1](trained.network, tmp_path / "net.npz")
    weights, biases = read_parameters(path, trained.network.config.layers)
    expected = real_parameters(trained.network.state)
    for got, wanted in zip([*weights, *biases], [*expected[0], *expected[1]], strict=True):
        np.testing.assert_array_equal(got, wanted)
    with np.load(path) as arrays:
        assert list(arrays["names"]) == list(trained.network.form.class_names)
        x = (trained.features - arrays["feature_offset"]) * arrays["feature_factor"]
    first = x @ weights[0].T + biases[0]
    direct, offset = trained.network.real_parameters()
    if len(weights) > 1:
        np.testing.assert_allclose(first, trained.features @ direct[0].T + offset[0], atol=1e-9)


def test_names_that_c_and_comments_could_trip_over_are_harmless(tmp_path):
    trained = train("iris without hidden layer")
    form = trained.network.form
    names = ('a"b\\', "*/ ??/ é", "line\nbreak")
    network = dataclasses.replace(
        trained.network,
        form=dataclasses.replace(
            form, name="*/ x /*\n", target=dataclasses.replace(form.target, names=names)
        ),
    )
    assert len(run_c(network, trained.features, tmp_path)) == len(trained.features)
    assert "\\303\\251" in c_header(network)


RUN = iris_run(epochs=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("run")
    (place / "run.toml").write_text(RUN)
    call = ["train", str(place / "run.toml"), "--port", "sim://", "--out", str(place / "iris")]
    assert CliRunner().invoke(cli, call).exit_code == 0
    return place / "iris"


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("c", ["network-c/fixgrad_net.h", "network-c/fixgrad_infer.c"]),
        ("onnx", ["network.onnx"]),
        ("onnx-qdq", ["network-qdq.onnx"]),
        ("onnx-int", ["network-int.onnx"]),
        ("npz", ["network.npz"]),
        ("sklearn", ["network.joblib"]),
    ],
)
def test_command_writes_into_the_folder_of_the_run(folder, name, files):
    result = CliRunner().invoke(cli, ["export", str(folder), "--format", name, "--json"])
    report = json.loads(result.stdout)
    assert report["files"] == [str(folder / file) for file in files]
    assert all((folder / file).stat().st_size for file in files)
    assert report["digest"] == f"{Network.open(folder).digest:08x}"


def test_command_writes_where_it_is_told(folder, tmp_path):
    out = tmp_path / "here.npz"
    call = ["export", str(folder), "--format", "npz", "--out", str(out)]
    result = CliRunner().invoke(cli, call)
    digest = f"{Network.open(folder).digest:08x}"
    assert result.stdout == f"digest {digest} as npz: {out}\n"
    assert out.exists()


def test_command_refuses_a_folder_that_is_not_there(folder, tmp_path):
    call = ["export", str(folder), "--format", "npz", "--out", str(tmp_path / "no" / "x.npz")]
    result = CliRunner().invoke(cli, call)
    assert result.exit_code == UsageError.exit_code
    assert "there is no folder" in result.stderr


def test_command_refuses_a_network_that_scikit_learn_lacks(tmp_path):
    network = train("iris with sign").network
    with pytest.raises(ModelError, match="has sign: export as onnx, npz or c"):
        to_sklearn(network)


def test_missing_onnx_package_is_told(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx.helper", None)
    result = CliRunner().invoke(cli, ["export", str(folder), "--format", "onnx"])
    assert result.exit_code == UsageError.exit_code
    assert "pip install 'fixgrad[onnx]'" in result.stderr
