"""From features to fixed-point inputs; fitted on the training part, stored with the run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fixgrad.datasets.dataset import Dataset, Features
from fixgrad.errors import DataError
from fixgrad.model import INPUT_DTYPES
from fixgrad.protocol import InputFormat

SCALE_METHODS: Final = ("minmax", "standard", "none")

_ROWS_AT_ONCE = 4096
# Format, A[0] and eX[0] by bits; `minmax` is 0..1, `standard` reaches 4 deviations.
_MINMAX: Final = {
    None: (InputFormat.U8, 255, -8),
    8: (InputFormat.U8, 255, -8),
    16: (InputFormat.I16, 32767, -15),
}
_STANDARD: Final = {
    None: (InputFormat.I16, 2047, -9),
    8: (InputFormat.I8, 127, -5),
    16: (InputFormat.I16, 32767, -13),
}


@dataclass(frozen=True)
class Scaling:
    """mantissa = clip(rint((x - offset) * factor), low, high), in double precision, ties to even.

    Attributes:
        method: one of `SCALE_METHODS`.
        offset, factor: one per feature. A feature that is constant in the training part has the
            factor 0.
        input_format: storage of a mantissa.
        input_max: A[0], its largest magnitude.
        exponent: eX[0]; the value of a mantissa m is m * 2**exponent.
    """

    method: str
    offset: tuple[float, ...]
    factor: tuple[float, ...]
    input_format: InputFormat
    input_max: int
    exponent: int

    @staticmethod
    def fit(
        method: str, features: Features, *, common: bool, name: str, bits: int | None = None
    ) -> Scaling:
        """Fit a scaling to training features.

        Args:
            method: `minmax`: the range becomes 0..255; `standard`: mean 0, deviation 1, limited
                to 4 deviations; `none`: whole numbers 0..255 are taken as they are.
            features: [N, n], the training part.
            common: minmax: one range for all features (pixels) instead of one each.
            name: the data set, for messages.
            bits: 8 or 16 bits a feature; None: 8 for minmax, 12 (in 16) for standard.

        Raises:
            DataError: a range that double precision cannot hold.
        """
        width = features.shape[1]
        if method == "none":
            return Scaling.unscaled(width)
        with np.errstate(over="ignore", invalid="ignore"):
            if method == "minmax":
                low = features.min(axis=0).astype(np.float64)
                span = features.max(axis=0).astype(np.float64) - low
                if common:
                    low, high = np.full(width, features.min()), np.full(width, features.max())
                    low = low.astype(np.float64)
                    span = high.astype(np.float64) - low
                offset, unit, steps = low, span, 32767.0 if bits == 16 else 255.0
            else:
                offset = features.mean(axis=0, dtype=np.float64)
                unit, steps = features.std(axis=0, dtype=np.float64), 2.0**-_STANDARD[bits][2]
            factor = np.divide(steps, unit, out=np.zeros(width), where=unit > 0)
        bad = np.flatnonzero(~(np.isfinite(offset) & np.isfinite(unit) & np.isfinite(factor)))
        if len(bad):
            raise DataError(
                f"{name}: the values of column {int(bad[0]) + 1} are too large or too close to be "
                f"scaled by {method}; give them in another unit"
            )
        storage = (_MINMAX if method == "minmax" else _STANDARD)[bits]
        return Scaling(method, tuple(offset.tolist()), tuple(factor.tolist()), *storage)

    @staticmethod
    def unscaled(width: int) -> Scaling:
        """Return the scaling of bytes that are taken as they are."""
        return Scaling("none", (0.0,) * width, (1.0,) * width, InputFormat.U8, 255, -8)

    def apply(self, features: Features, name: str) -> NDArray[np.integer]:
        """Return the fixed-point inputs.

        Args:
            features: [N, n].
            name: the data set, for messages.

        Returns:
            [N, n] in the input format's dtype.

        Raises:
            DataError: method `none` and a value that is not a whole number 0..255.
        """
        low = 0 if self.input_format == InputFormat.U8 else -self.input_max
        result = np.empty(features.shape, INPUT_DTYPES[self.input_format])
        offset, factor = np.array(self.offset), np.array(self.factor)
        for start in range(0, len(features), _ROWS_AT_ONCE):
            rows = features[start : start + _ROWS_AT_ONCE].astype(np.float64)
            if self.method == "none":
                _check_bytes(rows, start, name)
            with np.errstate(over="ignore"):
                scaled = np.rint((rows - offset) * factor)
            result[start : start + _ROWS_AT_ONCE] = np.clip(scaled, low, self.input_max)
        return result

    def to_json(self) -> str:
        """Return the text form; numbers survive it exactly."""
        return json.dumps(
            {
                "method": self.method,
                "offset": self.offset,
                "factor": self.factor,
                "input_format": self.input_format.name.lower(),
                "input_max": self.input_max,
                "exponent": self.exponent,
            },
            indent=1,
        )

    @staticmethod
    def from_json(text: str, name: str) -> Scaling:
        """Read the text form.

        Args:
            text: what `to_json` gave.
            name: the file, for messages.

        Raises:
            DataError: it is damaged.
        """
        try:
            value = json.loads(text)
            scaling = Scaling(
                str(value["method"]),
                tuple(float(v) for v in value["offset"]),
                tuple(float(v) for v in value["factor"]),
                InputFormat[value["input_format"].upper()],
                int(value["input_max"]),
                int(value["exponent"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{name} is damaged ({error}); train the run again") from error
        if len(scaling.offset) != len(scaling.factor):
            raise DataError(f"{name} is damaged (lengths differ); train the run again")
        return scaling


def default_method(dataset: Dataset) -> str:
    """Return the method that suits a data set: one range for pixels, deviations for tables."""
    return "minmax" if dataset.image else "standard"


def _check_bytes(rows: NDArray[np.float64], start: int, name: str) -> None:
    bad = np.argwhere((rows != np.floor(rows)) | (rows < 0) | (rows > 255))
    if len(bad):
        row, column = (int(v) for v in bad[0])
        raise DataError(
            f"{name}: sample {start + row + 1}, feature {column + 1} is {rows[row, column]:g}; "
            'scale = "none" takes whole numbers from 0 to 255: type scale = "minmax" or "standard"'
        )
