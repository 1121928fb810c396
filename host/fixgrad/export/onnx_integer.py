"""A network as ONNX in 64-bit integers: the board's logits, bit for bit (NUMERICS section 3)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fixgrad.export.onnx_graph import Graph
from fixgrad.export.onnx_outputs import add_answers, add_inputs
from fixgrad.functions import SIGMOID_TABLE
from fixgrad.network import Network
from fixgrad.protocol import Activation

_POSITIVE_BITS = 40
"""2**40 added before a division makes every dividend positive, as ONNX divides towards zero."""


def write_onnx_int(network: Network, path: Path) -> list[Path]:
    """Write the network in integers; `accumulators` int32 [N, outputs] are the board's logits.

    Args:
        network: the network.
        path: the file.

    Returns:
        The file.

    Raises:
        UsageError: the package onnx is not installed.
    """
    graph, config, state = _Integers(), network.config, network.state
    value = graph.cast(add_inputs(graph, network), np.int64)
    for layer in range(config.layer_count):
        weights = graph.cast(graph.constant(state.weights[layer].T, np.int16), np.int64)
        biases = graph.cast(graph.constant(state.biases[layer], np.int32), np.int64)
        value = graph.add("Add", graph.add("MatMul", value, weights), biases)
        if layer < config.layer_count - 1:
            value = graph.activate(network, layer, value)
    graph.output(graph.cast(value, np.int32), "accumulators", np.int32, config.outputs)
    unit = graph.constant(2.0**network.logit_exponent, np.float64)
    real = graph.add("Mul", graph.cast(value, np.float64), unit)
    add_answers(graph, network, graph.cast(real, np.float32))
    return graph.write(network, path)


class _Integers(Graph):
    """A graph of int64 values."""

    def whole(self, value: int) -> str:
        return self.constant(value, np.int64)

    def clip(self, value: str, low: int, high: int) -> str:
        return self.add("Clip", value, self.whole(low), self.whole(high))

    def floor(self, value: str, shift: int) -> str:
        """Divide by 2**shift, rounding down."""
        lifted = self.add("Add", value, self.whole(1 << _POSITIVE_BITS))
        divided = self.add("Div", lifted, self.whole(1 << shift))
        return self.add("Sub", divided, self.whole(1 << (_POSITIVE_BITS - shift)))

    def round_shift(self, value: str, shift: int) -> str:
        """Divide by 2**shift, rounding half up: RN of section 1."""
        if shift == 0:
            return value
        if shift >= 32:
            return self.add("Mul", value, self.whole(0))
        return self.floor(self.add("Add", value, self.whole(1 << (shift - 1))), shift)

    def scale(self, value: str, shift: int, limit: int) -> str:
        """Divide by 2**shift of either sign and clamp: RS of section 1; products fit 62 bits."""
        if shift >= 0:
            value = self.round_shift(value, shift)
        else:
            value = self.add("Mul", value, self.whole(1 << min(-shift, 31)))
        return self.clip(value, -limit, limit)

    def activate(self, network: Network, layer: int, z: str) -> str:
        """Return the activation behind a hidden layer."""
        config, state = network.config, network.state
        activation, bits = config.activations[layer], config.activation_bits[layer]
        limit = config.activation_max[layer + 1]
        unit = state.weight_exponent[layer] + state.activation_exponent[layer]
        if activation in (Activation.RELU, Activation.LEAKY):
            shift = state.activation_exponent[layer + 1] - unit
            negative = self.add("Min", z, self.whole(0))
            positive = self.add("Max", z, self.whole(0))
            if activation == Activation.LEAKY:
                positive = self.add("Add", positive, self.floor(negative, 3))
            return self.scale(positive, shift, limit)
        if activation == Activation.SIGN:
            one = 1 << (bits - 1)
            negative = self.add("Less", z, self.whole(0))
            return self.add("Where", negative, self.whole(-one), self.whole(one))
        q = self.scale(z, -11 - unit, 32767)
        y = self._tanh(q) if activation == Activation.TANH else self._sigmoid(q)
        return self.clip(self.round_shift(y, 15 - bits), -limit, limit)

    def _sigmoid(self, q: str) -> str:
        y = self._table(self.add("Abs", q))
        mirrored = self.add("Sub", self.whole(32768), y)
        return self.add("Where", self.add("Less", q, self.whole(0)), mirrored, y)

    def _tanh(self, q: str) -> str:
        y = self._table(self.add("Mul", self.add("Abs", q), self.whole(2)))
        y = self.add("Mul", self.add("Sub", y, self.whole(16384)), self.whole(2))
        y = self.add("Min", y, self.whole(32767))
        return self.add(
            "Where", self.add("Less", q, self.whole(0)), self.add("Neg", y), y
        )

    def _table(self, magnitude: str) -> str:
        """Return the sigmoid in Q15 of a magnitude in Q11, by table and interpolation."""
        table = self.constant(SIGMOID_TABLE, np.int64)
        m = self.add("Min", magnitude, self.whole(16383))
        i = self.add("Div", m, self.whole(128))
        f = self.add("Sub", m, self.add("Mul", i, self.whole(128)))
        low = self.add("Gather", table, i)
        high = self.add("Gather", table, self.add("Add", i, self.whole(1)))
        rise = self.add("Mul", self.add("Sub", high, low), f)
        return self.add("Add", low, self.floor(self.add("Add", rise, self.whole(64)), 7))
