"""A pyserial port over a stream socket: the base of ports that are processes."""

from __future__ import annotations

import contextlib
import select
import socket

from serial.serialutil import (
    PortNotOpenError,
    SerialBase,
    SerialException,
    SerialTimeoutException,
    Timeout,
    to_bytes,
)

CHUNK_BYTES = 65536


class SocketSerial(SerialBase):  # type: ignore[misc]
    """Serial port whose bytes travel over a connected stream socket.

    A subclass provides `_connect`, which starts whatever answers and returns the socket, and
    `_disconnect`, which ends it. Baud rate and line settings are accepted and mean nothing.
    """

    BAUDRATES = SerialBase.BAUDRATES + (1_000_000, 1_500_000, 2_000_000, 3_000_000)

    is_open: bool
    _socket: socket.socket | None = None
    _wake_sender: socket.socket | None = None
    _wake_receiver: socket.socket | None = None
    _received = bytearray()

    def _connect(self) -> socket.socket:
        """Start the peer and return the socket to it.

        Raises:
            SerialException, FixgradError: the peer cannot be started.
        """
        raise NotImplementedError

    def _disconnect(self) -> None:
        """End the peer; called after the socket was closed, also when nothing was started."""

    def open(self) -> None:
        """Start the peer and connect to it."""
        if self._port is None:
            raise SerialException("Port must be configured before it can be used.")
        if self.is_open:
            raise SerialException("Port is already open.")
        try:
            self._attach()
        except BaseException:
            self._disconnect()
            raise
        self._wake_receiver, self._wake_sender = socket.socketpair()
        self.is_open = True

    def close(self) -> None:
        """Close the socket and end the peer."""
        if not self.is_open:
            return
        self.is_open = False
        self._detach()
        for end in (self._wake_sender, self._wake_receiver):
            if end is not None:
                end.close()
        self._wake_sender = self._wake_receiver = None

    def reset_device(self) -> None:
        """End the peer and start a new one while the port stays open: a reset of the board."""
        self._checked_socket()
        self._detach()
        self._attach()

    def _attach(self) -> None:
        self._socket = self._connect()
        self._socket.setblocking(False)
        self._received = bytearray()

    def _detach(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()
            self._socket = None
        self._disconnect()

    def _checked_socket(self) -> socket.socket:
        if not self.is_open or self._socket is None:
            raise PortNotOpenError()
        return self._socket

    def _receive(self, wait_s: float | None) -> bool:
        """Wait up to `wait_s` for bytes and collect them; False when none came or cancelled."""
        sock = self._checked_socket()
        wake = self._wake_receiver
        if wake is None:
            raise PortNotOpenError()
        ready, _, _ = select.select([sock, wake], [], [], wait_s)
        if wake in ready:
            wake.recv(CHUNK_BYTES)
            return False
        if not ready:
            return False
        try:
            data = sock.recv(CHUNK_BYTES)
        except BlockingIOError:
            return False
        except OSError as error:
            raise SerialException(f"{self.portstr}: {error}") from error
        if not data:
            raise SerialException(f"{self.portstr}: the process behind this port has ended")
        self._received += data
        return True

    @property
    def in_waiting(self) -> int:
        """Return the number of bytes that can be read without waiting."""
        sock = self._checked_socket()
        if not self._received:
            with contextlib.suppress(OSError):
                self._received += sock.recv(CHUNK_BYTES)
        return len(self._received)

    def read(self, size: int = 1) -> bytes:
        """Read `size` bytes, or fewer when the timeout expires or `cancel_read` is called.

        Raises:
            SerialException: the peer has ended and no byte of it is left.
        """
        timeout = Timeout(self._timeout)
        self._checked_socket()
        while len(self._received) < size:
            try:
                if not self._receive(timeout.time_left()):
                    break
            except SerialException:
                if not self._received:
                    raise
                break
            if timeout.expired():
                break
        data = bytes(self._received[:size])
        del self._received[:size]
        return data

    def cancel_read(self) -> None:
        """Make a `read` that waits in another thread return at once."""
        if self._wake_sender is not None:
            self._wake_sender.send(b"\0")

    def write(self, data: bytes) -> int:
        """Write all bytes, or as many as go at once if the write timeout is 0.

        Raises:
            SerialTimeoutException: the write timeout expired.
            SerialException: the peer has ended.
        """
        sock = self._checked_socket()
        rest = memoryview(to_bytes(data))
        total = len(rest)
        timeout = Timeout(self._write_timeout)
        while rest:
            try:
                rest = rest[sock.send(rest) :]
                continue
            except BlockingIOError:
                pass
            except OSError as error:
                raise SerialException(f"{self.portstr}: {error}") from error
            if timeout.is_non_blocking:
                break
            select.select([], [sock], [], timeout.time_left())
            if timeout.expired():
                raise SerialTimeoutException("Write timeout")
        return total - len(rest)

    def fileno(self) -> int:
        """Return the descriptor of the socket."""
        return self._checked_socket().fileno()

    def flush(self) -> None:
        """Return at once: bytes leave when they are written."""
        self._checked_socket()

    def reset_input_buffer(self) -> None:
        """Discard all bytes received so far."""
        sock = self._checked_socket()
        self._received.clear()
        with contextlib.suppress(OSError):
            while sock.recv(CHUNK_BYTES):
                pass

    def reset_output_buffer(self) -> None:
        """Do nothing: bytes leave when they are written."""
        self._checked_socket()

    def send_break(self, duration: float = 0.25) -> None:
        """Do nothing: a socket has no break condition."""
        self._checked_socket()

    def _reconfigure_port(self) -> None:
        self._checked_socket()

    def _update_break_state(self) -> None:
        pass

    def _update_rts_state(self) -> None:
        pass

    def _update_dtr_state(self) -> None:
        pass

    @property
    def cts(self) -> bool:
        """Clear To Send: always."""
        self._checked_socket()
        return True

    @property
    def dsr(self) -> bool:
        """Data Set Ready: always."""
        self._checked_socket()
        return True

    @property
    def ri(self) -> bool:
        """Ring Indicator: never."""
        self._checked_socket()
        return False

    @property
    def cd(self) -> bool:
        """Carrier Detect: always."""
        self._checked_socket()
        return True
