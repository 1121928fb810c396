"""Samples that the board keeps in its flash where its RAM is too small for them."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import serial
from click.testing import CliRunner
from core_library import CORE, TESTS_C, compile_program
from fixgrad import session
from fixgrad.boards import BOARDS
from fixgrad.cli import cli
from fixgrad.delivery import Delivery, cacheable_in_flash, deliver, find_ways
from fixgrad.device import NO_DATASET, STRETCH_ROOM_BYTES, Device
from fixgrad.digest import state_digest
from fixgrad.errors import DoesNotFitError, ModelError, StoreError
from fixgrad.framing import Frame, encode_frame
from fixgrad.model import State
from fixgrad.planner import plan
from fixgrad.protocol import Message, Region, Status
from fixgrad.reference import Reference
from fixgrad.session import Request
from fixgrad.stream import EpochSchedule, Samples
from fixgrad.training import Checkpoint, EpochDone, Recovered, Tally, train
from small_models import SMALL, small_state

RUN_ID = 0x77
RATE = (200, -10)
ARENA = plan(SMALL).arena_bytes + STRETCH_ROOM_BYTES
"""Room for the model and a TRAIN_TO, and for no sample."""

SIM_BYTES = 1 << 20
"""Flash for samples of the simulated board."""


@pytest.fixture(scope="module")
def power() -> Path:
    """The simulated flash with samples."""
    return compile_program(
        "cache_power", [TESTS_C / "cache_power.c", TESTS_C / "power.c", TESTS_C / "weak_flash.c",
                        CORE / "cache.c", CORE / "crc32.c"],
        ("-O2", "-Wno-clobbered", f"-I{TESTS_C.parent / 'sim'}"),
    )  # fmt: skip


# Bytes and number of sectors, bytes programmed at once, bytes of a piece, step between the cuts.
GEOMETRIES = {
    "nrf51": (1024, 8, 4, 96, 7),
    "nrf52": (4096, 2, 4, 992, 13),
    "stm32f1": (1024, 6, 2, 480, 17),
    "one sector": (8192, 1, 4, 64, 37),
    "units of 32": (2048, 5, 32, 224, 1),
}


@pytest.mark.parametrize("name", GEOMETRIES)
def test_samples_are_whole_or_loaded_again_after_power_losses(power: Path, name: str) -> None:
    arguments = map(str, (*GEOMETRIES[name], 1, 0))
    done = subprocess.run([power, *arguments], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout
    result = json.loads(done.stdout)
    assert result["kept"] == 12
    assert result["losses"] > 2 * result["cuts"] > 100
    assert result["seals"] < 24  # one for every data set that is another, a few for long ones


def test_a_sector_that_keeps_nothing_is_told(power: Path) -> None:
    arguments = map(str, (1024, 8, 4, 96, 1, 0, 10))
    done = subprocess.run([power, *arguments], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout
    assert 0 < json.loads(done.stdout)["kept"] < 12


def samples_of(count: int, seed: int = 5, levels: int = 9) -> Samples:
    rng = np.random.default_rng(seed)
    features = rng.integers(0, levels, (count, SMALL.layers[0])).astype(np.uint8)
    return Samples(features, rng.integers(0, SMALL.outputs, count).astype(np.int32))


def schedule_of(samples: Samples, epochs: int = 2) -> EpochSchedule:
    return EpochSchedule(len(samples), SMALL.batch, epochs, 9, True, lambda step: RATE)


def in_flash(samples: Samples, flash_bytes: int = SIM_BYTES) -> Delivery:
    delivery = deliver(samples, SMALL, schedule_of(samples), ARENA, flash_bytes=flash_bytes)
    assert delivery.in_flash
    return delivery


def beginning() -> State:
    return replace(small_state(SMALL), step=0)


def expected(samples: Samples) -> int:
    """The digest after the run, from the reference."""
    reference = Reference(SMALL, beginning())
    schedule = schedule_of(samples)
    for step in range(schedule.steps):
        rows = schedule.step_indices(step)
        reference.step(samples.features[rows], samples.targets[rows], *RATE)
    return reference.digest()


def trained(device: Device, samples: Samples) -> int:
    """Train on samples in the device's flash; return the digest."""
    delivery, schedule = in_flash(samples), schedule_of(samples)
    device.load(SMALL, beginning(), delivery.identity(RUN_ID), 0, delivery.region)
    *_, last = device.train(delivery.stream(schedule), 0, schedule.step_start(schedule.steps))
    return last.digest


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sim://?opt=O1&sanitize=1&arena={ARENA}&flash={tmp_path / 'flash'}"


def test_one_data_set_after_the_other_ends_with_the_references_digest(url: str) -> None:
    first = samples_of(1100)
    # As long, the same at first; longer; shorter; one of whole units.
    sets = [
        first, Samples(first.features[::-1].copy(), first.targets), samples_of(1500), first,
        samples_of(700), samples_of(700, levels=200), first,
    ]  # fmt: skip
    with Device.open(url) as device:
        for samples in sets:
            assert trained(device, samples) == expected(samples)
    with Device.open(url) as device:
        assert trained(device, first) == expected(first)


