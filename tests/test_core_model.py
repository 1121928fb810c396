"""The MODEL region: every bad field is refused with its offset in docs/PROTOCOL.md."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from core_library import CoreModel
from fixgrad.model import ModelConfig
from fixgrad.protocol import LAYER_FIELDS, MODEL_FIELDS, InputFormat, Status
from random_models import random_config
from small_models import SMALL, small_state

HEAD_BYTES = 20
LAYER_BYTES = 6


def _offset(name: str, layer: int | None) -> tuple[int, int]:
    """Return offset and width of a field: summed widths of the fields before it."""
    fields = MODEL_FIELDS if layer is None else LAYER_FIELDS
    at = 0 if layer is None else HEAD_BYTES + layer * LAYER_BYTES
    for field, width in fields:
        if field == name:
            return at, abs(width)
        at += abs(width)
    raise AssertionError(name)


# SMALL is 5-4-3, u8 inputs up to 200, batch 4, one ReLU layer of 8 bits, all budgets at their top.
BAD_FIELDS = [
    ("numerics", None, 0),
    ("numerics", None, 2),
    ("layer_count", None, 0),
    ("layer_count", None, 1),
    ("layer_count", None, 3),
    ("loss", None, 4),
    ("flags", None, 16),
    ("flags", None, 128),
    ("batch", None, 0),
    ("input_format", None, 3),
    ("input_max", None, 0),
    ("input_max", None, 256),
    ("velocity_bits", None, 0),
    ("velocity_bits", None, 9),
    ("decay_shift", None, 0),
    ("decay_shift", None, 17),
    ("input_width", None, 0),
    ("update_bits", None, 6),
    ("update_bits", None, 16),
    ("width", 0, 0),
    ("width", 1, 0),
    ("width", 1, 65),
    ("activation", 0, 0),
    ("activation", 0, 6),
    ("activation", 1, 1),
    ("activation_bits", 0, 3),
    ("activation_bits", 0, 16),
    ("activation_bits", 1, 8),
    ("weight_bits", 0, 6),
    ("weight_bits", 1, 15),
    ("delta_bits", 0, 6),
    ("delta_bits", 1, 16),
]


@pytest.mark.parametrize(("name", "layer", "value"), BAD_FIELDS)
def test_bad_field_is_refused_with_its_offset(name: str, layer: int | None, value: int) -> None:
    at, width = _offset(name, layer)
    blob = bytearray(SMALL.encode())
    blob[at : at + width] = value.to_bytes(width, "little")
    core = CoreModel(bytes(blob))
    assert (core.status, core.detail) == (Status.BAD_MODEL, at)
    assert core.state_bytes == 0


# Each model meets one budget of NUMERICS section 2 with no number to spare:
# 1: 12743 * 9 = floor((2^31 - 1 - 2^28) / 2^14); 2: 513 * (2^9 - 1) = floor((2^31 - 1) / 2^13);
# 3: 288 * (2^9 - 1) = floor(2^30 / 7296).
FULL_ACCUMULATOR = replace(
    SMALL, layers=(12743, 3), input_max=9, activations=(), activation_bits=(),
    weight_bits=(14,), delta_bits=(15,),
)  # fmt: skip
FULL_DELTA = replace(
    SMALL, layers=(5, 4, 513, 3), activations=SMALL.activations * 2, activation_bits=(8, 6),
    weight_bits=(14, 13, 13), delta_bits=(15, 9, 15),
)  # fmt: skip
FULL_UPDATE = replace(
    SMALL, layers=(5, 3), input_format=InputFormat.I16, input_max=7296, activations=(),
    activation_bits=(), batch=288, weight_bits=(10,), delta_bits=(15,), update_bits=9,
)  # fmt: skip


@pytest.mark.parametrize(
    ("full", "more", "name", "layer"),
    [
        (FULL_ACCUMULATOR, {"layers": (12744, 3)}, "weight_bits", 0),
        (FULL_DELTA, {"layers": (5, 4, 514, 3)}, "delta_bits", 1),
        (FULL_UPDATE, {"batch": 289}, "update_bits", None),
    ],
)
def test_budget_is_checked_exactly(
    full: ModelConfig, more: dict[str, Any], name: str, layer: int | None
) -> None:
    assert CoreModel(full).status == Status.OK
    core = CoreModel(replace(full, **more))
    assert (core.status, core.detail) == (Status.BAD_MODEL, _offset(name, layer)[0])


def _is_in_budget(config: ModelConfig) -> bool:
    """NUMERICS section 2 in integers without a limit."""
    n, limit = config.layers, config.activation_max
    weights, deltas = config.weight_bits, config.delta_bits
    layers = range(config.layer_count)
    ranges = (
        all(7 <= bits <= 14 for bits in weights)
        and all(7 <= bits <= 15 for bits in (*deltas, config.update_bits))
    )  # fmt: skip
    return (
        ranges
        and all(n[i] * limit[i] * 2 ** weights[i] <= 2**31 - 1 - 2**28 for i in layers)
        and all(n[i + 1] * 2 ** weights[i] * (2 ** deltas[i] - 1) <= 2**31 - 1 for i in layers[1:])
        and config.batch * (2**config.update_bits - 1) * max(limit) <= 2**30
    )


def test_models_are_accepted_exactly_inside_their_budgets() -> None:
    rng = np.random.default_rng(5)
    answers = set()
    for _ in range(1000):
        config = random_config(rng)
        changed = replace(
            config,
            weight_bits=tuple(b + int(rng.integers(-1, 2)) for b in config.weight_bits),
            delta_bits=tuple(b + int(rng.choice([0, 0, 1])) for b in config.delta_bits),
            batch=config.batch * int(rng.choice([1, 1, 50])),
        )
        expected = Status.OK if _is_in_budget(changed) else Status.BAD_MODEL
        assert CoreModel(changed).status == expected, changed
        answers.add(expected)
    assert len(answers) == 2


@pytest.mark.parametrize("length", [0, 1, 19, 20, 31])
def test_truncated_model_is_refused(length: int) -> None:
    core = CoreModel(SMALL.encode()[:length])
    assert core.status == Status.BAD_MODEL


def test_trailing_byte_is_refused() -> None:
    core = CoreModel(SMALL.encode() + b"\0")
    assert (core.status, core.detail) == (Status.BAD_MODEL, _offset("layer_count", None)[0])


def test_same_model_again_keeps_the_state() -> None:
    core = CoreModel(SMALL)
    state = small_state(SMALL)
    core.load(state)
    assert core.configure(SMALL)[0] == Status.OK
    assert core.state().encode() == state.encode()


def test_refused_model_leaves_no_model() -> None:
    core = CoreModel(SMALL)
    core.load(small_state(SMALL))
    assert core.configure(b"")[0] == Status.BAD_MODEL
    assert core.state_bytes == 0
    assert core.start() == Status.BAD_STATE
    assert core.begin(1, 128, -10) == Status.BAD_SAMPLE
    assert core.steps == 0


def test_configuring_needs_a_start_before_training() -> None:
    core = CoreModel(SMALL)
    core.load(small_state(SMALL))
    core.configure(SMALL)
    assert core.begin(1, 128, -10) == Status.BAD_SAMPLE
    assert core.start() == Status.OK
    assert core.begin(1, 128, -10) == Status.OK
