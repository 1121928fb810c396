"""Targets, class weights, initial parameters and metrics."""

from pathlib import Path

import numpy as np
import pytest
from fixgrad import datasets
from fixgrad.datasets.balancing import class_repeats, resample
from fixgrad.datasets.dataset import Dataset, Part
from fixgrad.errors import DataError
from fixgrad.initial import read_parameters
from fixgrad.metrics import measure, read_outputs
from fixgrad.protocol import Loss
from fixgrad.run import prepare
from fixgrad.rundir import RunFolder
from fixgrad.runfile import parse_run
from fixgrad.targets import TargetForm, choose_kind, fit_targets

SQUARED, BCE = Loss.SQUARED_ERROR, Loss.SIGMOID_BINARY_CROSS_ENTROPY


def _values(*columns: list[float]) -> Dataset:
    targets = np.array(columns).T
    features = np.zeros((len(targets), 1))
    names = tuple(f"t{i}" for i in range(len(columns)))
    return Dataset("d", Part(features, targets), None, (), ("x",), False, False, names)


def _form(dataset: Dataset, loss: Loss, scale: str = "auto", outputs: int = 0) -> TargetForm:
    kind = choose_kind(dataset, loss, outputs or len(dataset.target_names))
    return fit_targets(dataset, kind, scale, loss, dataset.samples.targets)


def test_standard_values_are_q16_of_deviations() -> None:
    dataset = _values([10.0, 20.0, 30.0])
    form = _form(dataset, SQUARED)
    encoded = form.encode(dataset.samples.targets, SQUARED, "d", clip=False)
    # Mean 20, population deviation sqrt(200 / 3).
    assert encoded.tolist() == [
        [round(-10 / (200 / 3) ** 0.5 * 65536)],
        [0],
        [round(10 / (200 / 3) ** 0.5 * 65536)],
    ]


def test_values_come_back_in_their_own_unit() -> None:
    dataset = _values([10.0, 20.0, 30.0], [5.0, 5.0, 5.0])
    form = _form(dataset, SQUARED)
    encoded = form.encode(dataset.samples.targets, SQUARED, "d", clip=False)
    np.testing.assert_allclose(form.decode(encoded / 65536), dataset.samples.targets, atol=1e-3)
    assert TargetForm.from_dict(form.to_dict()) == form


def test_a_value_beyond_the_range_is_refused_with_its_sample() -> None:
    dataset = _values([0.0, 2000.0])
    form = _form(dataset, SQUARED, "none")
    with pytest.raises(DataError) as caught:
        form.encode(dataset.samples.targets, SQUARED, "d", clip=False)
    assert str(caught.value) == (
        "d: sample 2: the target 2000 of 't0' is 2000 for this loss, which takes -1024 to 1024; "
        'type target_scale = "standard"'
    )
    assert form.encode(dataset.samples.targets, SQUARED, "d", clip=True)[1, 0] == 2**26


def test_columns_of_zeros_and_ones_are_labels() -> None:
    dataset = _values([0.0, 1.0], [1.0, 1.0])
    form = _form(dataset, BCE)
    assert form.kind == "labels"
    assert form.encode(dataset.samples.targets, BCE, "d", clip=False).tolist() == [
        [0, 32768], [32768, 32768]
    ]  # fmt: skip


def test_classes_become_one_hot_or_binary() -> None:
    dataset = Dataset(
        "d", Part(np.zeros((2, 1)), np.array([1, 0])), None, ("a", "b"), ("x",), False, False
    )
    one_hot, binary = _form(dataset, BCE, outputs=2), _form(dataset, BCE, outputs=1)
    assert one_hot.encode(np.array([1, 0]), BCE, "d", clip=False).tolist() == [
        [0, 32768], [32768, 0]
    ]  # fmt: skip
    assert binary.encode(np.array([1, 0]), BCE, "d", clip=False).tolist() == [[32768], [0]]
    assert one_hot.outputs == 2
    assert binary.outputs == 1


def test_balanced_weights_make_all_classes_equally_frequent() -> None:
    classes = np.array([0] * 60 + [1] * 25 + [2] * 7)
    chosen = resample(classes, class_repeats(classes, 3), 5, "d")
    assert np.bincount(classes[chosen]).tolist() == [60, 60, 60]
    assert set(chosen) == set(range(92))


