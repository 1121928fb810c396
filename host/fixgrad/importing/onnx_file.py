"""Multilayer perceptrons in ONNX, as PyTorch, Keras (tf2onnx) and skl2onnx write them.

The path from the input is followed node by node: scaling in front, dense layers as Gemm or as
MatMul and Add, activations between. What follows the last dense layer (softmax, class names) is
left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fixgrad.errors import DataError
from fixgrad.export.onnx_graph import onnx_package
from fixgrad.float_model import LEAKY_SLOPE
from fixgrad.importing.network import FloatNetwork, Reals, make_network

_ACTIVATIONS = {"Relu": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh", "LeakyRelu": "leaky"}
_PASSED = ("Cast", "Identity", "Flatten", "Reshape", "Dropout", "Squeeze")
_DENSE = ("Gemm", "MatMul")


@dataclass
class _Path:
    """What was met on the way."""

    weights: list[NDArray[Any]] = field(default_factory=list)
    biases: list[NDArray[Any]] = field(default_factory=list)
    activations: list[str] = field(default_factory=list)
    offset: Reals = field(default_factory=lambda: np.zeros(1))
    factor: Reals = field(default_factory=lambda: np.ones(1))


def read_onnx(data: bytes, name: str) -> FloatNetwork:
    """Read a network.

    Raises:
        DataError: it is damaged, or no chain of dense layers and known activations.
        UsageError: the package onnx is not installed.
    """
    onnx = onnx_package()
    try:
        model = onnx.load_model_from_string(data)
        constants = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    except Exception as error:  # protobuf has many ways to say that a file is damaged
        raise DataError(f"{name} is not a readable ONNX file") from error
    nodes = []
    for node in model.graph.node:
        if node.op_type == "Constant":
            constants[node.output[0]] = onnx.numpy_helper.to_array(node.attribute[0].t)
        else:
            nodes.append(node)
    inputs = [i.name for i in model.graph.input if i.name not in constants]
    if len(inputs) != 1:
        raise DataError(f"{name} has {len(inputs)} inputs; a multilayer perceptron has one")
    dense = sum(node.op_type in _DENSE for node in nodes)
    path = _Path()
    value = inputs[0]
    while len(path.weights) < dense or _is_bias(nodes, value, constants, path):
        node = _consumer(nodes, value, name)
        _take(onnx, node, value, constants, path, name)
        value = node.output[0]
    hidden = len(path.weights) - 1
    if len(path.activations) != hidden:
        raise DataError(
            f"{name} has {len(path.activations)} activations between {len(path.weights)} dense "
            "layers; there must be one after each but the last"
        )
    return make_network(
        name, path.weights, path.biases, tuple(path.activations), path.offset, path.factor
    )


def _consumer(nodes: list[Any], value: str, name: str) -> Any:
    found = [node for node in nodes if value in node.input]
    if len(found) != 1:
        raise DataError(
            f"{name}: {len(found)} nodes read {value!r} before the last dense layer; only a chain "
            "of layers can be imported"
        )
    return found[0]


def _is_bias(
    nodes: list[Any], value: str, constants: dict[str, NDArray[Any]], path: _Path
) -> bool:
    """Tell whether the bias of the last dense layer is still to come."""
    found = [node for node in nodes if value in node.input]
    return len(found) == 1 and found[0].op_type == "Add" and any(
        constants[i].size == len(path.weights[-1]) for i in found[0].input if i in constants
    )


def _take(
    onnx: Any, node: Any, value: str, constants: dict[str, NDArray[Any]], path: _Path, name: str
) -> None:
    """Add what a node does to the path."""
    kind = node.op_type
    given = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    others = [constants[i] for i in node.input if i != value and i in constants]
    if kind in _PASSED:
        return
    if kind in _ACTIVATIONS and path.weights:
        if kind == "LeakyRelu" and given.get("alpha", 0.01) != LEAKY_SLOPE:
            raise DataError(
                f"{name}: LeakyRelu has the slope {given.get('alpha', 0.01):g}; boards have "
                f"{LEAKY_SLOPE:g}"
            )
        path.activations.append(_ACTIVATIONS[kind])
    elif kind == "Scaler" and not path.weights:
        _scale(path, np.array(given["offset"]), np.array(given["scale"]))
    elif kind == "Gemm" and others and node.input[0] == value:
        w = others[0] if given.get("transB") else others[0].T
        path.weights.append(given.get("alpha", 1.0) * w)
        bias = np.zeros(len(w)) if len(others) < 2 else given.get("beta", 1.0) * others[1]
        path.biases.append(np.broadcast_to(bias.reshape(-1), (len(w),)))
    elif kind == "MatMul" and others and node.input[0] == value:
        path.weights.append(others[0].T)
        path.biases.append(np.zeros(others[0].shape[-1]))
    elif kind == "Add" and others and len(path.activations) < len(path.weights):
        path.biases[-1] = path.biases[-1] + others[0].reshape(-1)
    elif kind in ("Sub", "Div", "Mul", "Add") and others and not path.weights:
        _scale_by(kind, path, others[0].astype(np.float64).reshape(-1), node, value, name)
    else:
        raise DataError(
            f"{name}: {kind} is not a dense layer or an activation that boards have; those are "
            f"{', '.join(_ACTIVATIONS)}"
        )


def _scale(path: _Path, offset: Reals, factor: Reals) -> None:
    """Follow (x - o) f by (x - offset) factor."""
    path.offset = path.offset + offset / path.factor
    path.factor = path.factor * factor


def _scale_by(
    kind: str, path: _Path, by: Reals, node: Any, value: str, name: str
) -> None:
    if kind in ("Sub", "Div") and node.input[0] != value:
        raise DataError(f"{name}: the input stands behind {kind}, which cannot be imported")
    if kind in ("Sub", "Add"):
        _scale(path, by if kind == "Sub" else -by, np.ones(1))
    else:
        _scale(path, np.zeros(1), 1 / by if kind == "Div" else by)
