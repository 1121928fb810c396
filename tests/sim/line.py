"""A serial line with faults, and the port at the host's end of it, in virtual time."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from fixgrad.transport import BAUD_AT_START
from simulated_device import SimulatedDevice

HISTORY_BYTES = 4000
BURST_MAX = 600
READ_TIMEOUT_S = 0.02
BITS_PER_BYTE = 10
TURNS_MAX = 300_000
DELIMITED = re.compile(rb"[^\0]*\0|[^\0]+")


def at_other_speed(data: bytes, sender: int, receiver: int, rng: random.Random) -> bytes:
    """Return what a receiver takes for bytes that were sent at a speed that is not its own.

    Of a slower sender a zero stays one, as no stop bit comes, and others become some bytes; of a
    faster one a few come, or none.
    """
    if sender < receiver:
        return b"".join(rng.randbytes(3) if byte else b"\0" for byte in data)
    if sender > receiver:
        return rng.randbytes(len(data) // (sender // receiver + 1))
    return rng.randbytes(len(data))


class HostKilledError(BaseException):
    """The host process ends at once, wherever it is."""


class StuckError(AssertionError):
    """Nothing comes to an end."""


@dataclass
class Faults:
    """One direction of a line. Rates are per byte.

    Attributes:
        rates: flip, drop, insert, burst, replay, stale -> rate.
        stale: makes bytes of an earlier run.
        counts: how often each struck.
    """

    rng: random.Random
    rates: Mapping[str, float]
    stale: Callable[[], bytes] = lambda: b""
    counts: dict[str, int] = field(default_factory=dict)
    _history: bytes = b""
    _burst: int = 0

    def __post_init__(self) -> None:
        self._total = sum(self.rates.values())
        self._gap = self._next_gap()

    def _next_gap(self) -> int:
        return int(self.rng.expovariate(self._total)) if self._total else 1 << 60

    def carry(self, data: bytes) -> bytes:
        """Return what arrives of bytes sent."""
        if not self._total:
            return data
        out = bytearray()
        at = 0
        while at < len(data):
            if self._burst:
                self._burst -= 1
                if self.rng.getrandbits(1):
                    out.append(self.rng.getrandbits(8))
                at += 1
                continue
            clean = min(self._gap, len(data) - at)
            out += data[at : at + clean]
            self._gap -= clean
            at += clean
            if at < len(data) and self._gap == 0:
                self._strike(data[at], out)
                at += 1
                self._gap = self._next_gap()
        self._history = (self._history + data)[-HISTORY_BYTES:]
        return bytes(out)

    def _strike(self, byte: int, out: bytearray) -> None:
        rng = self.rng
        (kind,) = rng.choices(list(self.rates), list(self.rates.values()))
        self.counts[kind] = self.counts.get(kind, 0) + 1
        if kind == "flip":
            byte ^= 1 << rng.randrange(8)
        elif kind == "drop":
            return
        elif kind == "insert":
            out.append(rng.getrandbits(8))
        elif kind == "burst":
            self._burst = rng.randrange(1, BURST_MAX)
        elif kind == "replay":
            start = rng.randrange(len(self._history) + 1)
            out += self._history[start : start + rng.randrange(1, HISTORY_BYTES)]
        elif kind == "stale":
            out += b"\0" + self.stale()
        out.append(byte)


@dataclass
class Line:
    """Device, ring, two directions and the time; a pyserial port for the host.

    Attributes:
        device: the device.
        ring_bytes: what its receive ring holds; more is lost and counted in `overflow`.
        to_device: bytes on their way.
        forward, backward: faults towards the device and the host.
        taken: bytes that the device took, and samples of its own that it trained.
        reset_after: how many of those before it is reset once.
        reset_rate, kill_rate: per one of those; per call of `read`.
        baudrate: speed of the host's end; where the device has another, no byte arrives whole.
        carries: the highest speed at which bytes do.
        garbled: bytes of the host that met a device at another speed.
        power: operations of its flash, each counted from a start, at which its power fails.
    """

    device: SimulatedDevice
    rng: random.Random
    ring_bytes: int
    forward: Faults
    backward: Faults
    reset_rate: float = 0.0
    reset_after: int | None = None
    kill_rate: float = 0.0
    baudrate: int = BAUD_AT_START
    carries: int = 10_000_000
    power: Iterator[int] = field(default_factory=lambda: iter(()))
    now: float = 0.0
    taken: int = 0
    overflow: int = 0
    garbled: int = 0
    resets: int = 0
    kills: int = 0
    turns: int = 0
    on_frame: Callable[[bytes], bytes] = lambda data: data
    to_device: bytearray = field(default_factory=bytearray)
    _ring: bytearray = field(default_factory=bytearray)
    _to_host: bytearray = field(default_factory=bytearray)
    _received: bytearray = field(default_factory=bytearray)

    def clock(self) -> float:
        """Return the time in seconds."""
        return self.now

    def pause(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds

    def close(self) -> None:
        """Drop what waits in the host's own buffer."""
        self._received.clear()

    def write(self, data: bytes) -> int:
        """Send bytes to the device."""
        self.to_device += self.forward.carry(self.on_frame(data))
        return len(data)

    @property
    def in_waiting(self) -> int:
        """Bytes that `read` returns at once."""
        return len(self._received)

    def read(self, count: int) -> bytes:
        """Return up to `count` bytes; the world moves on first where none wait."""
        if not self._received:
            self.turn()
        data = bytes(self._received[:count])
        del self._received[:count]
        return data

    def press_reset(self) -> None:
        """Restart the device: what it received and what it was sending is lost."""
        self.resets += 1
        self._ring.clear()
        if self._to_host and self.rng.getrandbits(1):
            del self._to_host[self.rng.randrange(len(self._to_host)) :]
        self.device.boot(self.rng.getrandbits(8))
        self.device.cut_power(next(self.power, 0))

    def turn(self) -> None:
        """Let bytes arrive, the device work and answers travel, each by a random amount."""
        rng = self.rng
        self.turns += 1
        if self.turns > TURNS_MAX:
            raise StuckError(f"no end after {TURNS_MAX} turns")
        if self.kill_rate and rng.random() < self.kill_rate:
            self.kills += 1
            raise HostKilledError
        moved = self._arrive(rng.randrange(1, 700)) + self._work(rng.randrange(1, 900))
        moved += self._train(rng.randrange(1, 40))
        moved += self._deliver(rng.randrange(1, 300))
        self.now += moved * BITS_PER_BYTE / self.device.baud if moved else READ_TIMEOUT_S

    def _arrive(self, count: int) -> int:
        sent = bytes(self.to_device[:count])
        del self.to_device[:count]
        data = self._received_at(sent, self.baudrate, self.device.baud)
        self.garbled += data is not sent and len(sent)
        room = self.ring_bytes - len(self._ring)
        self.overflow += max(0, len(data) - room)
        self._ring += data[:room]
        return len(sent)

    def _received_at(self, data: bytes, sender: int, receiver: int) -> bytes:
        if sender == receiver <= self.carries:
            return data
        return at_other_speed(data, sender, receiver, self.rng)

    def _work(self, count: int) -> int:
        data = bytes(self._ring[:count])
        del self._ring[:count]
        until = self._reset_within(len(data))
        for part in DELIMITED.findall(data[:until]):  # its speed changes behind a zero byte
            speed = self.device.baud
            self._send(self.device.receive(part), speed)
            if self.device.power_failed:
                break
        self.taken += len(data)
        if until is not None or self.device.power_failed:
            self.press_reset()
        return len(data)

    def _send(self, answers: bytes, speed: int) -> None:
        if answers:
            carried = self.backward.carry(answers)
            self._to_host += self._received_at(carried, speed, self.baudrate)

    def _train(self, count: int) -> int:
        """Let the device train samples of its own; a reset strikes between two of them."""
        until = self._reset_within(count) if self.device.is_training else None
        done, answers = self.device.work(count if until is None else until)
        self._send(answers, self.device.baud)
        self.taken += done
        if until is not None or self.device.power_failed:
            self.press_reset()
        return done

    def _reset_within(self, count: int) -> int | None:
        """Return after how many of the next `count` bytes the device is reset, if it is."""
        until = None
        if self.reset_rate and count:
            drawn = math.floor(self.rng.expovariate(self.reset_rate))
            until = drawn if drawn < count else None
        if self.reset_after is not None:
            self.reset_after -= count
            if self.reset_after <= 0:
                until, self.reset_after = self.reset_after + count, None
        return until

    def _deliver(self, count: int) -> int:
        data = self._to_host[:count]
        del self._to_host[:count]
        self._received += data
        return len(data)
