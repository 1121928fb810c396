"""The bytes that `fixgrad plan` tells, against what emulated boards ask for and are sent."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fixgrad.boards import BOARDS, Board
from fixgrad.delivery import deliver
from fixgrad.device import Device
from fixgrad.errors import DoesNotFitError
from fixgrad.model import ModelConfig
from fixgrad.outlook import outlooks
from fixgrad.planner import plan
from fixgrad.protocol import Message, Region
from fixgrad.run import PreparedRun, prepare
from fixgrad.runfile import parse_run
from fixgrad.session import Request, Session
from fixgrad.training import Checkpoint, Tally, train

BAUD = 115200
RUN_ID = 0x71A4
MEASURED = ["bbcmicrobit", "disco_f100rb", "olimex_p405", "mps3_an547"]
NETS = [
    ("iris", [4, 12, 8, 3], 4), ("breast_cancer", [30, 20, 10, 2], 16), ("wine", [13, 32, 3], 12),
]  # fmt: skip
KEPT = {
    "iris": MEASURED,
    "breast_cancer": ["bbcmicrobit", "olimex_p405", "mps3_an547"],
    "wine": ["bbcmicrobit", "olimex_p405", "mps3_an547"],
}
"""The boards that keep all samples of the data sets; breast_cancer's the micro:bit in its flash."""


@pytest.fixture(scope="module")
def runs() -> list[PreparedRun]:
    """Return runs of one epoch; all fit 8 KB."""
    text = '[data]\nsource = "{}"\n[model]\nlayers = {}\n[training]\nbatch_size = {}\nepochs = 1\n'
    return [prepare(parse_run(text.format(*net), Path("run.toml"))) for net in NETS]


@pytest.fixture(scope="module", params=MEASURED)
def board(request: pytest.FixtureRequest) -> Board:
    return BOARDS[request.param]


@pytest.fixture(scope="module")
def device(board: Board) -> Iterator[Device]:
    """A board in QEMU."""
    with Device.open(f"qemu://{board.name}") as opened:
        yield opened


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The bytes of every frame that brings samples, sent for the first time."""
    frames: list[int] = []
    note: Callable[..., None] = Session._note_sent

    def noted(session: Session, pending: object, count: int, now: float) -> None:
        request: Request = pending.request  # type: ignore[attr-defined]
        loads = request.type == Message.LOAD and request.payload[0] == Region.DATASET
        samples = loads or request.type in (Message.DATA, Message.TRAIN_TO)
        if samples and pending.times_sent == 0:  # type: ignore[attr-defined]
            frames.append(len(pending.encoded))  # type: ignore[attr-defined]
        note(session, pending, count, now)

    monkeypatch.setattr(Session, "_note_sent", noted)
    return frames


def test_board_has_the_bytes_that_are_planned(board: Board, device: Device) -> None:
    assert device.info.arena_bytes == board.arena_bytes


def widest(config: ModelConfig, board: Board) -> list[ModelConfig]:
    """Return the model with the widest hidden layers that fit, and with one unit more in each."""

    def model(width: int) -> ModelConfig:
        layers = (config.layers[0], *[width] * len(config.layers[1:-1]), config.layers[-1])
        return replace(config, layers=layers).with_budgets()

    def is_too_large(width: int) -> bool:
        return plan(model(width)).arena_bytes > board.arena_bytes

    width = bisect.bisect_left(range(1 << 16), True, lo=1, key=is_too_large)
    return [model(width - 1), model(width)]


@pytest.mark.parametrize("net", range(len(NETS)))
def test_widest_net_fits_a_board_and_a_wider_one_lacks_the_bytes_that_are_planned(
    board: Board, device: Device, runs: list[PreparedRun], net: int
) -> None:
    fits, wider = widest(runs[net].config, board)
    device._load_model(fits.encode())
    needed = plan(wider).arena_bytes
    with pytest.raises(DoesNotFitError, match=f"needs {needed} bytes, .* has {board.arena_bytes};"):
        device._load_model(wider.encode())


@pytest.mark.parametrize("net", range(len(NETS)))
def test_a_board_is_sent_the_bytes_that_are_planned(
    board: Board, device: Device, runs: list[PreparedRun], net: int, sent: list[int]
) -> None:
    run = runs[net]
    (outlook,) = outlooks(run, [board], BAUD)
    assert (outlook.cached is not None) == (board.name in KEPT[NETS[net][0]])
    for planned in filter(None, [outlook.streamed, outlook.cached]):
        delivery = deliver(
            run.train, run.config, run.schedule, board.arena_bytes,
            flash_bytes=board.samples_bytes, stream=planned is outlook.streamed,
        )  # fmt: skip
        sent.clear()
        begin = Checkpoint(run.initial, 0, Tally())
        list(train(device, run.config, RUN_ID, run.train, run.schedule, begin, delivery=delivery))
        assert len(sent) == planned.load.frames + planned.samples.frames
        assert sum(sent) == planned.load.to_board + planned.samples.to_board
