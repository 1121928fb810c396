"""From a network of real numbers to the initial weights of a run, and what rounding costs."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fixgrad.device import Inference
from fixgrad.errors import DataError
from fixgrad.float_model import FloatMLP
from fixgrad.importing.network import FloatNetwork, Reals
from fixgrad.initial import ranges
from fixgrad.metrics import Outputs, measure, read_outputs
from fixgrad.model import ModelConfig
from fixgrad.network import Network
from fixgrad.protocol import LIMITS, Activation, Loss
from fixgrad.quantize import initial_state, real_parameters
from fixgrad.reference import Reference
from fixgrad.run import DataForm, PreparedRun
from fixgrad.rundir import write_atomic
from fixgrad.runfile import RunFile
from fixgrad.targets import CLASSES, VALUES

_RECTIFIED = (Activation.RELU, Activation.LEAKY)


@dataclass(frozen=True)
class LayerError:
    """What quantisation did to a layer.

    Attributes:
        step: distance of two weights that can be stored.
        worst, rms: largest and root-mean-square error of a weight.
        relative: rms over the root mean square of the weights.
    """

    step: float
    worst: float
    rms: float
    relative: float


@dataclass(frozen=True)
class Imported:
    """Initial weights of a run.

    Attributes:
        weights, biases: per layer, for the run's scaled inputs and outputs.
        hidden_exponents: eX[1..L-1] that the run's training data needs.
        errors: quantisation, per layer.
        before, after: metrics of the test part, in floating point and in fixed point.
        same: test samples with the same class or labels; of numbers None.
        samples: test samples.
    """

    weights: list[Reals]
    biases: list[Reals]
    hidden_exponents: list[int]
    errors: list[LayerError]
    before: dict[str, float]
    after: dict[str, float]
    same: int | None
    samples: int

    def write(self, path: Path) -> None:
        """Write the .npz file that a run's `init_file` names."""
        arrays: dict[str, NDArray[np.generic]] = {
            "hidden_exponents": np.array(self.hidden_exponents, np.int32)
        }
        for layer, (w, b) in enumerate(zip(self.weights, self.biases, strict=True)):
            arrays[f"weights_{layer}"], arrays[f"bias_{layer}"] = w, b
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)  # type: ignore[arg-type]
        write_atomic(path, buffer.getvalue())


def adapt(network: FloatNetwork, prepared: PreparedRun, *, scaled: bool = False) -> Imported:
    """Fit a network to a run.

    Args:
        network: the network.
        prepared: the run; its own initial state does not matter.
        scaled: the network takes inputs and gives outputs that are scaled as the run scales them;
            otherwise it takes the data as it comes.

    Raises:
        DataError: layers or activations differ from the run's.
        ModelError: weights that no exponent can hold.
    """
    run, config, form = prepared.run, prepared.config, prepared.form
    weights = [w.copy() for w in network.weights]
    biases = [b.copy() for b in network.biases]
    _split_logistic(weights, biases, config, form)
    _check(network, (network.layers[0], *(len(b) for b in biases)), run, config)
    _sort_classes(network, weights, biases, form)
    if not scaled:
        _fold(network, weights, biases, config, form)
    return _quantised(prepared, weights, biases)


def _split_logistic(
    weights: list[Reals], biases: list[Reals], config: ModelConfig, form: DataForm
) -> None:
    """Turn one logistic output into the two of a softmax, where the run has two."""
    if len(biases[-1]) == 1 and config.outputs == 2 and form.target.kind == CLASSES:
        weights[-1] = np.vstack([-weights[-1] / 2, weights[-1] / 2])
        biases[-1] = np.hstack([-biases[-1] / 2, biases[-1] / 2])


def _check(
    network: FloatNetwork, layers: tuple[int, ...], run: RunFile, config: ModelConfig
) -> None:
    if layers != config.layers:
        raise DataError(
            f"{run.where('model', 'layers')}: {network.name} has the layers "
            f"{'-'.join(map(str, layers))}, the run {'-'.join(map(str, config.layers))}; type "
            f"layers = [{', '.join(map(str, layers))}]"
        )
    ours = tuple(activation.name.lower() for activation in config.activations)
    if network.activations is not None and network.activations != ours:
        given = ", ".join(f'"{a}"' for a in network.activations)
        raise DataError(
            f"{run.where('model', 'activation')}: {network.name} has other activations than the "
            f"run; type activation = [{given}]"
        )


