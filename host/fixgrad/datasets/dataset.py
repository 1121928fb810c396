"""What a data set is, and the checks that hold for every source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fixgrad.errors import DataError
from fixgrad.protocol import LIMITS

QUOTED_MAX = 40

Features = NDArray[np.uint8] | NDArray[np.float64]
Targets = NDArray[np.int64] | NDArray[np.float64]


@dataclass(frozen=True)
class Part:
    """Samples that belong together.

    Attributes:
        features: [N, n]; float64, or uint8 where the source holds bytes.
        targets: int64 [N] class indices, or float64 [N] or [N, k] values to predict.
    """

    features: Features
    targets: Targets

    def __len__(self) -> int:
        """Return N."""
        return len(self.features)


@dataclass(frozen=True)
class Dataset:
    """A data set as it was read, before any scaling.

    Attributes:
        name: what messages call it: a built-in name or the file.
        samples: all samples, or the training samples where the source has its own test part.
        test: the test part that the source brings along, or None.
        class_names: name of each class index; empty where a value is to be predicted.
        feature_names: one per feature.
        image: the features are pixels of one picture and share one range.
        indexed: class indices stand in the source as they are, so that one without a sample
            is allowed; otherwise they were made from the label values that occur.
        target_names: name of each value to predict; empty where there are classes.
    """

    name: str
    samples: Part
    test: Part | None
    class_names: tuple[str, ...]
    feature_names: tuple[str, ...]
    image: bool
    indexed: bool
    target_names: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """Number of features."""
        return int(self.samples.features.shape[1])

    @property
    def size(self) -> int:
        """Number of samples, the test part included."""
        return len(self.samples) + (len(self.test) if self.test else 0)


def quoted(text: str) -> str:
    """Return a text from a file as messages show it: in quotes, on one line, not too long."""
    line = " ".join(text.split())
    return f"'{line[:QUOTED_MAX]}…'" if len(line) > QUOTED_MAX else f"'{line}'"


def check_classes(dataset: Dataset) -> None:
    """Check that there is something to tell apart.

    Raises:
        DataError: no samples, a single class, or more classes than a model can have outputs.
    """
    if len(dataset.samples) == 0:
        raise DataError(f"{dataset.name} is empty: it holds no samples")
    if not dataset.class_names:
        return
    present = np.unique(dataset.samples.targets)
    if len(present) == 1:
        raise DataError(
            f"{dataset.name}: all {len(dataset.samples)} samples have the class "
            f"{quoted(dataset.class_names[int(present[0])])}; training needs at least two classes "
            "(is the label column right?)"
        )
    most = LIMITS["OUTPUTS_MAX"]
    if len(dataset.class_names) > most:
        raise DataError(
            f"{dataset.name}: the labels hold {len(dataset.class_names)} classes, a model can have "
            f"{most} outputs at most; if this is the wrong column, name the label column "
            "(key label in [data], or new --label)"
        )


def layers_key(layers: Sequence[int]) -> str:
    """Return layers as they are typed in a run file."""
    return f"layers = [{', '.join(map(str, layers))}]"


def check_layers(
    dataset: Dataset,
    layers: Sequence[int],
    spell: Callable[[Sequence[int]], str] = layers_key,
) -> None:
    """Check that a model's first and last width belong to a data set.

    Args:
        dataset: the data.
        layers: widths, input first.
        spell: how the user types layers.

    Raises:
        DataError: the width of the input or the number of outputs is wrong.
    """
    classes = len(dataset.class_names or dataset.target_names) or 1
    fitting = spell([dataset.width, *layers[1:-1], classes])
    if layers[0] != dataset.width:
        raise DataError(
            f"{dataset.name} has {dataset.width} features, but the first layer is {layers[0]} "
            f"wide; type {fitting}"
        )
    if not dataset.class_names:
        if layers[-1] != classes:
            raise DataError(
                f"{dataset.name} has {classes} value{'s' * (classes > 1)} to predict, but the last "
                f"layer has {layers[-1]} outputs; type {fitting}"
            )
        return
    if layers[-1] == 1 and classes == 2:
        return
    if dataset.indexed:
        _check_indices(dataset, layers[-1], fitting)
    if layers[-1] < classes:
        raise DataError(
            f"{dataset.name} has {classes} classes, but the last layer has only {layers[-1]} "
            f"outputs; type {fitting}"
        )
    if layers[-1] > classes and not dataset.indexed:
        raise DataError(
            f"{dataset.name} has {classes} classes, but the last layer has {layers[-1]} outputs; "
            f"type {fitting}"
        )


def _check_indices(dataset: Dataset, outputs: int, fitting: str) -> None:
    for part in (dataset.samples, dataset.test):
        if part is None:
            continue
        bad = np.flatnonzero(part.targets >= outputs)
        if len(bad):
            raise DataError(
                f"{dataset.name}: label {int(part.targets[bad[0]])} (sample {int(bad[0])}) is out "
                f"of range: {outputs} outputs take the labels 0 to {outputs - 1}; type {fitting}, "
                "or number the classes from 0"
            )


def check_finite(name: str, array_name: str, features: NDArray[np.float64]) -> None:
    """Check that every feature is a finite number.

    Args:
        name: the file.
        array_name: the array inside it.
        features: [N, n].

    Raises:
        DataError: the first NaN or infinity, with its row and column.
    """
    bad = np.argwhere(~np.isfinite(features))
    if len(bad):
        row, column = (int(v) for v in bad[0])
        value = float(features[row, column])
        raise DataError(
            f"{name}: {array_name}[{row}, {column}] (row {row + 1}, column {column + 1}) is "
            f"{value:g}: not a finite number; fill it in or delete the row"
        )
