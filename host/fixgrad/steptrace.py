"""What a step of a run really multiplies, from the reference: zeros cost nothing on some cores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fixgrad.bench import WARM_STEPS
from fixgrad.model import ModelConfig, State
from fixgrad.reference import Reference
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
    reference = Reference(config, initial)
    last = min(WARM_STEPS, schedule.steps - 1)
    for step in range(last + 1):
        indices = schedule.step_indices(step)
        batch = samples.features[indices], samples.targets[indices]
        if step < last:
            reference.step(*batch, *schedule.learning_rate(step))
    part = reference.part(*batch, *schedule.learning_rate(last))
    state, exponents = reference.state, reference.exponents(part.reach)
    return [
        LayerTrace(
            part.rows(k), part.deltas(k), part.scaled(k, exponents[k]),
            state.weight_exponent[k] - state.activation_exponent[k] - exponents[k],
        )
        for k in range(config.frozen, config.layer_count)
    ]  # fmt: skip
