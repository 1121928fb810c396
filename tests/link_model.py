"""A device as docs/PROTOCOL.md describes it, written for tests: positions only, no arithmetic."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from fixgrad import protocol
from fixgrad.framing import Decoder, Frame, encode_frame
from fixgrad.protocol import Message, Reason, Status
from fixgrad.session import Answer, Request, Session

Fault = Callable[[bytes], bytes]


def data_ack(status: int, step: int = 0) -> bytes:
    """Return a DATA_ACK payload."""
    fields = dict.fromkeys((name for name, _ in protocol.DATA_ACK_FIELDS), 0)
    return protocol.pack(protocol.DATA_ACK_FIELDS, **{**fields, "status": status, "step": step})


@dataclass
class ModelDevice:
    """Applies DATA by position; one byte of payload is one sample.

    Attributes:
        session: 0 until HELLO.
        has_run: without it DATA is answered by NO_SESSION.
        next: position of the sample wanted next.
        applied: the samples, in the order applied.
        memory: what READ answers from.
        mute: damage was reported.
    """

    session: int = 0
    has_run: bool = True
    next: int = 0
    boot_id: int = 1
    applied: bytearray = field(default_factory=bytearray)
    memory: bytes = bytes(range(256))
    mute: bool = False
    damaged: int = 0
    decoder: Decoder = field(default_factory=Decoder)

    def receive(self, data: bytes) -> bytes:
        """Take bytes from the host; return the answers."""
        out = b""
        for index in range(len(data)):
            frames = self.decoder.feed(data[index : index + 1])
            if self.decoder.damaged > self.damaged:
                self.damaged = self.decoder.damaged
                if not self.mute:
                    self.mute = True
                    out += self._report_damage()
            for frame in frames:
                self.mute = False
                out += self._handle(frame)
        return out

    def _answer(self, type_: Message, pos: int, payload: bytes) -> bytes:
        return encode_frame(type_, self.session, pos, payload)

    def _report_damage(self) -> bytes:
        if self.session == 0:
            return self._answer(Message.NO_SESSION, self.boot_id, bytes([Reason.SESSION]))
        return self._answer(Message.DATA_ACK, self.next, data_ack(Status.CORRUPT))

    def _handle(self, frame: Frame) -> bytes:
        if frame.type == Message.HELLO:
            self.session = frame.session
            return self._answer(Message.HELLO_ACK, frame.pos, b"\1")
        if frame.session != self.session:
            return self._answer(Message.NO_SESSION, self.boot_id, bytes([Reason.SESSION]))
        if frame.type == Message.READ:
            data = self.memory[frame.pos : frame.pos + frame.payload[1]]
            return self._answer(Message.READ_ACK, frame.pos, data)
        assert frame.type == Message.DATA
        if not self.has_run:
            return self._answer(Message.NO_SESSION, self.boot_id, bytes([Reason.RUN]))
        if frame.pos == self.next:
            self.applied += frame.payload
            self.next += len(frame.payload)
        return self._answer(Message.DATA_ACK, self.next, data_ack(Status.OK))


def data_requests(stream: bytes, size: int, start: int = 0) -> Iterator[Request]:
    """Yield DATA requests of `size` one-byte samples."""
    for at in range(start, len(stream), size):
        part = stream[at : at + size]
        yield Request(Message.DATA, at, part, at + len(part))


def read_requests(count: int, size: int) -> list[Request]:
    """Return READ requests over `count` bytes."""
    return [Request(Message.READ, at, bytes([1, size])) for at in range(0, count, size)]


@dataclass
class Link:
    """A session and a device joined by a line with faults, in virtual time.

    Attributes:
        ring: bytes that wait in the device; `ring_most` is the most that ever waited.
        to_device, to_host: what the line makes of a write.
    """

    session: Session
    device: ModelDevice
    to_device: Fault = lambda data: data
    to_host: Fault = lambda data: data
    now: float = 0.0
    ring: bytearray = field(default_factory=bytearray)
    ring_most: int = 0
    backward: bytearray = field(default_factory=bytearray)
    writes: list[bytes] = field(default_factory=list)

    def send(self) -> bytes:
        """Move what the session wants to send into the device's ring."""
        data = self.session.outgoing(self.now)
        if data:
            self.writes.append(data)
            self.ring += self.to_device(data)
            self.ring_most = max(self.ring_most, len(self.ring))
        return data

    def work(self, count: int | None = None) -> None:
        """Let the device take `count` bytes out of its ring, all by default."""
        count = len(self.ring) if count is None else count
        data = bytes(self.ring[:count])
        del self.ring[:count]
        self.backward += self.to_host(self.device.receive(data))

    def deliver(self, count: int | None = None) -> list[Answer]:
        """Let the host receive `count` bytes, all by default."""
        count = len(self.backward) if count is None else count
        data = bytes(self.backward[:count])
        del self.backward[:count]
        return self.session.receive(data, self.now)

    def run(self, rng: random.Random | None = None) -> list[Answer]:
        """Move bytes until the exchange is done; time passes while nothing moves."""
        answers: list[Answer] = []
        for _ in range(200_000):
            self.send()
            if self.session.done:
                return answers
            if rng is None:
                self.work()
                answers += self.deliver()
            else:
                self.work(rng.randrange(400))
                answers += self.deliver(rng.randrange(100))
            if not self.ring and not self.backward:
                self.now += 0.01
        raise AssertionError("the exchange does not end")
