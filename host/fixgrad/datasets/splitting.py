"""Training and test samples: parted once, by the run's seed, class by class."""

from __future__ import annotations

import dataclasses
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
    return _drawn(dataset, test_fraction, seed, "test")


def split_validation(
    dataset: Dataset, train: Part, fraction: float, seed: int
) -> tuple[Part, Part]:
    """Part the training samples of a data set into those that are trained on and a validation part.

    Args:
        dataset: the data.
        train: its training part.
        fraction: share of the validation part, above 0 and below 1.
        seed: seed of the draw.

    Returns:
        (training part, validation part).

    Raises:
        DataError: a part would lack a class.
    """
    return _drawn(dataclasses.replace(dataset, samples=train), fraction, seed, "validation")


def _drawn(dataset: Dataset, fraction: float, seed: int, name: str) -> tuple[Part, Part]:
    """Draw a part called `name` from a data set's samples; return the rest and the part."""
    from sklearn.model_selection import train_test_split

    targets = dataset.samples.targets
    if dataset.class_names:
        _check_counts(dataset, fraction, name)
    rest, drawn = train_test_split(
        np.arange(len(targets)),
        test_size=math.ceil(fraction * len(targets)),
        random_state=seed,
        stratify=targets if dataset.class_names else None,
    )
    return _part(dataset.samples, rest), _part(dataset.samples, drawn)


def _part(samples: Part, indices: NDArray[np.int64]) -> Part:
    return Part(samples.features[indices], samples.targets[indices])


def _check_counts(dataset: Dataset, fraction: float, name: str) -> None:
    classes, counts = np.unique(dataset.samples.targets, return_counts=True)
    if counts.min() < 2:
        rare = dataset.class_names[int(classes[counts.argmin()])]
        raise DataError(
            f"{dataset.name}: class {quoted(rare)} has a single sample; the training part and the "
            f"{name} part need one each"
        )
    total = int(counts.sum())
    drawn = math.ceil(fraction * total)
    if drawn < len(classes) or total - drawn < len(classes):
        low = math.ceil(100 * len(classes) / total)
        high = 100 - low
        remedy = (
            f"choose a {name}_fraction between {low / 100:.2f} and {high / 100:.2f}"
            if low <= high
            else "collect more samples"
        )
        verb = {"test": "test", "validation": "validate"}[name]
        raise DataError(
            f"{dataset.name}: {name}_fraction = {fraction:g} of {total} samples leaves "
            f"{total - drawn} to train and {drawn} to {verb}, fewer than the {len(classes)} "
            f"classes; {remedy}"
        )
