"""Training and test samples: parted once, by the run's seed, class by class."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fixgrad.datasets.dataset import Dataset, Part, quoted
from fixgrad.errors import DataError


def split(dataset: Dataset, test_fraction: float, seed: int) -> tuple[Part, Part]:
    """Part a data set into training and test samples.

    A source's own test part is taken as it is. Otherwise samples are drawn by the seed, every
    class in the same proportion (stratified).

    Args:
        dataset: the data.
        test_fraction: share of the test part, below 1; 0: the training samples are the test too.
        seed: seed of the run.

    Returns:
        (training part, test part).

    Raises:
        DataError: a part would lack a class.
    """
    if dataset.test is not None:
        return dataset.samples, dataset.test
    if test_fraction == 0:
        return dataset.samples, dataset.samples
    from sklearn.model_selection import train_test_split

    targets = dataset.samples.targets
    if dataset.class_names:
        _check_counts(dataset, test_fraction)
    train, test = train_test_split(
        np.arange(len(targets)),
        test_size=math.ceil(test_fraction * len(targets)),
        random_state=seed,
        stratify=targets if dataset.class_names else None,
    )
    return _part(dataset.samples, train), _part(dataset.samples, test)


def _part(samples: Part, indices: NDArray[np.int64]) -> Part:
    return Part(samples.features[indices], samples.targets[indices])


def _check_counts(dataset: Dataset, test_fraction: float) -> None:
    classes, counts = np.unique(dataset.samples.targets, return_counts=True)
    if counts.min() < 2:
        rare = dataset.class_names[int(classes[counts.argmin()])]
        raise DataError(
            f"{dataset.name}: class {quoted(rare)} has a single sample; the training part and the "
            "test part need one each"
        )
    total = int(counts.sum())
    test = math.ceil(test_fraction * total)
    if test < len(classes) or total - test < len(classes):
        low = math.ceil(100 * len(classes) / total)
        high = 100 - low
        remedy = (
            f"choose a test_fraction between {low / 100:.2f} and {high / 100:.2f}"
            if low <= high
            else "collect more samples"
        )
        raise DataError(
            f"{dataset.name}: test_fraction = {test_fraction:g} of {total} samples leaves "
            f"{total - test} to train and {test} to test, fewer than the {len(classes)} classes; "
            f"{remedy}"
        )
