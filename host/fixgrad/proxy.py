"""A serial line that is worse than it need be: bytes between a socket and a port, with faults."""

from __future__ import annotations

import random
import select
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fixgrad.transport import read_waiting

CHUNK_BYTES = 4096
POLL_S = 0.002


@dataclass(frozen=True)
class FaultRates:
    """How bad the line is.

    Attributes:
        bit_errors: probability of every bit to arrive wrong.
        drops: probability of every byte to be lost.
    """

    bit_errors: float = 0.0
    drops: float = 0.0

    @property
    def per_byte(self) -> float:
        """Probability of a byte to be hit."""
        return min(1.0, 8 * self.bit_errors + self.drops)


class FaultyLine:
    """One direction of the line; the same seed and bytes give the same faults.

    Attributes:
        faults: bytes hit so far.
    """

    def __init__(self, rates: FaultRates, seed: int | str) -> None:
        """Take the rates and the seed of the faults."""
        self.faults = 0
        self._rates = rates
        self._random = random.Random(seed)
        self._gap = self._next_gap()

    def carry(self, data: bytes) -> bytes:
        """Return what arrives of bytes sent."""
        out = bytearray()
        at = 0
        while self._gap < len(data) - at:
            out += data[at : at + self._gap]
            at += self._gap
            self.faults += 1
            if self._random.random() * self._rates.per_byte >= self._rates.drops:
                out.append(data[at] ^ 1 << self._random.randrange(8))
            at += 1
            self._gap = self._next_gap()
        out += data[at:]
        self._gap -= len(data) - at
        return bytes(out)

    def _next_gap(self) -> int:
        rate = self._rates.per_byte
        return int(self._random.expovariate(rate)) if rate else 1 << 62


class Delay:
    """Holds bytes back; they keep their order."""

    def __init__(
        self,
        seconds: float = 0.0,
        jitter_s: float = 0.0,
        seed: int | str = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the shortest delay, what is added to it at most, and the seed of what is added."""
        self._seconds, self._jitter_s = seconds, jitter_s
        self._random = random.Random(seed)
        self._clock = clock
        self._held: deque[tuple[float, bytes]] = deque()
        self._last_due = 0.0

    def put(self, data: bytes) -> None:
        """Take bytes; their delay begins now."""
        due = self._clock() + self._seconds + self._random.uniform(0.0, self._jitter_s)
        self._last_due = max(self._last_due, due)
        self._held.append((self._last_due, data))

    def take(self) -> bytes:
        """Return the bytes whose time has come."""
        now, out = self._clock(), []
        while self._held and self._held[0][0] <= now:
            out.append(self._held.popleft()[1])
        return b"".join(out)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that takes connections.

    Raises:
        OSError: the address is taken or not of this machine.
    """
    return socket.create_server((host, port))


def forward(
    client: socket.socket,
    port: Any,
    to_device: Callable[[bytes], bytes],
    to_host: Callable[[bytes], bytes],
    should_end: Callable[[], bool],
    delays: tuple[Delay, Delay] | None = None,
) -> None:
    """Move bytes both ways until the client leaves or `should_end` tells so.

    Args:
        client: a connected TCP socket.
        port: an open pyserial port.
        to_device: what arrives at the port of bytes sent.
        to_host: what arrives at the client of bytes sent.
        should_end: asked every few milliseconds.
        delays: towards the port and towards the client; None: no byte waits.

    Raises:
        OSError: the port vanished.
    """
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    outward, inward = delays or (Delay(), Delay())
    while not should_end():
        ready, _, _ = select.select([client], [], [], POLL_S)
        try:
            if ready:
                data = client.recv(CHUNK_BYTES)
                if not data:
                    return
                outward.put(data)
            sent = outward.take()
            if sent:
                port.write(to_device(sent))
            received = read_waiting(port)
            if received:
                inward.put(received)
            answer = inward.take()
            if answer:
                client.sendall(to_host(answer))
        except ConnectionError:
            return
