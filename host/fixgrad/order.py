"""The order in which a run visits its samples (NUMERICS section 8).

A Feistel network with cycle walking: any place of any epoch is found without a table.
"""

import numpy as np
from numpy.typing import NDArray

from fixgrad.functions import GOLDEN, mix32, mix32_word

ROUNDS = 4


def permutation(samples: int, epoch: int, seed: int) -> NDArray[np.int64]:
    """Return the sample visited at each place of an epoch.

    Args:
        samples: N, 1..2**32.
        epoch: e, from 0.
        seed: seed of the run, taken modulo 2**32.

    Returns:
        Sample indices [samples], each of 0..N-1 exactly once.
    """
    walked = _network(np.arange(samples, dtype=np.uint32), samples, epoch, seed)
    outside = np.flatnonzero(walked >= samples)
    while outside.size:
        walked[outside] = _network(walked[outside], samples, epoch, seed)
        outside = outside[walked[outside] >= samples]
    return walked.astype(np.int64)


def place(samples: int, epoch: int, seed: int, index: int) -> int:
    """Return the sample visited at one place, 0 <= index < samples, of an epoch."""
    bits = _half_bits(samples)
    mask = (1 << bits) - 1
    keys = _keys(epoch, seed)
    while True:
        left, right = index >> bits, index & mask
        for key in keys:
            left, right = right, left ^ (mix32_word(right + key) & mask)
        index = left << bits | right
        if index < samples:
            return index


def _half_bits(samples: int) -> int:
    return (max(2, (samples - 1).bit_length()) + 1) // 2


def _keys(epoch: int, seed: int) -> list[int]:
    return [mix32_word(seed + GOLDEN * (ROUNDS * epoch + r + 1)) for r in range(ROUNDS)]


def _network(
    index: NDArray[np.uint32], samples: int, epoch: int, seed: int
) -> NDArray[np.uint32]:
    bits = _half_bits(samples)
    mask = np.uint32((1 << bits) - 1)
    left, right = index >> np.uint32(bits), index & mask
    for key in _keys(epoch, seed):
        left, right = right, left ^ (mix32(right + np.uint32(key)) & mask)
    return left << np.uint32(bits) | right
