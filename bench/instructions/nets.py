"""The networks that are counted, with synthetic samples and a state in training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from fixgrad.bench import WARM_STEPS
from fixgrad.model import ModelConfig, State
from fixgrad.protocol import Activation, InputFormat, Loss
from fixgrad.quantize import initial_state, initial_weights, learning_rate_pair
from numpy.typing import NDArray

from bench.machines import Step, encode_job

SEED = 1
LEARNING_RATE = 0.125


@dataclass(frozen=True)
class Net:
    """A network: name, widths, batch."""

    name: str
    layers: tuple[int, ...]
    batch: int

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one step: forward, backward but not into the input, gradient."""
        pairs = [i * o for i, o in zip(self.layers, self.layers[1:], strict=False)]
        return self.batch * (3 * sum(pairs) - pairs[0])

    def config(self) -> ModelConfig:
        """Return the model: ReLU, softmax cross-entropy, bytes."""
        hidden = len(self.layers) - 2
        return ModelConfig(
            layers=self.layers,
            activations=(Activation.RELU,) * hidden,
            loss=Loss.SOFTMAX_CROSS_ENTROPY,
            batch=self.batch,
            input_format=InputFormat.U8,
            input_max=255,
            activation_bits=(8,) * hidden,
            weight_bits=(14,) * (hidden + 1),
            delta_bits=(15,) * (hidden + 1),
            update_bits=15,
        ).with_budgets()

    def initial(self) -> State:
        """Return the state before the first step."""
        return initial_state(self.config(), initial_weights(self.layers, SEED), SEED, -8)

    def batches(self, count: int) -> list[tuple[NDArray[np.uint8], NDArray[np.int32]]]:
        """Return features [b, n0] and classes of batches: blurred random classes, a fixed seed."""
        rng = np.random.default_rng(SEED)
        centres = rng.integers(0, 256, (self.layers[-1], self.layers[0]))
        batches = []
        for _ in range(count):
            classes = rng.integers(0, self.layers[-1], self.batch)
            noise = rng.integers(0, 256, (self.batch, self.layers[0]))
            features = ((centres[classes] + 3 * noise) // 4).astype(np.uint8)
            batches.append((features, classes.astype(np.int32)))
        return batches

    def job(self) -> bytes:
        """Return warm steps and the counted one for bench/firmware/job.h."""
        rate = learning_rate_pair(LEARNING_RATE, self.batch)
        steps = [Step(*batch, *rate) for batch in self.batches(WARM_STEPS + 1)]
        return encode_job(self.config(), self.initial(), steps)

    def textbook_job(self, steps: int) -> bytes:
        """Return the same samples for bench/firmware/textbook.h, with He's bounds of weights."""
        bounds = [round(4096 * (6 / inputs) ** 0.5) for inputs in self.layers[:-1]]
        head = [len(self.layers) - 1, self.batch, steps, *self.layers, *bounds]
        rows = [
            np.hstack([features, classes[:, None].astype(np.uint8)])
            for features, classes in self.batches(steps)
        ]
        return np.array(head, "<u4").tobytes() + b"".join(row.tobytes() for row in rows)


NETS = {
    net.name: net
    for net in (
        Net("N1", (64, 32, 10), 16),
        Net("N2", (784, 100, 50, 10), 16),
        Net("N1-batch1", (64, 32, 10), 1),
        Net("deep", (32, 24, 24, 24, 24, 10), 16),
    )
}
"""By name."""
