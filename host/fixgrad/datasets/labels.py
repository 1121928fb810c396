"""From label values to class indices."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fixgrad.errors import DataError

LARGEST_LABEL = 2**16 - 2
"""Class of the last output of the widest layer; every class up to the largest one has a name."""


def name_classes(labels: Sequence[str]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Number the labels that occur: in numerical order if all are numbers, else in text order.

    Args:
        labels: the label of every sample.

    Returns:
        Class indices int64 [N], and the name of each class.
    """
    numbers = {text: _number(text) for text in set(labels)}
    if all(number is not None for number in numbers.values()):
        named = {text: _number_name(number or 0.0) for text, number in numbers.items()}
        values = {named[text]: number or 0.0 for text, number in numbers.items()}
        names = sorted(values, key=lambda name: values[name])
    else:
        named = {text: text for text in numbers}
        names = sorted(named)
    index = {name: place for place, name in enumerate(names)}
    indices = np.array([index[named[text]] for text in labels], dtype=np.int64)
    return indices, tuple(names)


def array_classes(
    name: str, array_name: str, labels: NDArray[np.generic], samples: int
) -> tuple[NDArray[np.int64], tuple[str, ...], bool]:
    """Read an array of labels: integers are class indices, text is numbered.

    Args:
        name: the file.
        array_name: the array inside it.
        labels: [N], [N, 1] or one-hot [N, classes].
        samples: N of the features.

    Returns:
        Class indices int64 [N], the class names, and whether the indices stood in the array.

    Raises:
        DataError: another number of labels than samples, or a label that is no class.
    """
    if labels.ndim == 0 or len(labels) != samples:
        count = 0 if labels.ndim == 0 else len(labels)
        raise DataError(
            f"{name}: {array_name} holds {count} labels for {samples} samples; both must have "
            "the same length"
        )
    if labels.ndim == 2 and labels.shape[1] > 1:
        labels = _from_one_hot(name, array_name, labels)
    elif labels.ndim > 1 and labels.size != samples:
        raise DataError(
            f"{name}: {array_name} has the shape {labels.shape}; labels are one value a sample"
        )
    labels = labels.reshape(samples)
    if labels.dtype.kind in "US":
        indices, names = name_classes([_text(value) for value in labels])
        return indices, names, False
    if labels.dtype.kind not in "buif":
        raise DataError(
            f"{name}: {array_name} holds {labels.dtype}; labels are integers from 0, or text"
        )
    indices = _indices(name, array_name, labels)
    return indices, tuple(str(i) for i in range(int(indices.max(initial=-1)) + 1)), True


def _indices(name: str, array_name: str, labels: NDArray[np.generic]) -> NDArray[np.int64]:
    values = labels.astype(np.float64)
    with np.errstate(invalid="ignore"):
        good = (values == np.floor(values)) & (values >= 0) & (values <= LARGEST_LABEL)
    bad = np.flatnonzero(~good)
    if len(bad):
        value = values[bad[0]]
        what = "out of range" if math.isfinite(value) and value < 0 else "not a class"
        if value > LARGEST_LABEL:
            what = f"above {LARGEST_LABEL}, {what}"
        raise DataError(
            f"{name}: {array_name}[{int(bad[0])}] is {value:g}: {what}; "
            "class labels are whole numbers from 0, or text"
        )
    return values.astype(np.int64)


def _from_one_hot(
    name: str, array_name: str, labels: NDArray[np.generic]
) -> NDArray[np.generic]:
    if labels.dtype.kind in "buif":
        values = labels.astype(np.float64)
        if np.isin(values, (0.0, 1.0)).all() and (values.sum(axis=1) == 1).all():
            return np.asarray(values.argmax(axis=1))
    raise DataError(
        f"{name}: {array_name} has the shape {labels.shape}; labels are one value a sample, "
        "or one-hot rows"
    )


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _number(text: str) -> float | None:
    """Return the number that a text spells, or None."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and "_" not in text else None


def _number_name(number: float) -> str:
    return str(int(number)) if number.is_integer() else repr(number)
