"""From real numbers to a model's initial state (NUMERICS sections 2 and 6)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fixgrad.errors import ModelError
from fixgrad.functions import GOLDEN, mix32_word
from fixgrad.model import ModelConfig, State
from fixgrad.protocol import LIMITS, Activation, Loss
from fixgrad.stream import Samples

INITIALISATIONS = ("he", "glorot", "lecun", "uniform", "normal", "zeros")
RECTIFIED_EXPONENT = -4
"""Initial exponent of ReLU and leaky activations; adaptive exponents move it."""


def initial_weights(
    layers: Sequence[int], seed: int, method: str = "he"
) -> list[NDArray[np.float64]]:
    """Draw initial weights from the run's seed, layer by layer.

    Args:
        layers: widths n[0..L].
        seed: seed of the run, 0..2**64-1.
        method: "he": normal, variance 2/n_in; "glorot": uniform, variance 2/(n_in+n_out);
            "lecun": normal, variance 1/n_in; "uniform": within +-1/sqrt(n_in); "normal": variance
            1; "zeros".

    Returns:
        One float64 [n_out, n_in] per layer.

    Raises:
        ModelError: no such method.

    Source:
        He et al. 2015 (equation 10); Glorot and Bengio 2010 (equation 16); LeCun et al. 1998,
        "Efficient BackProp" (equation 16).
    """
    if method not in INITIALISATIONS:
        raise ModelError(
            f"no initialisation {method!r}; choose one of {', '.join(INITIALISATIONS)}"
        )
    generator = np.random.Generator(np.random.PCG64(seed))
    weights = []
    for n_in, n_out in zip(layers, layers[1:], strict=False):
        shape = (n_out, n_in)
        if method == "zeros":
            weights.append(np.zeros(shape))
        elif method in ("he", "lecun", "normal"):
            variance = {"he": 2 / n_in, "lecun": 1 / n_in, "normal": 1.0}[method]
            weights.append(generator.standard_normal(shape) * math.sqrt(variance))
        else:
            bound = math.sqrt(6 / (n_in + n_out)) if method == "glorot" else 1 / math.sqrt(n_in)
            weights.append(generator.uniform(-bound, bound, shape))
    return weights


def weight_exponent(weights: NDArray[np.float64], bits: int, headroom: float = 4.0) -> int:
    """Return eW, the smallest exponent with headroom * max|W| <= 2**(bits + eW); section 2.

    Args:
        weights: initial weights of one layer.
        bits: wb of the layer.
        headroom: how far beyond the largest initial weight the weights may grow.

    Raises:
        ModelError: a weight is not finite, the headroom not positive, or eW out of its range.
    """
    most = float(np.abs(weights).max())
    if not (math.isfinite(headroom) and headroom > 0):
        raise ModelError(f"headroom is {headroom}; it must be a positive number")
    if not math.isfinite(headroom * most):
        raise ModelError(f"an initial weight is {most:g}; it must be a finite number")
    exponent = _ceil_log2(headroom * most) - bits if most > 0 else -bits
    low, high = LIMITS["WEIGHT_EXPONENT_MIN"], LIMITS["WEIGHT_EXPONENT_MAX"]
    if not low <= exponent <= high:
        raise ModelError(
            f"weights up to {most:g} with headroom {headroom:g} need the weight exponent "
            f"{exponent}; it must be {low} to {high}"
        )
    return exponent


def quantize_weights(
    weights: NDArray[np.float64], exponent: int, bits: int
) -> NDArray[np.int16]:
    """Return clamp(rint(W * 2**-exponent), +-(2**bits - 1)); ties to even."""
    limit = 2**bits - 1
    return np.clip(np.rint(np.ldexp(weights, -exponent)), -limit, limit).astype(np.int16)


def quantize_bias(bias: NDArray[np.float64], exponent: int) -> NDArray[np.int32]:
    """Return clamp(rint(b * 2**-exponent), +-BMAX); exponent = eW + eX, ties to even.

    Raises:
        ModelError: a bias is not finite.
    """
    if not np.isfinite(bias).all():
        raise ModelError("an initial bias is not a finite number")
    limit = LIMITS["BIAS_MAX"]
    return np.clip(np.rint(np.ldexp(bias, -exponent)), -limit, limit).astype(np.int32)


def hidden_exponents(config: ModelConfig) -> list[int]:
    """Return the initial eX[1..L-1]: -4 (ReLU, leaky), -ab (sigmoid, tanh) or 1-ab (sign)."""
    rectified = (Activation.RELU, Activation.LEAKY)
    return [
        RECTIFIED_EXPONENT
        if activation in rectified
        else int(activation == Activation.SIGN) - bits
        for activation, bits in zip(config.activations, config.activation_bits, strict=True)
    ]


def initial_state(
    config: ModelConfig,
    weights: Sequence[NDArray[np.float64]],
    seed: int,
    input_exponent: int,
    headroom: float | Sequence[float] = 4.0,
    biases: Sequence[NDArray[np.float64]] | None = None,
    rectified_exponents: Sequence[int] | None = None,
) -> State:
    """Return the state before the first step.

    Args:
        config: the model.
        weights: per layer [n_out, n_in].
        seed: seed of the run; its low 32 bits start the rounding generator.
        input_exponent: eX[0], -15..15.
        headroom: see `weight_exponent`; one for all layers, or one each.
        biases: per layer [n_out]; zeros by default.
        rectified_exponents: eX[1..L-1] for ReLU and leaky activations, -15..0; others keep theirs.

    Raises:
        ModelError: shapes do not match, a value is not finite, or an exponent is out of range.
    """
    low, high = LIMITS["ACTIVATION_EXPONENT_MIN"], LIMITS["INPUT_EXPONENT_MAX"]
    if not low <= input_exponent <= high:
        raise ModelError(f"input_exponent is {input_exponent}; it must be {low} to {high}")
    if biases is None:
        biases = [np.zeros(n) for n in config.layers[1:]]
    shapes = [(o, i) for i, o in zip(config.layers, config.layers[1:], strict=False)]
    if [w.shape for w in weights] != shapes or [b.shape for b in biases] != [s[:1] for s in shapes]:
        raise ModelError(f"the initial parameters do not have the shapes {shapes}")
    rooms = (
        [headroom] * len(shapes) if isinstance(headroom, (int, float)) else list(headroom)
    )
    e_x = [input_exponent, *hidden_exponents(config)]
    if rectified_exponents is not None:
        if len(rectified_exponents) != len(e_x) - 1 or not all(
            low <= e <= 0 for e in rectified_exponents
        ):
            raise ModelError(f"hidden exponents {list(rectified_exponents)} do not fit the layers")
        for index, activation in enumerate(config.activations, 1):
            if activation in (Activation.RELU, Activation.LEAKY):
                e_x[index] = rectified_exponents[index - 1]
    e_w = [
        weight_exponent(w, bits, room)
        for w, bits, room in zip(weights, config.weight_bits, rooms, strict=True)
    ]
    quantized = [
        quantize_weights(w, e, bits)
        for w, e, bits in zip(weights, e_w, config.weight_bits, strict=True)
    ]
    momentum = bool(config.momentum)
    return State(
        weights=quantized,
        biases=[quantize_bias(b, w + x) for b, w, x in zip(biases, e_w, e_x, strict=True)],
        velocities=[np.zeros_like(w) for w in quantized] if momentum else [],
        bias_velocities=[np.zeros(len(b), np.int32) for b in biases] if momentum else [],
        weight_exponent=e_w,
        activation_exponent=e_x,
        low=[0] * (config.layer_count - 1),
        prng=mix32_word(seed + GOLDEN),
        step=0,
    )


def real_parameters(
    state: State,
) -> tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]]:
    """Return weights and biases of a state as real numbers (mantissa * 2**exponent)."""
    e_w, e_x = state.weight_exponent, state.activation_exponent
    weights = [np.ldexp(w.astype(np.float64), e) for w, e in zip(state.weights, e_w, strict=True)]
    biases = [
        np.ldexp(b.astype(np.float64), w + x)
        for b, w, x in zip(state.biases, e_w, e_x, strict=True)
    ]
    return weights, biases


def real_samples(
    config: ModelConfig, state: State, samples: Samples
) -> tuple[NDArray[np.float64], NDArray[np.generic]]:
    """Return features and targets as the real numbers that they stand for; classes as they are."""
    x = np.ldexp(samples.features.astype(np.float64), state.activation_exponent[0])
    if config.loss == Loss.SOFTMAX_CROSS_ENTROPY:
        return x, samples.targets
    return x, samples.targets / (65536 if config.loss == Loss.SQUARED_ERROR else 32768)


def learning_rate_pair(learning_rate: float, batch: int) -> tuple[int, int]:
    """Return (lrm, elr) with learning_rate / batch ~ lrm * 2**elr and lrm in 128..256.

    Args:
        learning_rate: positive.
        batch: nominal batch size B.

    Raises:
        ModelError: the rate is not a positive number or elr leaves its range.
    """
    rate = learning_rate / batch
    if not (math.isfinite(rate) and rate > 0):
        raise ModelError(f"learning rate {learning_rate} with batch {batch} is not positive")
    exponent = math.frexp(rate)[1] - 8
    low, high = LIMITS["LR_EXPONENT_MIN"], LIMITS["LR_EXPONENT_MAX"]
    if not low <= exponent <= high:
        raise ModelError(
            f"learning rate {learning_rate:g} with batch {batch} needs the exponent {exponent}; "
            f"it must be {low} to {high}"
        )
    return round(math.ldexp(rate, -exponent)), exponent


def _ceil_log2(value: float) -> int:
    """Return ceil(log2(value)) of a positive number, exactly."""
    mantissa, exponent = math.frexp(value)
    return exponent - 1 if mantissa == 0.5 else exponent
