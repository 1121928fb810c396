"""Random models, states and batches inside the ranges of NUMERICS section 2, extremes included."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from fixgrad.model import FORMAT_MAX, INPUT_DTYPES, ModelConfig, State
from fixgrad.protocol import LIMITS, Activation, InputFormat, Loss
from numpy.typing import NDArray

HIDDEN = [Activation.RELU, Activation.LEAKY, Activation.SIGMOID, Activation.TANH, Activation.SIGN]
Rng = np.random.Generator


@dataclass(frozen=True)
class RandomBatch:
    """Features [b, n0], targets [b] or [b, outputs], learning-rate pair."""

    features: NDArray[np.integer]
    targets: NDArray[np.int32]
    lr_mantissa: int
    lr_exponent: int


@dataclass(frozen=True)
class RandomCase:
    """A model, its state and the batches to train it on; a pure function of the seed."""

    seed: int
    config: ModelConfig
    state: State
    batches: list[RandomBatch]


def random_case(seed: int, steps: int = 4) -> RandomCase:
    """Return the case of a seed."""
    rng = np.random.default_rng(seed)
    config = random_config(rng)
    state = random_state(rng, config)
    return RandomCase(seed, config, state, list(_batches(rng, config, steps)))


def random_config(rng: Rng) -> ModelConfig:
    """Return a model inside its budgets."""
    while True:
        config = _candidate(rng).with_budgets()
        bits = (*config.weight_bits, *config.delta_bits, config.update_bits)
        if min(bits) >= LIMITS["BITS_MIN"]:
            break
    if rng.random() < 0.3:
        config = replace(
            config,
            weight_bits=tuple(_fewer(rng, b) for b in config.weight_bits),
            delta_bits=tuple(_fewer(rng, b) for b in config.delta_bits),
            update_bits=_fewer(rng, config.update_bits),
        )
    config.check()
    return config


def _fewer(rng: Rng, bits: int) -> int:
    return int(rng.integers(LIMITS["BITS_MIN"], bits + 1))


def _chance(rng: Rng, probability: float) -> bool:
    return bool(rng.random() < probability)


def _candidate(rng: Rng) -> ModelConfig:
    hidden = int(rng.choice([0, 1, 1, 1, 2, 2, 3, 4]))
    layers = tuple(int(rng.integers(1, 65 if _chance(rng, 0.2) else 20)) for _ in range(hidden + 2))
    single = HIDDEN[rng.integers(len(HIDDEN))] if _chance(rng, 0.5) else None
    activations = tuple(single or HIDDEN[rng.integers(len(HIDDEN))] for _ in range(hidden))
    input_format = InputFormat(int(rng.integers(3)))
    largest = FORMAT_MAX[input_format]
    input_max = largest if _chance(rng, 0.6) else int(rng.integers(1, largest + 1))
    return ModelConfig(
        layers=layers,
        activations=activations,
        loss=Loss(int(rng.integers(4))),
        batch=int(rng.integers(1, 17)) if _chance(rng, 0.9) else int(rng.integers(17, 65)),
        input_format=input_format,
        input_max=input_max,
        activation_bits=tuple(
            8 if _chance(rng, 0.4) else int(rng.integers(4, 16)) for _ in range(hidden)
        ),
        weight_bits=(0,) * (hidden + 1),
        delta_bits=(0,) * (hidden + 1),
        update_bits=0,
        momentum=int(rng.integers(1, 256)) if _chance(rng, 0.5) else 0,
        velocity_bits=int(rng.integers(1, 9)),
        decay_every=int(rng.integers(1, 5)) if _chance(rng, 0.4) else 0,
        decay_shift=int(rng.integers(1, 17)),
        clip_exponent=int(rng.integers(-20, 10)) if _chance(rng, 0.3) else None,
        adaptive=_chance(rng, 0.7),
        widen=_chance(rng, 0.5),
    )


def _mantissas(rng: Rng, low: int, high: int, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Return integers of low..high: uniform, small, only the extremes, or all the same."""
    kind = int(rng.integers(5))
    if kind == 0:
        return rng.choice(np.array([low, high, 0]), shape)
    if kind == 1:
        return np.full(shape, rng.choice(np.array([low, high])))
    if kind == 2:
        small = np.rint(rng.normal(0, max(1.0, high / 16), shape)).astype(np.int64)
        return np.clip(small, low, high)
    return rng.integers(low, high + 1, shape)


def random_state(rng: Rng, config: ModelConfig) -> State:
    """Return a state inside its ranges: sensible exponents or any that are allowed."""
    layers = range(config.layer_count)
    shapes = [(config.layers[i + 1], config.layers[i]) for i in layers]
    bias_max = LIMITS["BIAS_MAX"]
    wide = _chance(rng, 0.4)

    def biases(limit: int) -> list[NDArray[np.int32]]:
        scale = limit if _chance(rng, 0.4) else min(limit, 1 << int(rng.integers(1, 22)))
        return [_mantissas(rng, -scale, scale, s[:1]).astype(np.int32) for s in shapes]

    return State(
        weights=[
            _mantissas(rng, -(2**b), 2**b - 1, s).astype(np.int16)
            for s, b in zip(shapes, config.weight_bits, strict=True)
        ],
        biases=biases(bias_max),
        velocities=[
            _mantissas(rng, -32767, 32767, s).astype(np.int16)
            for s in (shapes if config.momentum else [])
        ],
        bias_velocities=biases(2**22) if config.momentum else [],
        weight_exponent=[
            int(rng.integers(-32, 32)) if wide else int(rng.integers(-16, -8)) for _ in layers
        ],
        activation_exponent=[
            int(rng.integers(-15, 16)) if wide else -8,
            *(
                int(rng.integers(-15, 1)) if wide else int(rng.integers(-12, -1))
                for _ in layers[1:]
            ),
        ],
        low=[int(rng.choice([0, 254, 255])) for _ in layers[1:]],
        prng=int(rng.integers(2**32)),
        step=int(rng.choice([0, 7, 2**32 - 2, int(rng.integers(2**32))])),
    )


def _targets(rng: Rng, config: ModelConfig, count: int) -> NDArray[np.int32]:
    shape = (count, config.outputs)
    if config.loss == Loss.SOFTMAX_CROSS_ENTROPY:
        return rng.integers(0, config.outputs, count).astype(np.int32)
    if config.loss == Loss.SQUARED_ERROR:
        limit = LIMITS["TARGET_MAX"] if _chance(rng, 0.3) else 1 << 17
        return _mantissas(rng, -limit, limit, shape).astype(np.int32)
    values = np.array([0, 32768, 16384, 16383, int(rng.integers(32769))])
    return rng.choice(values, shape).astype(np.int32)


def _batches(rng: Rng, config: ModelConfig, steps: int) -> Iterator[RandomBatch]:
    lowest = 0 if config.input_format == InputFormat.U8 else -config.input_max
    for _ in range(steps):
        count = config.batch if _chance(rng, 0.7) else int(rng.integers(1, config.batch + 1))
        features = _mantissas(rng, lowest, config.input_max, (count, config.layers[0]))
        extreme = _chance(rng, 0.2)
        yield RandomBatch(
            features=features.astype(INPUT_DTYPES[config.input_format]),
            targets=_targets(rng, config, count),
            lr_mantissa=int(rng.integers(1, 2**15 + 1) if extreme else rng.integers(128, 257)),
            lr_exponent=int(rng.integers(-64, 64) if extreme else rng.integers(-16, -4)),
        )
