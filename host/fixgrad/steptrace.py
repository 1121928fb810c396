"""What a step of a run really multiplies, from the reference: zeros cost nothing on some cores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fixgrad.bench import WARM_STEPS
from fixgrad.model import ModelConfig, State
from fixgrad.reference import Reference, _Delta, _Forward
from fixgrad.stream import Samples, Schedule

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class LayerTrace:
    """One layer in one step of `b` samples.

    Attributes:
        rows: what it reads, [b, inputs].
        deltas: its errors, [b, outputs] (NUMERICS section 5).
        scaled: its errors in the unit of the update, [b, outputs] (section 6, item 2).
        shift: s of the update.
    """

    rows: Ints
    deltas: Ints
    scaled: Ints
    shift: int


class _Recorder(Reference):
    """The reference, with the last step's layers."""

    def __init__(self, config: ModelConfig, state: State) -> None:
        super().__init__(config, state)
        self.deltas: list[Ints] = []
        self.layers: list[LayerTrace] = []

    def _backward(self, forward: _Forward, error: Ints, exponent: int) -> list[_Delta]:
        deltas = super()._backward(forward, error, exponent)
        self.deltas = [delta.mantissa for delta in deltas]
        self.layers = []
        return deltas

    def _update_weights(
        self, layer: int, scaled: Ints, x: Ints, shift: int
    ) -> tuple[bool, int, int]:
        self.layers.append(LayerTrace(x, self.deltas[layer], scaled, shift))
        return super()._update_weights(layer, scaled, x, shift)


def trace_step(
    config: ModelConfig, initial: State, samples: Samples, schedule: Schedule
) -> list[LayerTrace]:
    """Return the layers of the step that `fixgrad bench` counts, trained on the reference.

    Args:
        config: the model.
        initial: its state before the first step.
        samples: training samples.
        schedule: the steps; the first ones warm the state up.
    """
    reference = _Recorder(config, initial)
    for step in range(min(WARM_STEPS, schedule.steps - 1) + 1):
        indices = schedule.step_indices(step)
        reference.step(
            samples.features[indices], samples.targets[indices], *schedule.learning_rate(step)
        )
    return reference.layers
