"""From a source in the run file to a data set: what it is, where its labels are."""

from __future__ import annotations

import difflib
import gzip
import re
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fixgrad.datasets import builtin
from fixgrad.datasets.arrays import array_dataset, parse_npy, parse_npz
from fixgrad.datasets.columns import load_values, read_without_targets
from fixgrad.datasets.dataset import Dataset, check_classes
from fixgrad.datasets.idx import is_idx, parse_idx
from fixgrad.datasets.table import Table, load_table, read_unlabelled
from fixgrad.errors import DataError

BUILTIN_NAMES = builtin.NAMES
BUILTIN_CLASSES = builtin.CLASSES
BUILTIN_VALUES = builtin.VALUES

Label = str | int | tuple[str | int, ...] | None

_MNIST_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
_LABEL_FILES = (
    (r"images([-.])idx3", r"labels\1idx1"),
    (r"images", "labels"),
    (r"features", "labels"),
    (r"(^|[^a-zA-Z])x(?![a-zA-Z])", r"\1y"),
    (r"(^|[^a-zA-Z])X(?![a-zA-Z])", r"\1y"),
)


def load(
    source: str,
    folder: Path | None = None,
    *,
    label: Label = None,
    labels: str | None = None,
    header: bool | None = None,
    values: bool = False,
) -> Dataset:
    """Load a data set and check it.

    Args:
        source: a built-in name, or a CSV, `.npz`, `.npy` or IDX file (each also as `.gz`), or a
            folder with MNIST's four files.
        folder: where relative paths start; the current folder by default.
        label: CSV: name or place of the label column (from 1, negative from the end), or several
            columns of numbers to predict; default last.
        labels: `.npy` and IDX: the file with the labels; found by its name if not given.
        header: CSV: whether row 1 holds names; None: find out.
        values: labels of files are numbers to predict, not classes.

    Raises:
        DataError: what is wrong with the source or with its first bad value.
    """
    name = builtin_name(source)
    if name is not None:
        dataset = builtin.load_builtin(name)
    else:
        path = (folder or Path()) / Path(source).expanduser()
        label_path = (folder or Path()) / Path(labels).expanduser() if labels else None
        dataset = _load_path(path, source, label, label_path, header, values)
    check_classes(dataset)
    return dataset


def load_unlabelled(
    path: Path, width: int, *, label: Label = None, header: bool | None = None
) -> Table:
    """Load a CSV file of features to predict from.

    Args:
        path: the file.
        width: features of the model.
        label: as in the training data.
        header: as in the training data.

    Raises:
        DataError: as for `load`.
    """
    data = read_bytes(path)
    if isinstance(label, tuple):
        return read_without_targets(path, data, width, label, header)
    return read_unlabelled(path, data, width, label, header)


def builtin_name(source: str) -> str | None:
    """Return the built-in data set that a source names, or None."""
    name = source.strip().lower().replace("-", "_").replace(" ", "_")
    return name if name in BUILTIN_NAMES else None


def read_bytes(path: Path) -> bytes:
    """Read a file, unpacking gzip.

    Raises:
        DataError: it is missing, empty, unreadable or a damaged gzip file.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{path} is a damaged .gz file: {error}") from error
    if not data.strip():
        raise DataError(f"{path} is empty")
    return data


def _load_path(
    path: Path,
    source: str,
    label: Label,
    label_path: Path | None,
    header: bool | None,
    values: bool,
) -> Dataset:
    if path.is_dir():
        return _load_folder(path, values)
    if not path.exists():
        raise DataError(_missing(path, source))
    data = read_bytes(path)
    if data[:2] == b"PK":
        arrays = parse_npz(path, data)
        parts = [(name, array) for name, array in arrays.items()]
        return array_dataset(str(path), *parts, values=values)
    if data[:6] == b"\x93NUMPY" or is_idx(data):
        label_path = label_path or _find_labels(path)
        return array_dataset(
            str(path), (path.name, _parse(path, data)),
            (label_path.name, _parse(label_path, read_bytes(label_path))), values=values,
        )
    if isinstance(label, tuple):
        return load_values(path, data, label, header)
    if values:
        return load_values(path, data, (-1 if label is None else label,), header)
    return load_table(path, data, label, header)


def _parse(path: Path, data: bytes) -> NDArray[np.generic]:
    """Read an array file, `.npy` or IDX."""
    return parse_npy(path, data) if data[:6] == b"\x93NUMPY" else parse_idx(path, data)


def _load_folder(folder: Path, values: bool) -> Dataset:
    parts = []
    for name in _MNIST_FILES:
        dotted = name.replace("-idx", ".idx")
        names = (name, f"{name}.gz", dotted, f"{dotted}.gz")
        path = next((folder / n for n in names if (folder / n).is_file()), None)
        if path is None:
            raise DataError(
                f"the folder {folder} has no {name} (or .gz); a folder must hold MNIST's four "
                f"files: {', '.join(_MNIST_FILES)}"
            )
        parts.append((path.name, parse_idx(path, read_bytes(path))))
    return array_dataset(str(folder), *parts, values=values)


def _find_labels(path: Path) -> Path:
    for pattern, replacement in _LABEL_FILES:
        name, count = re.subn(pattern, replacement, path.name)
        if count and name != path.name and path.with_name(name).is_file():
            return path.with_name(name)
    raise DataError(
        f"{path} holds features only, and no file of labels stands beside it; name it with the key "
        "labels in [data] (or new --labels FILE)"
    )


def _missing(path: Path, source: str) -> str:
    built_in = ", ".join(BUILTIN_NAMES)
    close = difflib.get_close_matches(source.lower(), BUILTIN_NAMES, 1)
    near = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    close = close or difflib.get_close_matches(path.name, near, 1)
    guess = f"; did you mean '{close[0]}'?" if close else ""
    return f"no data set or file '{path}'{guess} (built in: {built_in}; or a CSV, .npz, .npy or " \
        "IDX file)"
