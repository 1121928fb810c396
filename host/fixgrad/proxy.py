"""A serial line that is worse than it need be: bytes between a socket and a port, with faults."""

from __future__ import annotations

import random
import select
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

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
) -> None:
    """Move bytes both ways until the client leaves or `should_end` tells so.

    Args:
        client: a connected socket.
        port: an open pyserial port.
        to_device: what arrives at the port of bytes sent.
        to_host: what arrives at the client of bytes sent.
        should_end: asked every few milliseconds.

    Raises:
        OSError: the port vanished.
    """
    while not should_end():
        ready, _, _ = select.select([client], [], [], POLL_S)
        if ready:
            try:
                data = client.recv(CHUNK_BYTES)
            except ConnectionError:
                return
            if not data:
                return
            port.write(to_device(data))
        waiting = port.in_waiting
        if waiting:
            answer = to_host(port.read(min(waiting, CHUNK_BYTES)))
            try:
                client.sendall(answer)
            except ConnectionError:
                return
