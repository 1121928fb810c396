"""A trained net on the device against float64 with the same weights, on a whole test part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fixgrad.float_model import FloatMLP
from fixgrad.metrics import wilson_interval
from fixgrad.model import ModelConfig, State
from fixgrad.protocol import Loss
from fixgrad.quantize import real_parameters, real_samples
from fixgrad.reference import BLOCK, Reference
from fixgrad.run import PreparedRun
from fixgrad.targets import BINARY, CLASSES, LABELS, ONE_HOT, VALUES, TargetForm
from fixgrad.validation import Difference, compare_tensors

Reals = NDArray[np.float64]


@dataclass(frozen=True)
class Row:
    """One side against another, over all outputs of all samples.

    Attributes:
        name: device, reference or cross.
        accuracy: share of samples with the same decision; None for values.
        interval: its 95 % interval after Wilson; None for values.
        rmse, mae: of the outputs: probabilities, or values in the unit of the data set.
        l2r: length of the difference relative to that of the second side.
        nse: Nash-Sutcliffe efficiency, 1 is perfect, 0 as good as the mean.
        cosine: of the angle between both.
    """

    name: str
    accuracy: float | None
    interval: tuple[float, float] | None
    rmse: float
    mae: float
    l2r: float
    nse: float
    cosine: float


@dataclass(frozen=True)
class Layer:
    """The values that a layer gives, device against float64.

    Attributes:
        index, activation, widths: which; inputs and outputs.
        weight_unit, value_unit: powers of two of a weight's and of an output's unit.
        l2r, cosine: as in `Row`.
        worst: largest distance.
    """

    index: int
    activation: str
    widths: tuple[int, int]
    weight_unit: int
    value_unit: int
    l2r: float
    cosine: float
    worst: float


@dataclass(frozen=True)
class Disagreement:
    """A sample on which device and float64 decide differently."""

    sample: int
    truth: str
    device: str
    reference: str


@dataclass(frozen=True)
class Comparison:
    """A test part.

    Attributes:
        samples: how many.
        outputs: compared integers.
        difference: the first logit that is not the integer reference's; None if all are.
        rows: device against truth, float64 against truth, device against float64.
        layers: one a layer, over the first samples.
        disagreements: in the order of the samples; empty for values.
    """

    samples: int
    outputs: int
    difference: Difference | None
    rows: tuple[Row, Row, Row]
    layers: tuple[Layer, ...]
    disagreements: tuple[Disagreement, ...]


def compare(prepared: PreparedRun, state: State, logits: NDArray[np.int32]) -> Comparison:
    """Compare what a device said about the whole test part.

    Args:
        prepared: the run.
        state: what the device held.
        logits: [N, outputs] of the device.
    """
    config, form, test = prepared.config, prepared.form.target, prepared.test
    reference = Reference(config, state)
    twin = FloatMLP.like(config, *real_parameters(state))
    x, _ = real_samples(config, state, test)
    exponent = state.weight_exponent[-1] + state.activation_exponent[-1]
    z_device = np.ldexp(logits.astype(np.float64), exponent)
    z_float = np.asarray(twin.forward(x)[-1], np.float64)
    truth = _truth(form, prepared.test_targets)
    right = _decided_truth(form, prepared.test_targets)
    device, ideal = (_outputs(form, config.loss, z) for z in (z_device, z_float))
    said, ideally = (_decisions(form, config.loss, z) for z in (z_device, z_float))
    return Comparison(
        len(test),
        logits.size,
        compare_tensors("logits", None, logits, reference.logits(test.features), step=None),
        (
            _row("device", device, truth, said, right),
            _row("reference", ideal, truth, ideally, right),
            _row("cross", device, ideal, said, ideally),
        ),
        _layers(config, state, reference, twin, test.features[:BLOCK], x[:BLOCK], logits[:BLOCK]),
        _disagreements(form, right, said, ideally),
    )


def _outputs(form: TargetForm, loss: Loss, z: Reals) -> Reals:
    """Return what is compared as a number: probabilities, or values in the data set's unit."""
    if loss == Loss.SOFTMAX_CROSS_ENTROPY:
        shares = np.exp(z - z.max(axis=1, keepdims=True))
        return np.asarray(shares / shares.sum(axis=1, keepdims=True))
    p = z if loss == Loss.SQUARED_ERROR else 1 / (1 + np.exp(-np.clip(z, -700, 700)))
    return form.decode(p) if form.kind == VALUES else p


