"""The samples of a run as one file: what a run needs of its data, whatever becomes of the source.

A .npz archive: train_features, train_targets, test_features, test_targets as a model takes them,
test_truth as the data set has it, and validation_features, validation_targets where there are any.
"""

from __future__ import annotations

import hashlib
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fixgrad.run import Parts
from fixgrad.stream import Samples


def encode_parts(parts: Parts) -> bytes:
    """Return the file."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays_of(parts))  # type: ignore[arg-type]
    return buffer.getvalue()


def decode_parts(data: bytes) -> Parts | None:
    """Read what `encode_parts` gave; None if it is damaged."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays: dict[str, Any] = {name: archive[name] for name in archive.files}

        def part(name: str) -> Samples:
            return Samples(arrays[f"{name}_features"], arrays[f"{name}_targets"])

        validation = part("validation") if "validation_features" in arrays else None
        return Parts(part("train"), validation, part("test"), arrays["test_truth"])
    except Exception:  # damaged files raise whatever zip and npy parsing happen to hit
        return None


def parts_sha256(parts: Parts) -> str:
    """Return the SHA-256 of names, types, shapes and values of all arrays, in hexadecimal."""
    digest = hashlib.sha256()
    for name, array in arrays_of(parts).items():
        little = array.astype(array.dtype.newbyteorder("<"))
        digest.update(f"{name} {little.dtype.str} {little.shape}\n".encode())
        digest.update(little.tobytes())
    return digest.hexdigest()


def arrays_of(parts: Parts) -> dict[str, NDArray[np.generic]]:
    """Return the arrays of the file by their names."""
    arrays: dict[str, NDArray[np.generic]] = {}
    for name, samples in (
        ("train", parts.train), ("validation", parts.validation), ("test", parts.test)
    ):
        if samples is not None:
            arrays[f"{name}_features"] = samples.features
            arrays[f"{name}_targets"] = samples.targets
    arrays["test_truth"] = parts.test_targets
    return arrays
