"""Gradients recovered from the device's own steps, against integers and against real numbers.

A step with a learning rate chosen for one layer moves that layer's weights by up to thousands of
units, so the movement is the gradient. It is compared three times:

- with the integer reference: every value of the state must be equal;
- with central differences of the float64 loss: how far fixed point is from the mathematics;
- with a float64 model that rounds where the arithmetic rounds: what of that distance rounding
  explains. The rest is a bug.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fixgrad.device import Device
from fixgrad.float_model import FloatMLP, activate, derivative, loss_gradient, straight_through
from fixgrad.model import ModelConfig, State
from fixgrad.protocol import LIMITS, Activation, Loss
from fixgrad.quantize import learning_rate_pair, real_parameters, real_samples
from fixgrad.reference import Reference
from fixgrad.stream import ListedSchedule, Samples, SampleStream
from fixgrad.validation import compare_states

Reals = NDArray[np.float64]

ELEMENTS_MAX = 400
"""Central differences a tensor; of larger tensors so many elements are drawn."""

EPSILON = 1e-6
MOVE = 4096
"""Units that the weight with the largest gradient moves by."""

UNEXPLAINED_MAX = 0.01
"""Share of a gradient that rounding in tables and exponentials may leave unexplained."""

ELEMENT_MAX = 0.02
"""The same for a single element, as a share of the tensor's largest."""

ANALYTIC_MAX = 1e-3
"""Largest relative distance of backpropagation in float64 from central differences."""

_RUN_ID = 0x6ADC4EC2
_RECTIFIED = (Activation.RELU, Activation.LEAKY)
_ERROR_GRID = {
    Loss.SOFTMAX_CROSS_ENTROPY: 2.0**-15,
    Loss.SQUARED_ERROR: 2.0**-16,
    Loss.SIGMOID_BINARY_CROSS_ENTROPY: 2.0**-15,
    Loss.SIGMOID_SQUARED_ERROR: 2.0**-30,
}


@dataclass(frozen=True)
class TensorCheck:
    """One tensor of one layer. Distances are norms relative to the gradient's own.

    Attributes:
        layer: index of the layer.
        tensor: "weights" or "bias".
        compared: elements compared with central differences.
        differing: values in which the device's state differs from the integer reference's.
        distance: device from central differences (below a sign: from straight-through gradients).
        quantisation: what rounding explains of it.
        unexplained: device from the model that rounds.
        worst: the element that is explained worst.
        worst_share: its unexplained part, relative to the largest element.
        analytic: backpropagation in float64 from central differences; None below a sign.
        fault: what is wrong; empty if nothing is.
    """

    layer: int
    tensor: str
    compared: int
    differing: int
    distance: float
    quantisation: float
    unexplained: float
    worst: tuple[int, ...]
    worst_share: float
    analytic: float | None
    fault: str


def gradcheck(
    device: Device, config: ModelConfig, initial: State, samples: Samples
) -> Iterator[TensorCheck]:
    """Check the gradients of every layer on one batch.

    Momentum, weight decay, clipping, widening and adaptive exponents are left out: they change what
    a gradient does, not what it is.

    Args:
        device: the device; whatever it holds is replaced.
        config: the model.
        initial: the state at which gradients are taken.
        samples: at most config.batch samples.

    Yields:
        Weights and bias of every layer, layer 0 first.

    Raises:
        LinkError: the device stopped answering.
    """
    config = dataclasses.replace(
        config, momentum=0, decay_every=0, widen=False, clip_exponent=None, adaptive=False,
        frozen=0,
    )
    state = _calibrated(config, initial, samples)
    exact = _model(config, state)
    x, y = real_samples(config, state, samples)
    gradients = exact.gradients(x, y)
    for layer in range(config.layer_count):
        most = float(np.abs(gradients[0][layer]).max())
        pair = _rate_for(config, state, layer, most)
        after = _step(device, config, state, samples, pair)
        reference = Reference(config, state)
        reference.step(samples.features, samples.targets, *pair)
        difference = compare_states(after, reference.state, 1)
        rounded = rounded_gradients(config, state, x, y, layer, pair)
        rate = pair[0] * 2.0 ** pair[1]
        for kind, tensor in enumerate(("weights", "bias")):
            unit = 2.0 ** state.weight_exponent[layer]
            before, then = state.weights[layer], after.weights[layer]
            if tensor == "bias":
                unit *= 2.0 ** state.activation_exponent[layer]
                before, then = state.biases[layer], after.biases[layer]  # type: ignore[assignment]
            recovered = (before.astype(np.float64) - then.astype(np.float64)) * unit / rate
            yield _check(
                layer, tensor, 0 if difference is None else difference.differing,
                recovered, rounded[kind], gradients[kind][layer].astype(np.float64),
                _numeric(config, exact, x, y, layer, kind), unit / rate,
            )


