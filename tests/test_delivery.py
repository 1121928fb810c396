"""The way of the samples: packing that changes no bit, and one copy for all epochs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from fixgrad import protocol, session
from fixgrad.boards import BOARDS
from fixgrad.cli import cli
from fixgrad.delivery import cacheable, deliver, feature_levels, find_ways, plain
from fixgrad.device import NO_DATASET, Device
from fixgrad.errors import DoesNotFitError, LinkError
from fixgrad.framing import Decoder, encode_frame
from fixgrad.model import ModelConfig
from fixgrad.planner import plan
from fixgrad.protocol import InputFormat, Message, Region
from fixgrad.reference import Reference
from fixgrad.session import Request
from fixgrad.stream import CachedStream, EpochSchedule, Samples
from small_models import MOMENTUM, SMALL, small_state

HEAD = 10
PLENTY = 1 << 20


def samples_of(config: ModelConfig, count: int, levels: int, seed: int = 5) -> Samples:
    """Return samples whose features take just so many values."""
    rng = np.random.default_rng(seed)
    signed = config.input_format != InputFormat.U8
    dtype = np.int16 if config.input_format == InputFormat.I16 else np.uint8
    values = rng.choice(np.arange(-config.input_max * signed, config.input_max + 1), levels, False)
    features = rng.choice(values, (count, config.layers[0]))
    features.flat[:levels] = values
    return Samples(features.astype(dtype), rng.integers(0, 3, count).astype(np.int32))


def schedule_of(config: ModelConfig, count: int, epochs: int = 2) -> EpochSchedule:
    return EpochSchedule(count, config.batch, epochs, 9, True, lambda step: (200 + step // 5, -12))


def unpacked(rows: np.ndarray, bits: int, columns: int) -> np.ndarray:
    """Take codes out of rows one bit after the other, as docs/PROTOCOL.md says."""
    codes = np.zeros((len(rows), columns), np.int64)
    for column in range(columns):
        for bit in range(bits):
            at = column * bits + bit
            codes[:, column] |= ((rows[:, at // 8] >> (at % 8)) & 1).astype(np.int64) << bit
    return codes


@pytest.mark.parametrize("levels", [1, 2, 3, 16, 17, 129])
@pytest.mark.parametrize("signed", [False, True])
def test_codes_and_table_give_back_every_feature(levels: int, signed: bool) -> None:
    config = replace(SMALL, input_format=InputFormat.I16) if signed else SMALL
    samples = samples_of(config, 400, levels)
    delivery = deliver(samples, config, schedule_of(config, 400), PLENTY)
    head = protocol.unpack(protocol.DATASET_FIELDS, delivery.region)
    bits = max(1, (levels - 1).bit_length())
    if bits == 8 and not signed:
        assert (head["bits"], delivery.wire.shape[1]) == (0, 5 + 1)
        return
    assert head == {"samples": 400, "seed": 9, "shuffle": 1, "bits": bits}
    dtype = "<i2" if signed else "<u1"
    table = np.frombuffer(delivery.region, dtype, 1 << bits, HEAD)
    rows = np.frombuffer(delivery.region, np.uint8, offset=HEAD + table.nbytes).reshape(400, -1)
    assert rows.shape[1] == -(-5 * bits // 8) + 1
    assert (table[unpacked(rows, bits, 5)] == samples.features).all()
    assert (rows[:, -1] == samples.targets).all()


def test_more_values_than_codes_travel_as_they_are() -> None:
    config = replace(SMALL, input_format=InputFormat.I16, input_max=3000)
    samples = samples_of(config, 400, 257)
    assert feature_levels(samples.features) is None
    delivery = deliver(samples, config, schedule_of(config, 400), PLENTY, stream=True)
    assert delivery.region == NO_DATASET
    assert (delivery.wire == samples.wire(config)).all()


def test_a_table_larger_than_what_it_saves_is_left_away() -> None:
    samples = samples_of(SMALL, 4, 17)
    assert deliver(samples, SMALL, schedule_of(SMALL, 4), PLENTY).region[9] == 0


def test_a_table_that_leaves_no_room_is_left_away() -> None:
    samples, schedule = samples_of(SMALL, 400, 4), schedule_of(SMALL, 400)
    room = plan(SMALL).arena_bytes + HEAD + 4
    assert len(deliver(samples, SMALL, schedule, room).region) == HEAD + 4
    assert deliver(samples, SMALL, schedule, room - 1).region == NO_DATASET


def test_samples_are_cached_to_the_last_byte_and_not_beyond() -> None:
    """Behind them one TRAIN_TO must wait: its position and one stretch."""
    samples, schedule = samples_of(SMALL, 100, 4), schedule_of(SMALL, 100)
    fits = plan(SMALL).arena_bytes + HEAD + 4 + 100 * (2 + 1) + 4 + 5
    assert deliver(samples, SMALL, schedule, fits).cached
    assert not deliver(samples, SMALL, schedule, fits - 1).cached
    assert not deliver(samples, SMALL, schedule, PLENTY, stream=True).cached


def keeps(samples: Samples, arena: int, url: str) -> bool:
    """Tell whether a board keeps samples and trains them to the reference's digest."""
    schedule = schedule_of(SMALL, len(samples))
    delivery = replace(
        deliver(samples, SMALL, schedule, PLENTY),
        stretches_bytes=deliver(samples, SMALL, schedule, arena).stretches_bytes or 5,
    )
    state = replace(small_state(SMALL), step=0)
    reference = Reference(SMALL, replace(small_state(SMALL), step=0))
    for step in range(schedule.steps):
        rows = schedule.step_indices(step)
        rate = schedule.learning_rate(step)
        reference.step(samples.features[rows], samples.targets[rows], *rate)
    with Device.open(url) as device:
        assert device.info.arena_bytes == arena
        try:
            device.load(SMALL, state, 7, 0, delivery.region)
            end = schedule.step_start(schedule.steps)
            *_, last = device.train(delivery.stream(schedule), 0, end)
        except (DoesNotFitError, LinkError):
            return False
        assert last.digest == reference.digest()
        return True


