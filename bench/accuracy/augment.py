"""Samples varied a little at every visit: moved images and switched-off features.

What a sample becomes is a pure function of the run's seed and of its position in the run, so a
stream that is rebuilt from any position stays the same. The device sees ordinary samples: nothing
of this costs it memory or time.
"""

from __future__ import annotations

import numpy as np
from fixgrad.functions import GOLDEN, LCG_INCREMENT, LCG_MULTIPLIER, mix32, mix32_word
from numpy.typing import NDArray

SALT = 0x41554758
ROWS_AT_ONCE = 2048


def augment(
    features: NDArray[np.uint8], first: int, seed: int, *, shift: int, drop: int
) -> NDArray[np.uint8]:
    """Return varied features of samples at consecutive positions.

    Args:
        features: [N, n]; with a shift square images, row by row.
        first: position of the first sample in the run.
        seed: seed of the run.
        shift: an image is moved by -shift..shift pixels along both axes, all places alike likely;
            what comes in is zero.
        drop: every feature becomes zero with the probability drop / 256.
    """
    result = np.empty_like(features)
    for start in range(0, len(features), ROWS_AT_ONCE):
        rows = features[start : start + ROWS_AT_ONCE]
        positions = np.arange(first + start, first + start + len(rows)).astype(np.uint32)
        keys = mix32(positions + np.uint32(mix32_word(seed + SALT * GOLDEN)))
        if shift:
            rows = _moved(rows, mix32(keys), shift)
        if drop:
            rows = np.where(_draws(keys, rows.shape[1]) >> np.uint32(24) < drop, 0, rows)
        result[start : start + len(rows)] = rows
    return result


def _moved(rows: NDArray[np.uint8], draws: NDArray[np.uint32], shift: int) -> NDArray[np.uint8]:
    """Return images moved by (draw >> 16) mod (2 shift + 1) - shift down, draw mod … right."""
    side = round(rows.shape[1] ** 0.5)
    places = 2 * shift + 1
    padded = np.pad(rows.reshape(-1, side, side), ((0, 0), (shift, shift), (shift, shift)))
    moved = np.empty((len(rows), side, side), np.uint8)
    down, right = (draws >> np.uint32(16)) % places, (draws & np.uint32(0xFFFF)) % places
    for y in range(places):
        for x in range(places):
            chosen = (down == y) & (right == x)
            top, left = places - 1 - y, places - 1 - x
            moved[chosen] = padded[chosen, top : top + side, left : left + side]
    return moved.reshape(rows.shape)


def _draws(keys: NDArray[np.uint32], count: int) -> NDArray[np.uint32]:
    """Return the first draws (NUMERICS section 1) from each of the states `keys`, [N, count]."""
    factors, terms, factor, term = [], [], 1, 0
    for _ in range(count):
        factor = factor * LCG_MULTIPLIER % 2**32
        term = (term * LCG_MULTIPLIER + LCG_INCREMENT) % 2**32
        factors.append(factor)
        terms.append(term)
    scaled: NDArray[np.uint32] = keys[:, np.newaxis] * np.array(factors, np.uint32)
    return scaled + np.array(terms, np.uint32)