def _check(
    layer: int, tensor: str, differing: int, recovered: Reals, rounded: Reals, analytic: Reals,
    numeric: tuple[NDArray[np.int64], Reals] | None, noise: float,
) -> TensorCheck:
    """Judge one tensor; `noise` is one unit of a parameter as a gradient."""
    flat, smooth = recovered.ravel(), analytic.ravel()
    places = np.arange(flat.size)
    truth, float_error = smooth, None
    if numeric is not None:
        places, truth = numeric
        float_error = _relative(smooth[places] - truth, truth)
    rest = flat - rounded.ravel()
    largest = max(float(np.abs(smooth).max()), noise)
    worst = int(np.abs(rest).argmax())
    norm = max(float(np.linalg.norm(smooth)), noise)
    allowed = UNEXPLAINED_MAX + noise * np.sqrt(flat.size) / norm
    unexplained = float(np.linalg.norm(rest)) / norm
    worst_share = float(np.abs(rest[worst])) / largest
    fault = ""
    if differing:
        fault = f"{differing} values differ from the integer reference"
    elif float_error is not None and float_error > ANALYTIC_MAX:
        fault = "the formula is not the derivative of the loss"
    elif unexplained > allowed or worst_share > ELEMENT_MAX + 2 * noise / largest:
        fault = "rounding does not explain the distance"
    return TensorCheck(
        layer, tensor, len(places), differing,
        _relative(flat[places] - truth, truth),
        _relative(rounded.ravel()[places] - truth, truth),
        unexplained, tuple(int(i) for i in np.unravel_index(worst, recovered.shape)), worst_share,
        float_error, fault,
    )


def _relative(difference: Reals, truth: Reals) -> float:
    norm = float(np.linalg.norm(truth))
    return float(np.linalg.norm(difference)) / norm if norm else float(np.linalg.norm(difference))


def _model(config: ModelConfig, state: State) -> FloatMLP:
    return FloatMLP.like(config, *real_parameters(state))


def _calibrated(config: ModelConfig, initial: State, samples: Samples) -> State:
    """Return the state with the finest exponents in which the batch's activations fit."""
    state = initial.copy()
    state.velocities, state.bias_velocities = [], []
    model = _model(config, state)
    x, _ = real_samples(config, state, samples)
    values = model.forward(x)
    for index, activation in enumerate(config.activations, 1):
        most = float(np.abs(values[index]).max())
        if activation not in _RECTIFIED or most == 0:
            continue
        exponent = int(np.ceil(np.log2(most / config.activation_max[index])))
        exponent = min(0, max(LIMITS["ACTIVATION_EXPONENT_MIN"], exponent))
        shift = state.activation_exponent[index] - exponent
        bias = np.rint(np.ldexp(state.biases[index].astype(np.float64), shift))
        limit = LIMITS["BIAS_MAX"]
        state.biases[index] = np.clip(bias, -limit, limit).astype(np.int32)
        state.activation_exponent[index] = exponent
    return state


