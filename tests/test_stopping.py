"""Decisions at the ends of epochs: by themselves, and in a run that is cut and resumed."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fixgrad import training
from fixgrad.errors import RunFileError
from fixgrad.model import ModelConfig
from fixgrad.protocol import Activation, InputFormat, Loss
from fixgrad.quantize import initial_state, initial_weights
from fixgrad.schedules import RateSchedule
from fixgrad.stopping import Course, Monitor
from fixgrad.stream import EpochSchedule, Samples
from fixgrad.training import Checkpoint, Ended, EpochDone, Recovered, Tally
from reference_device import ReferenceDevice

EPOCHS = 12


def _samples(count: int, seed: int) -> Samples:
    rng = np.random.default_rng(seed)
    features = rng.integers(0, 256, (count, 6)).astype(np.uint8)
    noisy = features[:, 0] + features[:, 1] + rng.normal(0, 120, count) > 255
    return Samples(features, noisy.astype(np.int32))


RATES = RateSchedule("plateau", 0.5, 4, 10, EPOCHS, factor=0.5)
MONITOR = Monitor(_samples(30, 2), Loss.SOFTMAX_CROSS_ENTROPY, RATES)
CONFIG = ModelConfig(
    (6, 8, 2),
    (Activation.RELU,),
    Loss.SOFTMAX_CROSS_ENTROPY,
    4,
    InputFormat.U8,
    255,
    (8,),
    (),
    (),
    0,
).with_budgets()
TRAIN = _samples(40, 1)
START = Checkpoint(initial_state(CONFIG, initial_weights(CONFIG.layers, 3), 3, -8), 0, Tally())
SCHEDULE = EpochSchedule(40, 4, EPOCHS, 3, True, RATES)


def _observe(monitor: Monitor, losses: list[int]) -> list[Course]:
    courses, course = [], Course()
    for epoch, loss in enumerate(losses, 1):
        course = monitor.observe(course, epoch, loss)
        courses.append(course)
    return courses


def test_plateau_waits_again_after_a_drop() -> None:
    monitor = replace(MONITOR, drop_patience=2)
    *_, last = _observe(monitor, [9, 8, 8, 8, 8, 8, 7, 7])
    assert last.drops == (4, 6)
    assert (last.best_loss, last.best_epoch) == (7, 7)


def test_patience_ends_the_run_that_many_epochs_after_the_best() -> None:
    courses = _observe(replace(MONITOR, patience=3), [9, 5, 6, 7, 5])
    assert [c.ended for c in courses] == ["", "", "", "", "patience"]
    assert courses[-1].best_epoch == 2


def test_a_loss_at_the_target_ends_the_run() -> None:
    unit = np.log(2) / 1024 / 30
    monitor = replace(MONITOR, target_loss=5.5 * unit)
    assert [c.ended for c in _observe(monitor, [9, 6, 5])] == ["", "", "target"]


def test_an_improvement_below_the_minimum_does_not_count() -> None:
    unit = np.log(2) / 1024 / 30
    monitor = replace(MONITOR, patience=9, min_improvement=2.5 * unit)
    *_, last = _observe(monitor, [9, 7, 6])
    assert last.best_epoch == 3
    *_, last = _observe(monitor, [9, 7, 7, 8])
    assert last.best_epoch == 1


def test_a_course_survives_its_text() -> None:
    course = Course((2, 5), 77, 3, "patience")
    assert Course.from_json(course.to_json(), "file") == course
    assert Course.from_json(Course().to_json(), "file") == Course()
    with pytest.raises(RunFileError, match="file is damaged"):
        Course.from_json('{"drops": 3}', "file")


def _train(device: ReferenceDevice, monitor: Monitor, point: Checkpoint, **more: Any) -> list[Any]:
    return list(
        training.train(
            device,
            CONFIG,
            5,
            TRAIN,
            SCHEDULE,
            point,
            monitor=monitor,
            **more,  # type: ignore[arg-type]
        )
    )


def _states(events: list[Any]) -> list[bytes]:
    return [e.checkpoint.state.encode() for e in events if isinstance(e, EpochDone)]


def test_the_learning_rate_falls_in_the_epoch_after_the_decision() -> None:
    device = ReferenceDevice()
    events = _train(device, replace(MONITOR, drop_patience=1), START)
    last = [e for e in events if isinstance(e, EpochDone)][-1].checkpoint.course
    assert last.drops, "the noisy data must reach a plateau"
    expected = [
        RATES.base * 0.5 ** sum(d <= step // 10 for d in last.drops)
        for step in range(len(device.pairs))
    ]
    got = [m * 2.0**e * 4 for m, e in device.pairs]
    # The last epoch's own decision comes too late to show.
    np.testing.assert_allclose(got, expected, rtol=1 / 256)


def test_the_best_weights_stand_on_the_device_at_the_end() -> None:
    device = ReferenceDevice()
    events = _train(device, replace(MONITOR, patience=2), START)
    ended = events[-1]
    assert isinstance(ended, Ended)
    evaluations = {e.epoch: e.evaluation.loss for e in events if isinstance(e, EpochDone)}
    best = min(evaluations, key=lambda epoch: (evaluations[epoch], epoch))
    assert ended.epoch_of_state == best
    assert _states(events)[best - 1] == ended.state.encode()
    assert device.reference.state.encode() == ended.state.encode()
    assert ended.reason == "patience"
    assert ended.epoch == best + 2 < EPOCHS


def test_the_best_weights_stand_there_too_if_patience_was_never_exhausted() -> None:
    device = ReferenceDevice()
    *_, ended = _train(device, replace(MONITOR, patience=EPOCHS + 1), START)
    assert (ended.reason, ended.epoch) == ("", EPOCHS)
    assert device.evaluate(MONITOR.samples.wire(CONFIG)).loss <= min(
        e.evaluation.loss
        for e in _train(ReferenceDevice(), MONITOR, START)
        if isinstance(e, EpochDone)
    )


def test_a_target_ends_with_the_weights_that_reached_it() -> None:
    device = ReferenceDevice()
    events = _train(device, replace(MONITOR, target_loss=100.0), START)
    assert isinstance(events[-1], Ended)
    assert (events[-1].epoch, events[-1].reason) == (1, "target")
    assert events[-1].state.encode() == _states(events)[0]


@pytest.mark.parametrize("cut", range(1, 6))
def test_a_run_resumed_after_any_epoch_decides_the_same(cut: int) -> None:
    monitor = replace(MONITOR, drop_patience=1, patience=4)
    whole = _train(ReferenceDevice(), monitor, START)
    points = [e.checkpoint for e in whole if isinstance(e, EpochDone)]
    resumed = _train(ReferenceDevice(), monitor, points[cut - 1])
    assert resumed[-1].state.encode() == whole[-1].state.encode()
    assert _states(resumed) == _states(whole)[cut:]


def test_a_run_whose_device_was_reset_decides_the_same() -> None:
    monitor = replace(MONITOR, drop_patience=1, patience=4)
    whole = _train(ReferenceDevice(), monitor, START)
    cut = _train(ReferenceDevice(reset_at=(60, 160)), monitor, START)
    assert sum(isinstance(e, Recovered) for e in cut) == 2
    assert _states(cut) == _states(whole)


def test_a_device_more_than_an_epoch_ahead_is_not_adopted() -> None:
    monitor = replace(MONITOR, drop_patience=1)
    device = ReferenceDevice()
    whole = _train(device, monitor, START)
    again = _train(device, monitor, START, adopt=True)
    assert _states(again) == _states(whole)


def test_a_finished_run_that_is_resumed_ends_at_once_with_the_same_weights() -> None:
    monitor = replace(MONITOR, patience=2)
    device = ReferenceDevice()
    whole = _train(device, monitor, START)
    point = [e.checkpoint for e in whole if isinstance(e, EpochDone)][-1]
    (ended,) = _train(device, monitor, point, adopt=True)
    assert ended.state.encode() == whole[-1].state.encode()
