"""The core as a shared library, fed whole epochs."""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path

import numpy as np
from fixgrad.model import ModelConfig, State, state_bytes
from fixgrad.protocol import Status
from numpy.typing import NDArray

from bench.accuracy.library import CORE, address, build

RUNNER = Path(__file__).with_name("core_runner.c")
SOURCES = (
    "mlp_*.c", "kernels_*.c", "activation.c", "norm.c", "fixed.c", "loss.c", "functions.c",
    "tables.c", "order.c",
)  # fmt: skip
FAST = "KERNELS_HOST=32"
DEFINITION = "KERNELS_DEFINITION"


def inputs() -> tuple[Path, ...]:
    """Return every file that decides the core's bits."""
    return (RUNNER, *sorted(CORE.glob("*.[ch]")))


@functools.cache
def _library(kernels: str) -> ctypes.CDLL:
    files = (RUNNER, *(path for name in SOURCES for path in sorted(CORE.glob(name))))
    core = ctypes.CDLL(str(build("core", files, inputs(), (f"-D{kernels}",))))
    core.core_runner_model_bytes.restype = ctypes.c_size_t
    core.mlp_digest.restype = ctypes.c_uint32
    core.mlp_predictions.restype = ctypes.c_uint32
    return core


class Core:
    """One model of the C core in an arena of its own."""

    def __init__(self, config: ModelConfig, state: State, kernels: str = FAST) -> None:
        """Configure the model, load the state and start.

        Args:
            config: the model.
            state: its initial state.
            kernels: `FAST`, those of the simulated board, or `DEFINITION`, plain C: the same bits.
        """
        self._core = _library(kernels)
        self._config = config
        self._model = ctypes.create_string_buffer(self._core.core_runner_model_bytes())
        blob, words = config.encode(), state.encode()
        detail = ctypes.c_uint32()
        self._arena = np.zeros(1, np.int64)
        configure = functools.partial(
            self._core.mlp_configure, self._model, blob, ctypes.c_size_t(len(blob))
        )
        configure(address(self._arena), ctypes.c_size_t(8), ctypes.byref(detail))
        self._arena = np.zeros((detail.value + 7) // 8, np.int64)
        size = ctypes.c_size_t(self._arena.nbytes)
        _check(configure(address(self._arena), size, ctypes.byref(detail)))
        _check(self._core.mlp_state_write(self._model, 0, words, ctypes.c_size_t(len(words))))
        _check(self._core.mlp_start(self._model))

    def epoch(self, wire: NDArray[np.uint8], rates: list[tuple[int, int]]) -> None:
        """Train every sample once, in order.

        Args:
            wire: whole samples, [N, feature and target bytes].
            rates: (mantissa, exponent) of lr/B of every step.
        """
        mantissas = np.array([mantissa for mantissa, _ in rates], np.uint16)
        exponents = np.array([exponent for _, exponent in rates], np.int8)
        _check(
            self._core.core_runner_epoch(
                self._model, address(wire), len(wire), self._config.batch,
                address(mantissas), address(exponents),
            )
        )

    def predict(self, wire: NDArray[np.uint8]) -> NDArray[np.int32]:
        """Return the predictions [N, predictions] of whole samples."""
        count = self._core.mlp_predictions(self._model)
        predictions = np.zeros((len(wire), count), np.int32)
        _check(
            self._core.core_runner_predict(
                self._model, address(wire), len(wire), address(predictions)
            )
        )
        return predictions

    def digest(self) -> int:
        """Return the digest of the state."""
        return int(self._core.mlp_digest(self._model))

    def state(self) -> State:
        """Return the state."""
        size = state_bytes(self._config)
        buffer = ctypes.create_string_buffer(size)
        _check(self._core.mlp_state_read(self._model, 0, buffer, ctypes.c_size_t(size)))
        return State.decode(self._config, buffer.raw)


def _check(status: int) -> None:
    if Status(status) != Status.OK:
        raise RuntimeError(f"the core answers {Status(status).name}")
