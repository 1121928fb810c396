"""A network as NumPy arrays."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from fixgrad.network import Network
from fixgrad.quantize import real_parameters
from fixgrad.rundir import write_atomic


def write_npz(network: Network, path: Path) -> list[Path]:
    """Write weights and biases as real numbers, and the scaling around them.

    `init = "file"` of a run file reads it. The network takes (x - feature_offset) *
    feature_factor; a predicted number is (output / target_factor) + target_offset.

    Args:
        network: the network.
        path: the file.

    Returns:
        The file.
    """
    weights, biases = real_parameters(network.state)
    scaling, target = network.form.scaling, network.form.target
    arrays: dict[str, Any] = {}
    for layer, (w, b) in enumerate(zip(weights, biases, strict=True)):
        arrays[f"weights_{layer}"], arrays[f"bias_{layer}"] = w, b
    factor = np.array(target.factor)
    arrays |= {
        "activations": np.array([a.name.lower() for a in network.config.activations], np.str_),
        "feature_offset": np.array(scaling.offset),
        "feature_factor": np.ldexp(np.array(scaling.factor), scaling.exponent),
        "target_offset": np.array(target.offset),
        "target_factor": np.where(factor == 0, 1, factor),
        "names": np.array(network.form.class_names, np.str_),
    }
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    write_atomic(path, buffer.getvalue())
    return [path]
