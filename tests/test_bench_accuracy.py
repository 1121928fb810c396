"""The accuracy bench: its two runners against the NumPy implementations, and its bookkeeping."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from core_library import has_compiler
from fixgrad.float_model import FloatMLP
from fixgrad.protocol import Activation, Loss
from fixgrad.quantize import initial_state, initial_weights
from fixgrad.reference import Reference
from fixgrad.stream import EpochSchedule, Samples
from small_models import SMALL

from bench.accuracy.augment import augment
from bench.accuracy.core import Core
from bench.accuracy.float32 import ACTIVATIONS, Float32
from bench.accuracy.results import Results
from bench.accuracy.table import BEGIN, END, paired, rewrite, spread, table
from bench.accuracy.tasks import SCHEDULES, TASKS, prepare, score
from bench.accuracy.training import FLOAT, INTEGER, train

pytestmark = pytest.mark.skipif(not has_compiler("cc"), reason="no C compiler")

RATES = [(128, -10), (200, -9), (150, -11)]


def test_an_epoch_through_the_runner_is_that_of_the_reference():
    config = SMALL
    state = initial_state(config, initial_weights(config.layers, 3), 3, -8)
    generator = np.random.default_rng(3)
    samples = Samples(
        generator.integers(0, 201, (10, config.layers[0])).astype(np.uint8),
        generator.integers(0, config.outputs, 10).astype(np.int32),
    )
    core, reference = Core(config, state), Reference(config, state)
    for _ in range(2):
        core.epoch(samples.wire(config), RATES)
        for step, rate in enumerate(RATES):
            indices = slice(4 * step, 4 * step + 4)
            reference.step(samples.features[indices], samples.targets[indices], *rate)
    assert core.digest() == reference.digest()
    expected = reference.predict(samples.features)
    assert (core.predict(samples.wire(config)) == expected).all()


@pytest.mark.parametrize("loss", Loss)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_float32_epoch_is_that_of_the_float_model(activation, loss):
    config = replace(SMALL, activations=(activation,), loss=loss)
    weights = initial_weights(config.layers, 5)
    generator = np.random.default_rng(5)
    features = generator.normal(size=(10, config.layers[0])).astype(np.float32)
    classes = loss == Loss.SOFTMAX_CROSS_ENTROPY
    targets = (
        generator.integers(0, config.outputs, (10, 1))
        if classes
        else generator.uniform(size=(10, config.outputs))
    ).astype(np.float32)
    model, expected = Float32(config, weights), FloatMLP.like(config, weights)
    rates = np.array([0.1, 0.05, 0.2], np.float32)
    for _ in range(2):
        model.epoch(features, targets, rates)
        for step, rate in enumerate(rates):
            indices = slice(4 * step, 4 * step + 4)
            batch = targets[indices, 0] if classes else targets[indices]
            expected.step(features[indices], batch, float(rate) * config.batch)
    for found, wanted in zip(model.weights, expected.weights, strict=True):
        assert np.allclose(found.T, wanted, atol=1e-5)
    for found, wanted in zip(model.biases, expected.biases, strict=True):
        assert np.allclose(found, wanted, atol=1e-5)
    predictions = expected.predict(features).reshape(len(features), -1)
    assert np.allclose(model.predict(features), predictions, atol=1e-4)


def test_float32_refuses_an_activation_that_it_does_not_know():
    config = replace(SMALL, activations=(Activation.SIGN,))
    with pytest.raises(ValueError, match="no activation sign"):
        Float32(config, initial_weights(config.layers, 5))


def test_both_engines_solve_xor():
    task = TASKS["xor"]
    prepared = prepare(task, None, 1)
    for engine in (INTEGER, FLOAT):
        assert train(prepared, engine, 1)["score"] == 100


def test_epochs_visit_the_samples_in_the_order_of_the_run():
    task = replace(TASKS["xor"], batch=2, epochs=3)
    prepared = prepare(task, None, 1)
    state = initial_state(prepared.config, task.weights(1), 1, prepared.exponent, task.headroom)
    reference = Reference(prepared.config, state)
    schedule = EpochSchedule(4, 2, 3, 1, True, lambda step: task.pairs(0, 2)[0])
    for step in range(schedule.steps):
        indices = schedule.step_indices(step)
        reference.step(
            prepared.train.features[indices],
            prepared.train.targets[indices],
            *schedule.learning_rate(step),
        )
    assert train(prepared, INTEGER, 1)["digest"] == f"{reference.digest():08x}"


def _digits(count: int) -> np.ndarray:
    return np.random.default_rng(1).integers(1, 256, (count, 64)).astype(np.uint8)


def test_a_varied_sample_depends_on_its_position_only():
    images = _digits(3000)
    whole = augment(images, 500, 7, shift=1, drop=64)
    assert (augment(images[2500:2510], 3000, 7, shift=1, drop=64) == whole[2500:2510]).all()


def test_a_sample_is_varied_anew_at_every_position_and_seed():
    image = np.repeat(_digits(1), 50, axis=0)
    assert len(np.unique(augment(image, 0, 7, shift=0, drop=64), axis=0)) == 50
    assert (augment(image, 0, 7, shift=0, drop=64) != augment(image, 0, 8, shift=0, drop=64)).any()


def test_an_image_moves_to_every_place_alike_often():
    image = np.zeros((1, 5, 5), np.uint8)
    image[0, 2, 2] = 9
    moved = augment(np.repeat(image.reshape(1, 25), 9000, axis=0), 0, 7, shift=1, drop=0)
    counts = (moved.reshape(-1, 5, 5) == 9).sum(axis=0)
    assert (counts[1:4, 1:4] > 850).all() and counts[1:4, 1:4].sum() == 9000


def test_what_leaves_the_image_does_not_come_back():
    image = np.zeros((1, 5, 5), np.uint8)
    image[0, 0, 0] = 9
    moved = augment(np.repeat(image.reshape(1, 25), 9000, axis=0), 0, 7, shift=1, drop=0)
    counts = (moved.reshape(-1, 5, 5) == 9).sum(axis=0)
    assert (counts[:2, :2] > 850).all() and counts[:2, :2].sum() == counts.sum() < 4500


def test_features_are_dropped_with_the_given_probability():
    images = _digits(4000)
    kept = (augment(images, 0, 7, shift=0, drop=64) == images).mean(axis=0)
    assert (abs(kept - 0.75) < 0.05).all()


def test_step_schedule_falls_at_half_and_three_quarters():
    task = replace(TASKS["mnist"], epochs=4)
    rates = [task.rate(step, 8) for step in range(8)]
    assert rates == [0.125] * 4 + [0.125 / 4] * 2 + [0.125 / 16] * 2


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_begin_with_the_whole_rate_and_never_rise(name):
    factors = [SCHEDULES[name](done / 100) for done in range(100)]
    assert factors[0] == 1
    assert all(a >= b > 0 for a, b in zip(factors, factors[1:], strict=False))


def test_r2_is_one_for_the_targets_and_zero_for_their_mean():
    config = replace(SMALL, loss=Loss.SQUARED_ERROR)
    samples = Samples(np.zeros((4, 1), np.uint8), np.array([[1], [2], [3], [6]], np.int32))
    assert score(config, samples, samples.targets) == 1
    assert score(config, samples, np.full((4, 1), 3)) == 0


def _row(engine: str, seed: int, value: float, **more: object) -> dict[str, object]:
    row = {"task": "xor", "engine": engine, "seed": seed, "score": value}
    return row | {"settings": {"layers": (2, 3, 1)}, "version": "1"} | more


def test_saved_seeds_are_found_again(tmp_path):
    path = tmp_path / "results.json"
    Results(path).add(_row(FLOAT, 1, 97.5))
    found = Results(path).find(_row(FLOAT, 1, 0))
    assert found is not None and found["score"] == 97.5


@pytest.mark.parametrize(
    "other", [{"seed": 2}, {"version": "2"}, {"settings": {}}, {"engine": INTEGER}]
)
def test_a_seed_of_other_settings_is_not_taken_for_a_saved_one(tmp_path, other):
    results = Results(tmp_path / "results.json")
    results.add(_row(FLOAT, 1, 97.5))
    assert results.find(_row(FLOAT, 1, 0) | other) is None


def test_a_seed_is_shared_by_tasks_of_the_same_settings(tmp_path):
    results = Results(tmp_path / "results.json")
    results.add(_row(FLOAT, 1, 97.5))
    found = results.find(_row(FLOAT, 1, 0) | {"task": "another"})
    assert found is not None and found["score"] == 97.5


def test_float32_shares_the_seeds_of_tasks_that_differ_in_the_format_only():
    task = TASKS["xor"]
    finer = replace(task, name="finer", headroom=1.0)
    assert task.settings(integer=False) == finer.settings(integer=False)
    assert task.settings(integer=True) != finer.settings(integer=True)


def test_a_seed_trained_again_replaces_the_saved_one(tmp_path):
    results = Results(tmp_path / "results.json")
    results.add(_row(FLOAT, 1, 97.5))
    results.add(_row(FLOAT, 1, 98.0, version="2"))
    assert [row["score"] for row in results.rows] == [98.0]


def test_only_seeds_of_both_engines_are_compared():
    rows = [_row(FLOAT, 1, 97.0), _row(INTEGER, 1, 98.0), _row(FLOAT, 2, 99.0)]
    assert paired(rows, "xor") == [(97.0, 98.0)]


def test_the_table_shows_means_deviations_and_the_paired_difference():
    rows = [
        _row(FLOAT, 1, 97.0),
        _row(INTEGER, 1, 96.0),
        _row(FLOAT, 2, 99.0),
        _row(INTEGER, 2, 98.0),
    ]
    line = table(rows).splitlines()[-1]
    assert line.endswith("| 2 | 98.000 ± 1.414 | 97.000 ± 1.414 | -1.000 ± 0.000 |")


def test_the_deviation_is_that_of_a_sample():
    assert spread([1.0, 2.0, 3.0]) == "2.000 ± 1.000"


def test_a_document_keeps_what_stands_outside_the_markers(tmp_path):
    document = tmp_path / "a.md"
    document.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    rewrite(document, "new")
    assert document.read_text() == f"before\n{BEGIN}\nnew\n{END}\nafter\n"


def test_a_document_without_markers_is_refused(tmp_path):
    document = tmp_path / "a.md"
    document.write_text("text\n")
    with pytest.raises(ValueError, match="has no lines"):
        rewrite(document, "new")
