"""A PyTorch state_dict, read without PyTorch and without running anything the file says.

A .pt file is a zip: data.pkl describes the tensors, data/KEY holds their bytes. The unpickler knows
the few names that a state_dict needs and refuses all others.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fixgrad.errors import DataError
from fixgrad.importing.network import FloatNetwork, make_network

_DTYPES: Final = {
    "FloatStorage": "<f4", "DoubleStorage": "<f8", "HalfStorage": "<f2", "LongStorage": "<i8",
    "IntStorage": "<i4",
}
_ELEMENTS_MAX = 1 << 28


class _RefusedError(Exception):
    """The file holds something that is not a tensor."""


class _Unpickler(pickle.Unpickler):
    """Builds dictionaries and arrays, nothing else."""

    def __init__(self, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(io.BytesIO(archive.read(f"{root}data.pkl")))
        self._archive = archive
        self._root = root

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        if module == "torch._utils" and name == "_rebuild_tensor_v2":
            return _tensor
        if module == "torch._utils" and name == "_rebuild_parameter":
            return _parameter
        raise _RefusedError(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> NDArray[Any]:
        kind, dtype, key, _, count = pid
        if kind != "storage" or not isinstance(dtype, str):
            raise _RefusedError("a storage of unknown kind")
        data = self._archive.read(f"{self._root}data/{key}")
        return np.frombuffer(data, dtype)[: int(count)]


def _tensor(
    storage: NDArray[Any], offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any
) -> NDArray[Any]:
    """Return the elements that size and stride choose; beyond the storage they are an error."""
    if int(np.prod(size)) > _ELEMENTS_MAX or len(size) != len(stride) or min(stride, default=0) < 0:
        raise _RefusedError("a tensor of impossible shape")
    place = np.full(size, offset, np.int64)
    for axis, (count, step) in enumerate(zip(size, stride, strict=True)):
        shape = [1] * len(size)
        shape[axis] = count
        place += (step * np.arange(count)).reshape(shape)
    if place.min(initial=0) < 0:
        raise _RefusedError("a tensor of impossible shape")
    elements: NDArray[Any] = storage[place]
    return elements


def _parameter(data: NDArray[Any], *_: Any) -> NDArray[Any]:
    return data


def read_torch(data: bytes, name: str) -> FloatNetwork:
    """Read what `torch.save(model.state_dict(), path)` wrote of a model of Linear layers.

    Raises:
        DataError: it is damaged, holds a whole model instead of its state_dict, or other layers.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            (root,) = (n[: -len("data.pkl")] for n in archive.namelist() if n.endswith("data.pkl"))
            if f"{root}byteorder" in archive.namelist() and (
                archive.read(f"{root}byteorder") != b"little"
            ):
                raise _RefusedError("big-endian numbers")
            content = _Unpickler(archive, root).load()
    except _RefusedError as error:
        raise DataError(
            f"{name} holds {error} beside tensors; save the parameters alone: "
            "torch.save(model.state_dict(), 'net.pt')"
        ) from error
    except Exception as error:  # damaged files raise whatever zip and pickle happen to hit
        raise DataError(
            f"{name} is not what torch.save(model.state_dict(), path) writes, or it is damaged"
        ) from error
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict):
        raise DataError(f"{name} holds no state_dict but {type(content).__name__}")
    return _network(content, name)


def _network(content: dict[Any, Any], name: str) -> FloatNetwork:
    tensors = {str(key): value for key, value in content.items()}
    weights, biases = [], []
    for key, value in tensors.items():
        if key.endswith("num_batches_tracked"):
            continue
        part, _, what = key.rpartition(".")
        if not isinstance(value, np.ndarray) or what not in ("weight", "bias"):
            raise DataError(f"{name}: {key} is no weight or bias of a Linear layer")
        if what == "bias":
            continue
        if value.ndim != 2:
            raise DataError(
                f"{name}: {key} has the shape {value.shape}; only Linear layers can be imported"
            )
        bias = tensors.get(f"{part}.bias" if part else "bias")
        weights.append(value)
        biases.append(np.zeros(len(value)) if bias is None else bias)
    return make_network(name, weights, biases)
