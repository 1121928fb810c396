"""Regression, multi-label, schedules and stopping from the command line, on sim://."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from fixgrad.cli import cli
from fixgrad.digest import state_digest
from fixgrad.reference import Reference
from fixgrad.run import prepare
from fixgrad.rundir import RunFolder

SIM = ("--port", "sim://")


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def fixgrad(*arguments: str) -> Result:
    result = CliRunner().invoke(cli, list(arguments), prog_name="fixgrad")
    assert result.exit_code == 0, result.output
    return result


def _write(data: str, model: str, training: str, name: str = "run.toml") -> str:
    Path(name).write_text(f"[data]\n{data}\n[model]\n{model}\n[training]\n{training}\n")
    return name


def _linear_csv(name: str, labels: bool = False) -> None:
    """Write three features and two targets that are linear in them (or the signs of those)."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(200, 3))
    y = x @ np.array([[2.0, -1], [1, 0.5], [0, 3]]) + np.array([5, -2])
    if labels:
        y = (y > np.array([5, -2])).astype(int)
    rows = [",".join(f"{v:.6g}" for v in (*a, *b)) for a, b in zip(x, y, strict=True)]
    Path(name).write_text("a,b,c,first,second\n" + "\n".join(rows) + "\n")


def test_several_values_are_trained_measured_and_predicted_in_their_unit() -> None:
    _linear_csv("d.csv")
    run = _write('source = "d.csv"\nlabel = ["first", "second"]',
                 'layers = [3, 2]\nloss = "squared_error"',
                 'epochs = 20\nschedule = "cosine"')  # fmt: skip
    report = json.loads(fixgrad("train", run, *SIM, "--out", "out", "--json").stdout)
    assert report["metrics"]["r2"] > 0.999
    assert "test_accuracy" not in report
    assert set(report["metrics"]["by_output"]) == {"first", "second"}
    text = fixgrad("eval", "out", *SIM).stdout
    assert "R²" in text
    assert "second" in text
    said = fixgrad("predict", "out", "d.csv", *SIM).stdout.splitlines()
    assert said[0] == "first,second"
    values = np.array([line.split(",") for line in said[1:]], float)
    expected = np.loadtxt("d.csv", delimiter=",", skiprows=1)[:, 3:]
    assert np.abs(values - expected).max() < 0.3
    assert "bit-exact" in fixgrad("validate", run, *SIM).stdout


def test_labels_are_trained_measured_and_predicted() -> None:
    _linear_csv("d.csv", labels=True)
    run = _write('source = "d.csv"\nlabel = [4, 5]',
                 'layers = [3, 2]\nloss = "sigmoid_binary_cross_entropy"',
                 "epochs = 30\nlearning_rate = 1.0")  # fmt: skip
    report = json.loads(fixgrad("train", run, *SIM, "--out", "out", "--json").stdout)
    assert report["metrics"]["label_accuracy"] > 0.95
    assert np.shape(report["metrics"]["confusion"]) == (2, 2, 2)
    said = fixgrad("predict", "out", "d.csv", *SIM).stdout.splitlines()
    assert said[0] == "first,second"
    values = np.array([line.split(",") for line in said[1:]], int)
    expected = np.loadtxt("d.csv", delimiter=",", skiprows=1)[:, 3:]
    assert (values == expected).mean() > 0.95


def test_two_classes_may_share_one_output() -> None:
    run = _write('source = "breast_cancer"',
                 'layers = [30, 1]\nloss = "sigmoid_binary_cross_entropy"',
                 "epochs = 5")  # fmt: skip
    report = json.loads(fixgrad("train", run, *SIM, "--out", "out", "--json").stdout)
    assert report["metrics"]["accuracy"] > 0.93
    assert np.sum(report["metrics"]["confusion"]) == report["test_samples"]
    assert "malignant" in fixgrad("eval", "out", *SIM).stdout


EARLY = (
    'source = "wine"\nvalidation_fraction = 0.2', "layers = [13, 16, 3]",
    'epochs = 60\nlearning_rate = 0.5\npatience = 3\nschedule = "plateau"\nplateau_patience = 1',
)  # fmt: skip


