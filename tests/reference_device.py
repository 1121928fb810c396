"""A device without a link: the NumPy reference behind the methods of `fixgrad.device.Device`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from fixgrad import protocol
from fixgrad.device import NO_DATASET, Evaluation, Inference, Progress
from fixgrad.model import INPUT_DTYPES, ModelConfig, State
from fixgrad.reference import Reference
from fixgrad.session import SessionLostError
from fixgrad.stream import TARGET_DTYPES
from numpy.typing import NDArray

PAYLOAD_BYTES = 300


@dataclass(frozen=True)
class Info:
    """What `hello` tells."""

    run_id: int = 0
    next: int = 0
    digest: int = 0
    board: str = "reference"
    boot_id: int = 1


class ReferenceDevice:
    """A device; `reset_at` holds positions at which it forgets its run, once each."""

    def __init__(
        self,
        make: Callable[[ModelConfig, State], Reference] = Reference,
        reset_at: tuple[int, ...] = (),
    ) -> None:
        """Take what makes the arithmetic."""
        self.info = Info()
        self.loads: list[int] = []
        self.pairs: list[tuple[int, int]] = []
        self.reset_at = list(reset_at)
        self._make = make
        self.reference: Any = None
        self._totals = [0, 0]

    def hello(self) -> Info:
        """Return what the device holds."""
        digest = self.reference.digest() if self.reference else 0
        self.info = replace(self.info, digest=digest)
        return self.info

    def load(
        self,
        config: ModelConfig,
        state: State,
        run_id: int,
        position: int,
        dataset: bytes = NO_DATASET,
    ) -> None:
        """Replace the run."""
        assert dataset == NO_DATASET
        self.config = config
        self.reference = self._make(config, state)
        self.info = Info(run_id, position)
        self.loads.append(position)
        self._totals = [0, 0]

    def read_state(self, config: ModelConfig) -> tuple[State, int]:
        """Return a copy of the state."""
        return self.reference.state.copy(), self.info.next

    def reset(self) -> None:
        """Forget the run."""
        self.reference = None
        self.info = Info()

    def train(
        self,
        stream: Any,
        start: int,
        stop: int,
        *,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Iterator[Progress]:
        """Apply samples."""
        assert start == self.info.next
        at = start
        while at < stop and not should_stop():
            if self.reset_at and at >= self.reset_at[0]:
                self.reset_at.pop(0)
                self.reset()
                raise SessionLostError("reset")
            step = stream.schedule.step_of(at)
            size = stream.schedule.step_start(step + 1) - at
            head = protocol.field_bytes(protocol.BATCH_FIELDS)
            sample = self.config.feature_bytes + self.config.target_bytes
            payload, count = stream.payload(at, head + size * sample)
            assert count == size
            header = protocol.unpack(protocol.BATCH_FIELDS, payload)
            rows = np.frombuffer(payload, np.uint8, offset=head).reshape(size, sample)
            pair = (header["lr_mantissa"], header["lr_exponent"])
            self.pairs.append(pair)
            result = self.reference.step(*self._samples(rows), *pair)
            self._totals[0] += result.loss
            self._totals[1] += result.correct
            at += size
            self.info = replace(self.info, next=at)
            r = self.reference
            yield Progress(at, r.state.step, r.digest(), *self._totals, r.wsat, r.asat, r.bsat)

    def _samples(self, rows: NDArray[np.uint8]) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
        config = self.config
        split = config.feature_bytes
        dtype = np.dtype(INPUT_DTYPES[config.input_format])
        features = np.ascontiguousarray(rows[:, :split]).view(dtype)
        targets = np.ascontiguousarray(rows[:, split:]).view(TARGET_DTYPES[config.loss])
        if config.loss == protocol.Loss.SOFTMAX_CROSS_ENTROPY:
            targets = targets.reshape(-1)
        return features, targets.astype(np.int32)

    def evaluate(self, wire: NDArray[np.uint8]) -> Evaluation:
        """Evaluate samples."""
        losses, right = self.reference.evaluate(*self._samples(wire))
        return Evaluation(len(wire), int(right.sum()), int(losses.sum()))

    def infer(self, config: ModelConfig, wire: NDArray[np.uint8]) -> Inference:
        """Return predictions and logits."""
        dtype = np.dtype(INPUT_DTYPES[config.input_format])
        features = np.ascontiguousarray(wire).view(dtype)
        return Inference(self.reference.predict(features), self.reference.logits(features))
