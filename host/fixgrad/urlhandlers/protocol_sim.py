"""`sim://`: the firmware as a process of this machine, opened as a serial port.

Options in the query: `cc` (compiler), `opt` (O0, O1, O2, O3, Os, Og), `arena` (bytes for the
model), `flash` (file that holds the board's flash) and `sanitize` (1: stop at undefined behaviour),
as in `sim://?cc=clang&opt=O0&arena=8192`.
"""

from __future__ import annotations

import socket
from pathlib import Path
from urllib.parse import parse_qsl

from fixgrad.errors import PortError
from fixgrad.simulator import FLASH_BYTES, OPTIMISATIONS, Simulator, SimulatorOptions
from fixgrad.transport import split_url
from fixgrad.urlhandlers.flash_file import require_flash_file
from fixgrad.urlhandlers.socket_serial import SocketSerial


class Serial(SocketSerial):
    """Serial port to a simulated board."""

    _simulator: Simulator | None = None

    def _connect(self) -> socket.socket:
        options = options_of(str(self.port))
        if options.flash is not None:
            require_flash_file(options.flash, FLASH_BYTES)
        self._simulator = Simulator(options)
        return self._simulator.socket

    def _disconnect(self) -> None:
        if self._simulator is not None:
            self._simulator.stop()
            self._simulator = None


def options_of(url: str) -> SimulatorOptions:
    """Return the options that a `sim://` URL names.

    Raises:
        PortError: an option is unknown or has a bad value.
    """
    parts = split_url(url)
    if parts.netloc or parts.path.strip("/"):
        raise PortError(f"{url}: sim:// names no board; options follow a question mark")
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    compiler = given.pop("cc", None)
    optimisation = given.pop("opt", SimulatorOptions.optimisation)
    arena = given.pop("arena", None)
    flash = given.pop("flash", None)
    sanitize = given.pop("sanitize", "0")
    if given:
        names = ", ".join(given)
        raise PortError(
            f"{url}: unknown option {names}; there are cc, opt, arena, flash and sanitize"
        )
    if optimisation not in OPTIMISATIONS:
        raise PortError(f"{url}: opt={optimisation} is none of {', '.join(OPTIMISATIONS)}")
    if arena is not None and not (arena.isascii() and arena.isdigit()):
        raise PortError(f"{url}: arena={arena} is not a number of bytes")
    if sanitize not in ("0", "1"):
        raise PortError(f"{url}: sanitize={sanitize} is neither 0 nor 1")
    return SimulatorOptions(
        compiler,
        optimisation,
        None if arena is None else int(arena),
        None if flash is None else Path(flash),
        sanitize == "1",
    )