@pytest.mark.parametrize("more", range(4))
def test_a_board_keeps_as_many_samples_as_the_planner_says_and_no_more(more: int) -> None:
    many = samples_of(SMALL, 100, 4)
    arena = plan(SMALL).arena_bytes + HEAD + 4 + 60 * (2 + 1) + more
    count = cacheable(find_ways(many, SMALL), SMALL, arena)
    # 9 bytes are what TRAIN_TO needs, 3 a sample's.
    assert count == 60 - 3 + more // 3
    url = f"sim://?opt=O1&sanitize=1&arena={arena}"
    assert keeps(Samples(many.features[:count], many.targets[:count]), arena, url)
    count += 1
    assert not keeps(Samples(many.features[:count], many.targets[:count]), arena, url)


def test_the_8_kilobyte_board_keeps_as_many_samples_as_the_planner_says_and_no_more() -> None:
    arena = BOARDS["disco_f100rb"].arena_bytes
    many = samples_of(SMALL, 4000, 4)
    count = cacheable(find_ways(many, SMALL), SMALL, arena)
    assert count == (arena - plan(SMALL).arena_bytes - HEAD - 4 - 9) // 3
    url = "qemu://disco_f100rb"
    assert keeps(Samples(many.features[:count], many.targets[:count]), arena, url)
    count += 1
    assert not keeps(Samples(many.features[:count], many.targets[:count]), arena, url)


def test_a_board_too_small_for_the_model_keeps_no_samples() -> None:
    ways = find_ways(samples_of(SMALL, 100, 4), SMALL)
    assert cacheable(ways, SMALL, plan(SMALL).arena_bytes - 1) == 0


def test_a_run_on_other_kept_samples_is_another_run_on_the_device() -> None:
    schedule = schedule_of(SMALL, 100)
    ways = [
        deliver(samples_of(SMALL, 100, 9, seed), SMALL, schedule, PLENTY) for seed in (5, 6)
    ] + [plain(samples_of(SMALL, 100, 9), SMALL)]
    assert ways[0].cached and ways[1].cached
    assert len({way.identity(7) for way in ways}) == 3
    assert ways[2].identity(7) == 7


