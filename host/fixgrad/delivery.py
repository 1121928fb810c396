"""How the training samples of a run reach the device.

Packed where that changes no bit of them, and once for all epochs where the device can keep them,
behind the model in its RAM or in its flash: the region DATASET of docs/PROTOCOL.md.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fixgrad import protocol
from fixgrad.device import NO_DATASET, STRETCH_ROOM_BYTES, STRETCHES_BYTES_MAX
from fixgrad.model import ModelConfig
from fixgrad.planner import plan
from fixgrad.stream import CachedStream, EpochSchedule, Samples, SampleStream, Schedule

CODE_BITS_MAX = 8

_POSITION_BYTES = 4


@dataclass(frozen=True)
class Delivery:
    """The way of a run's samples.

    Attributes:
        wire: uint8 [N, sample bytes], every sample as it travels.
        region: the DATASET region.
        cached: the region holds the samples.
        stretches_bytes: largest payload of a TRAIN_TO that has room behind cached samples.
        streamed: for samples that the device keeps in its flash, the way to take if it cannot.
    """

    wire: NDArray[np.uint8]
    region: bytes
    cached: bool
    stretches_bytes: int = 0
    streamed: Delivery | None = None

    @property
    def in_flash(self) -> bool:
        """Whether the device keeps the samples in its flash."""
        return self.streamed is not None

    def identity(self, run_id: int) -> int:
        """Return what a run is called on the device: another way is another run there, not 0."""
        return run_id if self.region == NO_DATASET else zlib.crc32(self.region, run_id) or 1

    def stream(
        self, schedule: Schedule, *, split_steps: bool = False
    ) -> SampleStream | CachedStream:
        """Return what the device trains.

        Args:
            schedule: the steps.
            split_steps: let every step be acknowledged alone.
        """
        if self.cached:
            return CachedStream(
                schedule, bytes_max=self.stretches_bytes, split_steps=split_steps
            )
        return SampleStream(schedule, self.wire, split_steps=split_steps)


def plain(samples: Samples, config: ModelConfig) -> Delivery:
    """Return the way of samples that travel as the model stores them, as often as needed."""
    return Delivery(samples.wire(config), NO_DATASET, cached=False)


@dataclass(frozen=True)
class Ways:
    """The forms in which a run's samples can travel, whatever the device.

    Attributes:
        wire: uint8 [N, sample bytes], as the model stores them.
        packed: the same as codes of `bits` bits; None where that is not shorter.
        table: the features that the codes stand for.
        bits: of a code; 0 without.
    """

    wire: NDArray[np.uint8]
    packed: NDArray[np.uint8] | None
    table: bytes
    bits: int


def deliver(
    samples: Samples,
    config: ModelConfig,
    schedule: EpochSchedule,
    arena_bytes: int,
    *,
    flash_bytes: int = 0,
    stream: bool = False,
) -> Delivery:
    """Return the way of samples to a device.

    Args:
        samples: training samples.
        config: the model.
        schedule: the steps of the run.
        arena_bytes: memory of the device for the model and what lies behind it.
        flash_bytes: flash of the device for samples.
        stream: cache nothing.
    """
    ways = find_ways(samples, config)
    return choose(ways, config, schedule, arena_bytes, flash_bytes=flash_bytes, stream=stream)


def find_ways(samples: Samples, config: ModelConfig) -> Ways:
    """Return the forms in which samples can travel."""
    wire = samples.wire(config)
    levels = feature_levels(samples.features)
    if levels is None:
        return Ways(wire, None, b"", 0)
    bits = (len(levels) - 1).bit_length()
    packed = _pack(samples, config, levels, bits)
    if levels.nbytes + packed.size >= wire.size:
        return Ways(wire, None, b"", 0)
    return Ways(wire, packed, levels.astype(levels.dtype.newbyteorder("<")).tobytes(), bits)


def choose(
    ways: Ways,
    config: ModelConfig,
    schedule: EpochSchedule,
    arena_bytes: int,
    *,
    flash_bytes: int = 0,
    stream: bool = False,
) -> Delivery:
    """Return the shortest way that a device has memory for; see `deliver`."""
    wire, table, bits = _form(ways, config, arena_bytes)
    room = arena_bytes - plan(config).arena_bytes - _POSITION_BYTES
    if not stream and len(wire) <= cacheable(ways, config, arena_bytes):
        region = _head(schedule, len(wire), bits) + table + wire.tobytes()
        stretches = min(room - len(region), STRETCHES_BYTES_MAX)
        return Delivery(wire, region, cached=True, stretches_bytes=stretches)
    region = _head(schedule, 0, bits) + table if bits else NO_DATASET
    streamed = Delivery(wire, region, cached=False)
    if stream or len(wire) > cacheable_in_flash(ways, config, arena_bytes, flash_bytes):
        return streamed
    wire, table, bits = _flash_form(ways)
    region = _head(schedule, len(wire), bits) + table + wire.tobytes()
    stretches = min(room, STRETCHES_BYTES_MAX)
    return Delivery(wire, region, cached=True, stretches_bytes=stretches, streamed=streamed)


def cacheable(ways: Ways, config: ModelConfig, arena_bytes: int) -> int:
    """Return how many samples of this kind a device can keep in RAM, whether there are so many.

    Args:
        ways: the forms in which they can travel.
        config: the model.
        arena_bytes: memory of the device for the model and what lies behind it.
    """
    wire, table, _ = _form(ways, config, arena_bytes)
    room = arena_bytes - plan(config).arena_bytes - STRETCH_ROOM_BYTES
    return _count(wire, table, room)


def cacheable_in_flash(
    ways: Ways, config: ModelConfig, arena_bytes: int, flash_bytes: int
) -> int:
    """Return how many samples of this kind a device can keep in flash, whether there are so many.

    Args:
        ways: the forms in which they can travel.
        config: the model.
        arena_bytes: memory of the device for the model and what lies behind it.
        flash_bytes: flash of the device for samples.
    """
    wire, table, _ = _flash_form(ways)
    fits = plan(config).arena_bytes + STRETCH_ROOM_BYTES <= arena_bytes
    return _count(wire, table, flash_bytes) if fits else 0


def _count(wire: NDArray[np.uint8], table: bytes, room: int) -> int:
    """Return how many samples a region of `room` bytes holds."""
    return max(0, (room - len(NO_DATASET) - len(table)) // int(wire.shape[1]))


def _flash_form(ways: Ways) -> tuple[NDArray[np.uint8], bytes, int]:
    """Return samples, table and bits as they stand in a flash."""
    if ways.packed is None:
        return ways.wire, b"", 0
    return ways.packed, ways.table, ways.bits


def _form(
    ways: Ways, config: ModelConfig, arena_bytes: int
) -> tuple[NDArray[np.uint8], bytes, int]:
    """Return samples, table and bits: packed where the device has room for the table."""
    room = arena_bytes - plan(config).arena_bytes
    if ways.packed is not None and len(NO_DATASET) + len(ways.table) <= room:
        return ways.packed, ways.table, ways.bits
    return ways.wire, b"", 0


def feature_levels(features: NDArray[np.integer]) -> NDArray[np.integer] | None:
    """Return the values that occur, ascending, the last one repeated up to a power of two.

    None where they are so many that a code takes more than `CODE_BITS_MAX` bits.
    """
    levels = np.unique(features)
    if len(levels) > 1 << CODE_BITS_MAX:
        return None
    size = 1 << max(1, (len(levels) - 1).bit_length())
    return np.pad(levels, (0, size - len(levels)), mode="edge")


def _head(schedule: EpochSchedule, samples: int, bits: int) -> bytes:
    return protocol.pack(
        protocol.DATASET_FIELDS,
        samples=samples,
        seed=schedule.seed & 0xFFFFFFFF,
        shuffle=int(schedule.shuffle),
        bits=bits,
    )


def _pack(
    samples: Samples, config: ModelConfig, levels: NDArray[np.integer], bits: int
) -> NDArray[np.uint8]:
    """Return samples with codes of the levels for features, the first in the lowest bits."""
    codes = np.searchsorted(levels, samples.features).astype(np.uint8)
    spread = np.unpackbits(codes[:, :, np.newaxis], axis=2, count=bits, bitorder="little")
    packed = np.packbits(spread.reshape(len(codes), -1), axis=1, bitorder="little")
    return np.hstack([packed, samples.wire(config)[:, config.feature_bytes :]])