def test_what_stands_is_not_written_again(url: str, tmp_path: Path) -> None:
    """A board whose flash is set to refuse all writing trains what it has."""
    samples = samples_of(1100)
    with Device.open(url) as device:
        trained(device, samples)
    flash = tmp_path / "flash"
    before = flash.read_bytes()
    # The last bytes of the file are the seal's sector: a mark that an erase would remove.
    marked = before[:-1] + b"\0"
    flash.write_bytes(marked)
    with Device.open(url) as device:
        assert trained(device, samples) == expected(samples)
        trained(device, samples)
    assert flash.read_bytes() == marked
    with Device.open(url) as device:
        trained(device, samples_of(1100, seed=6))
    assert flash.read_bytes()[-1] == 0xFF


def test_samples_that_changed_in_the_flash_are_written_again(url: str, tmp_path: Path) -> None:
    samples = samples_of(1100)
    with Device.open(url) as device:
        trained(device, samples)
    flash = tmp_path / "flash"
    content = bytearray(flash.read_bytes())
    content[(2 << 20) + 2000] ^= 1
    flash.write_bytes(content)
    with Device.open(url) as device:
        assert trained(device, samples) == expected(samples)


def test_what_no_seal_vouches_for_is_not_trained_from(url: str, tmp_path: Path) -> None:
    """Without it the samples behind a first sector that was loaded may be half written cells."""
    samples = samples_of(2000)
    with Device.open(url) as device:
        trained(device, samples)
    flash, region = tmp_path / "flash", in_flash(samples).region
    content = flash.read_bytes()
    seal_at = 3 << 20
    assert content[2 << 20 :].startswith(region)
    flash.write_bytes(content[:seal_at] + b"\xff" * (len(content) - seal_at))
    with Device.open(url) as device:
        load = device._load_into_flash
        device._load_into_flash = lambda part: load(part[:4096])  # type: ignore[method-assign]
        with pytest.raises(ModelError, match="refuses the state"):
            device.load(SMALL, beginning(), RUN_ID, 0, region)
        # All that COMMIT checks besides is right.
        assert flash.read_bytes()[2 << 20 :].startswith(region)
        assert device.hello().run_id == 0


def test_parts_beyond_what_stands_are_refused(url: str) -> None:
    delivery = in_flash(samples_of(1100))
    with Device.open(url) as device:
        device.hello()
        device._load_model(SMALL.encode())
        device._load_into_flash(delivery.region[:960])
        for at, wanted in [(992, 960), (len(delivery.region), 960)]:
            payload = bytes([Region.DATASET]) + delivery.region[:32]
            device._port.write(
                b"\0" + encode_frame(Message.LOAD, device._session._identity, at, payload)
            )
            answer = b""
            while not answer.endswith(b"\0"):
                answer += device._port.read(1)
            (frame,) = device._session._decoder.feed(answer)
            assert frame.payload[1] == Status.BAD_OFFSET
            if at == 992:
                assert int.from_bytes(frame.payload[2:6], "little") == wanted


def test_a_head_that_repeated_bytes_replaced_is_loaded_again(url: str) -> None:
    samples = samples_of(1100)
    delivery, schedule = in_flash(samples), schedule_of(samples)
    with Device.open(url) as device:
        exchange, replaced = device._exchange, []

        def with_a_repeated_head(requests: Iterable[Request]) -> list[Frame]:
            (request,) = given = list(requests)
            is_part = request.type == Message.LOAD and request.payload[0] == Region.DATASET
            if is_part and request.pos > 0 and not replaced:
                head = Request(Message.LOAD, 0, bytes([Region.DATASET]) + NO_DATASET)
                replaced.append(list(exchange([head])))
            return list(exchange(given))

        device._exchange = with_a_repeated_head  # type: ignore[assignment]
        device._load_model(SMALL.encode())
        device._load_into_flash(delivery.region)
        device._exchange = exchange  # type: ignore[method-assign]
        assert replaced
        device.load(SMALL, beginning(), delivery.identity(RUN_ID), 0, delivery.region)
        *_, last = device.train(delivery.stream(schedule), 0, schedule.step_start(schedule.steps))
        assert last.digest == expected(samples)


@pytest.mark.parametrize("more", [0, 1])
def test_a_board_keeps_as_many_samples_as_planned_and_no_more(url: str, more: int) -> None:
    many = samples_of(400_000)
    count = cacheable_in_flash(find_ways(many, SMALL), SMALL, ARENA, SIM_BYTES) + more
    # 5 codes of 4 bits in 3 bytes, and the class; head and table.
    assert count - more == (SIM_BYTES - 10 - 16) // 4
    samples = Samples(many.features[:count], many.targets[:count])
    delivery = in_flash(samples, 2 * SIM_BYTES)
    with Device.open(url) as device:
        assert device.info.samples_bytes == SIM_BYTES
        if more:
            with pytest.raises(DoesNotFitError, match="the model with its samples needs"):
                device.load(SMALL, beginning(), RUN_ID, 0, delivery.region)
        else:
            device.load(SMALL, beginning(), RUN_ID, 0, delivery.region)


