"""The planner against the core, and against the figures of NUMERICS."""

import numpy as np
import pytest
from core_library import CoreModel
from fixgrad.model import ModelConfig
from fixgrad.planner import plan
from fixgrad.protocol import Activation, InputFormat, Loss, Status
from random_models import random_config

# NUMERICS, "RAM".
DOCUMENTED = [
    ((64, 32, 10), 8, 6664),
    ((64, 64, 10), 16, 14696),
    ((196, 32, 10), 8, 16168),
    ((784, 64, 10), 16, 118376),
    ((784, 100, 50, 10), 8, 179096),
    ((784, 100, 50, 10), 16, 189224),
]


def _relu(layers: tuple[int, ...], batch: int) -> ModelConfig:
    hidden = len(layers) - 2
    return ModelConfig(
        layers=layers,
        activations=(Activation.RELU,) * hidden,
        loss=Loss.SOFTMAX_CROSS_ENTROPY,
        batch=batch,
        input_format=InputFormat.U8,
        input_max=255,
        activation_bits=(8,) * hidden,
        weight_bits=(14,) * (hidden + 1),
        delta_bits=(15,) * (hidden + 1),
        update_bits=15,
    ).with_budgets()


@pytest.mark.parametrize(("layers", "batch", "documented"), DOCUMENTED)
def test_memory_follows_the_formula_of_numerics(
    layers: tuple[int, ...], batch: int, documented: int
) -> None:
    needed = plan(_relu(layers, batch)).arena_bytes
    assert abs(needed - documented) <= 0.05 * documented


def test_the_core_asks_for_the_planned_bytes_of_random_models() -> None:
    rng = np.random.default_rng(1)
    for index in range(500):
        config = random_config(rng)
        asked = CoreModel(config, arena_bytes=0)
        assert (asked.status, asked.detail) == (Status.NO_MEMORY, plan(config).arena_bytes), (
            f"model {index}: {config}"
        )


def test_a_model_fits_the_planned_bytes_and_not_one_less() -> None:
    config = _relu((64, 32, 10), 8)
    needed = plan(config).arena_bytes
    assert CoreModel(config, arena_bytes=needed).status == Status.OK
    assert CoreModel(config, arena_bytes=needed - 1).status == Status.NO_MEMORY


def test_more_than_32_bits_of_memory_are_refused() -> None:
    config = _relu((65535, 65535, 10), 1)
    with_few_bits = ModelConfig(
        **{
            **config.__dict__,
            "input_max": 1,
            "activation_bits": (4,),
            "batch": 65535,
        }
    ).with_budgets()
    with_few_bits.check()
    asked = CoreModel(with_few_bits)
    assert (asked.status, asked.detail) == (Status.NO_MEMORY, 2**32 - 1)
    assert plan(with_few_bits).arena_bytes > 2**32


def test_the_parts_sum_up_to_the_arena() -> None:
    planned = plan(_relu((5, 3, 2), 3))
    # 5-3-2, batch 3, u8: by hand from NUMERICS' formula and docs/PROTOCOL.md's scalars.
    assert planned.weights == 2 * (5 * 3 + 3 * 2)
    assert planned.biases == 4 * (3 + 2)
    assert planned.inputs == 3 * 5
    assert planned.activations == 3 * 3
    assert planned.deltas == 4 * 2 * (4 + 2)  # groups of four samples by two units
    assert planned.scales == 3 * 4 * 2
    assert planned.scratch == 192  # 16 * 4 + 128: packed inputs and a record
    assert planned.words == 4 * (2 + 2 + 1 + 2)
    assert planned.targets == planned.velocities == planned.bias_velocities == 0
    assert planned.arena_bytes == sum(planned.parts().values())
