"""A run's folder alone makes the run again anywhere, and two runs are told apart to the element."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from fixgrad.cli import cli
from fixgrad.device import Device
from fixgrad.digest import state_digest
from fixgrad.model import State
from fixgrad.reference import Reference
from fixgrad.replay import Left, Record, Replayed, replay
from fixgrad.rundir import RunFolder
from reference_device import ReferenceDevice

SIM = ("--port", "sim://")


def fixgrad(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(a) for a in arguments], prog_name="fixgrad")


def train(
    folder: Path, name: str, text: str = "", data: str = "", settings: str = "", hidden: int = 6
) -> Path:
    """Train points of two classes in a plane, three epochs; return the run's folder."""
    rng = np.random.default_rng(3)
    points = rng.normal(size=(60, 2))
    rows = [f"{x:.3f},{y:.3f},{int(x * y > 0)}\n" for x, y in points]
    (folder / f"{name}.csv").write_text("".join(rows) + data)
    run = folder / f"{name}.toml"
    run.write_text(
        f'[data]\nsource = "{name}.csv"\n{settings}[model]\nlayers = [2, {hidden}, 2]\n'
        f"[training]\nepochs = 3\nbatch_size = 4\n{text}"
    )
    result = fixgrad("train", run, *SIM, "--out", folder / name)
    assert result.exit_code == 0, result.stderr
    return folder / name


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run trained on sim://, moved elsewhere, its CSV file deleted."""
    folder = tmp_path_factory.mktemp("made")
    moved = tmp_path_factory.mktemp("moved") / "capsule"
    shutil.move(train(folder, "plane"), moved)
    shutil.rmtree(folder)
    return moved


@pytest.fixture
def capsule(kept: Path, tmp_path: Path) -> Path:
    """A copy that may be altered."""
    return Path(shutil.copytree(kept, tmp_path / "capsule"))


def alter_digest(folder: Path, epoch: int) -> tuple[str, str]:
    """Change a recorded digest; return what it was and what it is."""
    path = folder / "metrics.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    was = lines[epoch - 1]["digest"]
    lines[epoch - 1]["digest"] = f"{int(was, 16) ^ 1:08x}"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return was, lines[epoch - 1]["digest"]


@pytest.mark.parametrize(
    "port", ["sim://", "qemu://disco_f100rb", "qemu://olimex_p405"]
)
def test_capsule_gives_its_digests_on_every_port(kept: Path, port: str) -> None:
    result = fixgrad("replay", kept, "--port", port, "--json")
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    folder = RunFolder(kept)
    assert told["digest"] == f"{state_digest(folder.final(folder.config())):08x}"
    assert (told["equal"], told["epochs"], told["left_at_epoch"]) == (True, 3, None)


def test_replay_changes_nothing_in_the_folder(capsule: Path) -> None:
    before = {path.name: path.read_bytes() for path in capsule.iterdir()}
    assert fixgrad("replay", capsule, *SIM).exit_code == 0
    assert {path.name: path.read_bytes() for path in capsule.iterdir()} == before


def test_replay_tells_the_epoch_at_which_it_left(capsule: Path) -> None:
    right, altered = alter_digest(capsule, 2)
    result = fixgrad("replay", capsule, *SIM)
    assert (result.exit_code, result.stdout) == (11, "")
    assert result.stderr.splitlines()[-1] == (
        f"fixgrad: the replay left the run at epoch 2: digest {right} on posix, {altered} in "
        f"{capsule}; whether the board or the folder is wrong tells: fixgrad validate "
        f"{capsule / 'run.toml'} --port sim://"
    )
    told = json.loads(fixgrad("replay", capsule, *SIM, "--json").stdout)
    assert (told["equal"], told["left_at_epoch"]) == (False, 2)
    assert (told["digest"], told["recorded_digest"]) == (right, altered)


def test_replay_notices_other_final_parameters(capsule: Path) -> None:
    folder = RunFolder(capsule)
    config = folder.config()
    state = folder.final(config)
    state.weights[1][0, 0] ^= 1
    folder.save_final(config, state)
    result = fixgrad("replay", capsule, *SIM)
    assert result.exit_code == 11
    assert "left the run at the end of the run: digest" in result.stderr


def test_interrupted_run_is_replayed_as_far_as_it_went(capsule: Path) -> None:
    (capsule / "final.npz").unlink()
    RunFolder(capsule).keep_metrics(2)
    told = json.loads(fixgrad("replay", capsule, *SIM, "--json").stdout)
    assert (told["equal"], told["epochs"]) == (True, 2)
    RunFolder(capsule).keep_metrics(0)
    result = fixgrad("replay", capsule, *SIM)
    assert result.exit_code == 3
    assert result.stderr.startswith(f"fixgrad: {capsule} records no epoch yet; finish the run: ")


