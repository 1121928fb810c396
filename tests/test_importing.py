"""Imported networks: what others computed with them, what rounding costs, and fine-tuning."""

import dataclasses
import io
import json
import pickle
import zipfile
from pathlib import Path

import joblib
import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from exported_nets import run_c, run_onnx
from fixgrad import Board, Network
from fixgrad.cli import cli
from fixgrad.errors import DataError, UsageError
from fixgrad.export import FORMATS
from fixgrad.float_model import FloatMLP
from fixgrad.importing import adapt, read_network
from fixgrad.protocol import Activation, Loss
from fixgrad.run import load_dataset, prepare
from fixgrad.runfile import new_run
from onnx import helper, numpy_helper
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, PolynomialFeatures, StandardScaler

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
DATA = Path(__file__).parent / "data"
IRIS = load_iris(return_X_y=True)


def logits(network, features, activation=None):
    """Return what a network of real numbers gives for data as it comes."""
    names = network.activations or (activation,) * (len(network.weights) - 1)
    kinds = [Activation[name.upper()] for name in names]
    model = FloatMLP(kinds, Loss.SQUARED_ERROR, network.weights, network.biases, batch=1)
    return model.forward((features - network.offset) * network.factor)[-1]


@pytest.mark.parametrize("ending", ["pt", "onnx"])
def test_network_of_pytorch_gives_the_logits_of_pytorch(ending):
    network = read_network(DATA / f"torch_iris.{ending}")
    expected = np.load(DATA / "torch_iris.npz")["logits"]
    np.testing.assert_allclose(logits(network, IRIS[0], "relu"), expected, atol=1e-4)
    assert network.activations == (("relu",) if ending == "onnx" else None)


def test_onnx_of_scikit_learn_gives_its_probabilities():
    network = read_network(DATA / "sklearn_cancer.onnx")
    z = logits(network, load_breast_cancer().data)[:, 0]
    expected = np.load(DATA / "sklearn_cancer.npz")["probabilities"]
    np.testing.assert_allclose(1 / (1 + np.exp(-z)), expected, atol=1e-5)


@pytest.mark.parametrize("scaler", [StandardScaler(), MinMaxScaler((-1, 2))])
def test_pipeline_of_scikit_learn_gives_its_probabilities(scaler, tmp_path):
    model = make_pipeline(scaler, MLPClassifier((5, 4), "tanh", max_iter=30, random_state=1))
    model.fit(*IRIS)
    joblib.dump(model, tmp_path / "net.joblib")
    z = logits(read_network(tmp_path / "net.joblib", trusted=True), IRIS[0])
    shares = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(shares, model.predict_proba(IRIS[0]), atol=1e-9)


def test_weights_in_the_order_of_keras_are_read(tmp_path):
    rng = np.random.default_rng(1)
    kernel, bias, last, last_bias = (rng.normal(size=s) for s in ((4, 5), 5, (5, 3), 3))
    np.savez(tmp_path / "net.npz", kernel, bias, last, last_bias)
    expected = np.maximum(IRIS[0] @ kernel + bias, 0) @ last + last_bias
    got = logits(read_network(tmp_path / "net.npz"), IRIS[0], "relu")
    np.testing.assert_allclose(got, expected)


