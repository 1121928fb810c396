"""Every diagnosis of `fixgrad doctor DIR`, provoked by a run, and absent where it must be."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from fixgrad.cli import cli
from fixgrad.doctor import KINDS, Fact, Finding
from fixgrad.health import Examined, diagnose
from fixgrad.history import History, held_part, record
from fixgrad.reference import Reference
from fixgrad.run import prepare
from fixgrad.runfile import parse_run

IRIS = 'source = "iris"', "layers = [4, 8, 3]"
DIGITS = 'source = "digits"', "layers = [64, 12, 10]"


def examined(data: str, model: str, training: str) -> Examined:
    text = f"[data]\n{data}\n[model]\n{model}\n[training]\n{training}\n"
    prepared = prepare(parse_run(text, Path("run.toml")))
    *_, history = record(prepared, prepared.run.training.epochs)
    assert isinstance(history, History)
    return Examined(prepared, history, history.digests.tolist(), held_part(prepared)[0])


def findings(data: str, model: str, training: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for report in diagnose(examined(data, model, training)):
        if isinstance(report, Finding):
            found.setdefault(report.kind.code, []).append(report.detail)
    return found


HOT = "epochs = 5\nlearning_rate = 16.0"
PROVOKED = {
    "FG602": (IRIS[0], IRIS[1] + "\nheadroom = 1", "epochs = 12\nlearning_rate = 2.0"),
    "FG603": (IRIS[0], IRIS[1] + "\nheadroom = 1024", HOT),
    "FG604": (IRIS[0], IRIS[1] + "\ninit_scale = 32.0", "epochs = 2\nadaptive = false"),
    "FG605": (
        'source = "diabetes"\ntarget_scale = "none"', 'layers = [10, 8, 1]\nloss = "squared_error"',
        "epochs = 2\nlearning_rate = 1.0",
    ),
    "FG606": (IRIS[0], IRIS[1], "epochs = 2\nlearning_rate = 0.001"),
    "FG607": (DIGITS[0], DIGITS[1], "epochs = 1\nlearning_rate = 2.0"),
    "FG608": (IRIS[0], IRIS[1] + "\nheadroom = 64", "epochs = 3"),
    "FG609": (IRIS[0], IRIS[1] + "\nheadroom = 1024", HOT),
    "FG610": (IRIS[0], IRIS[1], "epochs = 2\nlearning_rate = 0.00001"),
    "FG611": (
        'source = "iris"\ntest_fraction = 0.5', "layers = [4, 30, 3]",
        "epochs = 150\nlearning_rate = 0.5",
    ),
    "FG612": (
        DIGITS[0], DIGITS[1] + "\nactivation_bits = 4\nheadroom = 4096",
        "epochs = 2\nlearning_rate = 0.05",
    ),
}  # fmt: skip


@pytest.mark.parametrize("code", PROVOKED)
def test_diagnosis_is_provoked_by_a_run(code: str) -> None:
    assert code in findings(*PROVOKED[code])


def test_every_diagnosis_of_a_run_has_its_run() -> None:
    assert {code for code in KINDS if code.startswith("FG6")} == {"FG601", *PROVOKED}


@pytest.mark.parametrize(
    ("data", "model"), [IRIS, ('source = "wine"', "layers = [13, 16, 3]")]
)
def test_run_that_goes_well_gives_no_finding(data: str, model: str) -> None:
    assert findings(data, model, "epochs = 15") == {}


def test_remedy_of_clamped_weights_helps() -> None:
    data, model, training = PROVOKED["FG602"]
    assert "FG602" not in findings(data, model, training + "\nwiden = true")


def test_remedy_of_lost_updates_helps() -> None:
    data, model, training = PROVOKED["FG606"]
    assert "FG606" not in findings(data, model, training.replace("0.001", "0.2"))


def test_lost_updates_are_those_that_the_arithmetic_rounds_away() -> None:
    """Counted here from the weights before and after every step, not by the reference."""
    run = examined(IRIS[0], IRIS[1], "epochs = 1\nlearning_rate = 0.01")
    prepared = run.prepared
    reference = Reference(prepared.config, prepared.initial)
    same = 0
    for step in range(prepared.schedule.steps_per_epoch):
        before = [w.copy() for w in reference.state.weights]
        rows = prepared.schedule.step_indices(step)
        reference.counts_unchanged = True
        result = reference.step(
            prepared.train.features[rows], prepared.train.targets[rows],
            *prepared.schedule.learning_rate(step),
        )
        for layer, (old, new) in enumerate(zip(before, reference.state.weights, strict=True)):
            unchanged = int((old == new).sum())
            assert result.layers[layer].unchanged == unchanged
            assert 0 <= result.layers[layer].still <= unchanged
            same += unchanged
    assert same > 0
    assert (run.history.lost > 0).all()


def test_losses_after_an_epoch_are_those_of_the_state() -> None:
    run = examined(IRIS[0], IRIS[1], "epochs = 2")
    prepared = run.prepared
    reference = Reference(prepared.config, prepared.initial)
    right = (reference.predict(prepared.test.features)[:, 0] == prepared.test.targets).mean()
    assert run.history.held_accuracy[0, 0] == right
    assert np.allclose(run.history.held_loss[:, 0], run.history.held_loss[:, 1], rtol=0.05)


# --- the command ----------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run trained on sim://."""
    run = tmp_path / "iris.toml"
    run.write_text(f"[data]\n{IRIS[0]}\n[model]\n{IRIS[1]}\n[training]\nepochs = 3\n")
    arguments = ["train", str(run), "--port", "sim://", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0, result.stderr
    return tmp_path / "out"


def doctor(*arguments: object) -> tuple[int, dict[str, Any]]:
    result = CliRunner().invoke(cli, ["doctor", *map(str, arguments), "--json"])
    return result.exit_code, json.loads(result.stdout)


def test_doctor_proves_the_run_and_keeps_what_it_computed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, told = doctor(folder)
    assert (status, told["findings"], told["facts"]["digests"]) == (0, [], 3)
    monkeypatch.setattr("fixgrad.cli.inspecting.record", None)
    assert doctor(folder) == (status, told)


def test_damaged_history_is_computed_again(folder: Path) -> None:
    told = doctor(folder)
    (folder / "history.npz").write_bytes(b"PK")
    assert doctor(folder) == told


def test_recorded_digest_that_is_not_the_references_is_an_error(folder: Path) -> None:
    metrics = folder / "metrics.jsonl"
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    right = lines[1]["digest"]
    lines[1]["digest"] = "01234567"
    metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
    status, told = doctor(folder)
    assert status == 11
    assert [f["code"] for f in told["findings"]] == ["FG601"]
    assert told["findings"][0]["detail"] == f"epoch 2: recorded 01234567, reference {right}"


def test_doctor_says_in_words_what_to_change(tmp_path: Path) -> None:
    data, model, training = PROVOKED["FG606"]
    run = tmp_path / "slow.toml"
    run.write_text(f"[data]\n{data}\n[model]\n{model}\n[training]\n{training}\n")
    out = tmp_path / "out"
    CliRunner().invoke(cli, ["train", str(run), "--port", "sim://", "--out", str(out)])
    text = CliRunner().invoke(cli, ["doctor", str(out)]).stdout
    assert "FG606  warning: most updates vanish: layer 0: " in text
    assert "next:  Type a larger `learning_rate`, or a smaller `headroom`" in text


def test_doctor_needs_a_port_or_a_folder() -> None:
    result = CliRunner().invoke(cli, ["doctor"], env={"FIXGRAD_PORT": ""})
    assert result.exit_code == 2
    assert "give --port URL to examine a board, or the folder DIR of a run" in result.stderr


def test_facts_tell_what_was_looked_at() -> None:
    run = examined(IRIS[0], IRIS[1], "epochs = 3")
    facts = {report.name for report in diagnose(run) if isinstance(report, Fact)}
    assert facts == {"digests", "updates_lost", "loss", "float"}
