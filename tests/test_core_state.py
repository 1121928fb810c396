"""The STATE region: canonical bytes in any chunks, and the range of every value."""

from collections.abc import Callable

import numpy as np
import pytest
from core_library import CoreModel
from fixgrad.model import ModelConfig, State, state_bytes
from fixgrad.protocol import Status
from small_models import MOMENTUM, SMALL, small_state

CONFIGS = [pytest.param(SMALL, id="plain"), pytest.param(MOMENTUM, id="momentum")]


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("chunk", [2, 6, 10, 34, 1000])
def test_state_survives_any_chunks_in_any_order(config: ModelConfig, chunk: int) -> None:
    expected = small_state(config).encode()
    core = CoreModel(config)
    assert core.state_bytes == len(expected) == state_bytes(config)
    for offset in reversed(range(0, len(expected), chunk)):
        assert core.write(offset, expected[offset : offset + chunk]) == Status.OK
    read = [
        core.read(offset, min(chunk, len(expected) - offset))
        for offset in range(0, len(expected), chunk)
    ]
    assert {status for status, _ in read} == {Status.OK}
    assert b"".join(data for _, data in read) == expected


@pytest.mark.parametrize("config", CONFIGS)
def test_offsets_outside_the_region_are_refused(config: ModelConfig) -> None:
    core = CoreModel(config)
    core.load(small_state(config))
    end = core.state_bytes
    for offset, count in ((1, 2), (0, 3), (end, 2), (end - 2, 4), (2**32 - 2, 2), (0, end + 2)):
        assert core.write(offset, bytes(count)) == Status.BAD_OFFSET
        assert core.read(offset, count)[0] == Status.BAD_OFFSET
    assert core.read(end, 0)[0] == Status.OK
    assert core.state().encode() == small_state(config).encode()


def test_writing_needs_a_start_before_training() -> None:
    core = CoreModel(SMALL)
    core.load(small_state(SMALL))
    core.write(0, b"\1\0")
    assert core.begin(1, 128, -10) == Status.BAD_SAMPLE


def test_digest_follows_a_write() -> None:
    core = CoreModel(SMALL)
    core.load(small_state(SMALL))
    before = core.digest()
    core.write(0, core.read(0, 2)[1])
    assert core.digest() == before
    core.write(0, b"\x34\x12")
    assert core.digest() != before


def _set(name: str, layer: int, value: int) -> Callable[[State], None]:
    def change(state: State) -> None:
        target = getattr(state, name)
        if isinstance(target[layer], np.ndarray):
            target[layer].flat[-1] = value
        else:
            target[layer] = value

    return change


# (field, layer, lowest and highest allowed): NUMERICS sections 2 and 6 for SMALL (wb = 14 and 14).
RANGES = [
    ("weights", 0, -(2**14), 2**14 - 1),
    ("weights", 1, -(2**14), 2**14 - 1),
    ("biases", 0, -(2**28), 2**28),
    ("biases", 1, -(2**28), 2**28),
    ("velocities", 1, -32767, 32767),
    ("bias_velocities", 0, -(2**22), 2**22),
    ("weight_exponent", 0, -32, 31),
    ("weight_exponent", 1, -32, 31),
    ("activation_exponent", 0, -15, 15),
    ("activation_exponent", 1, -15, 0),
    ("low", 0, 0, 255),
]


@pytest.mark.parametrize(("name", "layer", "low", "high"), RANGES)
def test_every_value_is_checked_at_its_limits(name: str, layer: int, low: int, high: int) -> None:
    outside = [value for value in (low - 1, high + 1) if name != "velocities" or value >= -32768]
    outside = [value for value in outside if name != "velocities" or value <= 32767]
    for value, expected in [
        (low, Status.OK), (high, Status.OK), *((value, Status.BAD_STATE) for value in outside)
    ]:  # fmt: skip
        state = small_state(MOMENTUM)
        _set(name, layer, value)(state)
        assert CoreModel(MOMENTUM).load(state) == expected, value


def test_exponent_that_only_its_low_byte_would_allow_is_refused() -> None:
    state = small_state(SMALL)
    state.weight_exponent[0] = 256 - 12
    assert CoreModel(SMALL).load(state) == Status.BAD_STATE


def test_any_step_and_random_state_are_allowed() -> None:
    state = small_state(SMALL)
    state.step, state.prng = 2**32 - 1, 0
    assert CoreModel(SMALL).load(state) == Status.OK
