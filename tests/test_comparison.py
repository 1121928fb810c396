"""The test part on the device against float64: every figure from another source."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from fixgrad.cli import cli
from fixgrad.comparison import Comparison, compare
from fixgrad.quantize import real_parameters
from fixgrad.reference import Reference
from fixgrad.run import PreparedRun, prepare
from fixgrad.runfile import parse_run
from scipy.spatial.distance import cosine
from sklearn import metrics

TASKS = {
    "classes": ('source = "digits"', "layers = [64, 12, 10]\nheadroom = 256"),
    "one output": (
        'source = "breast_cancer"', 'layers = [30, 8, 1]\nloss = "sigmoid_binary_cross_entropy"'
    ),
    "values": ('source = "diabetes"', 'layers = [10, 8, 1]\nloss = "squared_error"'),
}


def fixgrad(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(a) for a in arguments], prog_name="fixgrad")


def trained(task: str) -> tuple[PreparedRun, Reference]:
    data, model = TASKS[task]
    text = f"[data]\n{data}\n[model]\n{model}\n[training]\nepochs = 1\nlearning_rate = 0.05\n"
    run = prepare(parse_run(text, Path("run.toml")))
    reference = Reference(run.config, run.initial)
    for step in range(run.schedule.steps):
        rows = run.schedule.step_indices(step)
        rate = run.schedule.learning_rate(step)
        reference.step(run.train.features[rows], run.train.targets[rows], *rate)
    return run, reference


def compared(run: PreparedRun, reference: Reference) -> Comparison:
    return compare(run, reference.state, reference.logits(run.test.features))


def float_logits(run: PreparedRun, reference: Reference) -> np.ndarray[Any, Any]:
    """Return the logits of a two-layer ReLU net, written out."""
    (w0, w1), (b0, b1) = real_parameters(reference.state)
    x = run.test.features * 2.0 ** reference.state.activation_exponent[0]
    return np.asarray(np.maximum(x @ w0.T + b0, 0) @ w1.T + b1)


def softmax(z: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    e = np.exp(z)
    return np.asarray(e / e.sum(axis=1, keepdims=True))


def test_rows_of_classes_are_those_of_scikit_learn_and_scipy() -> None:
    run, reference = trained("classes")
    found = compared(run, reference)
    e = reference.state.weight_exponent[-1] + reference.state.activation_exponent[-1]
    z = reference.logits(run.test.features) * 2.0**e
    device, ideal = softmax(z), softmax(float_logits(run, reference))
    truth = np.eye(10)[run.test.targets]
    for row, ours, theirs in zip(
        found.rows, (device, ideal, device), (truth, truth, ideal), strict=True
    ):
        assert row.accuracy == metrics.accuracy_score(theirs.argmax(axis=1), ours.argmax(axis=1))
        assert row.rmse == pytest.approx(metrics.mean_squared_error(theirs, ours) ** 0.5)
        assert row.mae == pytest.approx(metrics.mean_absolute_error(theirs, ours))
        assert row.cosine == pytest.approx(1 - cosine(ours.ravel(), theirs.ravel()))
        assert row.nse == pytest.approx(
            metrics.r2_score(theirs, ours, multioutput="variance_weighted")
        )
        assert row.l2r == pytest.approx(
            (((ours - theirs) ** 2).sum() / (theirs**2).sum()) ** 0.5
        )
    assert found.rows[2].accuracy is not None
    assert found.rows[2].accuracy > 0.95


def test_samples_that_are_decided_differently_are_listed() -> None:
    run, reference = trained("classes")
    found = compared(run, reference).disagreements
    ours = reference.predict(run.test.features).ravel()
    theirs = float_logits(run, reference).argmax(axis=1)
    expected = [
        (int(i), str(run.test.targets[i]), str(ours[i]), str(theirs[i]))
        for i in np.flatnonzero(ours != theirs)
    ]
    assert [(d.sample, d.truth, d.device, d.reference) for d in found] == expected
    assert expected  # the weights are coarse enough


def test_layers_tell_how_far_their_values_are_from_float64() -> None:
    run, reference = trained("classes")
    first, last = compared(run, reference).layers
    (w0, _), (b0, _) = real_parameters(reference.state)
    x = run.test.features * 2.0 ** reference.state.activation_exponent[0]
    hidden = np.maximum(x @ w0.T + b0, 0)
    unit = 2.0 ** reference.state.activation_exponent[1]
    assert (first.activation, first.widths, first.value_unit) == ("relu", (64, 12), np.log2(unit))
    # Rounding moves a value by half a unit at most unless it was clamped.
    assert first.worst <= unit / 2 or hidden.max() > 255 * unit
    assert (last.activation, last.widths) == ("logits", (12, 10))
    assert 0 < first.l2r < 0.2
    assert 0.99 < last.cosine <= 1


def test_values_have_no_accuracy_but_distances_in_their_unit() -> None:
    run, reference = trained("values")
    device, _, cross = compared(run, reference).rows
    assert (device.accuracy, device.interval) == (None, None)
    said = run.form.target.decode(reference.predict(run.test.features) / 65536)
    truth = run.test_targets.reshape(-1, 1)
    assert device.rmse == pytest.approx(metrics.root_mean_squared_error(truth, said), rel=1e-4)
    assert cross.nse > 0.99


def test_one_output_decides_between_two_classes() -> None:
    run, reference = trained("one output")
    found = compared(run, reference)
    right = reference.predict(run.test.features)[:, 0] == run.test_targets
    assert found.rows[0].accuracy == right.mean()


def test_logit_that_is_not_the_references_is_named() -> None:
    run, reference = trained("classes")
    logits = reference.logits(run.test.features)
    logits[7, 3] += 1
    found = compare(run, reference.state, logits).difference
    assert found is not None
    assert (found.tensor, found.element, found.differing) == ("logits", (7, 3), 1)
    assert found.device == found.reference + 1


# --- the commands ---------------------------------------------------------------------------------


@pytest.fixture
def run_file(tmp_path: Path) -> Path:
    path = tmp_path / "iris.toml"
    path.write_text(
        '[data]\nsource = "iris"\n[model]\nlayers = [4, 8, 3]\n[training]\nepochs = 2\n'
    )
    return path


def test_validate_reports_the_whole_test_part(run_file: Path) -> None:
    told = json.loads(fixgrad("validate", run_file, "--port", "sim://", "--json").stdout)
    comparison = told["comparison"]
    assert (comparison["samples"], told["outputs"]) == (30, 90)
    for name in ("device", "reference", "cross"):
        assert set(comparison[name]) == {
            "accuracy", "interval", "rmse", "mae", "l2r", "nse", "cosine"
        }
        low, high = comparison[name]["interval"]
        assert low <= comparison[name]["accuracy"] <= high
    times = comparison["round_trip_ms"]
    assert 0 < times["min"] <= times["mean"] <= times["max"]
    text = fixgrad("validate", run_file, "--port", "sim://").stdout
    assert text.splitlines()[0].split()[:3] == ["30", "test", "samples"]
    assert "cross: device against reference" in text


def test_eval_compares_if_asked(run_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    port = ("--port", "sim://")
    assert fixgrad("train", run_file, *port, "--out", out).exit_code == 0
    proof = json.loads(fixgrad("validate", run_file, *port, "--json").stdout)["comparison"]
    told = json.loads(fixgrad("eval", out, *port, "--compare", "--json").stdout)["comparison"]
    for name in ("samples", "device", "reference", "cross", "layers", "disagreements"):
        assert told[name] == proof[name]
    assert "comparison" not in json.loads(fixgrad("eval", out, *port, "--json").stdout)


def test_wrong_output_of_the_device_fails_the_proof(
    run_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logits = Reference.logits

    def wrong(reference: Reference, features: Any) -> Any:
        values = logits(reference, features)
        values[0, 0] += len(values) == 30
        return values

    monkeypatch.setattr(Reference, "logits", wrong)
    result = fixgrad("validate", run_file, "--port", "sim://")
    assert (result.exit_code, result.stdout) == (11, "")
    assert "first difference at outputs, logits[0, 0]: device " in result.stderr