def _rate_for(
    config: ModelConfig, state: State, layer: int, most: float
) -> tuple[int, int]:
    """Return the pair with which the largest gradient of a layer moves its weight by MOVE."""
    room = 2 ** config.weight_bits[layer] - 1 - int(np.abs(state.weights[layer]).max())
    units = max(1, min(MOVE, room // 2))
    wanted = units * 2.0 ** state.weight_exponent[layer] / most if most > 0 else 1.0
    low = 2.0 ** (LIMITS["LR_EXPONENT_MIN"] + 8)
    return learning_rate_pair(min(max(wanted, low), 2.0 ** LIMITS["LR_EXPONENT_MAX"]), 1)


def _step(
    device: Device, config: ModelConfig, state: State, samples: Samples, pair: tuple[int, int]
) -> State:
    """Return the device's state after one step."""
    stream = SampleStream(ListedSchedule([len(samples)], [pair]), samples.wire(config))
    device.load(config, state, _RUN_ID, 0)
    for _ in device.train(stream, 0, stream.end):
        pass
    return device.read_state(config)[0]


def _numeric(
    config: ModelConfig, model: FloatMLP, x: Reals, y: NDArray[np.generic], layer: int, kind: int
) -> tuple[NDArray[np.int64], Reals] | None:
    """Return central differences of a tensor and the places they were taken at; None below a sign.

    Source:
        Press et al., Numerical Recipes, section 5.7.
    """
    if Activation.SIGN in config.activations[layer:]:
        return None
    tensor = (model.weights, model.biases)[kind][layer]
    flat = tensor.reshape(-1)
    places = np.arange(flat.size)
    if flat.size > ELEMENTS_MAX:
        generator = np.random.Generator(np.random.PCG64(layer))
        places = np.sort(generator.choice(flat.size, ELEMENTS_MAX, replace=False))
    result = np.empty(len(places))
    for at, place in enumerate(places):
        kept = flat[place]
        flat[place] = kept + EPSILON
        above = model.loss(x, y)
        flat[place] = kept - EPSILON
        result[at] = (above - model.loss(x, y)) / (2 * EPSILON)
        flat[place] = kept
    return places, result


def rounded_gradients(
    config: ModelConfig,
    state: State,
    x: Reals,
    y: NDArray[np.generic],
    layer: int,
    pair: tuple[int, int],
) -> tuple[Reals, Reals]:
    """Return a layer's gradients in float64, rounded where the arithmetic rounds (NUMERICS 3-6).

    Args:
        config: the model.
        state: the state.
        x: features [b, n0], real.
        y: targets.
        layer: the layer.
        pair: learning rate of the step.

    Returns:
        Gradients of the batch's summed loss, shaped like weights and bias.
    """
    model = _model(config, state)
    inputs, sums = [x], []
    for index in range(config.layer_count):
        z = inputs[-1] @ model.weights[index].T + model.biases[index]
        sums.append(z)
        if index < config.layer_count - 1:
            inputs.append(_rounded_activation(config, state, index, z))
    error = loss_gradient(config.loss, sums[-1], y)
    grid = np.full((len(x), 1), _ERROR_GRID[config.loss])
    delta, grid = _normalised(np.rint(error / grid) * grid, grid, config.delta_bits[-1])
    for index in range(config.layer_count - 1, layer, -1):
        e = delta @ model.weights[index]
        grid = grid * 2.0 ** state.weight_exponent[index]
        activation, a = config.activations[index - 1], inputs[index]
        if activation == Activation.SIGN:
            e = e * straight_through(sums[index - 1])
        elif activation in _RECTIFIED:
            e = e * derivative(activation, a)
        else:
            slope = np.rint(derivative(activation, a) * 32768) / 32768
            e, grid = _normalised(e, grid, 15)
            e, grid = e * slope, grid / 32768
        delta, grid = _normalised(e, grid, config.delta_bits[index - 1])
    delta = _rounded_update(config, state, layer, delta, pair)
    return delta.T @ inputs[layer], delta.sum(axis=0)


def _rounded_activation(config: ModelConfig, state: State, index: int, z: Reals) -> Reals:
    activation, limit = config.activations[index], config.activation_max[index + 1]
    if activation == Activation.SIGN:
        return activate(activation, z)  # type: ignore[return-value]
    unit = 2.0 ** state.activation_exponent[index + 1]
    if activation not in _RECTIFIED:
        z = np.clip(np.rint(z * 2048), -32767, 32767) / 2048
        unit = 2.0 ** -config.activation_bits[index]
    rounded: Reals = np.clip(np.rint(activate(activation, z) / unit), -limit, limit) * unit
    return rounded


def _normalised(e: Reals, grid: Reals, bits: int) -> tuple[Reals, Reals]:
    """Round each row to so many bits, never finer than its grid."""
    most = np.abs(e).max(axis=1, keepdims=True)
    length = np.frexp(most / grid)[1]
    coarse = grid * 2.0 ** np.maximum(0, length - bits)
    return np.rint(e / coarse) * coarse, coarse


def _rounded_update(
    config: ModelConfig, state: State, layer: int, delta: Reals, pair: tuple[int, int]
) -> Reals:
    """Round delta as section 6 items 1 and 2 do, times the learning rate."""
    rate = pair[0] * 2.0 ** pair[1]
    most = np.abs(delta * rate).max()
    unit = state.weight_exponent[layer] - state.activation_exponent[layer]
    exponent = int(np.frexp(most)[1]) - config.update_bits if most > 0 else unit - 24
    exponent = min(max(exponent, unit - 24), unit - 1)
    grid = 2.0**exponent
    rounded: Reals = np.rint(delta * rate / grid) * grid / rate
    return rounded
