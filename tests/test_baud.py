"""Both ends of a line change its speed, and find each other again at the speed at start."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from fixgrad.device import Device
from fixgrad.errors import LinkError
from fixgrad.reference import Reference
from fixgrad.session import NoAnswerError
from fixgrad.stream import ListedSchedule, Samples, SampleStream
from fixgrad.transport import BAUD_AT_START, READ_TIMEOUT_S
from line import at_other_speed
from simulated_device import SimulatedDevice
from small_models import SMALL, small_state

RUN = 7
FAST = 2_000_000
LR = (200, -12)


@dataclass
class SpeedLine:
    """A port to a simulated device over a line on which speed matters.

    Attributes:
        carries: the highest speed at which bytes arrive whole.
        deaf_answers: so many of the device's next answers are lost.
        lost_writes: so many of the host's next writes are lost.
    """

    device: SimulatedDevice
    carries: int = FAST
    deaf_answers: int = 0
    lost_writes: int = 0
    baudrate: int = BAUD_AT_START
    now: float = 0.0
    waiting: bytes = b""

    def __post_init__(self) -> None:
        """Draw what damaged bytes become."""
        self._random = random.Random(1)

    def _arrived(self, data: bytes, sender: int, receiver: int) -> bytes:
        if sender == receiver and sender <= self.carries:
            return data
        return at_other_speed(data, sender, receiver, self._random)

    def clock(self) -> float:
        """Return the line's time."""
        return self.now

    @property
    def in_waiting(self) -> int:
        """Bytes that wait."""
        return len(self.waiting)

    def read(self, size: int) -> bytes:
        """Return bytes; where there are none, time passes."""
        data, self.waiting = self.waiting[:size], self.waiting[size:]
        self.now += 0 if data else READ_TIMEOUT_S
        return data

    def write(self, data: bytes) -> None:
        """Send byte by byte: the device may change its speed in between."""
        if self.lost_writes:
            self.lost_writes -= 1
            return
        for at in range(len(data)):
            byte = data[at : at + 1]
            speed = self.device.baud
            answers = self.device.receive(self._arrived(byte, self.baudrate, speed))
            if answers and self.deaf_answers:
                self.deaf_answers -= 1
            elif answers:
                self.waiting += self._arrived(answers, speed, self.baudrate)

    def close(self) -> None:
        """Nothing."""


def connect(line: SpeedLine, baud: int) -> Device:
    def reopen() -> tuple[Any, str]:
        line.baudrate = BAUD_AT_START
        return line, "line"

    line.baudrate = BAUD_AT_START
    return Device(
        line, "line", baud=baud, clock=line.clock, pause=lambda seconds: None, reopen=reopen
    )


def stream_and_digest() -> tuple[SampleStream, int]:
    rng = np.random.default_rng(3)
    data = Samples(
        rng.integers(0, SMALL.input_max + 1, (40, SMALL.layers[0])).astype(np.uint8),
        rng.integers(0, SMALL.outputs, 40).astype(np.int32),
    )
    sizes = [SMALL.batch] * (40 // SMALL.batch)
    schedule = ListedSchedule(sizes, [LR] * len(sizes))
    reference = Reference(SMALL, small_state(SMALL))
    for at in range(0, SMALL.batch * len(sizes), SMALL.batch):
        rows = slice(at, at + SMALL.batch)
        reference.step(data.features[rows], data.targets[rows], *LR)
    return SampleStream(schedule, data.wire(SMALL)), reference.digest()


@pytest.fixture
def line() -> SpeedLine:
    """A line to a device that was just started."""
    return SpeedLine(SimulatedDevice(600))


def test_both_ends_change_to_the_wanted_speed_and_train_there(line: SpeedLine) -> None:
    stream, digest = stream_and_digest()
    device = connect(line, FAST)
    assert (device.baud, line.baudrate, line.device.baud) == (FAST, FAST, FAST)
    device.load(SMALL, small_state(SMALL), RUN, 0)
    list(device.train(stream, 0, stream.end))
    assert device.hello().digest == digest


def test_speed_that_the_board_does_not_know_changes_nothing(line: SpeedLine) -> None:
    device = connect(line, FAST + 1)
    assert (device.baud, line.baudrate, line.device.baud) == (BAUD_AT_START,) * 3
    assert device.hello().board == "sim"


def test_line_that_does_not_carry_the_speed_stays_at_that_of_the_start(line: SpeedLine) -> None:
    line.carries = 1_000_000
    device = connect(line, FAST)
    assert (device.baud, line.baudrate, line.device.baud) == (BAUD_AT_START,) * 3


def test_lost_answer_ends_at_the_speed_of_the_start(line: SpeedLine) -> None:
    first = connect(line, BAUD_AT_START)
    line.deaf_answers = 1
    with pytest.raises(NoAnswerError):
        first._change_baud(FAST)
    assert (line.baudrate, line.device.baud) == (BAUD_AT_START, FAST)
    assert first.reopen().board == "sim"
    assert (line.baudrate, line.device.baud) == (BAUD_AT_START, BAUD_AT_START)


def test_reset_board_is_met_at_the_speed_of_the_start_and_brought_back(line: SpeedLine) -> None:
    stream, digest = stream_and_digest()
    device = connect(line, FAST)
    device.load(SMALL, small_state(SMALL), RUN, 0)
    line.device.boot(1)
    with pytest.raises(LinkError):
        list(device.train(stream, 0, stream.end))
    assert device.reopen().run_id == 0
    assert (device.baud, line.baudrate, line.device.baud) == (FAST, FAST, FAST)
    device.load(SMALL, small_state(SMALL), RUN, 0)
    list(device.train(stream, 0, stream.end))
    assert device.hello().digest == digest


@pytest.mark.parametrize("baud", [BAUD_AT_START, 1_000_000, FAST])
def test_board_that_a_killed_host_left_fast_answers_the_next_one(
    line: SpeedLine, baud: int
) -> None:
    stream, digest = stream_and_digest()
    killed = connect(line, FAST)
    killed.load(SMALL, small_state(SMALL), RUN, 0)
    list(killed.train(stream, 0, SMALL.batch))
    device = connect(line, baud)
    assert (device.baud, line.baudrate, line.device.baud) == (baud, baud, baud)
    assert (device.info.run_id, device.info.next) == (RUN, SMALL.batch)
    list(device.train(stream, SMALL.batch, stream.end))
    assert device.hello().digest == digest


def test_zeros_that_were_lost_come_again_with_the_next_hello(line: SpeedLine) -> None:
    connect(line, FAST)
    line.lost_writes = 1
    device = connect(line, BAUD_AT_START)
    assert (device.baud, line.baudrate, line.device.baud) == (BAUD_AT_START,) * 3


@pytest.mark.parametrize(
    ("url", "baud", "reached"),
    [
        ("sim://?opt=O1", FAST, FAST),
        # In QEMU the clock never starts: 16 cycles of a bit at 16 MHz, or 8, and no more.
        ("qemu://olimex_p405", 1_000_000, 1_000_000),
        ("qemu://olimex_p405", FAST, BAUD_AT_START),
        ("qemu://disco_f100rb", 500_000, 500_000),
        ("qemu://disco_f100rb", 1_000_000, BAUD_AT_START),
    ],
)
def test_ports_without_a_speed_take_the_message(url: str, baud: int, reached: int) -> None:
    with Device.open(url, baud=baud) as device:
        assert device.baud == reached
        device.load(SMALL, small_state(SMALL), RUN, 0)
