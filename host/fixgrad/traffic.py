"""What a run sends over the line, counted on the frames themselves before any is sent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fixgrad import protocol
from fixgrad.delivery import Delivery
from fixgrad.device import (
    cut_payload,
    flash_chunk,
    load_chunk,
    payload_limit,
    read_chunk,
    stretches_limit,
)
from fixgrad.framing import encode_frame
from fixgrad.model import ModelConfig, state_bytes
from fixgrad.protocol import Message, Region
from fixgrad.session import BITS_PER_BYTE
from fixgrad.stream import CachedStream, EpochSchedule
from fixgrad.training import checkpoint_spacing, end_of_stretch

_SESSION = 1


@dataclass(frozen=True)
class Traffic:
    """Bytes on the line, delimiters included, where nothing is lost.

    Attributes:
        frames: frames to the board; each is answered by one.
        to_board, to_host: bytes.
    """

    frames: int
    to_board: int
    to_host: int

    def seconds(self, baud: int) -> float:
        """Return the time on a line that carries both directions at once, 8N1."""
        return max(self.to_board, self.to_host) * BITS_PER_BYTE / baud


@dataclass(frozen=True)
class EpochTraffic:
    """The first epoch of a run on the line.

    Attributes:
        load: once a run, the samples' way to a board that keeps them; else how they are packed.
        samples: DATA, or TRAIN_TO where the board keeps the samples, and the answers.
        checkpoints: how often the state is read.
        reading: reading it all these times; at most so many bytes.
    """

    load: Traffic
    samples: Traffic
    checkpoints: int
    reading: Traffic

    def seconds(self, baud: int) -> float:
        """Return the time of an epoch; the samples of a board that keeps them are there."""
        return self.samples.seconds(baud) + self.reading.seconds(baud)


def epoch_traffic(
    delivery: Delivery,
    config: ModelConfig,
    schedule: EpochSchedule,
    payload_max: int,
    window_bytes: int,
) -> EpochTraffic | None:
    """Count the first epoch of a run as `fixgrad.training` sends it.

    Args:
        delivery: the way of the samples.
        config: the model.
        schedule: the steps.
        payload_max: largest payload of the board.
        window_bytes: encoded bytes that it buffers.

    Returns:
        None where not even one sample fits a payload.
    """
    limit = payload_limit(payload_max, window_bytes)
    stops = list(_stretches(delivery, config, schedule))
    if delivery.cached:
        frames = list(_training(delivery, schedule, stops, stretches_limit(limit)))
    else:
        frames = list(_data(delivery, schedule, stops, limit, payload_max))
        if not frames:
            return None
    chunk = flash_chunk(payload_max, window_bytes) if delivery.in_flash else load_chunk(limit)
    load = list(_load(delivery.region, chunk))
    answer = _answer_bytes(Message.DATA_ACK, protocol.DATA_ACK_FIELDS)
    load_answer = _answer_bytes(Message.LOAD_ACK, protocol.LOAD_ACK_FIELDS)
    return EpochTraffic(
        Traffic(len(load), sum(load), len(load) * load_answer),
        Traffic(len(frames), sum(frames), len(frames) * answer),
        len(stops),
        _reading(config, payload_max, len(stops)),
    )


def _stretches(
    delivery: Delivery, config: ModelConfig, schedule: EpochSchedule
) -> Iterator[tuple[int, int]]:
    """Yield start and stop of what is sent between two checkpoints."""
    spacing = checkpoint_spacing(config, delivery.wire.shape[1])
    at, end = 0, schedule.samples
    while at < end:
        stop = end_of_stretch(schedule, at + spacing, end)
        yield at, stop
        at = stop


def _data(
    delivery: Delivery,
    schedule: EpochSchedule,
    stops: list[tuple[int, int]],
    limit: int,
    most: int,
) -> Iterator[int]:
    """Yield the bytes of every DATA; nothing where a sample fits no payload."""
    stream = delivery.stream(schedule)
    assert not isinstance(stream, CachedStream)
    for at, stop in stops:
        while at < stop:
            payload, count = cut_payload(stream, at, stop - at, limit, most)
            if count == 0:
                return
            yield _frame_bytes(Message.DATA, at, payload)
            at += count


def _training(
    delivery: Delivery, schedule: EpochSchedule, stops: list[tuple[int, int]], limit: int
) -> Iterator[int]:
    """Yield the bytes of every TRAIN_TO."""
    stream = delivery.stream(schedule)
    assert isinstance(stream, CachedStream)
    for at, stop in stops:
        while at < stop:
            payload, count = stream.payload(at, stop, limit)
            yield _frame_bytes(Message.TRAIN_TO, at, payload)
            at += count


def _load(region: bytes, chunk: int) -> Iterator[int]:
    """Yield the bytes of every LOAD of region DATASET."""
    for at in range(0, len(region), chunk):
        payload = bytes([Region.DATASET]) + region[at : at + chunk]
        yield _frame_bytes(Message.LOAD, at, payload)


def _reading(config: ModelConfig, payload_max: int, times: int) -> Traffic:
    """Return the traffic of reading the state, whose bytes are taken to have no zero."""
    head = protocol.field_bytes(protocol.READ_ACK_FIELDS)
    chunk = read_chunk(payload_max)
    size = state_bytes(config)
    pieces = [min(chunk, size - at) for at in range(0, size, chunk)]
    asked = _frame_bytes(Message.READ, 1, b"\1" * protocol.field_bytes(protocol.READ_FIELDS))
    told = sum(_frame_bytes(Message.READ_ACK, 1, b"\1" * (head + piece)) for piece in pieces)
    return Traffic(times * len(pieces), times * len(pieces) * asked, times * told)


def _frame_bytes(message: Message, pos: int, payload: bytes) -> int:
    return len(encode_frame(message, _SESSION, pos, payload))


def _answer_bytes(message: Message, fields: tuple[tuple[str, int], ...]) -> int:
    """Return the bytes of an answer, which is too short for the contents to matter."""
    return _frame_bytes(message, 0, bytes(protocol.field_bytes(fields)))
