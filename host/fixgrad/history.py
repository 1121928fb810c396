"""What happened inside a run, epoch by epoch: losses, exponents, clamps, updates, values.

A device reports sums only. The NumPy reference makes the run again and looks inside; that it is the
same run is what its digests show, which must be those that the device reported. A float64 network
runs beside it: same initial weights, same order, same learning rates.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fixgrad.digest import state_digest
from fixgrad.float_model import FloatMLP
from fixgrad.model import ModelConfig, State
from fixgrad.protocol import NUMERICS_VERSION, Loss
from fixgrad.quantize import real_parameters, real_samples
from fixgrad.reference import Reference
from fixgrad.retrace import Step, steps
from fixgrad.run import PreparedRun
from fixgrad.stopping import loss_unit
from fixgrad.stream import Samples

Reals = NDArray[np.float64]

TRAIN_MAX, HELD_MAX = 2000, 10000
"""Samples that the losses after an epoch are taken from, the first ones of each part."""
PROBE = 256
"""Training samples whose activations are looked at."""
VALUES = 1000
"""Weights and activations of a layer that are kept of each epoch."""
_FORM = 1


@dataclass(frozen=True)
class History:
    """A run, epoch by epoch. Axis 0 is the epoch; with E+1 entries the first is the start.

    Attributes:
        epochs: E.
        digests: int64 [E], the reference's.
        rate: learning rate of each epoch's last step, [E].
        train_loss, held_loss: [E+1, 2], fixed point and float64: mean loss a sample as the device
            reports it, of the first training samples and of the held part (validation if there is
            one, else test).
        train_accuracy, held_accuracy: [E+1, 2], shares; not a number where nothing is counted.
        weights_clamped: share of steps in which a weight of the layer was clamped, [E, layers].
        activations_clamped: share of a_l that were clamped, [E, layers]; a_0 never is.
        steps_clamped: share of steps in which a value of a_l was clamped, [E, layers].
        biases_clamped: count, [E, layers].
        lost: share of the updates (weights with a gradient) that changed nothing, [E, layers].
        weight_exponent, activation_exponent: [E+1, layers].
        weight_most: largest |mantissa| of the weights, [E+1, layers].
        dead: share of the units of a_l that give one value for all probed samples, [E+1, layers].
        weights: real weights, evenly chosen, [E+1, layers, VALUES]; padded with not a number.
        activations: the same of a_l of the probed samples.
    """

    epochs: int
    digests: NDArray[np.int64]
    rate: Reals
    train_loss: Reals
    held_loss: Reals
    train_accuracy: Reals
    held_accuracy: Reals
    weights_clamped: Reals
    activations_clamped: Reals
    steps_clamped: Reals
    biases_clamped: Reals
    lost: Reals
    weight_exponent: Reals
    activation_exponent: Reals
    weight_most: Reals
    dead: Reals
    weights: NDArray[np.float32]
    activations: NDArray[np.float32]

    def encode(self, run_id: int) -> bytes:
        """Return a file of it, for the run of this identity."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, key=_key(run_id), **vars(self))
        return buffer.getvalue()

    @staticmethod
    def decode(data: bytes, run_id: int) -> History | None:
        """Read a file; None if it is damaged or of another run."""
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as archive:
                if archive["key"].tolist() != _key(run_id).tolist():
                    return None
                names = [field.name for field in dataclasses.fields(History)]
                values = {name: archive[name] for name in names}
            return History(**{**values, "epochs": int(values["epochs"])})
        except Exception:  # damaged files raise whatever zip and npy parsing happen to hit
            return None


def _key(run_id: int) -> NDArray[np.int64]:
    return np.array([_FORM, NUMERICS_VERSION, run_id], np.int64)


class Recorder:
    """Makes a run again and looks inside, as far as it is asked to."""

    def __init__(self, prepared: PreparedRun) -> None:
        """Take the run."""
        self._prepared = prepared
        self._look, self._counts = _Look(prepared), _Counts(prepared.config)
        self._done = 0

    def epochs(self, epochs: int) -> Iterator[int]:
        """Compute the run from its start.

        Args:
            epochs: stop after so many.

        Yields:
            The number of every epoch that is done, until the run's own decisions end it.
        """
        prepared = self._prepared
        config = prepared.config
        twin = FloatMLP.like(config, *real_parameters(prepared.initial))
        features, targets = real_samples(config, prepared.initial, prepared.train)
        self._look.at(prepared.initial, twin)
        for step in steps(prepared, epochs, counts_unchanged=True):
            with np.errstate(over="ignore", invalid="ignore"):  # float networks diverge too
                twin.step(features[step.samples], targets[step.samples], step.rate)
            self._counts.add(step)
            if step.ends_epoch:
                self._look.at(step.state, twin)
                self._counts.end(step)
                self._done = step.ends_epoch
                yield step.ends_epoch

    def history(self) -> History:
        """Return what was found so far, at least one epoch."""
        return History(self._done, **self._counts.arrays(), **self._look.arrays())


def record(prepared: PreparedRun, epochs: int) -> Iterator[int | History]:
    """Make a run again and look inside.

    Args:
        prepared: the run.
        epochs: stop after so many.

    Yields:
        The number of every epoch that is done, and at the end the history; it is shorter if the
        run's own decisions end it.
    """
    recorder = Recorder(prepared)
    yield from recorder.epochs(epochs)
    yield recorder.history()


