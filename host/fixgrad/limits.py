"""Ranges of NUMERICS section 2 for what enters the reference: state, samples, learning rate."""

import numpy as np
from numpy.typing import NDArray

from fixgrad.errors import DataError, ModelError
from fixgrad.model import ModelConfig, State
from fixgrad.protocol import LIMITS, Loss

VELOCITY_MAX = 32767
BIAS_VELOCITY_MAX = 2**22
LOW_LIMIT = 256
"""Batches of small activations after which an exponent falls (section 7 item 2)."""


def check_batch(config: ModelConfig, size: int, lr_mantissa: int, lr_exponent: int) -> None:
    """Check a batch's size and learning-rate pair.

    Raises:
        DataError: one of them is out of range.
    """
    for name, value, low, high in (
        ("batch size", size, 1, config.batch),
        ("learning rate mantissa", lr_mantissa, 1, LIMITS["LR_MANTISSA_MAX"]),
        ("learning rate exponent", lr_exponent, LIMITS["LR_EXPONENT_MIN"],
         LIMITS["LR_EXPONENT_MAX"]),
    ):
        if not low <= value <= high:
            raise DataError(f"{name} is {value}; it must be {low} to {high}")


def checked_features(
    config: ModelConfig, features: NDArray[np.integer]
) -> NDArray[np.int64]:
    """Return features [N, n[0]] widened to int64.

    Raises:
        DataError: another shape, or a magnitude above A[0].
    """
    x = np.asarray(features).astype(np.int64)
    if x.ndim != 2 or x.shape[1] != config.layers[0]:
        raise DataError(f"features of shape {x.shape}; the model needs (N, {config.layers[0]})")
    limit = config.input_max
    if x.size and (x.max() > limit or x.min() < -limit):
        raise DataError(f"a feature lies outside -{limit} to {limit}")
    return x


def checked_targets(
    config: ModelConfig, targets: NDArray[np.integer], count: int
) -> NDArray[np.int64]:
    """Return the targets of `count` samples widened to int64.

    Raises:
        DataError: another shape, or a value outside the range of the model's loss.
    """
    y = np.asarray(targets).astype(np.int64)
    low, high = {
        Loss.SOFTMAX_CROSS_ENTROPY: (0, config.outputs - 1),
        Loss.SQUARED_ERROR: (-LIMITS["TARGET_MAX"], LIMITS["TARGET_MAX"]),
    }.get(config.loss, (0, LIMITS["SIGMOID_TARGET_MAX"]))
    classes = config.loss == Loss.SOFTMAX_CROSS_ENTROPY
    shape: tuple[int, ...] = (count,) if classes else (count, config.outputs)
    if y.shape != shape:
        raise DataError(f"targets of shape {y.shape}; the model needs {shape}")
    if y.size and (y.max() > high or y.min() < low):
        raise DataError(f"a target lies outside {low} to {high}")
    return y


def check_state(config: ModelConfig, state: State) -> None:
    """Check shapes, types and ranges of a state.

    Raises:
        ModelError: the first violation, with its place.
    """
    count, momentum = config.layer_count, bool(config.momentum)
    lengths = {
        "weights": (len(state.weights), count),
        "biases": (len(state.biases), count),
        "velocities": (len(state.velocities), count * momentum),
        "bias_velocities": (len(state.bias_velocities), count * momentum),
        "weight_exponent": (len(state.weight_exponent), count),
        "activation_exponent": (len(state.activation_exponent), count),
        "low": (len(state.low), count - 1),
    }
    for name, (length, expected) in lengths.items():
        if length != expected:
            raise ModelError(f"the state has {length} {name}, the model needs {expected}")
    for name, layer, tensor in state.tensors():
        _check_tensor(config, name, layer, tensor)
    e_w = (LIMITS["WEIGHT_EXPONENT_MIN"], LIMITS["WEIGHT_EXPONENT_MAX"])
    lowest = LIMITS["ACTIVATION_EXPONENT_MIN"]
    _check_range("weight_exponent", state.weight_exponent, *e_w)
    _check_range("activation_exponent", state.activation_exponent[:1], lowest,
                 LIMITS["INPUT_EXPONENT_MAX"])
    _check_range("activation_exponent", state.activation_exponent[1:], lowest, 0)
    _check_range("low", state.low, 0, LOW_LIMIT - 1)
    _check_range("prng and step", [state.prng, state.step], 0, 2**32 - 1)


def _check_tensor(
    config: ModelConfig, name: str, layer: int, tensor: NDArray[np.int16] | NDArray[np.int32]
) -> None:
    shape: tuple[int, ...] = (config.layers[layer + 1], config.layers[layer])
    weight_max = 2 ** config.weight_bits[layer] - 1
    dtype, low, high = {
        "weights": (np.int16, -weight_max - 1, weight_max),
        "bias": (np.int32, -LIMITS["BIAS_MAX"], LIMITS["BIAS_MAX"]),
        "velocity": (np.int16, -VELOCITY_MAX, VELOCITY_MAX),
        "bias_velocity": (np.int32, -BIAS_VELOCITY_MAX, BIAS_VELOCITY_MAX),
    }[name]
    if name.startswith("bias"):
        shape = shape[:1]
    if tensor.shape != shape or tensor.dtype != dtype:
        raise ModelError(
            f"{name} of layer {layer} is {tensor.dtype} {tensor.shape}; "
            f"the model needs {np.dtype(dtype)} {shape}"
        )
    if int(tensor.min()) < low or int(tensor.max()) > high:
        raise ModelError(f"a value in {name} of layer {layer} lies outside {low} to {high}")


def _check_range(name: str, values: list[int], low: int, high: int) -> None:
    for value in values:
        if not low <= value <= high:
            raise ModelError(f"{name} of the state is {value}; it must be {low} to {high}")
