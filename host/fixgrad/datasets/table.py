"""CSV files: a header or none, a label column by name or place, every cell checked."""

from __future__ import annotations

import csv
import io
import math
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from fixgrad.datasets.dataset import Dataset, Part, quoted
from fixgrad.datasets.labels import name_classes
from fixgrad.errors import DataError

_DELIMITERS = ",;\t|"
_MISSING = {"", "na", "n/a", "?", "null", "none", "-"}


@dataclass(frozen=True)
class Table:
    """A CSV file, read and checked.

    Attributes:
        names: one per feature column.
        features: float64 [N, n].
        labels: text of the label column, or None if there is none.
    """

    names: tuple[str, ...]
    features: NDArray[np.float64]
    labels: list[str] | None


def load_table(path: Path, data: bytes, label: str | int | None, header: bool | None) -> Dataset:
    """Load a labelled CSV file.

    Args:
        path: the file, for messages.
        data: its bytes.
        label: name or place (from 1; negative from the end) of the label column; None: the last.
        header: whether row 1 holds names; None: it does if no cell of it is a number.

    Raises:
        DataError: the first thing that is wrong, with its row and column.
    """
    table = read_table(path, data, -1 if label is None else label, header)
    indices, names = name_classes(table.labels or [])
    return Dataset(
        name=str(path),
        samples=Part(table.features, indices),
        test=None,
        class_names=names,
        feature_names=table.names,
        image=False,
        indexed=False,
    )


def read_unlabelled(
    path: Path, data: bytes, width: int, label: str | int | None, header: bool | None
) -> Table:
    """Read a CSV file of features, with or without the label column of the training data.

    Args:
        path: the file, for messages.
        data: its bytes.
        width: features of the model; with one more column, the label column is set aside.
        label: as for `load_table`.
        header: as for `load_table`.

    Raises:
        DataError: another number of columns, or a bad cell.
    """
    _, first = next(_records(path, data), (1, []))
    if len(first) == width:
        return read_table(path, data, None, header)
    if len(first) == width + 1:
        return read_table(path, data, -1 if label is None else label, header)
    if not first:
        raise DataError(f"{path} is empty")
    raise DataError(
        f"{path}: row 1 has {len(first)} columns, but the model reads {width} features "
        f"({width} columns, or {width + 1} with the label)"
    )


def read_table(
    path: Path, data: bytes, label: str | int | None, header: bool | None
) -> Table:
    """Read a CSV file into numbers and labels.

    Args:
        path: the file, for messages.
        data: its bytes.
        label: name or place of the label column; None: every column is a feature.
        header: whether row 1 holds names; None: find out.

    Raises:
        DataError: the first thing that is wrong, with its row and column.
    """
    records = _records(path, data)
    first_row, first = next(records, (1, []))
    if not first:
        raise DataError(f"{path} is empty")
    named = _has_header(first, header)
    if isinstance(label, str) and not named:
        raise DataError(
            f"{path}: label {quoted(label)} is a name, but row 1 holds no column names; give the "
            "place of the label column instead (label = -1 is the last)"
        )
    names = tuple(cell.strip() for cell in first) if named else tuple(
        f"column {place}" for place in range(1, len(first) + 1)
    )
    column = None if label is None else label_column(path, names, label)
    values = array("d")
    labels: list[str] = []
    count = 0
    if not named:
        records = _chain(first_row, first, records)
    for row, cells in records:
        if len(cells) != len(names):
            raise DataError(
                f"{path}: row {row} has {len(cells)} columns, row {first_row} has {len(names)}; "
                "a cell is missing or a delimiter is too many"
            )
        if column is not None:
            labels.append(_label(path, row, column, names, cells[column]))
            cells = cells[:column] + cells[column + 1 :]
        values.frombytes(_numbers(path, row, cells, column, names).tobytes())
        count += 1
    if not count:
        raise DataError(f"{path} is empty: it has a header, but no samples below it")
    if not values:
        raise DataError(
            f"{path} has a single column; a label column and at least one feature are needed "
            "(delimiters: comma, semicolon, tab, |)"
        )
    kept = tuple(name for place, name in enumerate(names) if place != column)
    features = np.frombuffer(values, np.float64).reshape(count, -1)
    return Table(kept, features, None if column is None else labels)


