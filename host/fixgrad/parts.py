"""What the parts of a mini-batch exchange: maxima first, then sums (NUMERICS section 6).

Everything else of a step is of one sample or of the state, so parts of a batch on several boards
give the bits of a step on one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fixgrad.model import ModelConfig

NO_EXPONENT = -(2**31)
"""In region REACH: no sample has an error in this layer."""


@dataclass(frozen=True)
class Reach:
    """What samples tell before their sums.

    Attributes:
        exponents: per layer the largest E that a sample wants (section 6, item 1); None where none
            has an error, and in frozen layers.
        amx: per layer the largest magnitude that its input had before its clamp; any number of as
            many bits will do.
        loss: reported loss (section 4) summed over the samples.
        correct: samples whose prediction equals the target.
        saturated: clamped activations (counted in asat).
    """

    exponents: tuple[int | None, ...]
    amx: tuple[int, ...]
    loss: int
    correct: int
    saturated: int

    @staticmethod
    def of_batch(parts: Sequence[Reach]) -> Reach:
        """Return what the whole batch tells, from its parts."""
        wanted = zip(*(part.exponents for part in parts), strict=True)
        return Reach(
            tuple(max((e for e in layer if e is not None), default=None) for layer in wanted),
            tuple(max(amx) for amx in zip(*(part.amx for part in parts), strict=True)),
            sum(part.loss for part in parts),
            sum(part.correct for part in parts),
            sum(part.saturated for part in parts),
        )


@dataclass(frozen=True)
class LayerSums:
    """What samples sum up to in one layer, in the unit of an E that all parts share.

    Attributes:
        weights: G, integers [n_out, n_in], magnitude at most 2**30.
        biases: gb, integers [n_out], likewise.
    """

    weights: NDArray[np.integer]
    biases: NDArray[np.integer]


def add_sums(parts: Sequence[Sequence[LayerSums]]) -> list[LayerSums]:
    """Return the sums of the whole batch per trained layer, from those of its parts."""
    return [
        LayerSums(
            np.sum([sums.weights for sums in layer], axis=0, dtype=np.int64),
            np.sum([sums.biases for sums in layer], axis=0, dtype=np.int64),
        )
        for layer in zip(*parts, strict=True)
    ]


def sums_bytes(config: ModelConfig) -> int:
    """Return the length of region GRADIENT in bytes."""
    layers = zip(config.layers[config.frozen :], config.layers[config.frozen + 1 :], strict=False)
    return 4 * sum((n_in + 1) * n_out for n_in, n_out in layers)


def decode_sums(config: ModelConfig, data: bytes) -> list[LayerSums]:
    """Return the sums of every trained layer from region GRADIENT: `sums_bytes` bytes."""
    words, sums = np.frombuffer(data, "<i4"), []
    for layer in range(config.frozen, config.layer_count):
        n_in, n_out = config.layers[layer : layer + 2]
        weights, biases, words = np.split(words, [n_in * n_out, (n_in + 1) * n_out])
        sums.append(LayerSums(weights.reshape(n_out, n_in), biases))
    return sums
