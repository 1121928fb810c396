"""A board that keeps its run in its own flash, and goes on with it after a power-on."""

from __future__ import annotations

import random
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import serial
from fixgrad.delivery import deliver
from fixgrad.device import NO_DATASET, Device
from fixgrad.digest import state_digest
from fixgrad.errors import LinkError, StoreError
from fixgrad.model import ModelConfig, State
from fixgrad.planner import checkpoint_bytes, checkpoint_bytes_max
from fixgrad.reference import Reference
from fixgrad.stream import EpochSchedule, Samples
from fixgrad.training import Checkpoint, EpochDone, Recovered, Tally, train
from small_models import MOMENTUM, SMALL, small_state

RUN_ID = 0x77
STEPS = 40
ROOM = 1 << 16
RATE = (200, -10)


def samples_of(config: ModelConfig, levels: int, count: int) -> Samples:
    draw = np.random.default_rng(1)
    features = draw.integers(0, levels, (count, config.layers[0])).astype(np.uint8)
    return Samples(features, draw.integers(0, config.outputs, count).astype(np.int32))


SAMPLES = samples_of(SMALL, 16, SMALL.batch * STEPS)
SCHEDULE = EpochSchedule(len(SAMPLES), SMALL.batch, 2, 5, True, lambda step: RATE)


def beginning(config: ModelConfig = SMALL) -> State:
    state = small_state(config)
    state.step = 0
    return state


def expected() -> State:
    """The state after the run, from the reference."""
    reference = Reference(SMALL, beginning())
    for step in range(SCHEDULE.steps):
        rows = SCHEDULE.step_indices(step)
        reference.step(SAMPLES.features[rows], SAMPLES.targets[rows], *RATE)
    return reference.state


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sim://?opt=O1&sanitize=1&flash={tmp_path / 'flash'}"


@pytest.mark.parametrize(("config", "levels"), [(SMALL, 16), (SMALL, 200), (MOMENTUM, 16)])
def test_a_checkpoint_takes_the_bytes_that_are_planned(
    config: ModelConfig, levels: int, tmp_path: Path, url: str
) -> None:
    samples = samples_of(config, levels, 400)
    schedule = EpochSchedule(400, config.batch, 1, 5, True, lambda step: RATE)
    region = deliver(samples, config, schedule, ROOM, stream=True).region
    with Device.open(url) as device:
        device.load(config, beginning(config), RUN_ID, 0, region)
        device.save(0)
    # The record's header: magic, generation, run id, next, bytes, each u32.
    told = int.from_bytes((tmp_path / "flash").read_bytes()[16:20], "little")
    assert told == checkpoint_bytes(config, region)


def test_the_largest_checkpoint_that_is_planned_is_kept_and_no_larger_one(
    tmp_path: Path,
) -> None:
    def model(width: int) -> ModelConfig:
        return replace(SMALL, layers=(5, width, 3)).with_budgets()

    # A unit more takes 5 + 3 weights of 2 bytes and a bias of 4.
    most = checkpoint_bytes_max(2 << 20)
    width = 4 + (most - checkpoint_bytes(SMALL, NO_DATASET)) // 20
    with Device.open(f"sim://?flash={tmp_path / 'flash'}") as device:
        for config, fits in [(model(width), True), (model(width + 1), False)]:
            assert (checkpoint_bytes(config, NO_DATASET) <= most) == fits
            state = beginning(config)
            for weights in state.weights:
                weights //= 1000  # so wide a layer has weights of few bits
            device.load(config, state, RUN_ID, 0)
            if fits:
                device.save(0)
                continue
            with pytest.raises(StoreError):
                device.save(0)


def loaded(device: Device, position: int = 0) -> None:
    device.load(SMALL, beginning(), RUN_ID, position)


def test_a_run_is_found_after_a_power_on(url: str) -> None:
    with Device.open(url) as device:
        loaded(device, 96)
        assert device.save(96) == 1
    with Device.open(url) as device:
        assert (device.info.run_id, device.info.next) == (RUN_ID, 96)
        assert device.info.digest == state_digest(beginning())
        state, position = device.read_state(SMALL)
    assert position == 96
    assert state.encode() == beginning().encode()


def test_a_kept_net_infers_without_a_host(url: str) -> None:
    wire = SAMPLES.wire(SMALL)[:, : SMALL.feature_bytes]
    with Device.open(url) as device:
        loaded(device)
        device.save(0)
    with Device.open(url) as device:
        inference = device.infer(SMALL, wire)
    reference = Reference(SMALL, beginning())
    assert np.array_equal(inference.logits, reference.logits(SAMPLES.features))
    assert np.array_equal(inference.predictions, reference.predict(SAMPLES.features))


def test_momentum_and_its_velocities_are_kept(url: str) -> None:
    state = beginning(MOMENTUM)
    with Device.open(url) as device:
        device.load(MOMENTUM, state, RUN_ID, 0)
        device.save(0)
    with Device.open(url) as device:
        assert device.read_state(MOMENTUM)[0].encode() == state.encode()


def test_the_same_position_is_written_once(url: str) -> None:
    with Device.open(url) as device:
        loaded(device)
        assert device.save(0) == device.save(0) == 1
        loaded(device, 32)
        assert device.save(32) == 2


def test_a_board_keeps_its_run_by_itself_after_every_so_many_steps(url: str) -> None:
    delivery = deliver(SAMPLES, SMALL, SCHEDULE, ROOM, stream=True)
    reference = Reference(SMALL, beginning())
    with Device.open(url) as device:
        device.load(SMALL, beginning(), delivery.identity(RUN_ID), 0, delivery.region)
        assert device.save(0, 5) == 1
        list(device.train(delivery.stream(SCHEDULE), 0, 13 * SMALL.batch))
    with Device.open(url) as device:
        assert device.info.next == 10 * SMALL.batch
        for step in range(10):
            rows = SCHEDULE.step_indices(step)
            reference.step(SAMPLES.features[rows], SAMPLES.targets[rows], *RATE)
        assert device.info.digest == reference.digest()
        assert device.save(10 * SMALL.batch) == 4  # after those of steps 0, 5 and 10