def keras_like(tail=()):
    """Return ONNX as tf2onnx writes Dense layers: MatMul and Add, constants of shape [n]."""
    rng = np.random.default_rng(2)
    parts = [rng.normal(size=s).astype(np.float32) for s in ((4, 5), (5,), (5, 3), (3,))]
    constants = [numpy_helper.from_array(p, f"c{i}") for i, p in enumerate(parts)]
    constants.append(numpy_helper.from_array(np.float32([5, 3, 4, 1]), "mean"))
    nodes = [("Sub", ["x", "mean"], "s"), ("MatMul", ["s", "c0"], "m"), ("Add", ["m", "c1"], "a"),
             ("LeakyRelu", ["a"], "r"), ("MatMul", ["r", "c2"], "n"), ("Add", ["c3", "n"], "z"),
             ("Softmax", ["z"], "p"), *tail]
    graph = helper.make_graph(
        [helper.make_node(kind, i, [o], **({"alpha": 0.125} if kind == "LeakyRelu" else {}))
         for kind, i, o in nodes],
        "g", [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", 4])],
        [helper.make_tensor_value_info("p", onnx.TensorProto.FLOAT, ["N", 3])], constants,
    )
    return helper.make_model(graph), parts


def test_onnx_of_matmul_and_add_is_read(tmp_path):
    model, (w, b, v, c) = keras_like()
    onnx.save(model, tmp_path / "net.onnx")
    network = read_network(tmp_path / "net.onnx")
    z = (IRIS[0] - [5, 3, 4, 1]) @ w + b
    expected = np.where(z > 0, z, z / 8) @ v + c
    np.testing.assert_allclose(logits(network, IRIS[0]), expected, atol=1e-6)
    assert network.activations == ("leaky",)


def prepared_for(network, source="iris", **settings):
    """Prepare a run for a network; its initial weights do not matter."""
    given = {"activation": "relu", **settings}
    layers = given.pop("layers", network.layers)
    return prepare(new_run(Path("run.toml"), source=source, layers=layers, settings=given))


@pytest.mark.parametrize("scale", ["standard", "minmax"])
def test_scaling_of_the_run_becomes_part_of_the_first_layer(scale):
    network = read_network(DATA / "torch_iris.pt")
    prepared = prepared_for(network, scale=scale)
    imported = adapt(network, prepared)
    real = FloatMLP.like(prepared.config, imported.weights, imported.biases)
    inputs = prepared.scaling.apply(IRIS[0], "iris") * 2.0**prepared.scaling.exponent
    expected = np.load(DATA / "torch_iris.npz")["logits"]
    # What is left is the rounding of the inputs: 1/512 of a deviation, 1/255 of the range.
    np.testing.assert_allclose(real.forward(inputs)[-1], expected, atol=0.3)
    assert imported.same == imported.samples
    assert imported.before["accuracy"] == imported.after["accuracy"] > 0.95


def with_zero(samples):
    """Return samples with one more input, which is always 0."""
    return dataclasses.replace(samples, features=np.pad(samples.features, ((0, 0), (0, 1))))


def test_constant_feature_keeps_its_share():
    features, labels = IRIS
    features = np.hstack([features, np.full((150, 1), 7.0)])
    model = MLPClassifier((6,), max_iter=300, random_state=1).fit(features, labels)
    network = read_network(model)
    prepared = prepared_for(network, layers=(4, 6, 3))
    scaling = prepared.scaling
    form = dataclasses.replace(
        prepared.form,
        scaling=dataclasses.replace(
            scaling, offset=(*scaling.offset, 7.0), factor=(*scaling.factor, 0.0)
        ),
    )
    config = dataclasses.replace(prepared.config, layers=(5, 6, 3))
    parts = prepared.parts
    wider = dataclasses.replace(parts, train=with_zero(parts.train), test=with_zero(parts.test))
    extended = dataclasses.replace(prepared, form=form, config=config, parts=wider)
    imported = adapt(network, extended)
    assert not imported.weights[0][:, 4].any()
    assert imported.after["accuracy"] > 0.9


def test_regression_of_scikit_learn_keeps_its_score():
    features, target = load_diabetes(return_X_y=True)
    net = MLPRegressor(hidden_layer_sizes=(8,), max_iter=800, random_state=1)
    model = make_pipeline(StandardScaler(), net)
    model.fit(features, target)
    network = read_network(model)
    prepared = prepared_for(network, "diabetes", loss="squared_error", test_fraction=0)
    imported = adapt(network, prepared)
    expected = model.score(features, target)
    assert imported.before["r2"] == pytest.approx(expected, abs=0.01)
    assert imported.after["r2"] == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("outputs", [1, 2])
def test_logistic_output_of_scikit_learn_suits_one_output_and_two(outputs):
    features, labels = load_breast_cancer(return_X_y=True)
    names = load_breast_cancer().target_names
    model = make_pipeline(StandardScaler(), MLPClassifier((6,), max_iter=100, random_state=1))
    model.fit(features, names[labels])
    network = read_network(model)
    loss = "sigmoid_binary_cross_entropy" if outputs == 1 else "softmax_cross_entropy"
    prepared = prepared_for(
        network, "breast_cancer", layers=(30, 6, outputs), loss=loss, test_fraction=0
    )
    imported = adapt(network, prepared)
    assert imported.before["accuracy"] == pytest.approx(
        model.score(features, names[labels]), abs=0.01
    )


def test_hidden_exponents_hold_the_training_data():
    network = read_network(DATA / "torch_iris.pt")
    prepared = prepared_for(network)
    imported = adapt(network, prepared)
    real = FloatMLP.like(prepared.config, imported.weights, imported.biases)
    most = real.forward(prepared.train.features * 2.0**prepared.scaling.exponent)[1].max()
    (exponent,) = imported.hidden_exponents
    assert 255 * 2.0 ** (exponent - 1) < most <= 255 * 2.0**exponent


RUN = """
[data]
source = "{source}"
test_fraction = 0.3
[model]
layers = [{layers}]
activation = "{activation}"
loss = "{loss}"
init = "file"
init_file = "weights.npz"
[training]
epochs = 2
learning_rate = 0.02
"""
NETS = {
    "pytorch": ("torch_iris.pt", "iris", "4, 12, 3", "relu", "softmax_cross_entropy"),
    "scikit-learn": ("sklearn_cancer.onnx", "breast_cancer", "30, 6, 1", "sigmoid",
                     "sigmoid_binary_cross_entropy"),
}


@pytest.mark.parametrize("name", list(NETS))
def test_imported_network_is_fine_tuned_on_a_board_and_exported(name, tmp_path):
    file, source, layers, activation, loss = NETS[name]
    run_file = tmp_path / "run.toml"
    run_file.write_text(
        RUN.format(source=source, layers=layers, activation=activation, loss=loss)
    )
    call = ["import", str(DATA / file), str(run_file), "--json"]
    report = json.loads(CliRunner().invoke(cli, call).stdout)
    assert report["same_predictions"] == report["test_samples"]
    call = ["train", str(run_file), "--port", "qemu://olimex_p405", "--out", str(tmp_path / "r")]
    assert CliRunner().invoke(cli, call).exit_code == 0
    network = Network.open(tmp_path / "r")
    assert network.state.step > 0
    prepared = prepare(new_run(
        run_file, source=source, layers=network.config.layers,
        settings={"loss": loss, "test_fraction": 0},
    ))
    features = load_dataset(prepared.run).samples.features
    with Board("qemu://olimex_p405") as board:
        board.load(network)
        said = board.outputs(features).classes
        raw = network.infer(board.device, network.mantissas(features)).logits
    lines = [line.split() for line in run_c(network, features, tmp_path / "c")]
    np.testing.assert_array_equal([int(line[-1]) for line in lines], said)
    np.testing.assert_array_equal([[int(v) for v in line[:-1]] for line in lines], raw)
    (path,) = FORMATS["onnx-int"][1](network, tmp_path / "net.onnx")
    result = run_onnx(path, features)
    np.testing.assert_array_equal(result["class"], said)
    np.testing.assert_array_equal(result["accumulators"], raw)


def torch_zip(payload: bytes) -> bytes:
    """Return a .pt file with a pickle of our own and the storages of a real one."""
    out = io.BytesIO()
    with zipfile.ZipFile(DATA / "torch_iris.pt") as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            new.writestr(name, payload if name.endswith("data.pkl") else old.read(name))
    return out.getvalue()


class _Evil:
    def __reduce__(self):
        return (open, ("/tmp/fixgrad-was-here", "w"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (torch_zip(pickle.dumps(_Evil())), "save the parameters alone"),
        (torch_zip(pickle.dumps(MLPClassifier())), "save the parameters alone"),
        (torch_zip(pickle.dumps([1, 2])), "holds no state_dict but list"),
        (torch_zip(pickle.dumps({"a.weight": 3})), "a.weight is no weight or bias"),
        (torch_zip(b"\x80\x02garbage"), "or it is damaged"),
        (b"PK not a zip", "or it is damaged"),
        ((DATA / "torch_iris.pt").read_bytes()[:900], "or it is damaged"),
    ],
)
def test_bad_pytorch_file_is_refused_and_runs_nothing(content, message, tmp_path):
    path = tmp_path / "net.pt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_network(path)
    assert not Path("/tmp/fixgrad-was-here").exists()


def test_tensor_beyond_its_storage_is_refused(tmp_path):
    with zipfile.ZipFile(DATA / "torch_iris.pt") as old:
        pickled = old.read("torch_iris/data.pkl")
    wider = pickled.replace(b"K\x0cK\x04\x86", b"K\xffK\x04\x86", 1)
    assert wider != pickled
    path = tmp_path / "net.pt"
    path.write_bytes(torch_zip(wider))
    with pytest.raises(DataError, match="or it is damaged"):
        read_network(path)


def changed(kind):
    model, _ = keras_like()
    if kind == "unknown activation":
        model.graph.node[3].op_type = "Elu"
    elif kind == "slope":
        model.graph.node[3].attribute[0].f = 0.01
    elif kind == "branch":
        model.graph.node.append(helper.make_node("Relu", ["a"], ["other"]))
    elif kind == "no activation":
        model.graph.node[3].op_type = "Identity"
        del model.graph.node[3].attribute[:]
    return model.SerializeToString()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (changed("unknown activation"), "Elu is not a dense layer or an activation"),
        (changed("slope"), "LeakyRelu has the slope 0.01; boards have 0.125"),
        (changed("branch"), "2 nodes read 'a'"),
        (changed("no activation"), "0 activations between 2 dense layers"),
        (b"\x00\x01garbage", "not a readable ONNX file"),
    ],
)
def test_onnx_that_is_no_perceptron_is_refused(content, message, tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_network(path)


LAYER = {"weights_0": np.zeros((3, 4)), "bias_0": np.zeros(3)}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "no dense layers"),
        ({"arr_0": np.array(["a"]), "arr_1": np.zeros(1)}, "holds <U1 where weights and biases"),
        ({"arr_0": np.array([1j]), "arr_1": np.zeros(1)}, "arrays that are not numbers"),
        ({**LAYER, "bias_0": np.zeros(2)}, "weights of shape \\(3, 4\\) and 2 biases"),
        ({**LAYER, "weights_0": np.full((3, 4), np.nan)}, "not a finite number"),
        ({**LAYER, "feature_offset": np.array(["a"])}, "holds <U1 where weights and biases"),
        ({**LAYER, "feature_factor": np.ones(5)}, "scales features by other than 4 finite numbers"),
        ({**LAYER, "feature_offset": np.full(4, np.inf)}, "by other than 4 finite numbers"),
    ],
)
def test_arrays_that_are_no_network_are_refused(arrays, message, tmp_path):
    np.savez(tmp_path / "net.npz", **arrays)
    with pytest.raises(DataError, match=message):
        read_network(tmp_path / "net.npz")