@pytest.fixture
def device() -> Iterator[Device]:
    with Device.open("sim://?opt=O1&sanitize=1") as opened:
        yield opened


def run(device: Device, config: ModelConfig, samples: Samples, way: str, epochs: int = 2) -> int:
    """Train on the device; return the digest."""
    schedule = schedule_of(config, len(samples), epochs)
    if way == "plain":
        delivery = plain(samples, config)
    else:
        delivery = deliver(samples, config, schedule, PLENTY, stream=way == "packed")
    assert delivery.cached == (way == "cached")
    state = replace(small_state(config), step=0)
    device.load(config, state, delivery.identity(7), 0, delivery.region)
    end = schedule.step_start(schedule.steps)
    *_, last = device.train(delivery.stream(schedule), 0, end)
    assert last.next == end
    return last.digest


@pytest.mark.parametrize("levels", [2, 9, 100])
@pytest.mark.parametrize("count", [23, 24])
@pytest.mark.parametrize("base", [SMALL, MOMENTUM])
@pytest.mark.parametrize("way", ["plain", "packed", "cached"])
def test_every_way_ends_with_the_references_digest(
    device: Device, base: ModelConfig, levels: int, count: int, way: str
) -> None:
    config = replace(base, input_format=InputFormat.I16)
    samples = samples_of(config, count, levels)
    schedule = schedule_of(config, count)
    reference = Reference(config, replace(small_state(config), step=0))
    for step in range(schedule.steps):
        rows = schedule.step_indices(step)
        rate = schedule.learning_rate(step)
        reference.step(samples.features[rows], samples.targets[rows], *rate)
    assert run(device, config, samples, way) == reference.digest()


def test_the_model_alone_is_loaded_over_a_cached_run(device: Device) -> None:
    samples = samples_of(SMALL, 40, 4)
    first = run(device, SMALL, samples, "cached")
    assert run(device, SMALL, samples, "plain") == first
    assert run(device, MOMENTUM, samples, "cached") != first
    assert run(device, SMALL, samples, "cached") == first


def test_a_data_set_that_was_altered_is_not_committed(device: Device) -> None:
    samples, schedule = samples_of(SMALL, 40, 4), schedule_of(SMALL, 40)
    delivery = deliver(samples, SMALL, schedule, PLENTY)
    state = small_state(SMALL)
    write = device._load_bytes

    def alter(region: Region, data: bytes, start: int) -> None:
        altered = data[:-1] + bytes([data[-1] ^ 1]) if region == Region.DATASET else data
        write(region, altered, start)

    device._load_bytes = alter  # type: ignore[method-assign]
    with pytest.raises(Exception, match="refuses the state"):
        device.load(SMALL, state, 7, 0, delivery.region)
    assert device.hello().run_id == 0


def test_training_without_samples_on_the_device_is_refused(device: Device) -> None:
    device.load(SMALL, small_state(SMALL), 7, 0)
    stream = CachedStream(schedule_of(SMALL, 40))
    with pytest.raises(LinkError, match="BAD_MESSAGE"):
        list(device.train(stream, 0, 40))


def test_samples_are_forgotten_where_another_model_puts_them_elsewhere(device: Device) -> None:
    """COMMIT's CRC covers the samples that the device believes it has."""
    delivery = deliver(samples_of(SMALL, 40, 4), SMALL, schedule_of(SMALL, 40), PLENTY)
    device.load(SMALL, small_state(SMALL), 7, 0, delivery.region)
    device._load_dataset = lambda region: None  # type: ignore[method-assign]
    device.load(MOMENTUM, small_state(MOMENTUM), 8, 0)
    assert device.hello().run_id == 8


def test_a_data_set_too_large_says_bytes_needed() -> None:
    samples, schedule = samples_of(SMALL, 400, 4), schedule_of(SMALL, 400)
    delivery = deliver(samples, SMALL, schedule, PLENTY)
    arena = plan(SMALL).arena_bytes + len(delivery.region) - 1
    with Device.open(f"sim://?opt=O1&arena={arena}") as device:
        with pytest.raises(DoesNotFitError, match=f"needs {arena + 1} bytes"):
            device.load(SMALL, small_state(SMALL), 7, 0, delivery.region)


