"""What a model is trained towards: targets of a data set as a loss's fixed point, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fixgrad.datasets import Dataset
from fixgrad.datasets.dataset import Targets
from fixgrad.errors import DataError
from fixgrad.protocol import LIMITS, Loss

TARGET_SCALES: Final = ("auto", "none", "standard", "minmax")
CLASSES, ONE_HOT, BINARY, LABELS, VALUES = "classes", "one_hot", "binary", "labels", "values"

_SIGMOID = (Loss.SIGMOID_BINARY_CROSS_ENTROPY, Loss.SIGMOID_SQUARED_ERROR)
_Q16: Final = 65536
_Q15: Final = 32768


@dataclass(frozen=True)
class TargetForm:
    """How targets and outputs belong together.

    Attributes:
        kind: `classes`: an index; `one_hot`: one output a class; `binary`: one output for the
            second of two classes; `labels`: outputs that are 0 or 1 each; `values`: real numbers.
        names: of the classes, or of the columns that are predicted.
        offset, factor: one per output; a loss sees (value - offset) * factor.
    """

    kind: str
    names: tuple[str, ...]
    offset: tuple[float, ...]
    factor: tuple[float, ...]

    @property
    def is_classes(self) -> bool:
        """Whether every sample has one class."""
        return self.kind in (CLASSES, ONE_HOT, BINARY)

    @property
    def outputs(self) -> int:
        """Outputs that a model of these targets has."""
        return 1 if self.kind == BINARY else len(self.names)

    def real(self, targets: Targets) -> NDArray[np.float64]:
        """Return targets as the real numbers a loss sees, [N, outputs]; not for `classes`."""
        if self.kind == ONE_HOT:
            return np.eye(len(self.names))[targets.astype(np.int64)]
        values = targets.reshape(len(targets), -1).astype(np.float64)
        scaled: NDArray[np.float64] = (values - np.array(self.offset)) * np.array(self.factor)
        return scaled

    def encode(self, targets: Targets, loss: Loss, name: str, *, clip: bool) -> NDArray[np.int32]:
        """Return targets in the loss's fixed point (NUMERICS section 4).

        Args:
            targets: class indices [N], or values [N] or [N, outputs].
            loss: the loss.
            name: the data set, for messages.
            clip: take the nearest representable value; otherwise others are refused.

        Returns:
            int32, [N] for softmax, else [N, outputs].

        Raises:
            DataError: a target cannot be represented.
        """
        if self.kind == CLASSES:
            return targets.astype(np.int32)
        low, high, unit = 0.0, 1.0, _Q15
        if loss == Loss.SQUARED_ERROR:
            high, unit = LIMITS["TARGET_MAX"] / _Q16, _Q16
            low = -high
        values = self.real(targets)
        bad = np.argwhere((values < low) | (values > high))
        if len(bad) and not clip:
            row, column = (int(v) for v in bad[0])
            given = targets.reshape(len(targets), -1)[row, min(column, targets.size - 1)]
            remedy = (
                'type target_scale = "standard"'
                if loss == Loss.SQUARED_ERROR
                else 'type target_scale = "minmax", or loss = "squared_error"'
            )
            raise DataError(
                f"{name}: sample {row + 1}: the target {float(given):g} of "
                f"'{self.names[column]}' is {values[row, column]:g} for this loss, which takes "
                f"{low:g} to {high:g}; {remedy}"
            )
        return np.rint(np.clip(values, low, high) * unit).astype(np.int32)

    def decode(self, scaled: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what a loss sees, [N, outputs], in the unit of the data set."""
        factor = np.array(self.factor)
        values: NDArray[np.float64] = scaled / np.where(factor == 0, 1, factor) + np.array(
            self.offset
        )
        return values

    def to_dict(self) -> dict[str, Any]:
        """Return a form that JSON can hold; numbers survive it exactly."""
        return {"kind": self.kind, "names": self.names, "offset": self.offset,
                "factor": self.factor}

    @staticmethod
    def from_dict(value: Mapping[str, Any]) -> TargetForm:
        """Read what `to_dict` gave.

        Raises:
            KeyError, ValueError, TypeError: it is damaged.
        """
        return TargetForm(
            str(value["kind"]),
            tuple(str(name) for name in value["names"]),
            tuple(float(v) for v in value["offset"]),
            tuple(float(v) for v in value["factor"]),
        )


def choose_kind(dataset: Dataset, loss: Loss, outputs: int) -> str:
    """Return the kind of target that a data set has for a loss and a number of outputs.

    Raises:
        DataError: the loss needs classes and the data set holds values.
    """
    if dataset.class_names:
        if loss == Loss.SOFTMAX_CROSS_ENTROPY:
            return CLASSES
        return BINARY if outputs == 1 and len(dataset.class_names) == 2 else ONE_HOT
    if loss == Loss.SOFTMAX_CROSS_ENTROPY:
        raise DataError(
            f"{dataset.name} holds numbers to predict, not classes; softmax_cross_entropy needs "
            'classes: choose another source, or loss = "squared_error"'
        )
    if loss in _SIGMOID and np.isin(dataset.samples.targets, (0.0, 1.0)).all():
        return LABELS
    return VALUES


def fit_targets(
    dataset: Dataset, kind: str, scale: str, loss: Loss, train: Targets
) -> TargetForm:
    """Fit the scaling of targets to the training part.

    Args:
        dataset: where names come from.
        kind: what `choose_kind` gave.
        scale: one of `TARGET_SCALES`; auto: `standard` for values under a linear output.
        loss: the loss.
        train: targets of the training part.

    Raises:
        DataError: a scaling was asked for where targets have none.
    """
    if kind != VALUES:
        if scale not in ("auto", "none"):
            raise DataError(
                f'{dataset.name}: target_scale = "{scale}" is for numbers to predict; these '
                'targets are classes or labels: type target_scale = "auto"'
            )
        names = dataset.class_names or dataset.target_names
        count = 1 if kind == BINARY else len(names)
        return TargetForm(kind, names, (0.0,) * count, (1.0,) * count)
    values = train.reshape(len(train), -1).astype(np.float64)
    width = values.shape[1]
    if scale == "auto":
        scale = "standard" if loss == Loss.SQUARED_ERROR else "none"
    offset, unit = np.zeros(width), np.ones(width)
    if scale == "standard":
        offset, unit = values.mean(axis=0), values.std(axis=0)
    elif scale == "minmax":
        offset = values.min(axis=0)
        unit = values.max(axis=0) - offset
    factor = np.divide(1.0, unit, out=np.ones(width), where=unit > 0)
    names = dataset.target_names or tuple(f"value {i + 1}" for i in range(width))
    return TargetForm(kind, names, tuple(offset.tolist()), tuple(factor.tolist()))