def _decisions(form: TargetForm, loss: Loss, z: Reals) -> NDArray[np.int64] | None:
    """Return what is decided, [N, 1] classes or [N, outputs] labels; None for values."""
    if form.kind in (CLASSES, ONE_HOT):
        best: NDArray[np.int64] = z.argmax(axis=1).astype(np.int64)
        return best[:, None]
    if form.kind in (BINARY, LABELS):
        return (z > (0.5 if loss == Loss.SQUARED_ERROR else 0.0)).astype(np.int64)
    return None


def _truth(form: TargetForm, targets: NDArray[np.generic]) -> Reals:
    if form.kind in (CLASSES, ONE_HOT):
        return np.eye(len(form.names))[targets.astype(np.int64).reshape(-1)]
    return targets.reshape(len(targets), -1).astype(np.float64)


def _decided_truth(
    form: TargetForm, targets: NDArray[np.generic]
) -> NDArray[np.int64] | None:
    if form.kind == VALUES:
        return None
    return targets.reshape(len(targets), -1).astype(np.int64)


def _row(
    name: str, ours: Reals, theirs: Reals, said: NDArray[np.int64] | None,
    right: NDArray[np.int64] | None,
) -> Row:
    accuracy, interval = None, None
    if said is not None and right is not None:
        same = int((said == right).all(axis=1).sum())
        accuracy, interval = same / max(len(said), 1), wilson_interval(same, len(said))
    error = ours - theirs
    spread = float(((theirs - theirs.mean(axis=0)) ** 2).sum())
    return Row(
        name, accuracy, interval,
        float(np.sqrt((error**2).mean())), float(np.abs(error).mean()),
        _relative(error, theirs),
        1 - float((error**2).sum()) / spread if spread else float("nan"),
        _cosine(ours, theirs),
    )


def _relative(error: Reals, theirs: Reals) -> float:
    length = float(np.linalg.norm(theirs))
    return float(np.linalg.norm(error)) / length if length else float("nan")


def _cosine(ours: Reals, theirs: Reals) -> float:
    lengths = float(np.linalg.norm(ours) * np.linalg.norm(theirs))
    return float((ours * theirs).sum()) / lengths if lengths else float("nan")


def _layers(
    config: ModelConfig, state: State, reference: Reference, twin: FloatMLP,
    features: NDArray[np.integer], x: Reals, logits: NDArray[np.int32],
) -> tuple[Layer, ...]:
    values = twin.forward(x)[1:]
    last = state.weight_exponent[-1] + state.activation_exponent[-1]
    units = [*state.activation_exponent[1:], last]
    integers: list[NDArray[np.integer]] = [*reference.activations(features)[1:], logits]
    names = [activation.name.lower() for activation in config.activations] + ["logits"]
    rows = []
    for index, (name, unit, mantissas) in enumerate(zip(names, units, integers, strict=True)):
        ours = np.ldexp(mantissas.astype(np.float64), unit)
        theirs = np.asarray(values[index], np.float64)
        rows.append(
            Layer(
                index, name, (config.layers[index], config.layers[index + 1]),
                state.weight_exponent[index], unit, _relative(ours - theirs, theirs),
                _cosine(ours, theirs), float(np.abs(ours - theirs).max(initial=0)),
            )
        )
    return tuple(rows)


def _disagreements(
    form: TargetForm, right: NDArray[np.int64] | None, said: NDArray[np.int64] | None,
    ideally: NDArray[np.int64] | None,
) -> tuple[Disagreement, ...]:
    if right is None or said is None or ideally is None:
        return ()

    def name(row: NDArray[np.int64]) -> str:
        if form.kind == LABELS:
            return "".join(map(str, row))
        return form.names[int(row[0])]

    places = np.flatnonzero((said != ideally).any(axis=1))
    return tuple(
        Disagreement(int(i), name(right[i]), name(said[i]), name(ideally[i])) for i in places
    )
