"""The proof: device and reference side by side, every step, every parameter, every test output."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fixgrad.device import Device
from fixgrad.model import ModelConfig, State
from fixgrad.reference import Reference
from fixgrad.stopping import Course, Monitor
from fixgrad.stream import EpochSchedule, Samples, SampleStream, Schedule


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
            prng, step, or logits.
        layer: index of the layer; None for prng and step.
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
    outputs: int
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
    monitor: Monitor | None = None,
    test: Samples | None = None,
    steps: int | None = None,
) -> Iterator[StepAgreed | Verdict]:
    """Train on the device and in the reference, and compare.

    The digest is compared after every step; after the last one every value of the state, and the
    device's logits for every test sample. The last event is the `Verdict`.

    Args:
        device: the device; whatever it holds is replaced.
        config: the model.
        initial: the state before the first step.
        run_id: the run's identity on the device.
        train: training samples.
        schedule: the steps.
        monitor: decides at the ends of epochs, from what device and reference agree on.
        test: samples whose logits are compared at the end.
        steps: stop after so many steps; all of them by default.

    Raises:
        LinkError: the device stopped answering.
    """
    total = schedule.steps if steps is None else min(steps, schedule.steps)
    reference = Reference(config, initial)
    wire = train.wire(config)
    device.load(config, initial, run_id, 0)
    course = Course()
    for last in _segments(schedule, total, monitor):
        if monitor is not None and isinstance(schedule, EpochSchedule):
            schedule = monitor.schedule(schedule, course)
        stream = SampleStream(schedule, wire, split_steps=True)
        begin = reference.state.step
        for progress in device.train(stream, schedule.step_start(begin), schedule.step_start(last)):
            if progress.step == reference.state.step:
                continue
            step = reference.state.step
            before = reference.state.copy()
            indices = schedule.step_indices(step)
            result = reference.step(
                train.features[indices], train.targets[indices], *schedule.learning_rate(step)
            )
            digest = reference.digest()
            if progress.digest != digest or progress.step != reference.state.step:
                located = _locate(device, config, before, reference.state, run_id, stream)
                yield Verdict(step + 1, config.parameter_count, 0, progress.digest, located)
                return
            yield StepAgreed(step + 1, total, digest, result.loss, len(indices))
        if monitor is not None and isinstance(schedule, EpochSchedule):
            theirs = device.evaluate(monitor.samples.wire(config)).loss
            samples = monitor.samples
            loss = int(reference.evaluate(samples.features, samples.targets)[0].sum())
            if theirs != loss:
                apart = Difference(last, "monitored loss", None, (), theirs, loss, 1, True)
                yield Verdict(last, config.parameter_count, 0, reference.digest(), apart)
                return
            course = monitor.observe(course, last // schedule.steps_per_epoch, loss)
            if course.ended:
                total = last
                break
    state, _ = device.read_state(config)
    difference = compare_states(state, reference.state, total)
    outputs = 0
    if difference is None and test is not None:
        logits = device.infer(config, test.feature_wire(config)).logits
        outputs = logits.size
        difference = _compare_tensor(
            "logits", None, logits, reference.logits(test.features), step=None
        )
    yield Verdict(total, config.parameter_count, outputs, reference.digest(), difference)


def _segments(schedule: Schedule, total: int, monitor: Monitor | None) -> Iterator[int]:
    """Yield the steps at which something is decided, and the last one."""
    if monitor is not None and isinstance(schedule, EpochSchedule):
        yield from range(schedule.steps_per_epoch, total, schedule.steps_per_epoch)
    yield total


def compare_states(
    device: State, reference: State, step: int | None, *, repeatable: bool = True
) -> Difference | None:
    """Return the first difference of two states of one model, in canonical order, or None."""
    first: Difference | None = None
    differing = 0
    for (name, layer, mine), (_, _, theirs) in zip(
        device.tensors(), reference.tensors(), strict=True
    ):
        found = _compare_tensor(name, layer, mine, theirs, step=step, repeatable=repeatable)
        if found is not None:
            differing += found.differing
            first = first or found
    for name in ("weight_exponent", "activation_exponent", "low"):
        pairs = zip(getattr(device, name), getattr(reference, name), strict=True)
        for layer, (left, right) in enumerate(pairs, start=1 if name == "low" else 0):
            if left != right:
                differing += 1
                first = first or Difference(step, name, layer, (), left, right, 1, repeatable)
    for name in ("prng", "step"):
        left, right = getattr(device, name), getattr(reference, name)
        if left != right:
            differing += 1
            first = first or Difference(step, name, None, (), left, right, 1, repeatable)
    if first is None:
        return None
    return Difference(**{**vars(first), "differing": differing})


def _compare_tensor(
    name: str,
    layer: int | None,
    device: NDArray[np.integer],
    reference: NDArray[np.integer],
    *,
    step: int | None,
    repeatable: bool = True,
) -> Difference | None:
    places = np.argwhere(device.astype(np.int64) != reference.astype(np.int64))
    if not len(places):
        return None
    element = tuple(int(i) for i in places[0])
    return Difference(
        step, name, layer, element, int(device[element]), int(reference[element]), len(places),
        repeatable,
    )


def _locate(
    device: Device,
    config: ModelConfig,
    before: State,
    after: State,
    run_id: int,
    stream: SampleStream,
) -> Difference:
    """Repeat the first differing step alone, from the reference's state before it."""
    schedule = stream.schedule
    step = before.step
    start, stop = schedule.step_start(step), schedule.step_start(step + 1)
    last, _ = device.read_state(config)
    device.load(config, before, run_id, start)
    for _ in device.train(stream, start, stop):
        pass
    state, _ = device.read_state(config)
    repeated = compare_states(state, after, step + 1)
    if repeated is not None:
        return repeated
    stray = compare_states(last, after, step + 1, repeatable=False)
    assert stray is not None, "the state read before was that of a differing digest"
    return stray
