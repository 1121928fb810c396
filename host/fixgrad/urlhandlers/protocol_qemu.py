"""`qemu://BOARD`: a board's real image in QEMU, opened as a serial port.

The image is built first if it is missing or older than its sources. Closing the port ends QEMU.
"""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from fixgrad.boards import BOARDS, Board
from fixgrad.builds import build_image
from fixgrad.emulators import Emulator
from fixgrad.errors import PortError
from fixgrad.urlhandlers.socket_serial import SocketSerial


class Serial(SocketSerial):
    """Serial port to an emulated board."""

    _emulator: Emulator | None = None

    def _connect(self) -> socket.socket:
        board = board_of(str(self.port))
        self._emulator = Emulator(board, build_image(board))
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


def board_of(url: str) -> Board:
    """Return the board that `qemu://BOARD` names.

    Raises:
        PortError: there is no such board.
    """
    name = urlsplit(url).netloc
    if name not in BOARDS:
        raise PortError(f"{url}: no emulated board has this name; there are {', '.join(BOARDS)}")
    return BOARDS[name]