def _sort_classes(
    network: FloatNetwork, weights: list[Reals], biases: list[Reals], form: DataForm
) -> None:
    """Bring the outputs into the run's order of classes, where both have the same names."""
    names = form.class_names
    if network.classes is None or not form.target.is_classes or set(network.classes) != set(names):
        return
    order = [network.classes.index(name) for name in names]
    if len(biases[-1]) == len(names):
        weights[-1], biases[-1] = weights[-1][order], biases[-1][order]
    elif order == [1, 0]:
        weights[-1], biases[-1] = -weights[-1], -biases[-1]


def _fold(
    network: FloatNetwork, weights: list[Reals], biases: list[Reals], config: ModelConfig,
    form: DataForm,
) -> None:
    """Let the first layer take the run's inputs v, and the last one give its scaled outputs.

    x = v / f + o with the run's offset o and factor f; the network reads (x - o') f'.
    """
    ours = np.ldexp(np.array(form.scaling.factor), form.scaling.exponent)
    first = weights[0] * network.factor
    biases[0] = biases[0] + first @ (np.array(form.scaling.offset) - network.offset)
    weights[0] = np.divide(first, ours, out=np.zeros_like(first), where=ours != 0)
    if form.target.kind == VALUES and config.loss == Loss.SQUARED_ERROR:
        factor = np.array(form.target.factor)
        weights[-1] = weights[-1] * factor[:, np.newaxis]
        biases[-1] = (biases[-1] - np.array(form.target.offset)) * factor


def _quantised(prepared: PreparedRun, weights: list[Reals], biases: list[Reals]) -> Imported:
    config, scaling = prepared.config, prepared.scaling
    real = FloatMLP.like(config, weights, biases)
    unit = 2.0**scaling.exponent
    seen = real.forward(prepared.train.features * unit)[1:-1]
    exponents = [
        _exponent(config, index, float(np.abs(a).max(initial=0)))
        for index, a in enumerate(seen, 1)
    ]
    rooms = [r.headroom for r in ranges(config, weights, "file", prepared.run.model.headroom)]
    state = initial_state(
        config, weights, prepared.run.seed, scaling.exponent, rooms, biases, exponents
    )
    stored, _ = real_parameters(state)
    errors = [
        _error(w, s, e) for w, s, e in zip(weights, stored, state.weight_exponent, strict=True)
    ]
    network = Network(config, state, prepared.form)
    reference = Reference(config, state)
    features = prepared.test.features
    after = network.outputs(Inference(reference.predict(features), reference.logits(features)))
    before = _float_outputs(prepared, real, features * unit)
    target = prepared.form.target
    same = None
    if after.classes is not None and before.classes is not None:
        same = int(np.count_nonzero(after.classes == before.classes))
    return Imported(
        weights, biases, exponents, errors,
        _numbers(measure(target, before, prepared.test_targets)),
        _numbers(measure(target, after, prepared.test_targets)),
        same, len(features),
    )


def _exponent(config: ModelConfig, index: int, most: float) -> int:
    """Return the smallest eX[index] that holds an activation, or the fixed one."""
    activation, bits = config.activations[index - 1], config.activation_bits[index - 1]
    if activation not in _RECTIFIED:
        return int(activation == Activation.SIGN) - bits
    limit = config.activation_max[index]
    low = LIMITS["ACTIVATION_EXPONENT_MIN"]
    return 0 if most == 0 else max(low, min(0, math.ceil(math.log2(most / limit))))


def _error(weights: Reals, stored: Reals, exponent: int) -> LayerError:
    apart = np.abs(weights - stored)
    rms, size = float(np.sqrt((apart**2).mean())), float(np.sqrt((weights**2).mean()))
    return LayerError(2.0**exponent, float(apart.max()), rms, rms / size if size else 0.0)


def _float_outputs(prepared: PreparedRun, real: FloatMLP, inputs: NDArray[np.floating]) -> Outputs:
    """Interpret the outputs of a network of real numbers."""
    loss = prepared.config.loss
    predicted = np.asarray(real.predict(inputs), np.float64).reshape(len(inputs), -1)
    if loss == Loss.SQUARED_ERROR:
        predicted = predicted * 65536
    logits = np.asarray(real.forward(inputs)[-1], np.float64)
    return read_outputs(prepared.form.target, loss, predicted, logits, 0)


def _numbers(metrics: dict[str, object]) -> dict[str, float]:
    return {key: value for key, value in metrics.items() if isinstance(value, float)}
