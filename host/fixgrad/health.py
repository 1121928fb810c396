"""What the numbers of a run mean, in words, and what to change: `fixgrad doctor DIR`.

Limits are chosen so that runs which end as well as float training give few findings.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fixgrad import doctor
from fixgrad.doctor import Fact, Finding, Report
from fixgrad.history import History
from fixgrad.protocol import Activation, Loss
from fixgrad.run import PreparedRun

CLAMPED_STEPS = 0.05
"""Share of an epoch's steps with a clamped weight from which it is told."""
DIVERGING_STEPS = 0.5
"""Share of an epoch's steps with a clamped activation, at the largest exponent."""
CLAMPED_VALUES = 0.01
"""Share of an epoch's activations that are clamped though exponents are fixed."""
LOST = 0.75
"""Share of the updates that change nothing, over the whole run."""
DEAD = 0.25
UNUSED_BITS = 5
WORSE = 1.25
"""Factor by which a loss ends above its smallest."""
LEARNT = 0.95
"""A loss that ends above this share of the first has not fallen."""
APART = 0.02
"""Share of held samples by which the float network is better."""


@dataclass(frozen=True)
class Examined:
    """A run to be judged.

    Attributes:
        prepared: the run.
        history: what happened inside it.
        recorded: digests that the device reported, one an epoch.
        held: name of the held part.
    """

    prepared: PreparedRun
    history: History
    recorded: list[int]
    held: str


def diagnose(run: Examined) -> Iterator[Report]:
    """Yield what was looked at, and what is wrong."""
    yield from _digests(run)
    for check in (
        _weights, _activations, _biases, _updates, _units, _range, _learning, _overfitting, _float
    ):
        yield from check(run)


def _digests(run: Examined) -> Iterator[Report]:
    ours = run.history.digests.tolist()
    for epoch, (mine, theirs) in enumerate(zip(ours, run.recorded, strict=False), 1):
        if mine != theirs:
            yield Finding(
                doctor.NOT_PROVED,
                f"epoch {epoch}: recorded {theirs:08x}, reference {mine:08x}",
            )
            return
    if len(ours) < len(run.recorded):
        yield Finding(
            doctor.NOT_PROVED, f"the reference ends after epoch {len(ours)}, the folder does not"
        )
        return
    yield Fact(
        "digests", len(ours), f"all {len(ours)} digests of the device are the reference's"
    )


def _weights(run: Examined) -> Iterator[Report]:
    clamped = run.history.weights_clamped
    for layer in range(clamped.shape[1]):
        epoch = int(clamped[:, layer].argmax())
        share = float(clamped[epoch, layer])
        if share >= CLAMPED_STEPS and not run.prepared.config.widen:
            yield Finding(
                doctor.WEIGHTS_CLAMPED,
                f"layer {layer}: in {_percent(share)} of the steps of epoch {epoch + 1} a weight "
                f"would have left its {run.prepared.config.weight_bits[layer] + 1} bits",
            )


def _activations(run: Examined) -> Iterator[Report]:
    history, config = run.history, run.prepared.config
    for layer in range(1, config.layer_count):
        hit, exponents = history.steps_clamped[:, layer], history.activation_exponent[1:, layer]
        at_end = (hit >= DIVERGING_STEPS) & (exponents == 0)
        share = float(history.activations_clamped[:, layer].max())
        if at_end.any():
            epoch = int(at_end.argmax())
            yield Finding(
                doctor.DIVERGING,
                f"layer {layer - 1}: activations clamped in {_percent(float(hit[epoch]))} of the "
                f"steps of epoch {epoch + 1}, and their exponent cannot grow further",
            )
        elif not config.adaptive and share >= CLAMPED_VALUES:
            yield Finding(
                doctor.ACTIVATIONS_CLAMPED,
                f"layer {layer - 1}: {_percent(share)} of the activations of an epoch clamped, "
                "with fixed exponents",
            )


def _biases(run: Examined) -> Iterator[Report]:
    for layer, count in enumerate(run.history.biases_clamped.sum(axis=0)):
        if count:
            yield Finding(doctor.BIASES_CLAMPED, f"layer {layer}: {int(count)} times")


def _updates(run: Examined) -> Iterator[Report]:
    lost = run.history.lost.mean(axis=0)
    for layer, share in enumerate(lost):
        if share >= LOST:
            yield Finding(
                doctor.UPDATES_LOST,
                f"layer {layer}: {_percent(float(share))} of the updates are below the resolution "
                f"of a weight, 2^{int(run.history.weight_exponent[-1, layer])}",
            )
    yield Fact(
        "updates_lost", [round(float(share), 4) for share in lost],
        "updates that change nothing, by layer: " + ", ".join(map(_percent, lost)),
    )


def _units(run: Examined) -> Iterator[Report]:
    config = run.prepared.config
    for layer in range(1, config.layer_count):
        share = float(run.history.dead[-1, layer])
        if share >= DEAD and config.activations[layer - 1] != Activation.LEAKY:
            yield Finding(
                doctor.UNITS_DEAD,
                f"layer {layer - 1}: {round(share * config.layers[layer])} of "
                f"{config.layers[layer]} units give one value for every sample",
            )


def _range(run: Examined) -> Iterator[Report]:
    most = run.history.weight_most.max(axis=0)
    for layer, value in enumerate(most):
        unused = run.prepared.config.weight_bits[layer] - int(value).bit_length()
        if value and unused >= UNUSED_BITS:
            yield Finding(
                doctor.RANGE_UNUSED,
                f"layer {layer}: the largest weight of the run leaves {unused} of "
                f"{run.prepared.config.weight_bits[layer]} bits unused",
            )


def _learning(run: Examined) -> Iterator[Report]:
    loss = run.history.train_loss[:, 0]
    if len(loss) > 1 and loss[-1] > WORSE * loss.min():
        yield Finding(
            doctor.GOT_WORSE,
            f"training loss {loss[-1]:.4g} at the end, {loss.min():.4g} after epoch "
            f"{int(loss.argmin())}",
        )
    elif loss[-1] >= LEARNT * loss[0]:
        yield Finding(
            doctor.NOT_LEARNING,
            f"training loss {loss[0]:.4g} at the start, {loss[-1]:.4g} at the end",
        )
    else:
        yield Fact("loss", float(loss[-1]), f"training loss {loss[0]:.4g} → {loss[-1]:.4g}")


def _overfitting(run: Examined) -> Iterator[Report]:
    train, held = run.history.train_loss[:, 0], run.history.held_loss[:, 0]
    best = int(held.argmin())
    if held[-1] > WORSE * held[best] and train[-1] < train[best]:
        yield Finding(
            doctor.OVERFITS,
            f"{run.held} loss {held[best]:.4g} after epoch {best}, {held[-1]:.4g} at the end, "
            "while the training loss fell",
        )


def _float(run: Examined) -> Iterator[Report]:
    """Compare with the float network where classes are counted."""
    if run.prepared.config.loss == Loss.SQUARED_ERROR:
        return
    fixed, real = run.history.held_accuracy[-1]
    count = min(len(run.prepared.test), 10000)
    noise = 2 * float(np.sqrt(max(real * (1 - real), 0) / count))
    if real - fixed >= max(APART, noise):
        yield Finding(
            doctor.FLOAT_BETTER,
            f"{run.held} accuracy {_percent(fixed)} here, {_percent(real)} in float64 from the "
            "same start",
        )
    else:
        yield Fact(
            "float", round(float(real), 6),
            f"{run.held} accuracy {_percent(fixed)}, {_percent(real)} in float64 from the same "
            "start",
        )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
