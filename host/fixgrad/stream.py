"""A run as a deterministic stream: which sample stands at which position, in which batch.

Sample k of a run is a pure function of the data set, the run file and k (NUMERICS section 8), so
any position can be rebuilt after a reset or a restart.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fixgrad import protocol
from fixgrad.model import INPUT_DTYPES, ModelConfig
from fixgrad.order import permutation
from fixgrad.protocol import Loss

TARGET_DTYPES = {
    Loss.SOFTMAX_CROSS_ENTROPY: "<u1",
    Loss.SQUARED_ERROR: "<i4",
    Loss.SIGMOID_BINARY_CROSS_ENTROPY: "<u2",
    Loss.SIGMOID_SQUARED_ERROR: "<u2",
}

STRETCH_MAX = 65535
"""Samples that one record of TRAIN_TO can say."""

_BATCH = protocol.layout(protocol.BATCH_FIELDS)


@dataclass(frozen=True)
class Samples:
    """Quantised samples, in the order of the data set.

    Attributes:
        features: [N, n0] in the model's input dtype.
        targets: int32, [N] class indices for softmax, else [N, outputs] in the loss's fixed point.
    """

    features: NDArray[np.integer]
    targets: NDArray[np.int32]

    def __len__(self) -> int:
        """Return N."""
        return len(self.features)

    def feature_wire(self, config: ModelConfig) -> NDArray[np.uint8]:
        """Return the features as wire bytes, uint8 [N, config.feature_bytes]."""
        dtype = np.dtype(INPUT_DTYPES[config.input_format]).newbyteorder("<")
        return _bytes_of(self.features.astype(dtype))

    def wire(self, config: ModelConfig) -> NDArray[np.uint8]:
        """Return whole samples as wire bytes, uint8 [N, feature_bytes + target_bytes]."""
        columns = 1 if self.targets.ndim == 1 else self.targets.shape[1]
        targets = self.targets.reshape(len(self), columns).astype(TARGET_DTYPES[config.loss])
        return np.hstack([self.feature_wire(config), _bytes_of(targets)])


class Schedule(Protocol):
    """Which samples form which step, and with which learning rate."""

    @property
    def steps(self) -> int:
        """Steps in the whole run."""

    def step_start(self, step: int) -> int:
        """Return the position of the first sample of a step; of `steps`: the end of the run."""

    def step_of(self, position: int) -> int:
        """Return the step that the sample at a position belongs to."""

    def step_indices(self, step: int) -> NDArray[np.int64]:
        """Return the data-set indices of a step's samples, in order."""

    def learning_rate(self, step: int) -> tuple[int, int]:
        """Return (mantissa, exponent) of lr/B in a step (NUMERICS section 6)."""


