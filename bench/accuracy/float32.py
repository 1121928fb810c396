"""Float32 stochastic gradient descent in C, fed whole epochs."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from fixgrad.model import ModelConfig
from fixgrad.protocol import Activation, Loss
from numpy.typing import NDArray

from bench.accuracy.library import CORE, address, build

LAYERS_MAX = 8
ACTIVATIONS = (Activation.RELU, Activation.LEAKY, Activation.SIGMOID, Activation.TANH)
"""Activations that float_runner.c knows."""
RUNNER = Path(__file__).with_name("float_runner.c")


def inputs() -> tuple[Path, ...]:
    """Return every file that decides the results."""
    return (RUNNER, CORE / "protocol.h")


class _Model(ctypes.Structure):
    _fields_ = [
        ("layer_count", ctypes.c_uint32),
        ("widths", ctypes.c_uint32 * (LAYERS_MAX + 1)),
        ("activations", ctypes.c_uint32 * LAYERS_MAX),
        ("loss", ctypes.c_uint32),
        ("weights", ctypes.c_void_p * LAYERS_MAX),
        ("biases", ctypes.c_void_p * LAYERS_MAX),
    ]


@functools.cache
def _library() -> ctypes.CDLL:
    return ctypes.CDLL(str(build("float", (RUNNER,), inputs())))


class Float32:
    """A model with float32 parameters.

    Attributes:
        weights: per layer [n_in, n_out].
        biases: per layer [n_out].
    """

    def __init__(self, config: ModelConfig, weights: Sequence[NDArray[np.float64]]) -> None:
        """Take shape, activations and loss of a model, and initial weights [n_out, n_in]."""
        if config.layer_count > LAYERS_MAX:
            raise ValueError(f"{config.layer_count} layers; the runner has room for {LAYERS_MAX}")
        unknown = [a.name.lower() for a in config.activations if a not in ACTIVATIONS]
        if unknown:
            raise ValueError(f"float_runner.c has no activation {', '.join(unknown)}")
        self._config = config
        self.weights = [np.ascontiguousarray(w.T, np.float32) for w in weights]
        self.biases = [np.zeros(n, np.float32) for n in config.layers[1:]]
        self._model = _Model(layer_count=config.layer_count, loss=int(config.loss))
        self._model.widths[: len(config.layers)] = config.layers
        self._model.activations[: len(config.activations)] = [int(a) for a in config.activations]
        for layer, (w, b) in enumerate(zip(self.weights, self.biases, strict=True)):
            self._model.weights[layer] = w.ctypes.data
            self._model.biases[layer] = b.ctypes.data

    def epoch(
        self,
        features: NDArray[np.float32],
        targets: NDArray[np.float32],
        rates: NDArray[np.float32],
    ) -> None:
        """Train every sample once, in order.

        Args:
            features: [N, n0].
            targets: [N, 1] classes, or [N, outputs] values.
            rates: lr/B of every step.
        """
        _check(
            _library().float_runner_epoch(
                ctypes.byref(self._model), address(features), address(targets),
                targets.shape[1], len(features), self._config.batch, address(rates),
            )
        )

    def predict(self, features: NDArray[np.float32]) -> NDArray[np.generic]:
        """Return [N, 1] classes, [N, outputs] of 0 and 1, or [N, outputs] real values."""
        logits = np.zeros((len(features), self._config.outputs), np.float32)
        _check(
            _library().float_runner_logits(
                ctypes.byref(self._model), address(features), len(features), address(logits)
            )
        )
        if self._config.loss == Loss.SOFTMAX_CROSS_ENTROPY:
            classes: NDArray[np.int64] = np.argmax(logits, axis=1, keepdims=True)
            return classes
        return logits if self._config.loss == Loss.SQUARED_ERROR else (logits > 0).astype(np.int32)


def _check(status: int) -> None:
    if status != 0:
        raise MemoryError("no memory for a batch")