def test_hello_ends_training_where_it_is_and_what_was_counted_is_told(device: Device) -> None:
    samples = samples_of(SMALL, 4000, 4)
    schedule = EpochSchedule(4000, SMALL.batch, 100, 1, True, lambda step: (200, -12))
    delivery = deliver(samples, SMALL, schedule, PLENTY)
    device.load(SMALL, replace(small_state(SMALL), step=0), 7, 0, delivery.region)
    payload, count = delivery.stream(schedule).payload(0, 400_000, 250)  # type: ignore[call-arg]
    device._session.begin([Request(Message.TRAIN_TO, 0, payload, count)], device._clock())
    device._port.write(device._session.outgoing(device._clock()))
    stopped = device._halt()
    assert 0 <= stopped.next < count
    assert device.hello().next == stopped.next
    schedule_end = schedule.step_start(stopped.step)
    assert schedule_end <= stopped.next < schedule_end + SMALL.batch


def test_stretches_beyond_the_position_are_answered_and_not_trained(device: Device) -> None:
    schedule = schedule_of(SMALL, 40)
    delivery = deliver(samples_of(SMALL, 40, 4), SMALL, schedule, PLENTY)
    device.load(SMALL, replace(small_state(SMALL), step=0), 7, 0, delivery.region)
    payload, _ = CachedStream(schedule).payload(SMALL.batch, 40, 250)
    session = device._session._identity
    device._port.write(encode_frame(Message.TRAIN_TO, session, SMALL.batch, payload))
    decoder, frames = Decoder(), []
    while not frames:
        received = device._port.read(1)
        assert received, "no answer"
        frames = decoder.feed(received)
    assert (frames[0].type, frames[0].pos) == (Message.DATA_ACK, 0)
    assert device.hello().next == 0


def test_stretches_end_where_the_rate_changes_and_where_it_must_stop() -> None:
    schedule = EpochSchedule(10, 4, 3, 1, True, lambda step: (200 + step // 4, -12))
    payload, count = CachedStream(schedule).payload(0, 30, 255)
    records = [
        protocol.unpack(protocol.BATCH_FIELDS, payload[at:]) for at in range(0, len(payload), 5)
    ]
    # Steps of 4, 4 and 2 samples; the rate changes after every fourth.
    assert [r["size"] for r in records] == [14, 14, 2]
    assert [r["lr_mantissa"] for r in records] == [200, 201, 202]
    assert count == 30
    assert CachedStream(schedule).payload(4, 9, 255)[1] == 5
    assert CachedStream(schedule).payload(0, 30, 9)[1] == 14
    assert CachedStream(schedule, split_steps=True).payload(8, 30, 255)[1] == 2


def test_twenty_epochs_cached_take_hardly_more_bytes_than_one_streamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However busy the machine, little is sent again; a board that starts may miss a HELLO.
    monkeypatch.setattr(session, "TIMER_BASE_S", 3.0)
    def trained(epochs: int, *options: str) -> dict[str, object]:
        run_file = tmp_path / f"digits{epochs}.toml"
        text = (Path(__file__).parent.parent / "examples" / "digits_relu.toml").read_text()
        lines = [f"epochs = {epochs}" if x.startswith("epochs") else x for x in text.splitlines()]
        run_file.write_text("\n".join(lines))
        out = str(tmp_path / f"out{epochs}{len(options)}")
        result = CliRunner().invoke(cli, ["train", str(run_file), "--out", out, "--json", *options])
        assert result.exit_code == 0, result.output
        report: dict[str, object] = json.loads(result.stdout)
        return report

    board = ("--port", "qemu://olimex_p405")
    cached = trained(20, *board)
    streamed = trained(20, "--port", "sim://", "--stream")
    one = trained(1, *board, "--stream")
    assert cached["digest"] == streamed["digest"]
    assert cached["link"]["wire_bytes"] <= 1.1 * one["link"]["wire_bytes"]  # type: ignore[index]
