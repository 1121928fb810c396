"""A network of real numbers, whoever made it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fixgrad.errors import DataError

Reals = NDArray[np.float64]


@dataclass(frozen=True)
class FloatNetwork:
    """A multilayer perceptron.

    Attributes:
        name: what messages call it.
        weights: per layer [n_out, n_in].
        biases: per layer [n_out].
        activations: names as in a run file, one a hidden layer; None where the file does not tell.
        offset, factor: one per feature: the first layer takes (x - offset) * factor.
        classes: the label of each class, sorted as the outputs are; None where it is not told.
    """

    name: str
    weights: list[Reals]
    biases: list[Reals]
    activations: tuple[str, ...] | None
    offset: Reals
    factor: Reals
    classes: tuple[str, ...] | None = None

    @property
    def layers(self) -> tuple[int, ...]:
        """Widths, input first."""
        return (self.weights[0].shape[1], *(len(b) for b in self.biases))


def make_network(
    name: str,
    weights: Iterable[NDArray[np.generic]],
    biases: Iterable[NDArray[np.generic]],
    activations: tuple[str, ...] | None = None,
    offset: NDArray[np.generic] | None = None,
    factor: NDArray[np.generic] | None = None,
    classes: tuple[str, ...] | None = None,
) -> FloatNetwork:
    """Return a network whose shapes and values are checked.

    Raises:
        DataError: no layers, layers that do not follow each other, or a value that is not finite.
    """
    ws = [_reals(name, w) for w in weights]
    bs = [_reals(name, b).reshape(-1) for b in biases]
    if not ws or len(ws) != len(bs):
        raise DataError(f"{name} holds no dense layers with weights and biases")
    for index, (w, b) in enumerate(zip(ws, bs, strict=True)):
        if w.ndim != 2 or len(b) != len(w):
            raise DataError(
                f"{name}: layer {index} has weights of shape {w.shape} and {len(b)} biases: that "
                "is no dense layer"
            )
        if index and w.shape[1] != len(ws[index - 1]):
            raise DataError(
                f"{name}: layer {index} takes {w.shape[1]} values, the one before gives "
                f"{len(ws[index - 1])}: the layers do not follow each other"
            )
        if not (np.isfinite(w).all() and np.isfinite(b).all()):
            raise DataError(f"{name}: layer {index} holds a value that is not a finite number")
    width = ws[0].shape[1]
    offset = np.zeros(width) if offset is None else _per_feature(name, offset, width)
    factor = np.ones(width) if factor is None else _per_feature(name, factor, width)
    return FloatNetwork(name, ws, bs, activations, offset, factor, classes)


def _per_feature(name: str, array: NDArray[np.generic], width: int) -> Reals:
    values = _reals(name, array).reshape(-1)
    if len(values) not in (1, width) or not np.isfinite(values).all():
        raise DataError(f"{name} scales features by other than {width} finite numbers")
    return np.broadcast_to(values, (width,))


def _reals(name: str, array: NDArray[np.generic]) -> Reals:
    if array.dtype.kind not in "iufb":
        raise DataError(f"{name} holds {array.dtype} where weights and biases are numbers")
    return np.asarray(array, np.float64)
