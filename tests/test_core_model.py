"""The MODEL region: every bad field is refused with its offset in docs/PROTOCOL.md."""

import pytest
from core_library import CoreModel
from fixgrad.protocol import LAYER_FIELDS, MODEL_FIELDS, Status
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
    ("flags", None, 8),
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
    ("activation", 0, 5),
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


# One above the largest n, or bits, for which NUMERICS section 2 holds with these numbers:
# 1: n * 200 * 2^14 <= 2^31 - 1 - 2^28 -> n <= 573; 2: n * 2^14 * (2^15 - 1) <= 2^31 - 1 -> n <= 4;
# 3: B * (2^15 - 1) * 255 <= 2^30 -> B <= 128.
@pytest.mark.parametrize(
    ("changed", "layer", "good", "bad", "blamed", "blamed_layer"),
    [
        ("input_width", None, 573, 574, "weight_bits", 0),
        ("width", 1, 4, 5, "delta_bits", 1),
        ("batch", None, 128, 129, "update_bits", None),
    ],
)
def test_budget_is_checked_exactly(
    changed: str, layer: int | None, good: int, bad: int, blamed: str, blamed_layer: int | None
) -> None:
    at, width = _offset(changed, layer)
    for value, expected in ((good, Status.OK), (bad, Status.BAD_MODEL)):
        blob = bytearray(SMALL.encode())
        blob[at : at + width] = value.to_bytes(width, "little")
        core = CoreModel(bytes(blob))
        assert core.status == expected
        if expected == Status.BAD_MODEL:
            assert core.detail == _offset(blamed, blamed_layer)[0]


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