def held_part(prepared: PreparedRun) -> tuple[str, Samples]:
    """Return name and samples of the part that a history's held losses are of."""
    parts = prepared.parts
    if parts.validation is not None:
        return "validation", parts.validation
    return "test", parts.test


class _Counts:
    """What the steps of an epoch add up to."""

    def __init__(self, config: ModelConfig) -> None:
        self._config = config
        self._rows: dict[str, list[Any]] = {
            name: [] for name in (
                "digests", "rate", "weights_clamped", "activations_clamped", "steps_clamped",
                "biases_clamped", "lost",
            )
        }
        self._clear()

    def _clear(self) -> None:
        self._steps = self._samples = 0
        layers = self._config.layer_count
        self._weights, self._activations, self._biases, self._hit, self._moved, self._lost = (
            np.zeros(layers) for _ in range(6)
        )

    def add(self, step: Step) -> None:
        self._steps += 1
        self._samples += len(step.samples)
        for layer, detail in enumerate(step.result.layers):
            size = self._config.layers[layer] * self._config.layers[layer + 1]
            self._weights[layer] += detail.saturated
            self._activations[layer] += detail.activations_saturated
            self._hit[layer] += detail.activations_saturated > 0
            self._biases[layer] += detail.biases_saturated
            self._lost[layer] += detail.unchanged - detail.still
            self._moved[layer] += size - detail.still

    def end(self, step: Step) -> None:
        widths = np.array(self._config.layers[:-1])
        row = {
            "digests": state_digest(step.state),
            "rate": step.rate,
            "weights_clamped": self._weights / self._steps,
            "activations_clamped": self._activations / (self._samples * widths),
            "steps_clamped": self._hit / self._steps,
            "biases_clamped": self._biases,
            "lost": self._lost / np.maximum(self._moved, 1),
        }
        for name, value in row.items():
            self._rows[name].append(value)
        self._clear()

    def arrays(self) -> dict[str, Any]:
        return {name: np.array(rows) for name, rows in self._rows.items()}


class _Look:
    """Looks at the state before the first step and after every epoch."""

    def __init__(self, prepared: PreparedRun) -> None:
        self._config = prepared.config
        held = held_part(prepared)[1]
        self._parts = {"train": _first(prepared.train, TRAIN_MAX), "held": _first(held, HELD_MAX)}
        self._probe = prepared.train.features[:PROBE]
        self._rows: dict[str, list[Any]] = {
            name: [] for name in (
                "train_loss", "held_loss", "train_accuracy", "held_accuracy", "weight_exponent",
                "activation_exponent", "weight_most", "dead", "weights", "activations",
            )
        }

    def at(self, state: State, twin: FloatMLP) -> None:
        config, row = self._config, self._rows
        reference = Reference(config, state)
        for name, samples in self._parts.items():
            losses, right = reference.evaluate(samples.features, samples.targets)
            fixed = float(losses.mean()) * loss_unit(config.loss), float(right.mean())
            real = _float_evaluation(config, state, twin, samples)
            row[f"{name}_loss"].append((fixed[0], real[0]))
            counted = config.loss != Loss.SQUARED_ERROR
            row[f"{name}_accuracy"].append((fixed[1], real[1]) if counted else (np.nan, np.nan))
        row["weight_exponent"].append(state.weight_exponent)
        row["activation_exponent"].append(state.activation_exponent)
        row["weight_most"].append([int(np.abs(w.astype(np.int64)).max()) for w in state.weights])
        values = reference.activations(self._probe)
        row["dead"].append([float((v == v[0]).all(axis=0).mean()) for v in values])
        weights, _ = real_parameters(state)
        row["weights"].append([_chosen(w) for w in weights])
        exponents = state.activation_exponent
        row["activations"].append(
            [_chosen(np.ldexp(v.astype(np.float64), e))
             for v, e in zip(values, exponents, strict=True)]
        )

    def arrays(self) -> dict[str, Any]:
        kept = ("weights", "activations")
        return {
            name: np.array(rows, np.float32 if name in kept else np.float64)
            for name, rows in self._rows.items()
        }


def _first(samples: Samples, count: int) -> Samples:
    return Samples(samples.features[:count], samples.targets[:count])


def _chosen(values: Reals) -> NDArray[np.float32]:
    """Return VALUES values, evenly chosen; fewer are padded with not a number."""
    flat = values.ravel()
    kept = np.full(VALUES, np.nan, np.float32)
    if flat.size <= VALUES:
        kept[: flat.size] = flat
    else:
        kept[:] = flat[np.linspace(0, flat.size - 1, VALUES).astype(np.int64)]
    return kept


def _float_evaluation(
    config: ModelConfig, state: State, twin: FloatMLP, samples: Samples
) -> tuple[float, float]:
    """Return the float network's mean loss in the device's measure, and the share it has right."""
    x, t = real_samples(config, state, samples)
    with np.errstate(over="ignore", invalid="ignore"):
        z = twin.forward(x)[-1]
        if config.loss == Loss.SOFTMAX_CROSS_ENTROPY:
            loss = twin.loss(x, t) / len(x)
            return loss, float((z.argmax(axis=1) == t).mean())
        out = z if config.loss == Loss.SQUARED_ERROR else 1 / (1 + np.exp(-z))
        wanted = t.astype(np.float64)
        error = float(((out - wanted) ** 2).sum(axis=1).mean())
        return error, float(((z > 0) == (wanted >= 0.5)).all(axis=1).mean())
