"""Small fixed models for tests of the core's borders."""

from dataclasses import replace

import numpy as np
from fixgrad.model import ModelConfig, State
from fixgrad.protocol import Activation, InputFormat, Loss

SMALL = ModelConfig(
    layers=(5, 4, 3),
    activations=(Activation.RELU,),
    loss=Loss.SOFTMAX_CROSS_ENTROPY,
    batch=4,
    input_format=InputFormat.U8,
    input_max=200,
    activation_bits=(8,),
    weight_bits=(14, 14),
    delta_bits=(15, 15),
    update_bits=15,
).with_budgets()
MOMENTUM = replace(SMALL, momentum=200)


def small_state(config: ModelConfig, seed: int = 3) -> State:
    """Return an ordinary state whose every value differs from its neighbours."""
    rng = np.random.default_rng(seed)
    shapes = [(config.layers[i + 1], config.layers[i]) for i in range(config.layer_count)]
    velocity = shapes if config.momentum else []
    return State(
        weights=[rng.integers(-5000, 5001, s).astype(np.int16) for s in shapes],
        biases=[rng.integers(-70000, 70001, s[:1]).astype(np.int32) for s in shapes],
        velocities=[rng.integers(-900, 901, s).astype(np.int16) for s in velocity],
        bias_velocities=[rng.integers(-70000, 70001, s[:1]).astype(np.int32) for s in velocity],
        weight_exponent=[-12] * len(shapes),
        activation_exponent=[-8] + [-4] * (len(shapes) - 1),
        low=[7] * (len(shapes) - 1),
        prng=0xDEADBEEF,
        step=41,
    )
