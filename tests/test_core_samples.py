"""Samples and batches from an untrusted link; inference beside training."""

from dataclasses import replace

import numpy as np
import pytest
from core_library import CoreModel
from fixgrad.model import ModelConfig
from fixgrad.protocol import InputFormat, Loss, Status
from small_models import SMALL, small_state

GOOD = bytes([1, 2, 3, 200, 0, 2])
RATE = (200, -12)


def _started(config: ModelConfig = SMALL) -> CoreModel:
    core = CoreModel(config)
    assert core.load(small_state(config)) == Status.OK
    return core


def _fingerprint(core: CoreModel) -> tuple[int, ...]:
    c = core.counters()
    return (core.digest(), core.steps, c.loss_sum, c.correct, c.wsat, c.asat, c.bsat)


@pytest.mark.parametrize(
    ("size", "mantissa", "exponent"),
    [(0, *RATE), (5, *RATE), (1, 0, -12), (1, 32769, -12), (1, 200, -65), (1, 200, 64)],
)
def test_bad_batch_header_is_refused(size: int, mantissa: int, exponent: int) -> None:
    core = _started()
    assert core.begin(size, mantissa, exponent) == Status.BAD_SAMPLE
    assert not core.batch_open
    assert core.begin(4, 32768, 63) == Status.OK


def test_sample_without_a_batch_is_refused() -> None:
    assert _started().put(GOOD) == Status.BAD_SAMPLE


def test_batch_inside_a_batch_is_refused() -> None:
    core = _started()
    core.begin(2, *RATE)
    core.put(GOOD)
    assert core.begin(2, *RATE) == Status.BAD_SAMPLE
    assert core.put(GOOD) == Status.OK
    assert core.steps == 42


def _i16(*values: int) -> bytes:
    return np.array(values, "<i2").tobytes()


I8 = replace(SMALL, input_format=InputFormat.I8, input_max=100).with_budgets()
I16 = replace(SMALL, input_format=InputFormat.I16, input_max=2000).with_budgets()
LINEAR = replace(SMALL, loss=Loss.SQUARED_ERROR)
SIGMOID = replace(SMALL, loss=Loss.SIGMOID_BINARY_CROSS_ENTROPY)
ZEROS = bytes(5)


@pytest.mark.parametrize(
    ("config", "good", "bad"),
    [
        pytest.param(SMALL, GOOD, bytes([1, 2, 3, 201, 0, 2]), id="u8 feature"),
        pytest.param(SMALL, GOOD, bytes([1, 2, 3, 200, 0, 3]), id="class"),
        pytest.param(I8, b"\x64\x9c\0\0\0\0", b"\x65\0\0\0\0\0", id="i8 feature"),
        pytest.param(I8, b"\x9c\0\0\0\0\0", b"\x80\0\0\0\0\0", id="i8 -128"),
        pytest.param(I16, _i16(2000, -2000, 0, 0, 0) + b"\2", _i16(0, 0, 0, 0, -2001) + b"\2",
                     id="i16 feature"),
        pytest.param(I16, _i16(0, 0, 0, 0, 0) + b"\2", _i16(-32768, 0, 0, 0, 0) + b"\2",
                     id="i16 -32768"),
        pytest.param(SIGMOID, ZEROS + np.array([0, 32768, 1], "<u2").tobytes(),
                     ZEROS + np.array([0, 0, 32769], "<u2").tobytes(), id="sigmoid target"),
        pytest.param(LINEAR, ZEROS + np.array([2**26, -(2**26), 0], "<i4").tobytes(),
                     ZEROS + np.array([0, 0, 2**26 + 1], "<i4").tobytes(), id="linear target"),
        pytest.param(LINEAR, ZEROS + np.array([0, 0, 0], "<i4").tobytes(),
                     ZEROS + np.array([-(2**31), 0, 0], "<i4").tobytes(), id="linear -2^31"),
    ],
)  # fmt: skip
def test_sample_outside_its_ranges_changes_nothing(
    config: ModelConfig, good: bytes, bad: bytes
) -> None:
    core, undisturbed = _started(config), _started(config)
    core.begin(2, *RATE)
    assert core.put(good) == Status.OK
    assert core.put(bad) == Status.BAD_SAMPLE
    assert core.batch_open
    assert core.put(good) == Status.OK
    undisturbed.begin(2, *RATE)
    undisturbed.put(good)
    undisturbed.put(good)
    assert _fingerprint(core) == _fingerprint(undisturbed)


def test_refused_first_sample_takes_the_announcement_along() -> None:
    core = _started()
    core.begin(2, *RATE)
    assert core.put(bytes([255] * 6)) == Status.BAD_SAMPLE
    assert not core.batch_open
    assert core.begin(1, *RATE) == Status.OK
    assert core.put(GOOD) == Status.OK
    assert core.steps == 42


@pytest.mark.parametrize("loss", list(Loss))
def test_inference_in_a_half_collected_batch_disturbs_nothing(loss: Loss) -> None:
    config = replace(SMALL, loss=loss)
    rng = np.random.default_rng(4)
    features = rng.integers(0, 201, (4, 5)).astype(np.uint8)
    other = rng.integers(0, 201, (4, 5)).astype(np.uint8)
    shape = (4,) if loss == Loss.SOFTMAX_CROSS_ENTROPY else (4, 3)
    targets = rng.integers(0, 3, shape).astype(np.int32)
    core, undisturbed = _started(config), _started(config)
    samples = np.frombuffer(core.wire(features, targets), np.uint8).reshape(4, -1)
    core.begin(4, *RATE)
    for sample in samples:
        core.infer(other, targets[::-1])
        assert core.put(sample.tobytes()) == Status.OK
    core.infer(features, targets)
    undisturbed.step(features, targets, *RATE)
    assert _fingerprint(core) == _fingerprint(undisturbed)


def test_start_forgets_a_half_collected_batch_and_the_counters() -> None:
    core = _started()
    core.step(np.full((4, 5), 200, np.uint8), np.zeros(4, np.int32), *RATE)
    core.begin(2, *RATE)
    core.put(GOOD)
    assert core.start() == Status.OK
    assert not core.batch_open
    assert _fingerprint(core)[2:] == (0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("loss", "targets", "correct"),
    [
        # All weights are 0 and the biases are 3, -2, 1: the largest output is 0; its sign is known.
        (Loss.SOFTMAX_CROSS_ENTROPY, [0, 1, 2], 1),
        (Loss.SIGMOID_BINARY_CROSS_ENTROPY, [[16384, 16383, 32768], [16383, 0, 32768]], 1),
        (Loss.SIGMOID_SQUARED_ERROR, [[32768, 0, 32768], [32768, 16384, 32768]], 1),
        (Loss.SQUARED_ERROR, [[0, 0, 0], [1, 1, 1]], 0),
    ],
)
def test_correct_counts_right_predictions(
    loss: Loss, targets: list[int] | list[list[int]], correct: int
) -> None:
    config = replace(SMALL, loss=loss)
    state = small_state(config)
    state.weights = [np.zeros_like(w) for w in state.weights]
    state.biases[1] = np.array([3, -2, 1], np.int32)
    core = CoreModel(config)
    core.load(state)
    y = np.array(targets, np.int32)
    assert core.step(np.zeros((len(y), 5), np.uint8), y, *RATE).correct == correct
