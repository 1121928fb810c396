"""Steps a second of the bit-exact reference and of the C core, beside a float64 step in NumPy.

    python -m bench.reference_speed

784-100-50-10, ReLU, softmax cross-entropy, batch 16, synthetic samples. All take turns; the median
round counts, and is also given as a multiple of the float64 step. The C core is compiled as the
simulated board's, with its kernels and with plain C.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
from fixgrad.float_model import FloatMLP
from fixgrad.model import ModelConfig
from fixgrad.protocol import Activation, InputFormat, Loss
from fixgrad.quantize import initial_state, initial_weights, learning_rate_pair
from fixgrad.reference import Reference
from fixgrad.stream import Samples

from bench.accuracy.core import DEFINITION, FAST, Core

LAYERS = (784, 100, 50, 10)
BATCH = 16
SEED = 1
LEARNING_RATE = 0.125
STEPS = 100
ROUNDS = 7


def model_config() -> ModelConfig:
    """Return the model whose steps are timed."""
    return ModelConfig(
        layers=LAYERS,
        activations=(Activation.RELU, Activation.RELU),
        loss=Loss.SOFTMAX_CROSS_ENTROPY,
        batch=BATCH,
        input_format=InputFormat.U8,
        input_max=255,
        activation_bits=(8, 8),
        weight_bits=(),
        delta_bits=(),
        update_bits=0,
    ).with_budgets()


def seconds(step: Callable[[int], object]) -> float:
    """Return the time of `STEPS` steps."""
    start = time.perf_counter()
    for index in range(STEPS):
        step(index)
    return time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    config = model_config()
    weights = initial_weights(LAYERS, SEED)
    reference = Reference(config, initial_state(config, weights, SEED, input_exponent=-8))
    float_model = FloatMLP.like(config, weights)
    generator = np.random.default_rng(SEED)
    features = generator.integers(0, 256, (STEPS, BATCH, LAYERS[0])).astype(np.uint8)
    targets = generator.integers(0, LAYERS[-1], (STEPS, BATCH))
    pair = learning_rate_pair(LEARNING_RATE, BATCH)

    samples = Samples(features.reshape(-1, LAYERS[0]), targets.reshape(-1).astype(np.int32))
    wire = samples.wire(config).reshape(STEPS, BATCH, -1)
    state = initial_state(config, weights, SEED, input_exponent=-8)
    cores = {name: Core(config, state, name) for name in (FAST, DEFINITION)}

    def core_step(name: str) -> Callable[[int], None]:
        return lambda index: cores[name].epoch(wire[index], [pair])

    def integer_step(index: int) -> None:
        reference.step(features[index], targets[index], *pair)

    def integer_step_and_digest(index: int) -> None:
        integer_step(index)
        reference.digest()

    def float_step(index: int) -> None:
        float_model.step(features[index] / 256, targets[index], LEARNING_RATE)

    rows = {
        "reference step": integer_step,
        "reference step and digest": integer_step_and_digest,
        "C step, plain": core_step(DEFINITION),
        "C step, simulated board": core_step(FAST),
        "float64 step": float_step,
    }
    times: dict[str, list[float]] = {name: [] for name in rows}
    for _ in range(ROUNDS):
        for name, step in rows.items():
            times[name].append(seconds(step))
    print(f"{'-'.join(map(str, LAYERS))}, batch {BATCH}, median of {ROUNDS} x {STEPS} steps")
    yardstick = statistics.median(times["float64 step"])
    for name, rounds in times.items():
        each = statistics.median(rounds)
        print(f"{name:<26} {STEPS / each:8.0f} steps/s {yardstick / each:8.2f}")


if __name__ == "__main__":
    main()
