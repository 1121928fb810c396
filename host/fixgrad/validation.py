"""The proof: device and reference side by side, every step and every parameter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fixgrad.delivery import Delivery, plain
from fixgrad.device import Device, Progress
from fixgrad.model import ModelConfig, State
from fixgrad.reference import Reference
from fixgrad.stopping import Course, Monitor
from fixgrad.stream import EpochSchedule, Samples, Schedule


@dataclass(frozen=True)
class StepAgreed:
    """The digests are equal after this step."""

    step: int
    steps: int
    digest: int
    loss: int
    samples: int


@dataclass(frozen=True)
class Difference:
    """The first value in which device and reference differ.

    Attributes:
        step: the first step after which the digests differ (1 is the first step);
            None where only outputs differ.
        tensor: weights, bias, velocity, bias_velocity, weight_exponent, activation_exponent, low,
            prng, step, logits, or digest where the difference does not repeat.
        layer: index of the layer; None for prng, step, logits and digest.
        element: index inside the tensor.
        device, reference: the two integers.
        differing: differing values in all.
        repeatable: the step differs again from the reference's state before it;
            False means that the device's memory or link changed the state, not its arithmetic.
    """

    step: int | None
    tensor: str
    layer: int | None
    element: tuple[int, ...]
    device: int
    reference: int
    differing: int
    repeatable: bool

    def __str__(self) -> str:
        """Return one line for people."""
        where = self.tensor
        if self.layer is not None:
            where += f" of layer {self.layer}"
        if self.element:
            where += f"[{', '.join(map(str, self.element))}]"
        when = "outputs" if self.step is None else f"step {self.step}"
        again = "" if self.repeatable else "; it does not repeat: suspect memory or supply"
        return (
            f"first difference at {when}, {where}: device {self.device}, reference "
            f"{self.reference} ({self.differing} values differ{again})"
        )


@dataclass(frozen=True)
class Verdict:
    """The end of a validation."""

    steps: int
    parameters: int
    digest: int
    difference: Difference | None


def validate(
    device: Device,
    config: ModelConfig,
    initial: State,
    run_id: int,
    train: Samples,
    schedule: Schedule,
    *,
    delivery: Delivery | None = None,
    monitor: Monitor | None = None,
    steps: int | None = None,
) -> Iterator[StepAgreed | Verdict]:
    """Train on the device and in the reference, and compare.

    The digest is compared after every step, after the last one every value of the state. The last
    event is the `Verdict`.

    Args:
        device: the device; whatever it holds is replaced.
        config: the model.
        initial: the state before the first step.
        run_id: the run's identity on the device.
        train: training samples.
        schedule: the steps.
        delivery: the way of the samples; None: as they are, as often as needed.
        monitor: decides at the ends of epochs, from what device and reference agree on.
        steps: stop after so many steps; all of them by default.

    Raises:
        LinkError: the device stopped answering.
    """
    total = schedule.steps if steps is None else min(steps, schedule.steps)
    reference = Reference(config, initial)
    delivery = delivery or plain(train, config)
    device.load(config, initial, run_id, 0, delivery.region)
    course = Course()
    for last in _segments(schedule, total, monitor):
        if monitor is not None and isinstance(schedule, EpochSchedule):
            schedule = monitor.schedule(schedule, course)
        stream = delivery.stream(schedule, split_steps=True)
        begin = schedule.step_start(reference.state.step)
        for progress in device.train(stream, begin, schedule.step_start(last)):
            if progress.step == reference.state.step:
                continue
            before = reference.state.copy()
            loss = 0
            while reference.state.step < progress.step:  # more than one where an answer was lost
                loss += _step(reference, schedule, train)
            digest = reference.digest()
            if progress.digest != digest:
                located = _locate(
                    device, Reference(config, before), run_id, train, schedule, delivery, progress
                )
                yield Verdict(progress.step, config.parameter_count, progress.digest, located)
                return
            samples = schedule.step_start(progress.step) - schedule.step_start(before.step)
            yield StepAgreed(progress.step, total, digest, loss, samples)
        if (
            monitor is not None
            and isinstance(schedule, EpochSchedule)
            and last % schedule.steps_per_epoch == 0
        ):
            part = monitor.samples
            theirs = device.evaluate(part.wire(config)).loss
            loss = int(reference.evaluate(part.features, part.targets)[0].sum())
            if theirs != loss:
                apart = Difference(last, "monitored loss", None, (), theirs, loss, 1, True)
                yield Verdict(last, config.parameter_count, reference.digest(), apart)
                return
            course = monitor.observe(course, last // schedule.steps_per_epoch, loss)
            if course.ended:
                total = last
                break
    state, _ = device.read_state(config)
    difference = compare_states(state, reference.state, total)
    yield Verdict(total, config.parameter_count, reference.digest(), difference)


def _segments(schedule: Schedule, total: int, monitor: Monitor | None) -> Iterator[int]:
    """Yield the steps at which something is decided, and the last one."""
    if monitor is not None and isinstance(schedule, EpochSchedule):
        yield from range(schedule.steps_per_epoch, total, schedule.steps_per_epoch)
    yield total


def compare_states(device: State, reference: State, step: int | None) -> Difference | None:
    """Return the first difference of two states of one model, in canonical order, or None."""
    first: Difference | None = None
    differing = 0
    for (name, layer, mine), (_, _, theirs) in zip(
        device.tensors(), reference.tensors(), strict=True
    ):
        found = compare_tensors(name, layer, mine, theirs, step=step)
        if found is not None:
            differing += found.differing
            first = first or found
    for name in ("weight_exponent", "activation_exponent", "low"):
        pairs = zip(getattr(device, name), getattr(reference, name), strict=True)
        for layer, (left, right) in enumerate(pairs, start=1 if name == "low" else 0):
            if left != right:
                differing += 1
                first = first or Difference(step, name, layer, (), left, right, 1, True)
    for name in ("prng", "step"):
        left, right = getattr(device, name), getattr(reference, name)
        if left != right:
            differing += 1
            first = first or Difference(step, name, None, (), left, right, 1, True)
    if first is None:
        return None
    return Difference(**{**vars(first), "differing": differing})


def compare_tensors(
    name: str,
    layer: int | None,
    device: NDArray[np.integer],
    reference: NDArray[np.integer],
    *,
    step: int | None,
) -> Difference | None:
    """Return the first difference of two tensors of one shape, or None."""
    places = np.argwhere(device.astype(np.int64) != reference.astype(np.int64))
    if not len(places):
        return None
    element = tuple(int(i) for i in places[0])
    return Difference(
        step, name, layer, element, int(device[element]), int(reference[element]), len(places), True
    )


def _step(reference: Reference, schedule: Schedule, train: Samples) -> int:
    """Run the reference's next step; return its loss."""
    step = reference.state.step
    indices = schedule.step_indices(step)
    return reference.step(
        train.features[indices], train.targets[indices], *schedule.learning_rate(step)
    ).loss


def _locate(
    device: Device,
    reference: Reference,
    run_id: int,
    train: Samples,
    schedule: Schedule,
    delivery: Delivery,
    seen: Progress,
) -> Difference:
    """Repeat the steps since the last equal digest one by one; the first to differ is read."""
    config, stream = reference.config, delivery.stream(schedule)
    position = schedule.step_start(reference.state.step)
    device.load(config, reference.state, run_id, position, delivery.region)
    while reference.state.step < seen.step:
        step = reference.state.step
        for _ in device.train(stream, schedule.step_start(step), schedule.step_start(step + 1)):
            pass
        _step(reference, schedule, train)
        state, _ = device.read_state(config)
        found = compare_states(state, reference.state, step + 1)
        if found is not None:
            return found
    digest = reference.digest()
    return Difference(seen.step, "digest", None, (), seen.digest, digest, 1, repeatable=False)
