"""A trained network as C, ONNX, NumPy arrays or a scikit-learn estimator."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from fixgrad.export.arrays import write_npz
from fixgrad.export.c_source import write_c
from fixgrad.export.onnx_float import write_onnx, write_onnx_qdq
from fixgrad.export.onnx_integer import write_onnx_int
from fixgrad.export.sklearn_model import to_sklearn, write_sklearn
from fixgrad.network import Network

FORMATS: Final[dict[str, tuple[str, Callable[[Network, Path], list[Path]]]]] = {
    "c": ("-c", write_c),
    "onnx": (".onnx", write_onnx),
    "onnx-qdq": ("-qdq.onnx", write_onnx_qdq),
    "onnx-int": ("-int.onnx", write_onnx_int),
    "npz": (".npz", write_npz),
    "sklearn": (".joblib", write_sklearn),
}
"""By name: how the default file name ends, and what writes a network there."""

__all__ = ["FORMATS", "to_sklearn"]
