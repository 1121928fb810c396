"""Unbalanced classes: samples visited more often, decided on the host."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fixgrad.errors import DataError


def class_repeats(classes: NDArray[np.int64], count: int) -> tuple[float, ...]:
    """Return how often each class must be visited so that all are seen equally often.

    Args:
        classes: class index of every sample.
        count: number of classes; one without a sample gets 1.
    """
    counts = np.bincount(classes, minlength=count)
    return tuple(float(counts.max() / n) if n else 1.0 for n in counts)


def resample(
    classes: NDArray[np.int64], weights: Sequence[float], seed: int, name: str
) -> NDArray[np.int64]:
    """Return the samples of an epoch in which class c is visited weights[c] times as often.

    Every sample is there as often as the whole part of its weight says, and a share of each class,
    drawn by the seed, once more.

    Args:
        classes: class index of every sample, [N].
        weights: one per class, 0 or more.
        seed: seed of the run.
        name: the data set, for messages.

    Returns:
        Indices of samples, rising.

    Raises:
        DataError: nothing is left.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    repeats = np.zeros(len(classes), np.int64)
    for index, weight in enumerate(weights):
        members = np.flatnonzero(classes == index)
        whole = int(weight)
        repeats[members] = whole
        more = round((weight - whole) * len(members))
        repeats[generator.permutation(members)[:more]] += 1
    if not repeats.any():
        raise DataError(f"{name}: these class_weights leave no sample; type weights above 0")
    return np.repeat(np.arange(len(classes)), repeats)
