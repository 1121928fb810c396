"""NumPy files and what they share with IDX: features and labels as arrays."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fixgrad.datasets.columns import array_values
from fixgrad.datasets.dataset import Dataset, Features, Part, check_finite, quoted
from fixgrad.datasets.labels import array_classes
from fixgrad.errors import DataError


def parse_npy(path: Path, data: bytes) -> NDArray[np.generic]:
    """Read a `.npy` file; never unpickles.

    Raises:
        DataError: it is damaged or holds Python objects.
    """
    return _array(path, str(path), _load(path, data))


def parse_npz(path: Path, data: bytes) -> dict[str, NDArray[np.generic]]:
    """Read the arrays of a `.npz` file that are features or labels; never unpickles.

    Returns:
        x and y, or x_train, y_train, x_test and y_test.

    Raises:
        DataError: it is damaged or holds other arrays.
    """
    archive = _load(path, data)
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise DataError(f"{path} is not a .npz file")
    names = {name.lower(): name for name in archive.files}
    for wanted in (("x_train", "y_train", "x_test", "y_test"), ("x", "y")):
        if all(name in names for name in wanted):
            return {name: _member(path, archive, names[name]) for name in wanted}
    found = ", ".join(archive.files) or "nothing"
    raise DataError(
        f"{path} holds {found}; needed are the arrays x and y, or x_train, y_train, x_test and "
        "y_test"
    )


def array_dataset(
    name: str,
    features: tuple[str, NDArray[np.generic]],
    labels: tuple[str, NDArray[np.generic]],
    test_features: tuple[str, NDArray[np.generic]] | None = None,
    test_labels: tuple[str, NDArray[np.generic]] | None = None,
    *,
    values: bool = False,
) -> Dataset:
    """Make a data set of arrays.

    Args:
        name: what messages call it.
        features: (name, [N, ...]); all axes but the first are the features.
        labels: (name, [N]).
        test_features: the same of the test part, or None.
        test_labels: the same of the test part, or None.
        values: the labels are numbers to predict, [N] or [N, k], not classes.

    Raises:
        DataError: shapes, values or labels that do not go together.
    """
    image = features[1].dtype == np.uint8 or features[1].ndim > 2
    matrix = _features(name, *features)
    names = tuple(f"x{i}" for i in range(matrix.shape[1]))
    if values:
        return _values_dataset(
            name, matrix, names, image, labels, test_features, test_labels
        )
    if test_features is None or test_labels is None:
        indices, classes, indexed = array_classes(name, *labels, len(matrix))
        return Dataset(name, Part(matrix, indices), None, classes, names, image, indexed)
    test_matrix = _test_features(name, features[0], matrix, *test_features)
    indices, classes, indexed = array_classes(name, *labels, len(matrix))
    test_indices, test_classes, _ = array_classes(name, *test_labels, len(test_matrix))
    if not indexed:
        test_indices = _as_in_training(name, test_labels[0], test_indices, test_classes, classes)
    elif len(test_classes) > len(classes):
        classes = test_classes
    return Dataset(
        name, Part(matrix, indices), Part(test_matrix, test_indices), classes, names, image, indexed
    )


def _values_dataset(
    name: str,
    matrix: Features,
    feature_names: tuple[str, ...],
    image: bool,
    labels: tuple[str, NDArray[np.generic]],
    test_features: tuple[str, NDArray[np.generic]] | None,
    test_labels: tuple[str, NDArray[np.generic]] | None,
) -> Dataset:
    """Make a data set of arrays with numbers to predict."""
    targets = array_values(name, *labels, len(matrix))
    test = None
    if test_features is not None and test_labels is not None:
        test_matrix = _test_features(name, "the training part", matrix, *test_features)
        test_targets = array_values(name, *test_labels, len(test_matrix))
        if test_targets.shape[1] != targets.shape[1]:
            raise DataError(
                f"{name}: {labels[0]} has {targets.shape[1]} values a sample, {test_labels[0]} has "
                f"{test_targets.shape[1]}; both must be the same"
            )
        test = Part(test_matrix, test_targets)
    width = targets.shape[1]
    target_names = (labels[0],) if width == 1 else tuple(f"{labels[0]}{i}" for i in range(width))
    return Dataset(
        name, Part(matrix, targets), test, (), feature_names, image, False, target_names
    )


def _test_features(
    name: str, training: str, matrix: Features, array_name: str, array: NDArray[np.generic]
) -> Features:
    test_matrix = _features(name, array_name, array)
    if test_matrix.shape[1] != matrix.shape[1]:
        raise DataError(
            f"{name}: {training} has {matrix.shape[1]} features a sample, {array_name} "
            f"has {test_matrix.shape[1]}; both must be the same"
        )
    return test_matrix


def _as_in_training(
    name: str,
    array_name: str,
    indices: NDArray[np.int64],
    test_classes: tuple[str, ...],
    classes: tuple[str, ...],
) -> NDArray[np.int64]:
    """Renumber the test part's classes like the training part's."""
    for label in test_classes:
        if label not in classes:
            raise DataError(
                f"{name}: label {quoted(label)} of {array_name} does not occur in the training "
                "labels"
            )
    return np.array([classes.index(label) for label in test_classes], dtype=np.int64)[indices]


def _features(name: str, array_name: str, array: NDArray[np.generic]) -> Features:
    """Return features as uint8 or float64 [N, n]."""
    if array.ndim < 2:
        raise DataError(
            f"{name}: {array_name} has the shape {array.shape}; features are [samples, features]"
        )
    if array.dtype.kind not in "buif":
        raise DataError(f"{name}: {array_name} holds {array.dtype}; features must be numbers")
    if array.size == 0:
        raise DataError(f"{name} is empty: {array_name} has the shape {array.shape}")
    flat = array.reshape(len(array), -1)
    if array.dtype.kind == "b" or array.dtype == np.uint8:
        return np.ascontiguousarray(flat, dtype=np.uint8)
    matrix = np.ascontiguousarray(flat, dtype=np.float64)
    check_finite(name, array_name, matrix)
    return matrix


def _load(path: Path, data: bytes) -> object:
    try:
        with warnings.catch_warnings(action="ignore"):
            return np.load(io.BytesIO(data), allow_pickle=False)
    except Exception as error:  # damaged files raise whatever the parsers inside happen to hit
        raise DataError(f"{path} is not a readable NumPy file: {_reason(error)}") from error


def _member(path: Path, archive: np.lib.npyio.NpzFile, name: str) -> NDArray[np.generic]:
    try:
        with warnings.catch_warnings(action="ignore"):
            array = archive[name]
    except Exception as error:  # as in _load
        raise DataError(f"{path}: cannot read the array {name}: {_reason(error)}") from error
    return _array(path, name, array)


def _array(path: Path, name: str, value: object) -> NDArray[np.generic]:
    if not isinstance(value, np.ndarray):
        raise DataError(f"{path}: {name} is not an array")
    return value


def _reason(error: Exception) -> str:
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    if "allow_pickle" in text:
        return "it holds Python objects, which are not loaded; save plain numbers"
    return text