def test_run_that_ended_early_is_replayed_to_its_best_weights(tmp_path: Path) -> None:
    folder = train(
        tmp_path, "early", "patience = 1\nlearning_rate = 4.0\n",
        settings="validation_fraction = 0.2\n",
    )
    told = json.loads(fixgrad("replay", folder, *SIM, "--json").stdout)
    kept = RunFolder(folder)
    assert (told["equal"], told["epochs"]) == (True, len(kept.metrics()))
    assert told["digest"] == f"{state_digest(kept.final(kept.config())):08x}"


class FlippingReference(Reference):
    """Arithmetic that is wrong by one unit of one weight in step 20."""

    def step(self, *arguments: Any) -> Any:
        result = super().step(*arguments)
        if self.state.step == 20:
            self.state.weights[0][4, 1] += 1
        return result


@pytest.mark.parametrize(
    ("arithmetic", "end"), [(Reference, Replayed), (FlippingReference, Left)]
)
def test_board_that_computes_wrongly_leaves_at_that_epoch(
    kept: Path, arithmetic: type[Reference], end: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder(kept)
    prepared = folder.reopen()
    device: Any = ReferenceDevice(arithmetic)
    monkeypatch.setattr("fixgrad.replay.deliver", lambda *_, **__: None)
    device.info = _WithArena()
    record = Record([int(line["digest"], 16) for line in folder.metrics()], None)
    *_, last = replay(device, prepared, record)
    assert isinstance(last, end)
    if isinstance(last, Left):  # 48 training samples, 12 steps an epoch
        assert (last.epoch, last.recorded) == (2, record.epochs[1])


class _WithArena:
    arena_bytes = samples_bytes = 0
    run_id = next = digest = 0
    board = "reference"


# --- diff -----------------------------------------------------------------------------------------


def difference(*folders: Path) -> dict[str, Any]:
    result = fixgrad("diff", *folders, "--json")
    assert result.exit_code in (0, 11), result.output
    told: dict[str, Any] = json.loads(result.stdout)
    assert told["equal"] == (result.exit_code == 0)
    return told


def states(folder: Path) -> Iterator[State]:
    """Yield the state after every step of a run, from the arithmetic."""
    prepared = RunFolder(folder).reopen()
    reference = Reference(prepared.config, prepared.initial)
    for step in range(prepared.schedule.steps):
        rows = prepared.schedule.step_indices(step)
        rate = prepared.schedule.learning_rate(step)
        reference.step(prepared.train.features[rows], prepared.train.targets[rows], *rate)
        yield reference.state


def test_run_does_not_differ_from_itself_trained_again(kept: Path, tmp_path: Path) -> None:
    again = train(tmp_path, "again")
    assert difference(kept, again)["equal"]
    assert fixgrad("diff", kept, again).stdout == "the digests of 3 epochs are equal\n"


def test_first_differing_weight_is_named_with_its_step(kept: Path, tmp_path: Path) -> None:
    # The rates are equal in the first epoch, 12 steps, so step 13 is the first to differ.
    other = train(tmp_path, "slower", 'schedule = "step"\ndrop_epochs = [1]\n')
    told = difference(kept, other)
    assert [s["key"] for s in told["settings"]] == ["training.drop_epochs", "training.schedule"]
    assert (told["samples"], told["initial"]) == (None, None)
    assert told["first_differing_epoch"] == 2
    assert told["as_reference"] == [True, True]
    found = told["first_difference"]
    assert found["step"] == 13
    for run, value in ((kept, found["a"]), (other, found["b"])):
        state = next(s for s in states(run) if s.step == 13)
        tensors = {(name, layer): values for name, layer, values in state.tensors()}
        array = tensors[found["tensor"], found["layer"]]
        assert array[tuple(found["element"])] == value
    assert found["a"] != found["b"]


def test_other_samples_are_named(kept: Path, tmp_path: Path) -> None:
    told = difference(kept, train(tmp_path, "longer", data="9,9,1\n"))
    assert told["samples"] is not None
    assert told["samples"]["array"] in ("test_features", "train_features")


def test_record_that_the_reference_denies_is_pointed_at(kept: Path, capsule: Path) -> None:
    right, altered = alter_digest(capsule, 3)
    told = difference(kept, capsule)
    assert (told["first_differing_epoch"], told["digests"]) == (3, [right, altered])
    assert (told["first_difference"], told["as_reference"]) == (None, [True, False])
    text = fixgrad("diff", kept, capsule).stdout
    assert (
        f"{capsule}: the reference has another digest after epoch 3: its board computed it "
        "wrongly, or the folder was changed\n"
    ) in text


def test_runs_of_other_shapes_are_compared_by_their_settings(kept: Path, tmp_path: Path) -> None:
    told = difference(kept, train(tmp_path, "narrow", hidden=5))
    assert told["settings"][0]["key"] == "model.layers"
    assert told["first_difference"] is None


def test_device_is_not_needed_to_compare(monkeypatch: pytest.MonkeyPatch, kept: Path) -> None:
    monkeypatch.setattr(Device, "open", None)
    assert difference(kept, kept)["equal"]
