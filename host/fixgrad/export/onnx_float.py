"""A network as ONNX in floating point: plain, or with the board's quantisation between layers."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fixgrad.export.onnx_graph import Graph
from fixgrad.export.onnx_outputs import add_answers, add_inputs
from fixgrad.float_model import LEAKY_SLOPE
from fixgrad.model import INPUT_DTYPES
from fixgrad.network import Network
from fixgrad.protocol import Activation
from fixgrad.quantize import real_parameters


def write_onnx(network: Network, path: Path) -> list[Path]:
    """Write the network in float32, without any rounding of activations.

    Args:
        network: the network.
        path: the file.

    Returns:
        The file.

    Raises:
        UsageError: the package onnx is not installed.
    """
    graph = Graph()
    unit = graph.constant(2.0 ** network.form.scaling.exponent, np.float64)
    value = graph.cast(graph.add("Mul", add_inputs(graph, network), unit), np.float32)
    weights, biases = real_parameters(network.state)
    for layer, (w, b) in enumerate(zip(weights, biases, strict=True)):
        value = graph.add(
            "Gemm", value, graph.constant(w, np.float32), graph.constant(b, np.float32), transB=1
        )
        if layer < network.config.layer_count - 1:
            value = _activate(graph, network.config.activations[layer], value)
    add_answers(graph, network, value)
    return graph.write(network, path)


def write_onnx_qdq(network: Network, path: Path) -> list[Path]:
    """Write the network with QuantizeLinear and DequantizeLinear around every layer.

    Weights are the board's int16, biases its int32, activations its uint8 or int16. Between them a
    runtime computes in float32, so a value at a border may be rounded to the neighbour.

    Args:
        network: the network.
        path: the file.

    Returns:
        The file.

    Raises:
        UsageError: the package onnx is not installed.
    """
    graph, config, state = Graph(), network.config, network.state
    scale = graph.constant(2.0 ** network.form.scaling.exponent, np.float32)
    mantissas = graph.cast(add_inputs(graph, network), INPUT_DTYPES[config.input_format])
    value = graph.add("DequantizeLinear", mantissas, scale)
    for layer in range(config.layer_count):
        e_w, e_x = state.weight_exponent[layer], state.activation_exponent[layer]
        w = graph.add(
            "DequantizeLinear", graph.constant(state.weights[layer], np.int16),
            graph.constant(2.0**e_w, np.float32),
        )
        b = graph.add(
            "DequantizeLinear", graph.constant(state.biases[layer], np.int32),
            graph.constant(2.0 ** (e_w + e_x), np.float32),
        )
        value = graph.add("Gemm", value, w, b, transB=1)
        if layer < config.layer_count - 1:
            value = _quantized(graph, network, layer, value)
    add_answers(graph, network, value)
    return graph.write(network, path)


def _quantized(graph: Graph, network: Network, layer: int, value: str) -> str:
    """Add an activation that is stored as the board does."""
    config, exponent = network.config, network.state.activation_exponent[layer + 1]
    activation, limit = config.activations[layer], config.activation_max[layer + 1]
    value = _activate(graph, activation, value)
    unsigned = activation in (Activation.RELU, Activation.SIGMOID) and limit <= 255
    most = limit * 2.0**exponent
    value = graph.add(
        "Clip", value, graph.constant(-most, np.float32), graph.constant(most, np.float32)
    )
    scale = graph.constant(2.0**exponent, np.float32)
    zero = graph.constant(0, np.uint8 if unsigned else np.int16)
    stored = graph.add("QuantizeLinear", value, scale, zero)
    return graph.add("DequantizeLinear", stored, scale, zero)


def _activate(graph: Graph, activation: Activation, value: str) -> str:
    if activation == Activation.LEAKY:
        return graph.add("LeakyRelu", value, alpha=LEAKY_SLOPE)
    if activation == Activation.SIGN:
        negative = graph.add("Less", value, graph.constant(0, np.float32))
        return graph.add(
            "Where", negative, graph.constant(-1, np.float32), graph.constant(1, np.float32)
        )
    names = {Activation.RELU: "Relu", Activation.SIGMOID: "Sigmoid", Activation.TANH: "Tanh"}
    return graph.add(names[activation], value)
