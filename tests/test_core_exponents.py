"""Adaptive exponents at their limits (NUMERICS section 7, item 2), one step each."""

from __future__ import annotations

import numpy as np
import pytest
from core_library import CoreModel
from small_models import SMALL, small_state

BIAS_MAX = 2**28


def _step(activation: int, exponent: int, low: int, bias: int) -> tuple[int, int, int]:
    """Train a step too small to change a parameter; all hidden values are `activation`.

    Returns:
        Exponent and `low` of the hidden row, and the first bias that reads it.
    """
    state = small_state(SMALL)
    state.weights = [np.zeros_like(w) for w in state.weights]
    state.biases = [np.full(4, activation, np.int32), np.array([bias, 0, 0], np.int32)]
    state.weight_exponent[0] = exponent + 8
    state.activation_exponent = [-8, exponent]
    state.low = [low]
    core = CoreModel(SMALL)
    assert core.load(state) == 0
    core.step(np.zeros((1, 5), np.uint8), np.zeros(1, np.int32), 1, -64)
    after = core.state()
    return after.activation_exponent[1], after.low[0], int(after.biases[1][0])


# A = 255, so a quarter is 63.
@pytest.mark.parametrize(
    ("activation", "exponent", "low", "bias", "expected"),
    [
        pytest.param(63, -13, 255, 10, (-14, 0, 20), id="falls after 256 quiet steps"),
        pytest.param(63, -13, 254, 10, (-13, 255, 10), id="waits"),
        pytest.param(63, -14, 255, 10, (-14, 0, 10), id="stops at -14"),
        pytest.param(63, -15, 255, 10, (-15, 0, 10), id="stays at -15"),
        pytest.param(64, -13, 255, 10, (-13, 0, 10), id="is not quiet"),
        pytest.param(0, -13, 255, 10, (-13, 0, 10), id="is dead"),
        pytest.param(1, -5, 255, BIAS_MAX // 2, (-6, 0, BIAS_MAX), id="bias just fits"),
        pytest.param(
            1, -5, 255, BIAS_MAX // 2 + 1, (-5, 0, BIAS_MAX // 2 + 1), id="bias would not fit"
        ),
        pytest.param(255, -3, 7, 11, (-3, 0, 11), id="full is not too much"),
        pytest.param(256, -3, 7, 11, (-2, 0, 6), id="rises and rounds the bias"),
        pytest.param(256, 0, 7, 11, (0, 0, 11), id="stops at 0"),
    ],
)
def test_exponent_follows_the_largest_activation(
    activation: int, exponent: int, low: int, bias: int, expected: tuple[int, int, int]
) -> None:
    assert _step(activation, exponent, low, bias) == expected
