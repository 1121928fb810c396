"""Fixtures that tests of several parts share."""

from collections.abc import Callable
from pathlib import Path

import pytest
from fixgrad import session
from fixgrad.boards import BOARDS
from fixgrad.builds import build_image
from fixgrad.images import Image, read_image

ROOT = Path(__file__).parent.parent
# Boards that run in QEMU, and those that differ from one before in more than clock and pins.
EMULATED = [name for name, board in BOARDS.items() if board.machine]
SAME_AS_OLIMEX_P405 = {
    "disco_f407vg", "nucleo_f401re", "nucleo_f411re", "nucleo_f446re", "blackpill_f411ce"
}  # fmt: skip
DIFFERENT = [name for name in EMULATED if name not in SAME_AS_OLIMEX_P405]
# Ports of the long runs; the other boards differ from these in core and memory and get short ones.
PORTS = ["sim://", "qemu://disco_f100rb", "qemu://olimex_p405", "qemu://mps2_an386"]


@pytest.fixture(scope="session")
def root() -> Path:
    """The top of the source tree."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of data and vectors beside the source tree; skips where it is absent."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("the folder of shared data is not there")
    return folder


@pytest.fixture(scope="session")
def built_image() -> Callable[[str], Path]:
    """Return a function that gives the up-to-date ELF file of a board."""
    return lambda name: build_image(BOARDS[name])


@pytest.fixture(scope="session")
def read_built_image(built_image: Callable[[str], Path]) -> Callable[[str], Image]:
    """Return a function that gives sizes and symbols of a board's image."""
    return lambda name: read_image(built_image(name))


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is sent again to a device that answers late because the machine is busy."""
    monkeypatch.setattr(session, "TIMER_BASE_S", 60.0)


@pytest.fixture(params=list(BOARDS))
def board_name(request: pytest.FixtureRequest) -> str:
    """Every board in turn."""
    return str(request.param)


@pytest.fixture(params=EMULATED)
def emulated_board(request: pytest.FixtureRequest) -> str:
    """Every board that runs in QEMU in turn."""
    return str(request.param)


@pytest.fixture(params=DIFFERENT)
def different_board(request: pytest.FixtureRequest) -> str:
    """Every emulated board that differs from the others in more than clock and pins."""
    return str(request.param)


@pytest.fixture(params=PORTS)
def port(request: pytest.FixtureRequest) -> str:
    """Every port of the long runs in turn."""
    return str(request.param)