def test_the_next_run_is_not_kept_unless_asked_for(url: str) -> None:
    delivery = deliver(SAMPLES, SMALL, SCHEDULE, ROOM, stream=True)
    with Device.open(url) as device:
        device.load(SMALL, beginning(), delivery.identity(RUN_ID), 0, delivery.region)
        device.save(0, 1)
        device.load(SMALL, beginning(), delivery.identity(RUN_ID + 1), 0, delivery.region)
        list(device.train(delivery.stream(SCHEDULE), 0, 3 * SMALL.batch))
    with Device.open(url) as device:
        assert (device.info.run_id, device.info.next) == (delivery.identity(RUN_ID), 0)


def test_inside_a_batch_nothing_is_kept(url: str) -> None:
    delivery = deliver(SAMPLES, SMALL, SCHEDULE, ROOM, stream=True)
    with Device.open(url) as device:
        device.load(SMALL, beginning(), delivery.identity(RUN_ID), 0, delivery.region)
        list(device.train(delivery.stream(SCHEDULE), 0, 1))
        with pytest.raises(LinkError, match="keeping a checkpoint"):
            device.save(1)


def test_an_image_without_a_store_says_so_and_goes_on() -> None:
    with Device.open("qemu://disco_f100rb") as device:
        loaded(device)
        with pytest.raises(StoreError, match="disco_f100rb has no store"):
            device.save(0)
        assert device.hello().next == 0


def test_a_board_without_a_store_says_so() -> None:
    with Device.open("sim://?opt=O1&sanitize=1") as device:
        loaded(device)
        with pytest.raises(StoreError, match="larger than the flash set aside for it, or there is"):
            device.save(0)


def with_valid_crcs(record: bytearray, payload_bytes: int) -> bytes:
    """Return a record of firmware/core/store.c with the CRCs of what it holds."""
    record[28:32] = zlib.crc32(record[:28]).to_bytes(4, "little")
    end = 32 + payload_bytes
    record[end : end + 4] = zlib.crc32(record[:end]).to_bytes(4, "little")
    return bytes(record)


STATE_AT, MODEL_AT, DATASET_AT = 0, 4, 8


@pytest.mark.parametrize(
    "wrong",
    [
        {STATE_AT: 2}, {MODEL_AT: 1}, {DATASET_AT: 1}, {DATASET_AT: -1},
        {STATE_AT: 1 << 31, DATASET_AT: 1 << 31}, {MODEL_AT: 1 << 31, DATASET_AT: 1 << 31},
    ],
)  # fmt: skip
def test_a_checkpoint_whose_regions_are_not_its_length_is_not_a_run(
    url: str, tmp_path: Path, wrong: dict[int, int]
) -> None:
    with Device.open(url) as device:
        loaded(device)
        device.save(0)
    flash = tmp_path / "flash"
    record = bytearray(flash.read_bytes()[:2048])
    payload_bytes = int.from_bytes(record[16:20], "little")
    assert with_valid_crcs(bytearray(record), payload_bytes) == record
    for at, more in wrong.items():
        field = slice(32 + at, 36 + at)
        size = (int.from_bytes(record[field], "little") + more) & 0xFFFFFFFF
        record[field] = size.to_bytes(4, "little")
    with flash.open("r+b") as file:
        file.write(with_valid_crcs(record, payload_bytes))
    with Device.open(url) as device:
        assert device.info.run_id == 0
        loaded(device)
        assert device.save(0) == 2


def test_a_run_goes_on_from_what_the_board_kept_to_the_same_state(url: str) -> None:
    port = serial.serial_for_url(url, timeout=0.02)
    draw = random.Random(3)
    events = []
    device = Device(port, url)
    delivery = deliver(SAMPLES, SMALL, SCHEDULE, ROOM, stream=True)
    for event in train(
        device, SMALL, RUN_ID, SAMPLES, SCHEDULE, Checkpoint(beginning(), 0, Tally()),
        delivery=delivery, save_every=1,
    ):  # fmt: skip
        events.append(event)
        if len(events) < 30 and draw.random() < 0.5:
            port.reset_device()
    port.close()
    recovered = [event for event in events if isinstance(event, Recovered)]
    assert any(event.position > 0 and not event.restored for event in recovered)
    last = [event for event in events if isinstance(event, EpochDone)][-1]
    assert state_digest(last.checkpoint.state) == state_digest(expected())


def test_micro_bit_goes_on_from_its_flash_after_resets() -> None:
    port = serial.serial_for_url("qemu://bbcmicrobit", timeout=0.02)
    draw = random.Random(4)
    events = []
    delivery = deliver(SAMPLES, SMALL, SCHEDULE, ROOM, stream=True)
    for event in train(
        Device(port, "micro:bit"), SMALL, RUN_ID, SAMPLES, SCHEDULE,
        Checkpoint(beginning(), 0, Tally()), delivery=delivery, save_every=5,
    ):  # fmt: skip
        events.append(event)
        if len(events) < 20 and draw.random() < 0.4:
            port.reset_device()
    port.reset_device()
    device = Device(port, "micro:bit")
    assert device.info.next == SCHEDULE.step_start(SCHEDULE.steps)
    assert device.info.digest == state_digest(expected())
    port.close()
    assert any(isinstance(event, Recovered) and not event.restored for event in events)
