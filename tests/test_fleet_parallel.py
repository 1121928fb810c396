"""One mini-batch on many boards: the digest of one board, whatever happens to whom."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from fixgrad.cli import cli
from fixgrad.errors import LinkError, MismatchError, PortError, RunFileError
from fixgrad.fleet.fleetfile import load_fleet
from fixgrad.fleet.parallel import run_parallel
from fixgrad.fleet.parts import PartBoard
from fixgrad.fleet.rounds import read_rounds
from fixgrad.model import State
from fixgrad.proxy import FaultRates
from fixgrad.reference import Reference
from fixgrad.run import PreparedRun, prepare
from test_proxy import Proxied

RUN = """
[data]
source = "{source}"
[model]
layers = {layers}
[training]
batch_size = {batch}
learning_rate = 0.2
epochs = {epochs}
"""
HEAD = 'run = "run.toml"\nmode = "data-parallel"\n'
THREE = HEAD + '[[board]]\nname = "a"\nport = "sim://"\ncount = 3\n'
NAMES = ["a.1", "a.2", "a.3"]


def write(folder: Path, text: str, batch: int = 40, epochs: int = 1, digits: bool = False) -> Path:
    source, layers = ("digits", [64, 32, 10]) if digits else ("iris", [4, 8, 3])
    run = RUN.format(source=source, layers=layers, batch=batch, epochs=epochs)
    (folder / "run.toml").write_text(run, encoding="utf-8")
    file = folder / "fleet.toml"
    file.write_text(text, encoding="utf-8")
    return file


def single_board(run: PreparedRun, epochs: int | None = None) -> int:
    """Return the digest of the reference's own steps on whole batches."""
    one, schedule = Reference(run.config, run.initial), run.schedule
    for step in range(schedule.steps_per_epoch * (epochs or schedule.epochs)):
        places = schedule.step_indices(step)
        batch = run.train.features[places], run.train.targets[places]
        one.step(*batch, *schedule.learning_rate(step))
    return one.digest()


def train(file: Path, folder: str = "out") -> tuple[State, PreparedRun]:
    fleet = load_fleet(file)
    run = prepare(fleet.run)
    return run_parallel(fleet, run, file.parent / folder), run


def digest(state: State, run: PreparedRun) -> int:
    return Reference(run.config, state).digest()


def test_boards_of_every_kind_end_with_the_digest_of_one(tmp_path: Path) -> None:
    more = '[[board]]\nport = "qemu://olimex_p405"\nshare = 2\n'
    file = write(tmp_path, f'{THREE}{more}[[board]]\nport = "qemu://mps3_an547"\n', 480, 1, True)
    arguments = ["fleet", str(file), "--out", str(tmp_path / "out"), "--json"]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert sum(told["took_part"].values()) == 1437 and told["missed"] == []
    assert set(told["took_part"]) == {*NAMES, "board2", "board3"}
    alone = ["train", str(tmp_path / "run.toml"), "--port", "sim://", "--json"]
    one = CliRunner().invoke(cli, [*alone, "--out", str(tmp_path / "one")])
    assert one.exit_code == 0, one.output
    assert told["digest"] == f"{single_board(prepare(load_fleet(file).run)):08x}"
    assert told["digest"] in one.stdout


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """What happens to boards by name, called with the board before its sums are read."""
    happens: dict[str, Any] = {}
    sums = PartBoard.sums

    def disturbed(board: PartBoard, *arguments: Any) -> Any:
        if board.name in happens:
            happens[board.name](board)
        return sums(board, *arguments)

    monkeypatch.setattr(PartBoard, "sums", disturbed)
    yield happens


def test_boards_that_are_reset_while_they_hold_parts_change_nothing(
    tmp_path: Path, faults: dict[str, Any]
) -> None:
    resets: list[str] = []

    def reset(board: PartBoard) -> None:
        if board.name not in resets:
            resets.append(board.name)
            board._board.open()._port.reset_device()

    faults.update(dict.fromkeys(NAMES, reset))
    state, run = train(write(tmp_path, THREE, epochs=2))
    assert sorted(resets) == NAMES
    assert digest(state, run) == single_board(run)


def test_board_that_vanishes_for_good_leaves_its_part_to_others(
    tmp_path: Path, faults: dict[str, Any]
) -> None:
    gone = set()

    def vanish(board: PartBoard) -> None:
        def refuse() -> None:
            raise PortError("gone")

        gone.add(board.name)
        board.open = refuse  # type: ignore[method-assign]
        raise PortError("gone")

    faults["a.1"] = faults["a.3"] = vanish
    state, run = train(write(tmp_path, THREE, epochs=2))
    assert gone == {"a.1", "a.3"}
    assert digest(state, run) == single_board(run)
    rounds = read_rounds(tmp_path / "out")
    assert [line["took_part"] for line in rounds] == [{"a.2": 120}] * 2
    assert rounds[0]["missed"] == ["a.1", "a.3"]