def test_weights_repeat_whole_parts_and_draw_the_rest() -> None:
    classes = np.array([0] * 10 + [1] * 10)
    chosen = resample(classes, (0.5, 2.3), 1, "d")
    counts = np.bincount(chosen, minlength=20)
    assert counts[:10].sum() == 5
    assert counts[:10].max() == 1
    assert sorted(counts[10:].tolist()) == [2] * 7 + [3] * 3
    np.testing.assert_array_equal(chosen, resample(classes, (0.5, 2.3), 1, "d"))
    assert not np.array_equal(chosen, resample(classes, (0.5, 2.3), 2, "d"))


def test_weights_that_leave_nothing_are_refused() -> None:
    with pytest.raises(DataError, match="leave no sample"):
        resample(np.array([0, 1]), (0.0, 0.0), 1, "d")


def test_balanced_training_keeps_the_test_part_as_it_is(tmp_path: Path) -> None:
    rows = [f"{i},{'rare' if i % 10 == 0 else 'often'}\n" for i in range(200)]
    (tmp_path / "a.csv").write_text("".join(rows))
    text = '[data]\nsource = "a.csv"\nclass_weights = "balanced"\n[model]\nlayers = [1, 2]\n'
    prepared = prepare(parse_run(text, tmp_path / "run.toml"))
    assert np.bincount(prepared.train.targets).tolist() == [144, 144]
    assert np.bincount(prepared.test.targets).tolist() == [36, 4]


