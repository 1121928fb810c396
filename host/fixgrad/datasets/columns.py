"""CSV files and arrays with numbers to predict: one target column or several."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fixgrad.datasets.dataset import Dataset, Part
from fixgrad.datasets.table import Table, label_column, read_table
from fixgrad.errors import DataError

Label = str | int


def load_values(
    path: Path, data: bytes, labels: Sequence[Label], header: bool | None
) -> Dataset:
    """Load a CSV file whose target columns hold numbers.

    Args:
        path: the file, for messages.
        data: its bytes.
        labels: names or places (from 1; negative from the end) of the target columns.
        header: whether row 1 holds names; None: it does if no cell of it is a number.

    Raises:
        DataError: the first thing that is wrong, with its row and column.
    """
    table = read_table(path, data, None, header)
    places = _places(path, table, labels)
    kept = [place for place in range(len(table.names)) if place not in places]
    if not kept:
        raise DataError(f"{path}: all columns are labels; at least one feature is needed")
    return Dataset(
        name=str(path),
        samples=Part(np.ascontiguousarray(table.features[:, kept]), table.features[:, places]),
        test=None,
        class_names=(),
        feature_names=tuple(table.names[place] for place in kept),
        image=False,
        indexed=False,
        target_names=tuple(table.names[place] for place in places),
    )


def read_without_targets(
    path: Path, data: bytes, width: int, labels: Sequence[Label], header: bool | None
) -> Table:
    """Read a CSV file of features, with or without the target columns of the training data.

    Args:
        path: the file, for messages.
        data: its bytes.
        width: features of the model.
        labels: as for `load_values`.
        header: as for `load_values`.

    Returns:
        The features; `labels` is None.

    Raises:
        DataError: another number of columns, or a bad cell.
    """
    table = read_table(path, data, None, header)
    count = table.features.shape[1]
    if count == width:
        return table
    if count != width + len(labels):
        raise DataError(
            f"{path} has {count} columns, but the model reads {width} features ({width} columns, "
            f"or {width + len(labels)} with the targets)"
        )
    places = _places(path, table, labels)
    kept = [place for place in range(count) if place not in places]
    names = tuple(table.names[place] for place in kept)
    return Table(names, np.ascontiguousarray(table.features[:, kept]), None)


def array_values(
    name: str, array_name: str, values: NDArray[np.generic], samples: int
) -> NDArray[np.float64]:
    """Return an array of numbers to predict as float64 [N, k].

    Raises:
        DataError: another length, not numbers, or not finite.
    """
    if values.ndim not in (1, 2) or len(values) != samples:
        raise DataError(
            f"{name}: {array_name} has the shape {values.shape} for {samples} samples; targets "
            "are one row a sample"
        )
    if values.dtype.kind not in "buif":
        raise DataError(f"{name}: {array_name} holds {values.dtype}; targets must be numbers")
    targets = values.reshape(samples, -1).astype(np.float64)
    bad = np.argwhere(~np.isfinite(targets))
    if len(bad):
        row, column = (int(v) for v in bad[0])
        raise DataError(
            f"{name}: {array_name}[{row}, {column}] is {targets[row, column]:g}: not a finite "
            "number; fill it in or delete the row"
        )
    return targets


def _places(path: Path, table: Table, labels: Sequence[Label]) -> list[int]:
    named = table.names != tuple(f"column {i}" for i in range(1, len(table.names) + 1))
    places = []
    for label in labels:
        if isinstance(label, str) and not named:
            raise DataError(
                f"{path}: label '{label}' is a name, but row 1 holds no column names; give places "
                "instead (label = [-2, -1] are the last two)"
            )
        place = label_column(path, table.names, label)
        if place in places:
            raise DataError(f"{path}: label names the column '{table.names[place]}' twice")
        places.append(place)
    return places
