"""The outputs that every ONNX export has, from real logits."""

from __future__ import annotations

import numpy as np

from fixgrad.export.onnx_graph import Graph
from fixgrad.network import Network
from fixgrad.protocol import Loss
from fixgrad.targets import BINARY, CLASSES, LABELS, ONE_HOT, VALUES


def add_inputs(graph: Graph, network: Network) -> str:
    """Add the input `features`, float64 [N, n] as they come, and return mantissas in float64."""
    scaling = network.form.scaling
    low = 0 if scaling.method in ("minmax", "none") else -scaling.input_max
    value = graph.input("features", np.float64, network.config.layers[0])
    value = graph.add("Sub", value, graph.constant(scaling.offset, np.float64))
    value = graph.add("Mul", value, graph.constant(scaling.factor, np.float64))
    value = graph.add("Round", value)
    return graph.add(
        "Clip", value, graph.constant(low, np.float64),
        graph.constant(scaling.input_max, np.float64),
    )


def add_answers(graph: Graph, network: Network, logits: str) -> None:
    """Add the outputs that suit what is predicted.

    `logits` float [N, outputs] always; `class` int64 [N] and, unless the loss is squared error,
    `probabilities` [N, classes]; or `labels` int64 and `probabilities` [N, outputs]; or `values`
    [N, outputs].

    Args:
        graph: the graph.
        network: the network.
        logits: real logits, float32.
    """
    kind, count = network.form.target.kind, network.config.outputs
    linear = network.config.loss == Loss.SQUARED_ERROR
    graph.output(logits, "logits", np.float32, count)
    probabilities = logits if linear else graph.add("Sigmoid", logits)
    if kind == CLASSES:
        probabilities = graph.add("Softmax", logits, axis=1)
    elif kind == ONE_HOT and not linear:
        axis = graph.constant([1], np.int64)
        total = graph.add("ReduceSum", probabilities, axis, keepdims=1)
        probabilities = graph.add("Div", probabilities, total)
    if kind in (CLASSES, ONE_HOT):
        graph.output(graph.add("ArgMax", logits, axis=1, keepdims=0), "class", np.int64)
        if not linear:
            graph.output(probabilities, "probabilities", np.float32, count)
        return
    if kind == VALUES:
        _add_values(graph, network, probabilities)
        return
    border = graph.constant(0.5 if linear else 0, np.float32)
    said = graph.cast(graph.add("Greater", logits, border), np.int64)
    if kind == LABELS:
        graph.output(said, "labels", np.int64, count)
    else:
        flat = graph.add("Reshape", said, graph.constant([-1], np.int64))
        graph.output(flat, "class", np.int64)
    if linear:
        return
    if kind == BINARY:
        rest = graph.add("Sub", graph.constant(1, np.float32), probabilities)
        probabilities = graph.add("Concat", rest, probabilities, axis=1)
    graph.output(probabilities, "probabilities", np.float32, 2 if kind == BINARY else count)


def _add_values(graph: Graph, network: Network, values: str) -> None:
    target = network.form.target
    factor = np.array(target.factor)
    value = graph.add("Div", values, graph.constant(np.where(factor == 0, 1, factor), np.float32))
    value = graph.add("Add", value, graph.constant(target.offset, np.float32))
    graph.output(value, "values", np.float32, network.config.outputs)
