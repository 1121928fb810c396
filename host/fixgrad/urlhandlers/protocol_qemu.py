"""`qemu://BOARD`: a board's real image in QEMU, opened as a serial port.

The image is built first if it is missing or older than its sources. Closing the port ends QEMU.
`qemu://BOARD?profile` is the image that profiles, in an emulator whose clock counts instructions.
"""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from fixgrad.boards import BOARDS, Board
from fixgrad.builds import build_image
from fixgrad.emulators import Emulator
from fixgrad.errors import PortError
from fixgrad.urlhandlers.socket_serial import SocketSerial

PROFILE = "profile"


class Serial(SocketSerial):
    """Serial port to an emulated board."""

    _emulator: Emulator | None = None

    def _connect(self) -> socket.socket:
        board, profile = board_of(str(self.port)), urlsplit(str(self.port)).query == PROFILE
        image = build_image(board, profile=profile)
        self._emulator = Emulator(board, image, counting=profile)
        return self._emulator.uart

    def _disconnect(self) -> None:
        if self._emulator is not None:
            self._emulator.stop()
            self._emulator = None

    def reset_device(self) -> None:
        """Press the board's reset button; the port stays open and RAM keeps its contents."""
        self._checked_socket()
        assert self._emulator is not None
        self._emulator.reset()

    def unused_stack(self) -> tuple[int, int]:
        """Return the bytes of the stack that were never written, and those reserved for it."""
        self._checked_socket()
        assert self._emulator is not None
        return self._emulator.unused_stack()


def board_of(url: str) -> Board:
    """Return the board that `qemu://BOARD` names.

    Raises:
        PortError: there is no such board, or no emulator for it.
    """
    name = urlsplit(url).netloc
    if name not in BOARDS or BOARDS[name].machine is None:
        emulated = ", ".join(board.name for board in BOARDS.values() if board.machine)
        raise PortError(f"{url}: no emulated board has this name; there are {emulated}")
    return BOARDS[name]
