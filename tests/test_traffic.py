"""The line's traffic as it is planned, against what a device and its host really send."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fixgrad import training
from fixgrad.delivery import deliver
from fixgrad.device import Device
from fixgrad.model import ModelConfig
from fixgrad.protocol import InputFormat
from fixgrad.stream import EpochSchedule, Samples
from fixgrad.traffic import Traffic, epoch_traffic
from fixgrad.training import Checkpoint, EpochDone, Saved, Tally, train
from small_models import SMALL, small_state


def samples_of(config: ModelConfig, count: int, levels: int) -> Samples:
    """Return samples whose features take so many values, one of them 0."""
    features = np.random.default_rng(3).integers(0, levels, (count, config.layers[0]))
    dtype = np.uint8 if config.input_format == InputFormat.U8 else np.int16
    return Samples(features.astype(dtype), (features.sum(axis=1) % 3).astype(np.int32))


WIDE = replace(SMALL, input_format=InputFormat.I16, input_max=3000)


@pytest.mark.parametrize(
    ("config", "levels", "stream", "spacing"),
    [(SMALL, 4, True, 1), (SMALL, 200, True, 1), (WIDE, 3000, True, 1), (WIDE, 3000, True, 4),
     (SMALL, 4, False, 1), (WIDE, 3000, False, 4)],
)  # fmt: skip
def test_an_epoch_sends_the_bytes_that_are_planned(
    config: ModelConfig, levels: int, stream: bool, spacing: int, monkeypatch: pytest.MonkeyPatch,
    patient: None,
) -> None:
    """levels: of the features; stream: nothing is kept; spacing: checkpoints so often as usual."""
    monkeypatch.setattr(training, "SPACING_BYTES_MIN", training.SPACING_BYTES_MIN // spacing)
    samples = samples_of(config, 3003, levels)
    schedule = EpochSchedule(3003, config.batch, 2, 9, True, lambda step: (200 + step // 700, -12))
    state = replace(small_state(config), step=0)
    with Device.open("sim://") as device:
        info = device.info
        delivery = deliver(samples, config, schedule, info.arena_bytes, stream=stream)
        assert delivery.cached != stream
        planned = epoch_traffic(delivery, config, schedule, info.payload_max, info.window_bytes)
        assert planned is not None
        checkpoints = 0
        for event in train(
            device, config, 7, samples, schedule, Checkpoint(state, 0, Tally()), delivery=delivery
        ):
            checkpoints += isinstance(event, Saved | EpochDone)
            if isinstance(event, EpochDone):
                break
        stats = device.stats
        assert stats.retransmitted_bytes == 0
        assert checkpoints == planned.checkpoints
        assert stats.frames == planned.samples.frames + planned.load.frames
        assert stats.wire_bytes == planned.samples.to_board + planned.load.to_board


def test_time_is_that_of_the_fuller_direction() -> None:
    assert Traffic(3, 1152, 90).seconds(115200) == pytest.approx(0.1)
    assert Traffic(3, 90, 1152).seconds(9600) == pytest.approx(1.2)


def test_sample_larger_than_any_payload_is_told() -> None:
    samples = samples_of(SMALL, 30, 4)
    schedule = EpochSchedule(30, SMALL.batch, 1, 9, True, lambda step: (200, -12))
    delivery = deliver(samples, SMALL, schedule, 0)
    assert epoch_traffic(delivery, SMALL, schedule, 10, 270) is None
