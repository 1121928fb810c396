"""Rounding, scaling, bit length and random numbers against their definitions over integers."""

import numpy as np
import pytest
from core_library import address, library
from numpy.typing import NDArray

Int64s = NDArray[np.int64]
ALL16 = np.arange(-(2**15), 2**15, dtype=np.int64)
# The same 2^16 values at the top of int32, and the ends of the range.
HIGH = np.concatenate(
    [ALL16 << 16, (ALL16 << 16) | 0x7FFF, np.array([2**31 - 2, 2**31 - 1, -(2**31)])]
)


def _call(name: str, values: Int64s, *arguments: int) -> Int64s:
    v = np.ascontiguousarray(values, np.int32)
    out = np.zeros_like(v)
    getattr(library(), name)(address(v), v.size, *arguments, address(out))
    return out.astype(np.int64)


def _half_up(v: Int64s, s: int) -> Int64s:
    """floor(v / 2^s + 1/2) in 64 bits; s <= 30."""
    return np.asarray((2 * v + 2**s) // 2 ** (s + 1))


@pytest.mark.parametrize("s", range(41))
def test_round_is_half_up(s: int) -> None:
    values = np.concatenate([ALL16, HIGH])
    if s == 1:
        values = values[values < 2**31 - 1]  # RN's range: see NUMERICS section 1
    expected = _half_up(values, s) if s < 32 else np.zeros_like(values)
    np.testing.assert_array_equal(_call("runner_round", values, s), expected)


@pytest.mark.parametrize("limit", [1, 127, 32767, 2**26, 2**28, 2**31 - 1])
@pytest.mark.parametrize("s", range(-40, 41))
def test_scale_rounds_multiplies_and_clamps(s: int, limit: int) -> None:
    values = np.concatenate([ALL16, HIGH])
    if s == 1:
        values = values[values < 2**31 - 1]
    if s < 0:
        exact = np.sign(values) * np.minimum(np.abs(values) * 2.0**-s, 2.0**40)
        expected = np.clip(exact, -limit, limit).astype(np.int64)
    else:
        rounded = _half_up(values, s) if s < 32 else np.zeros_like(values)
        expected = np.clip(rounded, -limit, limit)
    np.testing.assert_array_equal(_call("runner_scale", values, s, limit), expected)


@pytest.mark.parametrize("s", range(32))
def test_floor_is_floor_division(s: int) -> None:
    values = np.concatenate([ALL16, HIGH])
    np.testing.assert_array_equal(_call("runner_floor", values, s), values // 2**s)


def test_bits_is_the_bit_length() -> None:
    values = [0, *(2**k + d for k in range(32) for d in (-1, 0, 1) if 0 <= 2**k + d < 2**32)]
    u = np.array(values, np.uint32)
    out = np.zeros(u.size, np.int32)
    library().runner_bits(address(u), u.size, address(out))
    assert out.tolist() == [value.bit_length() for value in values]


def test_draws_follow_the_recurrence() -> None:
    out = np.zeros(1000, np.uint32)
    library().runner_draws(12345, out.size, address(out))
    state = 12345
    for value in out.tolist():
        state = (state * 1664525 + 1013904223) % 2**32
        assert value == state


@pytest.mark.parametrize("draws", [0, 1, 2, 3, 255, 256, 784, 78400, 2**31, 2**32 - 1])
def test_jump_ahead_equals_that_many_draws(draws: int) -> None:
    """k draws are the affine map to the k-th power: S * a^k + c * (1 + a + ... + a^(k-1))."""
    a, c, modulus = 1664525, 1013904223, 2**32
    power = pow(a, draws, modulus * (a - 1))
    expected = (987654321 * power + c * ((power - 1) // (a - 1))) % modulus
    assert library().runner_ahead(987654321, draws) == expected


@pytest.mark.parametrize("samples", [1, 2, 3, 17, 1000])
def test_order_visits_every_sample_once(samples: int) -> None:
    out = np.zeros(samples, np.uint32)
    library().runner_order(samples, 5, 99, address(out))
    assert sorted(out.tolist()) == list(range(samples))
