"""Primitives and tables of docs/NUMERICS.md (sections 1, 3 and 4) on int64 arrays.

Values are widened to int64 first, so nothing here can wrap: every operand fits 33 bits.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

LCG_MULTIPLIER: Final = 1664525
LCG_INCREMENT: Final = 1013904223
GOLDEN: Final = 0x9E3779B9

SIGMOID_TABLE: Final[Ints] = np.array(
    [math.floor(32768 / (1 + math.exp(-i / 16)) + 0.5) for i in range(129)], np.int64
)
"""SG: sigmoid(i / 16) in Q15."""

EXP2_TABLE: Final[Ints] = np.array(
    [65535] + [math.floor(65536 * 2 ** (-i / 64) + 0.5) for i in range(1, 65)], np.int64
)
"""E2: 2 ** (-i / 64) in Q16; the first entry is one below 1 so that it fits 16 bits."""

LOG2_TABLE: Final[Ints] = np.array(
    [math.floor(1024 * math.log2(1 + i / 64) + 0.5) for i in range(65)], np.int64
)
"""LG: log2(1 + i / 64) in Q10."""


def rn(v: Ints, s: Ints | int) -> Ints:
    """Divide by 2**s and round half up: RN of section 1.

    Args:
        v: integers of at most 33 bits.
        s: shifts >= 0, broadcast against `v`; 32 and more give 0.

    Returns:
        The rounded quotients, in the broadcast shape.
    """
    if isinstance(s, int):
        if s == 0:
            return v
        return ((v >> (s - 1)) + 1) >> 1 if s < 32 else np.zeros_like(v)
    rounded = ((v >> np.clip(s - 1, 0, 30)) + 1) >> 1
    return np.where(s == 0, v, np.where(s < 32, rounded, 0))


def rs(v: Ints, s: Ints | int, limit: int) -> Ints:
    """Multiply by 2**-s, rounding and saturating: RS of section 1.

    Args:
        v: integers of at most 33 bits.
        s: shifts of either sign, broadcast against `v`.
        limit: magnitude limit of the result, below 2**31.

    Returns:
        The shifted values within -limit..limit, in the broadcast shape.
    """
    if isinstance(s, int) and s >= 0:
        return np.clip(rn(v, s), -limit, limit)
    k = np.clip(-np.asarray(s, np.int64), 0, 31)
    fits = np.abs(v) <= (limit >> k)
    left = np.where(fits, np.where(fits, v, 0) << k, np.sign(v) * limit)
    if isinstance(s, int):
        return left
    right = np.clip(rn(v, np.maximum(s, 0)), -limit, limit)
    return np.where(s >= 0, right, left)


def blen(u: Ints) -> Ints:
    """Count the bits of each integer, 0..2**53-1; zero has none: blen of section 1."""
    return np.frexp(u.astype(np.float64))[1].astype(np.int64)


def norm(v: Ints, bits: int) -> tuple[Ints, Ints, Ints]:
    """Shift each row right until it fits `bits` bits: NORM of section 1.

    Args:
        v: [batch, n].
        bits: bits of the largest magnitude allowed.

    Returns:
        Mantissas [batch, n], the shift of each row [batch], the largest magnitude of each
        row of mantissas [batch].
    """
    shift = np.maximum(0, blen(np.abs(v).max(axis=1)) - bits)
    limit = 2**bits - 1
    mantissa = np.clip(rn(v, shift[:, None]), -limit, limit)
    return mantissa, shift, np.abs(mantissa).max(axis=1)


def mix32(x: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Mix each 32-bit word: mix32 of section 1."""
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    x = (x ^ (x >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return x ^ (x >> np.uint32(16))


def mix32_word(x: int) -> int:
    """Mix one word, taken modulo 2**32."""
    return int(mix32(np.array([x & 0xFFFFFFFF], np.uint32))[0])


class JumpAhead:
    """The rounding generator, many draws at once: draw k is S * A_k + C_k modulo 2**32."""

    def __init__(self, most: int) -> None:
        """Prepare runs of up to `most` draws."""
        powers = np.cumprod(np.full(most, LCG_MULTIPLIER, np.uint32), dtype=np.uint32)
        self._factor = powers
        ones = np.concatenate((np.ones(1, np.uint32), powers[:-1]))
        self._offset = np.cumsum(ones, dtype=np.uint32) * np.uint32(LCG_INCREMENT)

    def draws(self, state: int, count: int) -> NDArray[np.uint32]:
        """Return the next `count` draws [count]; the last one is the new state."""
        words = self._factor[:count] * np.uint32(state)
        words += self._offset[:count]
        return words


def sigmoid(q: Ints) -> Ints:
    """Evaluate the sigmoid of section 3.

    Args:
        q: Q11, magnitude at most 32767.

    Returns:
        Q15, 0..32768.
    """
    y = _interpolate_sigmoid(np.abs(q))
    return np.where(q < 0, 32768 - y, y)


def tanh(q: Ints) -> Ints:
    """Evaluate the hyperbolic tangent of section 3.

    Args:
        q: Q11, magnitude at most 32767.

    Returns:
        Q15, -32767..32767.
    """
    y = np.minimum(2 * (_interpolate_sigmoid(2 * np.abs(q)) - 16384), 32767)
    return np.where(q < 0, -y, y)


def _interpolate_sigmoid(magnitude: Ints) -> Ints:
    m = np.minimum(magnitude, 16383)
    i, f = m >> 7, m & 127
    low: Ints = SIGMOID_TABLE[i]
    y: Ints = low + (((SIGMOID_TABLE[i + 1] - low) * f + 64) >> 7)
    return y


def softmax(z: Ints, exponent: int) -> tuple[Ints, Ints, Ints]:
    """Evaluate the softmax of section 4.

    Args:
        z: logits [batch, n], mantissas.
        exponent: power of two of one logit unit.

    Returns:
        Probabilities [batch, n] in Q15; u [batch, n], the distance from the largest logit in
        bits, Q10; the sum S [batch] of the exponentials in Q16.
    """
    t = z.max(axis=1, keepdims=True) - z
    s = -10 - exponent
    if s >= 0:
        t = np.minimum(t >> s, 32767) if s < 32 else np.zeros_like(t)
    else:
        k = min(-s, 31)
        fits = t <= 32767 >> k
        t = np.where(fits, np.where(fits, t, 0) << k, 32767)
    u = (t * 23637) >> 14
    n, i, g = u >> 10, (u & 1023) >> 4, u & 15
    high = EXP2_TABLE[i]
    interpolated = high - (((high - EXP2_TABLE[i + 1]) * g + 8) >> 4)
    ex = np.where(n > 16, 0, interpolated >> np.minimum(n, 16))
    total = ex.sum(axis=1)
    p = ((ex << 15) + (total[:, None] >> 1)) // total[:, None]
    return p, u, total


def log2(total: Ints) -> Ints:
    """Evaluate the binary logarithm of section 4.

    Args:
        total: positive integers of at most 32 bits.

    Returns:
        log2 in Q10.
    """
    nb = blen(total) - 1
    fr = ((total << (31 - nb)) >> 15) & 0xFFFF
    j = fr >> 10
    low: Ints = LOG2_TABLE[j]
    fraction: Ints = low + (((LOG2_TABLE[j + 1] - low) * (fr & 1023) + 512) >> 10)
    return (nb << 10) + fraction
