"""Weights in an .npz file: our own names, or the order of Keras' `get_weights()`."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

from fixgrad.errors import DataError
from fixgrad.importing.network import FloatNetwork, make_network


def read_npz(data: bytes, name: str) -> FloatNetwork:
    """Read the weights and biases of dense layers.

    They are called `weights_0` [n_out, n_in], `bias_0` and so on; or `arr_0` [n_in, n_out], `arr_1`
    and so on. The second form is what `np.savez("net.npz", *model.get_weights())` writes of a Keras
    model of Dense layers.

    Raises:
        DataError: it is damaged or holds other arrays.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
    except Exception as error:  # damaged files raise whatever the parsers inside happen to hit
        raise DataError(f"{name} is not a readable .npz file") from error
    if any(array.dtype.kind not in "iufbU" for array in arrays.values()):
        raise DataError(f"{name} holds arrays that are not numbers")
    if "arr_0" in arrays:
        ordered = _numbered(arrays, "arr_{}")
        return make_network(name, [w.T for w in ordered[::2]], ordered[1::2])
    if "weight_exponent" in arrays:
        raise DataError(
            f"{name} holds the integers of a fixgrad run; name it as init_file directly"
        )
    activations = arrays.get("activations")
    return make_network(
        name,
        _numbered(arrays, "weights_{}"),
        _numbered(arrays, "bias_{}"),
        None if activations is None else tuple(str(a) for a in activations.reshape(-1)),
        arrays.get("feature_offset"),
        arrays.get("feature_factor"),
    )


def _numbered(
    arrays: dict[str, NDArray[np.generic]], pattern: str
) -> list[NDArray[np.generic]]:
    """Return the arrays whose names count up from 0."""
    found: list[NDArray[np.generic]] = []
    while pattern.format(len(found)) in arrays:
        found.append(arrays[pattern.format(len(found))])
    return found
