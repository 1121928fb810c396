"""Writing ONNX graphs: nodes are calls, values are their names."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fixgrad.errors import UsageError
from fixgrad.network import Network
from fixgrad.rundir import write_atomic

OPSET: Final = 21
"""The first with 16-bit QuantizeLinear."""

IR_VERSION: Final = 10
"""That of opset 21; older runtimes refuse newer ones."""


def onnx_package() -> Any:
    """Return the package `onnx`.

    Raises:
        UsageError: it is not installed.
    """
    try:
        importlib.import_module("onnx.helper")
        importlib.import_module("onnx.numpy_helper")
        return importlib.import_module("onnx")
    except ImportError as error:
        raise UsageError(
            "ONNX needs the package onnx, which is not installed: pip install 'fixgrad[onnx]'"
        ) from error


class Graph:
    """A graph under construction."""

    def __init__(self) -> None:
        """Begin an empty graph.

        Raises:
            UsageError: the package onnx is not installed.
        """
        self._onnx = onnx_package()
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []

    def input(self, name: str, dtype: type[np.generic], width: int) -> str:
        """Add an input [N, width]."""
        self._inputs.append(self._value(name, dtype, ["N", width]))
        return name

    def output(self, value: str, name: str, dtype: type[np.generic], *shape: int) -> None:
        """Give a value a name as an output [N, *shape]."""
        self._nodes.append(self._onnx.helper.make_node("Identity", [value], [name]))
        self._outputs.append(self._value(name, dtype, ["N", *shape]))

    def constant(self, values: ArrayLike, dtype: type[np.generic]) -> str:
        """Add a constant."""
        name = f"c{len(self._constants)}"
        array: NDArray[Any] = np.ascontiguousarray(np.asarray(values, dtype))
        self._constants.append(self._onnx.numpy_helper.from_array(array, name))
        return name

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output and return that."""
        name = f"v{len(self._nodes)}"
        self._nodes.append(
            self._onnx.helper.make_node(operator, list(inputs), [name], **attributes)
        )
        return name

    def cast(self, value: str, dtype: type[np.generic]) -> str:
        """Return a value in another type."""
        return self.add("Cast", value, to=self._type(dtype))

    def write(self, network: Network, path: Path) -> list[Path]:
        """Check the model and write it; return the file."""
        helper = self._onnx.helper
        graph = helper.make_graph(
            self._nodes, "fixgrad", self._inputs, self._outputs, self._constants
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="fixgrad",
            ir_version=IR_VERSION,
        )
        helper.set_model_props(
            model,
            {"digest": f"{network.digest:08x}", "names": "\n".join(network.form.class_names)},
        )
        self._onnx.checker.check_model(model, full_check=True)
        write_atomic(path, model.SerializeToString())
        return [path]

    def _type(self, dtype: type[np.generic]) -> int:
        return int(self._onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def _value(self, name: str, dtype: type[np.generic], shape: list[int | str]) -> Any:
        return self._onnx.helper.make_tensor_value_info(name, self._type(dtype), shape)