def test_estimator_without_layers_is_refused():
    with pytest.raises(DataError, match="LogisticRegression has no coefs_"):
        read_network(LogisticRegression())
    with pytest.raises(DataError, match="the pipeline has a PolynomialFeatures"):
        read_network(make_pipeline(PolynomialFeatures(), MLPClassifier((4,))).fit(*IRIS))


def test_pickle_needs_trust(tmp_path):
    (tmp_path / "net.joblib").write_bytes(b"")
    with pytest.raises(UsageError, match="add --trust"):
        read_network(tmp_path / "net.joblib")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layers": (4, 8, 3)}, r"4-12-3, the run 4-8-3; type layers = \[4, 12, 3\]"),
        ({"activation": "tanh"}, r'type activation = \["relu"\]'),
    ],
)
def test_run_that_does_not_match_is_told(settings, message):
    network = read_network(DATA / "torch_iris.onnx")
    with pytest.raises(DataError, match=message):
        adapt(network, prepared_for(network, **settings))


def test_run_that_reads_no_file_is_told(tmp_path):
    (tmp_path / "run.toml").write_text('[data]\nsource = "iris"\n[model]\nlayers = [4, 12, 3]\n')
    call = ["import", str(DATA / "torch_iris.pt"), str(tmp_path / "run.toml")]
    result = CliRunner().invoke(cli, call)
    assert result.exit_code == UsageError.exit_code
    assert 'type init = "file" and init_file = "weights.npz" in [model]' in result.stderr