def test_early_stopping_keeps_the_weights_of_the_best_epoch() -> None:
    result = fixgrad("train", _write(*EARLY), *SIM, "--out", "out", "--json")
    folder = RunFolder(Path("out"))
    prepared = prepare(folder.run())
    lines = folder.metrics()
    losses = [line["monitored_loss"] for line in lines]
    best = int(np.argmin(losses))
    assert len(lines) == best + 1 + 3 < 60
    assert lines[best]["digest"] == json.loads(result.stdout)["digest"]
    assert f"{state_digest(folder.final(prepared.config)):08x}" == lines[best]["digest"]
    assert f"the weights are those of epoch {best + 1}, the best" in result.stderr
    monitor = prepared.monitor
    assert monitor is not None
    reference = Reference(prepared.config, folder.final(prepared.config))
    loss = reference.evaluate(monitor.samples.features, monitor.samples.targets)[0].sum()
    assert monitor.mean(int(loss)) == losses[best]


def test_decisions_are_part_of_the_proof() -> None:
    run = _write(*EARLY)
    trained = fixgrad("train", run, *SIM, "--out", "out", "--json")
    steps = RunFolder(Path("out")).metrics()[-1]["steps"]
    proof = json.loads(fixgrad("validate", run, *SIM, "--json").stdout)
    assert (proof["steps"], proof["differences"]) == (steps, 0)
    assert RunFolder(Path("out")).metrics()[-1]["digest"] == proof["digest"]
    assert trained.exit_code == 0


def test_a_run_resumed_after_every_epoch_ends_with_the_same_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = _write(*EARLY)
    whole = json.loads(fixgrad("train", run, *SIM, "--out", "whole", "--json").stdout)
    from fixgrad import training

    plain = training.train

    def one_epoch(*arguments, **more):  # type: ignore[no-untyped-def]
        for event in plain(*arguments, **more):
            yield event
            if isinstance(event, training.EpochDone):
                raise KeyboardInterrupt

    monkeypatch.setattr(training, "train", one_epoch)
    CliRunner().invoke(cli, ["train", run, *SIM, "--out", "cut"])
    epochs = len(RunFolder(Path("whole")).metrics())
    for _ in range(epochs):
        CliRunner().invoke(cli, ["train", "--resume", "cut", *SIM])
    monkeypatch.setattr(training, "train", plain)
    last = fixgrad("train", "--resume", "cut", *SIM, "--json")
    assert json.loads(last.stdout)["digest"] == whole["digest"]
    assert RunFolder(Path("cut")).metrics() == RunFolder(Path("whole")).metrics()


def test_a_target_loss_ends_the_run() -> None:
    run = _write('source = "iris"', "layers = [4, 8, 3]", "epochs = 50\ntarget_loss = 0.3")
    result = fixgrad("train", run, *SIM, "--out", "out")
    lines = RunFolder(Path("out")).metrics()
    assert lines[-1]["monitored_loss"] <= 0.3 < lines[-2]["monitored_loss"]
    assert "target_loss is reached" in result.stderr


def test_plan_explains_headroom_and_decay() -> None:
    run = _write('source = "iris"', "layers = [4, 16, 3]", "weight_decay = 0.001")
    text = fixgrad("plan", run).stdout
    assert "8 inputs or fewer: single weights grow large" in text
    assert "drawn weights grow a few times their first size" in text
    assert "weight decay: 0.00098 of every weight, every 10 steps" in text
    report = json.loads(fixgrad("plan", run, "--json").stdout)
    assert [r["headroom"] for r in report["weight_ranges"]] == [16, 4]


def test_new_writes_a_regression_run_for_values() -> None:
    fixgrad("new", "d.toml", "--data", "diabetes")
    text = Path("d.toml").read_text()
    assert 'loss = "squared_error"' in text
    assert "layers = [10, 16, 1]" in text


def test_sign_activations_train_on_the_device() -> None:
    run = _write('source = "iris"', 'layers = [4, 16, 3]\nactivation = "sign"',
                 "epochs = 30")  # fmt: skip
    report = json.loads(fixgrad("train", run, *SIM, "--out", "out", "--json").stdout)
    assert report["metrics"]["accuracy"] >= 0.8
    assert "bit-exact" in fixgrad("validate", run, *SIM, "--steps", "100").stdout
