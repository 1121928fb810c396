"""Opening a port by its URL, with errors that say what to do."""

from __future__ import annotations

import errno
from typing import Any
from urllib.parse import SplitResult, urlsplit

import serial
from serial.tools import list_ports

from fixgrad.errors import FixgradError, PortError
from fixgrad.protocol import LIMITS

READ_TIMEOUT_S = 0.02
"""Longest wait for a byte: how late a timer of the session can be noticed."""

WRITE_TIMEOUT_S = 10.0

BAUD_AT_START = LIMITS["BAUD_AT_START"]
"""Speed of a board that was just started or woken."""

WAKING = bytes(2 * LIMITS["WAKING_ZEROS"])
"""Sent at `BAUD_AT_START`, this brings a board back to it; every other state stays as it is."""

ADDRESSED = ("socket", "rfc2217")
"""URLs of pyserial that name a HOST:PORT."""

WAITING_BYTES_MAX = 4096
"""Most bytes that `read_waiting` takes: a port may never fall silent."""


def open_port(url: str, baud: int) -> Any:
    """Open a serial port.

    Args:
        url: a device name, or a URL that pyserial or fixgrad handles.
        baud: bits per second.

    Returns:
        The open port, a `serial.SerialBase` with short read timeouts.

    Raises:
        PortError: the port does not exist, is busy, is forbidden or refuses.
        BuildError: the firmware behind the port could not be built.
    """
    try:
        return serial.serial_for_url(
            url,
            baudrate=baud,
            timeout=READ_TIMEOUT_S,
            # pyserial's rfc2217:// knows no bound for writing.
            write_timeout=None if url.startswith("rfc2217://") else WRITE_TIMEOUT_S,
            exclusive=True,
        )
    except FixgradError:
        raise
    except (OSError, ValueError, NotImplementedError) as error:
        raise PortError(_explain(url, error)) from error


def split_url(url: str) -> SplitResult:
    """Return the parts of a port's name.

    Raises:
        PortError: it is no URL.
    """
    try:
        return urlsplit(url)
    except ValueError as error:
        raise PortError(f"{url}: no device and no URL ({error}); see 'fixgrad ports'") from error


def read_waiting(port: Any) -> bytes:
    """Return the bytes that wait at a port, `WAITING_BYTES_MAX` at most.

    Some ports, pyserial's socket:// among them, tell by `in_waiting` only whether any wait: by 1.
    """
    received = b""
    while waiting := min(port.in_waiting, WAITING_BYTES_MAX - len(received)):
        data: bytes = port.read(waiting)
        if waiting > 1:
            return received + data
        if not data:
            break
        received += data
    return received


class Place:
    """Where a port is; a USB port is found again under another name, by its serial number.

    Attributes:
        url: the port's name now.
    """

    def __init__(self, url: str) -> None:
        """Take a device name or URL."""
        self.url = url
        self._serial_number: str | None = None

    def open(self) -> Any:
        """Open the port, wherever it is now, at the speed that a board has at start.

        Raises:
            PortError, BuildError: as `open_port`.
        """
        try:
            port = open_port(self.url, BAUD_AT_START)
        except PortError:
            moved = _device_with(self._serial_number)
            if moved is None or moved == self.url:
                raise
            port = open_port(moved, BAUD_AT_START)
            self.url = moved
        self._serial_number = _serial_number_of(self.url) or self._serial_number
        return port


def _serial_number_of(device: str) -> str | None:
    """Return the USB serial number of a port; None where it has none."""
    numbers = (port.serial_number for port in list_ports.comports() if port.device == device)
    return next(numbers, None) or None


def _device_with(serial_number: str | None) -> str | None:
    """Return the port with a USB serial number; None where there is not exactly one."""
    if serial_number is None:
        return None
    found = [p.device for p in list_ports.comports() if p.serial_number == serial_number]
    return str(found[0]) if len(found) == 1 else None


def port_names() -> list[str]:
    """Return the names of the serial ports of this machine, sorted."""
    return sorted(port.device for port in list_ports.comports())


def _explain(url: str, error: Exception) -> str:
    code = error_number(error)
    if isinstance(error, ValueError) and "://" in url:
        return f"{url}: unknown kind of port or bad option ({error}); see 'fixgrad ports'"
    if code in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        names = ", ".join(port_names()) or "none: is the board plugged in?"
        return f"{url}: no such port; ports of this machine: {names}"
    if code in (errno.EACCES, errno.EPERM):
        return f"{url}: permission denied; add yourself to the group of the port (often dialout)"
    if code in (errno.EBUSY, errno.EAGAIN):
        return f"{url}: the port is busy; close the other program that uses it"
    if code == errno.ECONNREFUSED:
        return f"{url}: connection refused; nothing listens there"
    scheme = split_url(url).scheme
    if scheme in ADDRESSED and not _has_address(url):
        return f"{url}: no HOST and PORT; type e.g. {scheme}://localhost:4242"
    return f"{url}: cannot be opened: {error}"


def _has_address(url: str) -> bool:
    """Tell whether a URL has HOST:PORT."""
    parts = split_url(url)
    try:
        return bool(parts.hostname) and parts.port is not None
    except ValueError:
        return False


def error_number(error: BaseException | None) -> int | None:
    """Return the errno of an error or of what caused it."""
    while error is not None:
        number = getattr(error, "errno", None)
        if isinstance(number, int):
            return number
        error = error.__cause__ or error.__context__
    return None
