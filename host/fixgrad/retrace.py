"""A run made again by the NumPy reference, step by step: what a device did, bit for bit.

That it did the same is what the recorded digests show; nothing of this is asked from a device.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fixgrad.model import State
from fixgrad.reference import Reference, StepResult
from fixgrad.run import PreparedRun
from fixgrad.stopping import Course


@dataclass(frozen=True)
class Step:
    """One step.

    Attributes:
        number: counted from 1.
        rate: its learning rate, for a whole batch.
        samples: places of its samples in the training part.
        result: loss, correct predictions and what happened in each layer.
        ends_epoch: the epoch (counted from 1) that ends with it; 0 inside an epoch.
        state: after it; the live one, which the next step changes.
        course: what the ends of epochs have decided, this one included.
    """

    number: int
    rate: float
    samples: NDArray[np.int64]
    result: StepResult
    ends_epoch: int
    state: State
    course: Course


def steps(
    prepared: PreparedRun, epochs: int, *, counts_unchanged: bool = False
) -> Iterator[Step]:
    """Train a run in the reference.

    Args:
        prepared: the run.
        epochs: stop after so many.
        counts_unchanged: count the weights that each step leaves as they are.

    Yields:
        Every step, until a decision at the end of an epoch ends the run.
    """
    config, schedule, monitor = prepared.config, prepared.schedule, prepared.monitor
    reference = Reference(config, prepared.initial)
    reference.counts_unchanged = counts_unchanged
    course = Course()
    for number in range(1, schedule.steps_per_epoch * epochs + 1):
        samples = schedule.step_indices(number - 1)
        mantissa, exponent = schedule.learning_rate(number - 1)
        result = reference.step(
            prepared.train.features[samples], prepared.train.targets[samples], mantissa, exponent
        )
        epoch, inside = divmod(number, schedule.steps_per_epoch)
        if not inside and monitor is not None:
            part = monitor.samples
            loss = int(reference.evaluate(part.features, part.targets)[0].sum())
            course = monitor.observe(course, epoch, loss)
            schedule = monitor.schedule(schedule, course)
        yield Step(
            number, mantissa * 2.0**exponent * config.batch, samples, result,
            0 if inside else epoch, reference.state, course,
        )
        if course.ended:
            return
