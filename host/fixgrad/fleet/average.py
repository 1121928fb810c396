"""The weighted mean of trained states (NUMERICS section 11): whole numbers, in any order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fixgrad.functions import mix32_word
from fixgrad.limits import BIAS_VELOCITY_MAX, VELOCITY_MAX
from fixgrad.model import ModelConfig, State
from fixgrad.protocol import LIMITS

Ints = NDArray[np.int64]


def average(config: ModelConfig, states: Sequence[State], weights: Sequence[int]) -> State:
    """Return the mean of states, at step 0.

    Args:
        config: the model they share.
        states: one or more.
        weights: of each; positive.

    Raises:
        ValueError: no states, a weight below 1, or weights whose sum reaches 2**24.
    """
    if not states or len(states) != len(weights) or min(weights) < 1 or sum(weights) >= 2**24:
        raise ValueError("an average needs states with weights from 1 on that sum to below 2**24")
    weight_exponent = [max(s.weight_exponent[k] for s in states) for k in _layers(states)]
    activation_exponent = [max(s.activation_exponent[k] for s in states) for k in _layers(states)]

    def mean(name: str, layer: int, biased: bool, low: int, high: int) -> Ints:
        return _mean(
            [getattr(s, name)[layer] for s in states],
            [s.weight_exponent[layer] + biased * s.activation_exponent[layer] for s in states],
            weights,
            weight_exponent[layer] + biased * activation_exponent[layer],
            (low, high),
        )

    momentum = bool(states[0].velocities)
    bias_max = LIMITS["BIAS_MAX"]
    bits = config.weight_bits
    return State(
        [mean("weights", k, False, -(2 ** bits[k]), 2 ** bits[k] - 1).astype(np.int16)
         for k in _layers(states)],
        [mean("biases", k, True, -bias_max, bias_max).astype(np.int32) for k in _layers(states)],
        [mean("velocities", k, False, -VELOCITY_MAX, VELOCITY_MAX).astype(np.int16)
         for k in _layers(states) if momentum],
        [mean("bias_velocities", k, True, -BIAS_VELOCITY_MAX, BIAS_VELOCITY_MAX).astype(np.int32)
         for k in _layers(states) if momentum],
        weight_exponent,
        activation_exponent,
        [0] * len(states[0].low),
        mix32_word(sum(s.prng for s in states)),
        0,
    )  # fmt: skip


def _layers(states: Sequence[State]) -> range:
    return range(len(states[0].weights))


def _mean(
    tensors: Sequence[NDArray[np.integer]],
    exponents: Sequence[int],
    weights: Sequence[int],
    exponent: int,
    limits: tuple[int, int],
) -> Ints:
    """Return floor(sum / (N·2**(exponent − least)) + 1/2), clamped.

    The sum is in units of the least exponent. |2·sum| ≤ 2 · 2**24 · 2**28 · 2**spread: inside
    int64 up to a spread of 9; beyond, whole numbers of any length take over.
    """
    least = min(exponents)
    spread = exponent - least
    dtype: type = np.int64 if spread <= 9 else object
    total: Any = 0
    for tensor, weight, unit in zip(tensors, weights, exponents, strict=True):
        total = total + tensor.astype(dtype) * (weight << (unit - least))
    divisor = sum(weights) << spread
    rounded: Ints = np.clip((2 * total + divisor) // (2 * divisor), *limits).astype(np.int64)
    return rounded