def test_bit_errors_on_the_line_change_nothing(tmp_path: Path) -> None:
    proxied = Proxied(FaultRates(bit_errors=1e-4))
    text = f'{HEAD}[[board]]\nport = "{proxied.url}"\n[[board]]\nport = "sim://"\n'
    state, run = train(write(tmp_path, text, epochs=3))
    proxied.close()
    assert sum(line.faults for line in proxied.lines) > 2
    assert digest(state, run) == single_board(run)


def test_batch_may_be_larger_than_any_boards_room(tmp_path: Path) -> None:
    ports = ("sim://?arena=1200", "sim://?arena=1300")
    text = HEAD + "".join(f'[[board]]\nport = "{port}"\n' for port in ports)
    file = write(tmp_path, text, batch=120, epochs=2)
    fleet = load_fleet(file)
    boards = [PartBoard(member, prepare(fleet.run).config) for member in fleet.members]
    for board in boards:
        board.open()
        assert board.capacity < 60
        board.close()
    state, run = train(file)
    assert digest(state, run) == single_board(run)


def test_stopped_fleet_goes_on_with_other_boards(tmp_path: Path) -> None:
    file = write(tmp_path, THREE, epochs=3)
    fleet = load_fleet(file)
    run = prepare(fleet.run)

    def stop(done: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_parallel(fleet, run, tmp_path / "out", stop)
    (line,) = read_rounds(tmp_path / "out")
    assert line["digest"] == f"{single_board(run, 1):08x}"
    write(tmp_path, THREE.replace("count = 3", "share = 5"), epochs=3)
    state, run = train(file)
    assert digest(state, run) == single_board(run)
    assert [line["took_part"] for line in read_rounds(tmp_path / "out")[1:]] == [{"a": 120}] * 2


def test_wrong_sums_are_found_and_their_board_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sums = PartBoard.sums

    def wrong(board: PartBoard, *arguments: Any) -> Any:
        given = sums(board, *arguments)
        if board.name != "a.2":
            return given
        return [*given[:-1], replace(given[-1], biases=given[-1].biases + 2**20)]

    monkeypatch.setattr(PartBoard, "sums", wrong)
    file = write(tmp_path, THREE)
    with pytest.raises(MismatchError, match=r"^step 1 differs from the reference: a\.2 told wrong"):
        train(file)
    result = CliRunner().invoke(cli, ["fleet", str(file), "--out", str(tmp_path / "again")])
    assert result.exit_code == MismatchError.exit_code
    assert len(result.stderr.splitlines()) == 1


def test_board_that_cannot_share_is_refused_in_one_line(tmp_path: Path) -> None:
    file = write(tmp_path, HEAD + '[[board]]\nport = "qemu://disco_f100rb"\n')
    result = CliRunner().invoke(cli, ["fleet", str(file), "--out", str(tmp_path / "out")])
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
    assert "disco_f100rb cannot share a batch" in result.stderr
    assert "olimex_p405" in result.stderr


def test_no_board_at_all_ends_the_command(tmp_path: Path) -> None:
    file = write(tmp_path, HEAD + 'deadline = 1\n[[board]]\nport = "/dev/nowhere"\n')
    message = r"no board is left, and none came back within 1 s \(/dev/nowhere: no such port"
    with pytest.raises(LinkError, match=message):
        train(file)


def test_a_scheduler_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path, THREE)
    result = CliRunner().invoke(cli, ["fleet", str(file), "--scheduler", "tcp://here:8786"])
    assert result.exit_code == 2
    assert "--scheduler tcp://here:8786: boards that share batches are reached" in result.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (THREE + "\n", None),
        ("rounds = 3\n" + THREE, "rounds: nothing is averaged in mode data-parallel"),
        ("skew = 0.5\n" + THREE, "skew: nothing is averaged"),
        ("local_epochs = 2\n" + THREE, "local_epochs: nothing is averaged"),
        (THREE.replace("data-parallel", "parallel"), "known are federated, data-parallel"),
    ],
)
def test_mode_decides_which_keys_there_are(
    tmp_path: Path, text: str, message: str | None
) -> None:
    file = write(tmp_path, text, epochs=7)
    if message is None:
        assert load_fleet(file).rounds == 7
        return
    with pytest.raises(RunFileError, match=message):
        load_fleet(file)
