"""The learning rate of every step, decided on the host.

A schedule is a pure function of the step and of the drops decided so far; what the device sees is
the pair (mantissa, exponent) that travels with each batch, so every port gets the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from fixgrad.errors import ModelError
from fixgrad.protocol import LIMITS
from fixgrad.quantize import learning_rate_pair

SCHEDULES: Final = ("constant", "step", "cosine", "exponential", "plateau")

_LEAST: Final = 2.0 ** (LIMITS["LR_EXPONENT_MIN"] + 7)
"""Smallest lr/B that a pair can say."""


@dataclass(frozen=True)
class RateSchedule:
    """Learning rates of a run; calling it with a step returns the pair of lr/B (NUMERICS 6).

    Attributes:
        kind: `constant`; `step`: times `factor` after each of `drop_epochs`; `cosine`: half a
            wave down to `final` times the base rate; `exponential`: times `factor` every epoch;
            `plateau`: times `factor` after each of `drops`.
        base: learning rate before any change.
        batch: nominal batch size B.
        steps_per_epoch: steps in one epoch.
        epochs: epochs in the run.
        factor: what a drop or an epoch multiplies by.
        drop_epochs: epochs (counted from 1) after which `step` drops.
        final: share of the base rate that `cosine` ends with.
        warmup_epochs: epochs in which the rate grows linearly from almost 0 to the schedule's own.
        drops: epochs after which `plateau` dropped, as far as the run has come.
    """

    kind: str
    base: float
    batch: int
    steps_per_epoch: int
    epochs: int
    factor: float = 0.5
    drop_epochs: tuple[int, ...] = ()
    final: float = 0.0
    warmup_epochs: int = 0
    drops: tuple[int, ...] = ()

    def __call__(self, step: int) -> tuple[int, int]:
        """Return (mantissa, exponent) of lr/B in a step."""
        return learning_rate_pair(max(self.rate(step), _LEAST * self.batch), self.batch)

    def rate(self, step: int) -> float:
        """Return the learning rate of a step (counted from 0)."""
        warmup = self.warmup_epochs * self.steps_per_epoch
        ramp = (step + 1) / warmup if step < warmup else 1.0
        return self.base * self._share(step, warmup) * ramp

    def check(self) -> None:
        """Check that the highest rate of the run can be said.

        Raises:
            ModelError: its exponent leaves the range of NUMERICS.
        """
        learning_rate_pair(self.base, self.batch)
        if not self.kind == "constant" and not 0 < self.factor <= 1:
            raise ModelError(f"a learning rate cannot fall by the factor {self.factor:g}")

    def _share(self, step: int, warmup: int) -> float:
        epoch = step // self.steps_per_epoch
        if self.kind == "step":
            return self.factor ** _passed(self.drop_epochs, epoch)
        if self.kind == "plateau":
            return self.factor ** _passed(self.drops, epoch)
        if self.kind == "exponential":
            return float(self.factor**epoch)
        if self.kind == "cosine":
            total = self.epochs * self.steps_per_epoch - warmup
            done = min(max(step - warmup, 0) / total, 1.0) if total > 0 else 0.0
            return self.final + (1 - self.final) * (1 + math.cos(math.pi * done)) / 2
        return 1.0


def _passed(epochs: Sequence[int], epoch: int) -> int:
    """Return how many of the epochs (counted from 1) are over in an epoch (counted from 0)."""
    return sum(last <= epoch for last in epochs)
