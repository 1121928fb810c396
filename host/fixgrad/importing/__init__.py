"""Networks that other programs trained, as initial weights of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fixgrad.errors import DataError, UsageError
from fixgrad.importing.adapting import Imported, adapt
from fixgrad.importing.arrays_file import read_npz
from fixgrad.importing.network import FloatNetwork
from fixgrad.importing.onnx_file import read_onnx
from fixgrad.importing.sklearn_model import from_sklearn, read_joblib
from fixgrad.importing.torch_file import read_torch

__all__ = ["FloatNetwork", "Imported", "adapt", "from_sklearn", "read_network"]

_READERS = {
    ".npz": read_npz, ".onnx": read_onnx, ".pt": read_torch, ".pth": read_torch
}
_PICKLES = (".joblib", ".pkl", ".pickle")


def read_network(model: Any, *, trusted: bool = False) -> FloatNetwork:
    """Read a network.

    Args:
        model: a .pt or .pth file with a state_dict, an .onnx file, an .npz file, a scikit-learn
            estimator or pipeline, or its .joblib file.
        trusted: load pickles, which can run any code; .pt files need no trust.

    Raises:
        DataError: it is missing, damaged, or holds something that is not a multilayer perceptron.
        UsageError: a pickle that is not trusted, or a kind of file that is not known.
    """
    if not isinstance(model, (str, Path)):
        return from_sklearn(model)
    path = Path(model)
    ending = path.suffix.lower()
    if ending in _PICKLES:
        if not trusted:
            raise UsageError(
                f"{path} is a pickle, which can run any code when it is read; if you made it "
                "yourself, add --trust"
            )
        return read_joblib(path)
    if ending not in _READERS:
        raise UsageError(
            f"{path}: unknown kind of file; there are .pt, .pth, .onnx, .npz and .joblib"
        )
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    return _READERS[ending](data, str(path))