def _records(path: Path, data: bytes) -> Iterator[tuple[int, list[str]]]:
    """Yield (row, cells) of every row that is not blank; rows count from 1 as in a spreadsheet."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not a CSV file in UTF-8 (byte {error.start} is 0x{data[error.start]:02x}); "
            "data is read from CSV, .npz, .npy and IDX files"
        ) from error
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    try:
        for row, cells in enumerate(reader, 1):
            if any(cell.strip() for cell in cells):
                yield row, cells
    except csv.Error as error:
        raise DataError(f"{path}: row {reader.line_num} is not CSV: {error}") from error


def _chain(
    row: int, cells: list[str], rest: Iterator[tuple[int, list[str]]]
) -> Iterator[tuple[int, list[str]]]:
    yield row, cells
    yield from rest


def _delimiter(text: str) -> str:
    """Return the delimiter that occurs most in the first line that is not blank."""
    line = next((line for line in io.StringIO(text) if line.strip()), "")
    return max(_DELIMITERS, key=line.count)


def _has_header(first: Sequence[str], header: bool | None) -> bool:
    if header is not None:
        return header
    return not any(_is_number(cell) for cell in first)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def label_column(path: Path, names: Sequence[str], label: str | int) -> int:
    """Return the index of the column that a label names.

    Raises:
        DataError: there is none, or more than one.
    """
    if isinstance(label, str):
        if names.count(label) == 1:
            return names.index(label)
        if label in names:
            raise DataError(
                f"{path}: {names.count(label)} columns are called {quoted(label)}; give the place "
                "of the label column instead (label = 1 is the first, label = -1 the last)"
            )
        known = ", ".join(quoted(name) for name in names[:12]) + (", …" if len(names) > 12 else "")
        raise DataError(f"{path} has no column {quoted(label)}; its columns are {known}")
    if label == 0 or abs(label) > len(names):
        raise DataError(
            f"{path} has no column {label}; its {len(names)} columns count from 1 (negative: from "
            "the end, -1 is the last)"
        )
    return label - 1 if label > 0 else len(names) + label


def _label(path: Path, row: int, column: int, names: Sequence[str], cell: str) -> str:
    text = cell.strip()
    if text.lower() in _MISSING or (_is_number(text) and not math.isfinite(float(text))):
        raise DataError(
            f"{path}: row {row}, {_column(column, names)}: the label is "
            f"{quoted(text) if text else 'missing'}; fill it in or delete the row"
        )
    return text


def _numbers(
    path: Path, row: int, cells: Sequence[str], label: int | None, names: Sequence[str]
) -> NDArray[np.float64]:
    """Convert the feature cells of one row, float64 [n]."""
    try:
        values = np.fromiter(map(float, cells), np.float64, len(cells))
    except ValueError:
        _refuse(path, row, cells, label, names)
    if not np.isfinite(values).all() or "_" in "".join(cells):
        _refuse(path, row, cells, label, names)
    return values


def _refuse(
    path: Path, row: int, cells: Sequence[str], label: int | None, names: Sequence[str]
) -> NoReturn:
    """Name the first bad cell of a row.

    Raises:
        DataError: always.
    """
    for place, cell in enumerate(cells):
        if _is_number(cell) and math.isfinite(float(cell)) and "_" not in cell:
            continue
        column = place if label is None or place < label else place + 1
        raise DataError(f"{path}: row {row}, {_column(column, names)}: {_complaint(cell, row)}")
    raise AssertionError("a row without a bad cell was refused")


def _complaint(cell: str, row: int) -> str:
    text = cell.strip()
    if _is_number(text) and "_" not in text:
        return f"{text} is not a finite number; fill it in or delete the row"
    if text.lower() in _MISSING:
        what = quoted(text) if text else "the cell is empty"
        return f"{what}: a value is missing; fill it in or delete the row"
    if text.count(",") == 1 and _is_number(text.replace(",", ".")):
        return f"{quoted(text)} is not a number; write it with a point: {text.replace(',', '.')}"
    hint = "every column but the label must hold numbers"
    if row == 1:
        hint += "; if row 1 holds column names, set header = true in [data]"
    return f"{quoted(text)} is not a number; {hint}"


def _column(column: int, names: Sequence[str]) -> str:
    place = f"column {column + 1}"
    return place if names[column] == place else f"{place} ({quoted(names[column])[1:-1]})"
