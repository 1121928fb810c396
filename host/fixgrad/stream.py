"""A run as a deterministic stream: which sample stands at which position, in which batch.

Sample k of a run is a pure function of the data set, the run file and k (NUMERICS section 8), so
any position can be rebuilt after a reset or a restart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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
        targets = self.targets.reshape(len(self), -1).astype(TARGET_DTYPES[config.loss])
        return np.hstack([self.feature_wire(config), _bytes_of(targets)])


@dataclass(frozen=True)
class Schedule:
    """Which samples form which step, and its learning rate.

    Attributes:
        samples: N, samples an epoch.
        batch: nominal batch size B; an epoch's last batch may be shorter.
        epochs: number of epochs.
        seed: seed of the order.
        shuffle: permute every epoch; otherwise the order of the data set.
        learning_rate: step -> (mantissa, exponent) of lr/B (NUMERICS section 6).
    """

    samples: int
    batch: int
    epochs: int
    seed: int
    shuffle: bool
    learning_rate: Callable[[int], tuple[int, int]]

    @property
    def steps_per_epoch(self) -> int:
        """Steps in one epoch."""
        return -(-self.samples // self.batch)

    @property
    def steps(self) -> int:
        """Steps in the whole run."""
        return self.steps_per_epoch * self.epochs

    @property
    def end(self) -> int:
        """Samples in the whole run: the position after the last one."""
        return self.samples * self.epochs

    def order(self, epoch: int) -> NDArray[np.int64]:
        """Return the data-set indices of an epoch in visiting order, [N]."""
        if not self.shuffle:
            return np.arange(self.samples, dtype=np.int64)
        return permutation(self.samples, epoch, self.seed)

    def step_start(self, step: int) -> int:
        """Return the position of the first sample of a step."""
        epoch, inside = divmod(step, self.steps_per_epoch)
        return epoch * self.samples + inside * self.batch

    def step_of(self, position: int) -> int:
        """Return the step that the sample at a position belongs to."""
        epoch, place = divmod(position, self.samples)
        return epoch * self.steps_per_epoch + place // self.batch

    def step_size(self, step: int) -> int:
        """Return the number of samples of a step."""
        return min(self.batch, self.samples - step % self.steps_per_epoch * self.batch)

    def step_indices(self, step: int) -> NDArray[np.int64]:
        """Return the data-set indices of a step's samples."""
        epoch, inside = divmod(step, self.steps_per_epoch)
        start = inside * self.batch
        return self.order(epoch)[start : start + self.batch]


class SampleStream:
    """DATA payloads of a run, for any position."""

    def __init__(self, schedule: Schedule, wire: NDArray[np.uint8]) -> None:
        """Take the schedule and the wire bytes of every sample, uint8 [N, sample bytes]."""
        self.schedule = schedule
        self._wire = wire
        self._epoch = -1
        self._rows = wire

    @property
    def end(self) -> int:
        """Position after the run's last sample."""
        return self.schedule.end

    def payload(self, position: int, limit: int) -> tuple[bytes, int]:
        """Return the payload that starts at a position.

        Args:
            position: first sample, 0 <= position < end.
            limit: largest payload in bytes.

        Returns:
            The payload, and how many whole samples it holds (0 if not even one fits).
            A payload ends with its epoch.
        """
        epoch, place = divmod(position, self.schedule.samples)
        if epoch != self._epoch:
            self._rows = self._wire[self.schedule.order(epoch)]
            self._epoch = epoch
        row_bytes = self._wire.shape[1]
        header_bytes = protocol.field_bytes(protocol.BATCH_FIELDS)
        parts: list[bytes] = []
        first = place
        while place < self.schedule.samples:
            inside = place % self.schedule.batch
            header = b"" if inside else self._header(epoch, place)
            room = (limit - len(header)) // row_bytes
            step_end = min(place - inside + self.schedule.batch, self.schedule.samples)
            count = min(room, step_end - place)
            if count <= 0:
                break
            body = self._rows[place : place + count].tobytes()
            parts += (header, body)
            limit -= len(header) + len(body)
            place += count
            if limit < header_bytes + row_bytes:
                break
        return b"".join(parts), place - first

    def _header(self, epoch: int, place: int) -> bytes:
        step = self.schedule.step_of(epoch * self.schedule.samples + place)
        mantissa, exponent = self.schedule.learning_rate(step)
        return protocol.pack(
            protocol.BATCH_FIELDS,
            size=self.schedule.step_size(step),
            lr_mantissa=mantissa,
            lr_exponent=exponent,
        )


def _bytes_of(array: NDArray[np.generic]) -> NDArray[np.uint8]:
    """View each row of a 2-D array as its bytes."""
    return np.ascontiguousarray(array).view(np.uint8).reshape(len(array), -1)