@dataclass(frozen=True)
class EpochSchedule:
    """Epochs over one data set; a batch never spans two epochs (NUMERICS section 8).

    Attributes:
        samples: N, samples an epoch.
        batch: nominal batch size B; an epoch's last batch may be shorter.
        epochs: number of epochs.
        seed: seed of the order.
        shuffle: permute every epoch; otherwise the order of the data set.
        rate: step -> (mantissa, exponent) of lr/B.
    """

    samples: int
    batch: int
    epochs: int
    seed: int
    shuffle: bool
    rate: Callable[[int], tuple[int, int]]

    @property
    def steps_per_epoch(self) -> int:
        """Steps in one epoch."""
        return -(-self.samples // self.batch)

    @property
    def steps(self) -> int:
        """Steps in the whole run."""
        return self.steps_per_epoch * self.epochs

    def step_start(self, step: int) -> int:
        """Return the position of the first sample of a step; of `steps`: the end of the run."""
        epoch, inside = divmod(step, self.steps_per_epoch)
        return epoch * self.samples + inside * self.batch

    def step_of(self, position: int) -> int:
        """Return the step that the sample at a position belongs to."""
        epoch, place = divmod(position, self.samples)
        return epoch * self.steps_per_epoch + place // self.batch

    def step_indices(self, step: int) -> NDArray[np.int64]:
        """Return the data-set indices of a step's samples, in order."""
        epoch, inside = divmod(step, self.steps_per_epoch)
        start = inside * self.batch
        return _order(self.samples, epoch, self.seed, self.shuffle)[start : start + self.batch]

    def learning_rate(self, step: int) -> tuple[int, int]:
        """Return (mantissa, exponent) of lr/B in a step (NUMERICS section 6)."""
        return self.rate(step)


class ListedSchedule:
    """Steps of given sizes and rates over samples that are visited once, in order."""

    def __init__(self, sizes: Sequence[int], rates: Sequence[tuple[int, int]]) -> None:
        """Take samples and (mantissa, exponent) of lr/B of every step."""
        self._starts = [0, *accumulate(sizes)]
        self._rates = rates

    @property
    def steps(self) -> int:
        """Steps in the whole run."""
        return len(self._rates)

    def step_start(self, step: int) -> int:
        """Return the position of the first sample of a step; of `steps`: the end of the run."""
        return self._starts[step]

    def step_of(self, position: int) -> int:
        """Return the step that the sample at a position belongs to."""
        return bisect_right(self._starts, position) - 1

    def step_indices(self, step: int) -> NDArray[np.int64]:
        """Return the indices of a step's samples, in order."""
        return np.arange(self._starts[step], self._starts[step + 1], dtype=np.int64)

    def learning_rate(self, step: int) -> tuple[int, int]:
        """Return (mantissa, exponent) of lr/B in a step (NUMERICS section 6)."""
        return self._rates[step]


class SampleStream:
    """DATA payloads of a run, for any position.

    Attributes:
        schedule: the steps.
        sample_bytes: bytes of one sample's features and target.
    """

    def __init__(
        self, schedule: Schedule, wire: NDArray[np.uint8], *, split_steps: bool = False
    ) -> None:
        """Take the steps and the data.

        Args:
            schedule: the steps.
            wire: uint8 [N, sample bytes], every sample of the data set (`Samples.wire`).
            split_steps: end a payload with its step, so that every step is acknowledged alone.
        """
        self.schedule = schedule
        self.sample_bytes = int(wire.shape[1])
        self._wire = wire
        self._split_steps = split_steps
        self._end = schedule.step_start(schedule.steps)
        # The step that was sent last: its positions, its samples and what announces it.
        self._step_start = self._step_end = 0
        self._data = self._header = b""

    @property
    def end(self) -> int:
        """Position after the run's last sample."""
        return self._end

    def payload(self, position: int, limit: int) -> tuple[bytes, int]:
        """Return the payload that starts at a position.

        Args:
            position: first sample, 0 <= position < end.
            limit: largest payload in bytes.

        Returns:
            The payload, and how many whole samples it holds (0 if not even one fits).
        """
        row_bytes = self.sample_bytes
        parts: list[bytes] = []
        first = position
        while position < self._end and limit >= row_bytes:
            if not self._step_start <= position < self._step_end:
                self._seek(position)
            inside = position - self._step_start
            header = b"" if inside else self._header
            count = min((limit - len(header)) // row_bytes, self._step_end - position)
            if count <= 0:
                break
            parts += (header, self._data[inside * row_bytes : (inside + count) * row_bytes])
            limit -= len(header) + count * row_bytes
            position += count
            if self._split_steps:
                break
        return b"".join(parts), position - first

    def _seek(self, position: int) -> None:
        """Fetch the step that a position belongs to."""
        step = self.schedule.step_of(position)
        indices = self.schedule.step_indices(step)
        self._data = self._wire[indices].tobytes()
        self._header = _batch_header(len(indices), self.schedule.learning_rate(step))
        self._step_start = self.schedule.step_start(step)
        self._step_end = self._step_start + len(indices)


class CachedStream:
    """A run whose samples the device holds."""

    def __init__(
        self, schedule: Schedule, *, bytes_max: int = 1 << 16, split_steps: bool = False
    ) -> None:
        """Take the steps.

        Args:
            schedule: the steps.
            bytes_max: largest payload that the device has room for, one record at least.
            split_steps: end a stretch with its step, so that every step is acknowledged alone.
        """
        self.schedule = schedule
        self._bytes_max = bytes_max
        self._split_steps = split_steps

    def payload(self, position: int, stop: int, limit: int) -> tuple[bytes, int]:
        """Return a TRAIN_TO payload: stretches of steps with one learning rate each.

        Args:
            position: first sample.
            stop: position after the last sample, `position` < stop <= end of the run.
            limit: largest payload in bytes, one record at least.

        Returns:
            The payload, and how many samples it spans.
        """
        schedule, limit = self.schedule, min(limit, self._bytes_max)
        at, step = position, schedule.step_of(position)
        records: list[bytes] = []
        while at < stop and (len(records) + 1) * _BATCH.size <= limit:
            rate, begin = schedule.learning_rate(step), at
            while at < stop and schedule.learning_rate(step) == rate:
                end = min(schedule.step_start(step + 1), stop)
                if end - begin > STRETCH_MAX or (self._split_steps and at > begin):
                    break
                at, step = end, step + 1
            records.append(_batch_header(at - begin, rate))
            if self._split_steps:
                break
        return b"".join(records), at - position


def _batch_header(size: int, rate: tuple[int, int]) -> bytes:
    mantissa, exponent = rate
    return _BATCH.pack(size, mantissa, exponent)


@lru_cache(maxsize=2)
def _order(samples: int, epoch: int, seed: int, shuffle: bool) -> NDArray[np.int64]:
    if not shuffle:
        return np.arange(samples, dtype=np.int64)
    return permutation(samples, epoch, seed)


def _bytes_of(array: NDArray[np.generic]) -> NDArray[np.uint8]:
    """View each row of a 2-D array as its bytes."""
    rows, columns = array.shape
    return np.ascontiguousarray(array).view(np.uint8).reshape(rows, columns * array.itemsize)
