"""Initial parameters of a run: drawn from the seed or read from a file, and their headroom."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fixgrad.errors import DataError, ModelError
from fixgrad.model import ModelConfig
from fixgrad.quantize import initial_weights, weight_exponent

FROM_FILE: Final = "file"
Arrays = list[NDArray[np.float64]]

DRAWN_HEADROOM: Final = 4.0
SMALL_FAN_IN: Final = 8
SMALL_HEADROOM: Final = 16.0
FILE_HEADROOM: Final = 2.0


@dataclass(frozen=True)
class LayerRange:
    """How a layer's weights are stored at the start.

    Attributes:
        most: largest magnitude of an initial weight.
        headroom: how far beyond it the weights may grow.
        reason: why this headroom.
        exponent: eW.
        bits: wb; magnitudes reach 2**(bits + exponent) in steps of 2**exponent.
    """

    most: float
    headroom: float
    reason: str
    exponent: int
    bits: int


def parameters(
    method: str, path: Path | None, layers: Sequence[int], seed: int, scale: float
) -> tuple[Arrays, Arrays | None]:
    """Return initial weights per layer [n_out, n_in], and biases per layer or None for zeros.

    Args:
        method: one of quantize's initialisations, or `file`.
        path: the file, for `file`.
        layers: widths, input first.
        seed: seed of the run.
        scale: factor of drawn weights.

    Raises:
        DataError: the file is missing, damaged, or holds other shapes.
    """
    if method == FROM_FILE:
        assert path is not None
        return read_parameters(path, layers)
    return [scale * w for w in initial_weights(layers, seed, method)], None


def read_parameters(path: Path, layers: Sequence[int]) -> tuple[Arrays, Arrays]:
    """Read weights_l and bias_l from a .npz file: real numbers, or the integers of a final.npz.

    Raises:
        DataError: the file is missing, damaged, or holds other arrays or shapes.
    """
    arrays = _arrays(path)
    weights, biases = [], []
    for index, (n_in, n_out) in enumerate(zip(layers, layers[1:], strict=False)):
        w = _real(path, arrays, f"weights_{index}", (n_out, n_in))
        b = _real(path, arrays, f"bias_{index}", (n_out,))
        if "weight_exponent" in arrays:
            try:
                e_w = int(arrays["weight_exponent"][index])
                e_x = int(arrays["activation_exponent"][index])
            except (KeyError, IndexError, ValueError, TypeError) as error:
                raise DataError(f"{path} is damaged: its exponents are incomplete") from error
            w, b = np.ldexp(w, e_w), np.ldexp(b, e_w + e_x)
        weights.append(w)
        biases.append(b)
    return weights, biases


def read_hidden_exponents(path: Path) -> list[int] | None:
    """Read the exponents of hidden activations that `fixgrad import` found; None: there are none.

    Raises:
        DataError: the file is missing or damaged.
    """
    values = _arrays(path).get("hidden_exponents")
    if values is None:
        return None
    if values.dtype.kind not in "iu" or values.ndim != 1:
        raise DataError(f"{path}: hidden_exponents is {values.dtype} of shape {values.shape}")
    return [int(value) for value in values.tolist()]


def _arrays(path: Path) -> dict[str, NDArray[np.generic]]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except Exception as error:  # damaged files raise whatever the parsers inside happen to hit
        raise DataError(f"{path} is not a readable .npz file") from error


def _real(
    path: Path, arrays: dict[str, NDArray[np.generic]], name: str, shape: tuple[int, ...]
) -> NDArray[np.float64]:
    if name not in arrays:
        found = ", ".join(arrays) or "nothing"
        raise DataError(f"{path} holds {found[:200]}; {name} of shape {shape} is missing")
    array = arrays[name]
    if array.shape != shape or array.dtype.kind not in "iuf":
        raise DataError(
            f"{path}: {name} is {array.dtype} of shape {array.shape}; the layers need numbers of "
            f"shape {shape}"
        )
    values = array.astype(np.float64)
    if not np.isfinite(values).all():
        raise DataError(f"{path}: {name} holds a value that is not a finite number")
    return values


def ranges(
    config: ModelConfig, weights: Arrays, method: str, headroom: str | float
) -> tuple[LayerRange, ...]:
    """Choose the headroom of every layer and explain it.

    Args:
        config: the model.
        weights: initial weights per layer.
        method: how they were made.
        headroom: a number for all layers, or "auto".

    Raises:
        ModelError: the weights need an exponent out of range.
    """
    result = []
    for index, w in enumerate(weights):
        most = float(np.abs(w).max())
        room, reason = _headroom(config, index, most, method, headroom)
        bits = config.weight_bits[index]
        try:
            exponent = weight_exponent(w, bits, room)
        except ModelError as error:
            raise ModelError(f"layer {index}: {error}") from error
        result.append(LayerRange(most, room, reason, exponent, bits))
    return tuple(result)


def _headroom(
    config: ModelConfig, index: int, most: float, method: str, headroom: str | float
) -> tuple[float, str]:
    if isinstance(headroom, (int, float)):
        return float(headroom), "as the run file says"
    if most == 0:
        return DRAWN_HEADROOM, "all weights start at zero: they may reach 1"
    if method == FROM_FILE:
        return FILE_HEADROOM, "weights from a file are trained already"
    if config.layers[index] <= SMALL_FAN_IN:
        return SMALL_HEADROOM, f"{SMALL_FAN_IN} inputs or fewer: single weights grow large"
    return DRAWN_HEADROOM, "drawn weights grow a few times their first size"