def test_ram_is_taken_before_flash() -> None:
    samples = samples_of(100)
    schedule = schedule_of(samples)
    region = len(in_flash(samples).region)
    for arena, flash in [(ARENA + region, False), (ARENA + region - 1, True)]:
        way = deliver(samples, SMALL, schedule, arena, flash_bytes=SIM_BYTES)
        assert (way.cached, way.in_flash) == (True, flash)
    for flash_bytes in (0, region - 1):
        assert not deliver(samples, SMALL, schedule, ARENA, flash_bytes=flash_bytes).cached
    assert not deliver(samples, SMALL, schedule, ARENA - 1, flash_bytes=SIM_BYTES).cached
    way = deliver(samples, SMALL, schedule, ARENA, flash_bytes=SIM_BYTES, stream=True)
    assert not way.cached


def test_a_board_does_not_keep_a_run_whose_samples_are_in_its_flash(url: str) -> None:
    samples = samples_of(1100)
    with Device.open(url) as device:
        delivery = in_flash(samples)
        device.load(SMALL, beginning(), RUN_ID, 0, delivery.region)
        with pytest.raises(StoreError, match="samples it is trained on lie in the flash: stream"):
            device.save(0)
        device.load(SMALL, beginning(), RUN_ID, 0, NO_DATASET)
        assert device.save(0) == 1


def digits(folder: Path, port: str, epochs: int, *options: str) -> tuple[dict[str, object], str]:
    """Return the report of a run and what was told besides."""
    run_file = folder / f"digits{epochs}.toml"
    text = (Path(__file__).parent.parent / "examples" / "digits_relu.toml").read_text()
    lines = [f"epochs = {epochs}" if x.startswith("epochs") else x for x in text.splitlines()]
    run_file.write_text("\n".join(lines))
    out = folder / f"out{len(list(folder.iterdir()))}"
    result = CliRunner().invoke(
        cli, ["train", str(run_file), "--out", str(out), "--json", "--port", port, *options]
    )
    assert result.exit_code == 0, result.output
    report: dict[str, object] = json.loads(result.stdout)
    return report, result.stderr


def test_micro_bit_trains_digits_from_its_flash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However busy the machine, little is sent again; a board that starts may miss a HELLO.
    monkeypatch.setattr(session, "TIMER_BASE_S", 3.0)
    port = "qemu://bbcmicrobit"
    cached, told = digits(tmp_path, port, 4)
    one, _ = digits(tmp_path, port, 1, "--stream")
    streamed, _ = digits(tmp_path, "sim://", 4, "--stream")
    assert "keeps the 1,437 samples in its flash, 58,959 bytes: they are sent once" in told
    assert cached["digest"] == streamed["digest"]
    assert cached["link"]["wire_bytes"] <= 1.1 * one["link"]["wire_bytes"]  # type: ignore[index]


def test_micro_bit_that_is_reset_goes_on_from_its_flash() -> None:
    board = BOARDS["bbcmicrobit"]
    port = serial.serial_for_url("qemu://bbcmicrobit", timeout=0.02)
    samples = samples_of(8000)
    schedule = schedule_of(samples)
    device = Device(port, "micro:bit")
    assert device.info.samples_bytes == board.samples_bytes
    delivery = deliver(
        samples, SMALL, schedule, device.info.arena_bytes, flash_bytes=board.samples_bytes
    )
    assert delivery.in_flash
    draw, events = random.Random(3), []
    for event in train(
        device, SMALL, RUN_ID, samples, schedule, Checkpoint(beginning(), 0, Tally()),
        delivery=delivery,
    ):  # fmt: skip
        events.append(event)
        if len(events) < 12 and draw.random() < 0.4:
            port.reset_device()
    port.close()
    assert any(isinstance(event, Recovered) for event in events)
    last = [event for event in events if isinstance(event, EpochDone)][-1]
    assert state_digest(last.checkpoint.state) == expected(samples)


def test_samples_are_sent_in_every_epoch_where_the_flash_refuses_them(tmp_path: Path) -> None:
    """QEMU has no model of this board's flash controller."""
    report, told = digits(tmp_path, "qemu://nucleo_f103rb", 2)
    streamed, _ = digits(tmp_path, "sim://", 2, "--stream")
    assert "flash: QEMU has none but the micro:bit's: the samples are sent" in told
    assert report["digest"] == streamed["digest"]
    assert report["link"]["cached"] is False  # type: ignore[index]