def test_several_target_columns_are_read_by_name_and_place(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("x,y,u,v\n1,2,3,4\n5,6,7,8\n")
    dataset = datasets.load(str(path), label=("v", 2))
    assert dataset.target_names == ("v", "y")
    assert dataset.feature_names == ("x", "u")
    assert dataset.samples.targets.tolist() == [[4, 2], [8, 6]]
    assert dataset.samples.features.tolist() == [[1, 3], [5, 7]]


@pytest.mark.parametrize(
    ("label", "line"),
    [
        (("v", "w"), "a.csv has no column 'w'; its columns are 'x', 'y', 'u', 'v'"),
        (("v", -1), "a.csv: label names the column 'v' twice"),
        ((1, 2, 3, 4), "a.csv: all columns are labels; at least one feature is needed"),
        ((9,), "a.csv has no column 9"),
    ],
)
def test_wrong_target_columns_are_named(
    tmp_path: Path, label: tuple[str | int, ...], line: str
) -> None:
    (tmp_path / "a.csv").write_text("x,y,u,v\n1,2,3,4\n5,6,7,8\n")
    with pytest.raises(DataError) as caught:
        datasets.load("a.csv", tmp_path, label=label)
    assert line in str(caught.value)


def test_a_text_in_a_target_column_is_named_by_row_and_column(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\n1,2\n3,red\n")
    with pytest.raises(DataError, match=r"row 3, column 2 \(y\): 'red' is not a number"):
        datasets.load("a.csv", tmp_path, label=("y",))


def test_values_of_an_npz_may_have_several_columns(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros((3, 2)), y=np.array([[1.5, 2], [3, 4], [5, 6]]))
    dataset = datasets.load("a.npz", tmp_path, values=True)
    assert dataset.samples.targets.tolist() == [[1.5, 2], [3, 4], [5, 6]]
    assert dataset.target_names == ("y0", "y1")


def test_parameters_from_a_file_of_real_numbers(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    arrays = {"weights_0": rng.normal(size=(3, 4)), "bias_0": rng.normal(size=3)}
    np.savez(tmp_path / "w.npz", **arrays)
    text = '[data]\nsource = "iris"\n[model]\nlayers = [4, 3]\ninit = "file"\ninit_file = "w.npz"\n'
    prepared = prepare(parse_run(text, tmp_path / "run.toml"))
    state = prepared.initial
    real = np.ldexp(state.weights[0].astype(float), state.weight_exponent[0])
    np.testing.assert_allclose(real, arrays["weights_0"], atol=2.0 ** state.weight_exponent[0])
    unit = 2.0 ** (state.weight_exponent[0] + state.activation_exponent[0])
    np.testing.assert_allclose(state.biases[0] * unit, arrays["bias_0"], atol=unit)
    assert prepared.ranges[0].headroom == 2


def test_parameters_from_the_state_of_a_run(tmp_path: Path) -> None:
    text = '[data]\nsource = "iris"\n[model]\nlayers = [4, 8, 3]\n'
    prepared = prepare(parse_run(text, tmp_path / "run.toml"))
    RunFolder(tmp_path / "out").create(prepared)
    weights, biases = read_parameters(tmp_path / "out" / "initial.npz", (4, 8, 3))
    state = prepared.initial
    for index, w in enumerate(weights):
        exact = state.weights[index] * 2.0 ** state.weight_exponent[index]
        np.testing.assert_array_equal(w, exact)
        assert not biases[index].any()


@pytest.mark.parametrize(
    ("arrays", "line"),
    [
        ({}, "weights_0 of shape (3, 4) is missing"),
        ({"weights_0": np.zeros((4, 3))}, "the layers need numbers of shape (3, 4)"),
        ({"weights_0": np.full((3, 4), np.nan)}, "not a finite number"),
        ({"weights_0": np.zeros((3, 4))}, "bias_0 of shape (3,) is missing"),
        ({"weights_0": np.zeros((3, 4), int), "bias_0": np.zeros(3, int),
          "weight_exponent": np.zeros(0, int)}, "its exponents are incomplete"),
    ],
)  # fmt: skip
def test_a_parameter_file_that_does_not_fit_is_named(
    tmp_path: Path, arrays: dict[str, np.ndarray], line: str
) -> None:
    np.savez(tmp_path / "w.npz", **arrays)
    with pytest.raises(DataError) as caught:
        read_parameters(tmp_path / "w.npz", (4, 3))
    assert line in str(caught.value)
    (tmp_path / "w.npz").write_bytes(b"PK??")
    with pytest.raises(DataError, match="not a readable"):
        read_parameters(tmp_path / "w.npz", (4, 3))


def test_metrics_of_classes_by_hand() -> None:
    form = TargetForm("classes", ("a", "b"), (0.0,) * 2, (1.0,) * 2)
    logits = np.array([[2, 0], [0, 2], [2, 0], [2, 0]], np.int32)
    outputs = read_outputs(
        form,
        Loss.SOFTMAX_CROSS_ENTROPY,
        np.argmax(logits, axis=1)[:, None].astype(np.int32),
        logits,
        -1,
    )
    metrics = measure(form, outputs, np.array([0, 1, 1, 0]))
    assert metrics["accuracy"] == 0.75
    assert metrics["confusion"] == [[2, 0], [1, 1]]
    assert metrics["f1"] == pytest.approx((0.8 + 2 / 3) / 2)
    p = 1 / (1 + np.exp(-1))
    assert metrics["log_loss"] == pytest.approx(-(3 * np.log(p) + np.log(1 - p)) / 4)


def test_metrics_of_values_by_hand() -> None:
    form = TargetForm("values", ("y",), (10.0,), (0.5,))
    outputs = read_outputs(
        form, SQUARED, np.array([[65536], [-65536], [0]], np.int32), np.zeros((3, 1), np.int32), 0
    )
    metrics = measure(form, outputs, np.array([12.0, 8.0, 13.0]))
    # Predictions 12, 8 and 10.
    assert metrics["rmse"] == pytest.approx(3**0.5)
    assert metrics["mae"] == 1.0
    assert metrics["r2"] == pytest.approx(1 - 9 / 14)


def test_metrics_of_labels_by_hand() -> None:
    form = TargetForm("labels", ("a", "b"), (0.0,) * 2, (1.0,) * 2)
    said = np.array([[1, 0], [1, 1]], np.int32)
    outputs = read_outputs(form, BCE, said, np.where(said, 1, -1).astype(np.int32), 0)
    metrics = measure(form, outputs, np.array([[1.0, 0.0], [0.0, 1.0]]))
    assert metrics["accuracy"] == 0.5
    assert metrics["label_accuracy"] == 0.75
    assert metrics["f1"] == pytest.approx((2 / 3 + 1) / 2)
    p = 1 / (1 + np.exp(-1))
    assert metrics["log_loss"] == pytest.approx(-(3 * np.log(p) + np.log(1 - p)) / 4)
