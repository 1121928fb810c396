"""`qemu://BOARD`: a board's real image in QEMU, opened as a serial port.

The image is built first if it is missing or older than its sources. Closing the port ends QEMU.

Options in the query: `profile` (the image that profiles, in an emulator whose clock counts
instructions), `flash` (file that holds the flash set aside for checkpoints and a deployed net; a
reset is then a power-off) and `standalone` (the example that predicts from that flash instead of
the image that trains), as in `qemu://bbcmicrobit?flash=board.flash`.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl

from fixgrad.boards import BOARDS, Board
from fixgrad.builds import build_image
from fixgrad.emulators import Emulator
from fixgrad.errors import PortError
from fixgrad.transport import split_url
from fixgrad.urlhandlers.flash_file import require_flash_file
from fixgrad.urlhandlers.socket_serial import SocketSerial

PROFILE, FLASH, STANDALONE = "profile", "flash", "standalone"


@dataclass(frozen=True)
class EmulatorOptions:
    """How to build and start an emulated board.

    Attributes:
        profile: the image that profiles.
        flash: file that holds the board's store; None: it begins blank and is forgotten.
        standalone: the image that predicts without a host.
    """

    profile: bool = False
    flash: Path | None = None
    standalone: bool = False


class Serial(SocketSerial):
    """Serial port to an emulated board."""

    _emulator: Emulator | None = None

    def _connect(self) -> socket.socket:
        board, options = board_of(str(self.port)), options_of(str(self.port))
        if options.flash is not None:
            require_flash_file(options.flash, board.store_bytes)
        image = build_image(board, profile=options.profile, standalone=options.standalone)
        self._emulator = Emulator(board, image, counting=options.profile, flash=options.flash)
        return self._emulator.uart

    def _disconnect(self) -> None:
        if self._emulator is not None:
            emulator, self._emulator = self._emulator, None
            emulator.stop()

    def reset_device(self) -> None:
        """Press the board's reset button; the port stays open.

        RAM keeps its contents, but where a file holds the flash: then the power goes off and on.
        """
        self._checked_socket()
        if options_of(str(self.port)).flash is not None:
            super().reset_device()
            return
        assert self._emulator is not None
        self._emulator.reset()

    def unused_stack(self) -> tuple[int, int]:
        """Return the bytes of the stack that were never written, and those reserved for it."""
        self._checked_socket()
        assert self._emulator is not None
        return self._emulator.unused_stack()

    def store(self) -> bytes:
        """Return what the flash holds that the board sets aside for checkpoints."""
        self._checked_socket()
        assert self._emulator is not None
        return self._emulator.store()


def board_of(url: str) -> Board:
    """Return the board that `qemu://BOARD` names.

    Raises:
        PortError: there is no such board, or no emulator for it.
    """
    name = split_url(url).netloc
    if name not in BOARDS or BOARDS[name].machine is None:
        emulated = ", ".join(board.name for board in BOARDS.values() if board.machine)
        raise PortError(f"{url}: no emulated board has this name; there are {emulated}")
    return BOARDS[name]


def options_of(url: str) -> EmulatorOptions:
    """Return the options that a `qemu://` URL names.

    Raises:
        PortError: an option is unknown, or the board sets no flash aside.
    """
    given = dict(parse_qsl(split_url(url).query, keep_blank_values=True))
    options = EmulatorOptions(
        profile=given.pop(PROFILE, None) is not None,
        flash=Path(given.pop(FLASH)) if FLASH in given else None,
        standalone=given.pop(STANDALONE, None) is not None,
    )
    if given:
        raise PortError(
            f"{url}: unknown option {', '.join(given)}; there are {PROFILE}, {FLASH} and "
            f"{STANDALONE}"
        )
    board = board_of(url)
    if (options.flash is not None or options.standalone) and not board.store_bytes:
        names = ", ".join(board.name for board in BOARDS.values() if board.store_bytes)
        raise PortError(f"{url}: {board.name} sets no flash aside for a net; these do: {names}")
    return options
