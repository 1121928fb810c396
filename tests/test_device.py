"""Device: whole operations on the simulated board, and what a user is told when they fail."""

from __future__ import annotations

import random
import socket
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import fixgrad
import numpy as np
import pytest
import serial
from fixgrad import protocol, simulator, transport
from fixgrad.device import NO_DATASET, Device
from fixgrad.errors import (
    BuildError,
    DataError,
    DoesNotFitError,
    LinkError,
    ModelError,
    PortError,
    VersionError,
)
from fixgrad.framing import Decoder, encode_frame
from fixgrad.model import ModelConfig, State
from fixgrad.protocol import Loss, Message
from fixgrad.reference import Reference
from fixgrad.session import SessionLostError
from fixgrad.stream import ListedSchedule, Samples, SampleStream
from fixgrad.urlhandlers.protocol_sim import options_of
from held_port import held_port
from simulated_device import SimulatedDevice
from small_models import MOMENTUM, SMALL, small_state

URL = "sim://?opt=O1"
RUN = 77
LR = (200, -12)


def samples(config: ModelConfig, count: int, seed: int = 5) -> Samples:
    rng = np.random.default_rng(seed)
    return Samples(
        rng.integers(0, config.input_max + 1, (count, config.layers[0])).astype(np.uint8),
        rng.integers(0, config.outputs, count).astype(np.int32),
    )


def stream_of(config: ModelConfig, data: Samples, *, split_steps: bool = False) -> SampleStream:
    batch = config.batch
    sizes = [min(batch, len(data) - at) for at in range(0, len(data), batch)]
    schedule = ListedSchedule(sizes, [LR] * len(sizes))
    return SampleStream(schedule, data.wire(config), split_steps=split_steps)


def reference_after(config: ModelConfig, state: State, data: Samples, count: int) -> Reference:
    reference = Reference(config, state)
    for at in range(0, count, config.batch):
        end = min(at + config.batch, count)
        reference.step(data.features[at:end], data.targets[at:end], *LR)
    return reference


def same_state(a: State, b: State) -> bool:
    return a.encode() == b.encode()


@pytest.fixture
def device() -> Iterator[Device]:
    with Device.open(URL) as opened:
        yield opened


# The good paths


def test_serial_for_url_knows_sim_after_importing_the_package() -> None:
    assert fixgrad.URL_HANDLERS in serial.protocol_handler_packages
    with serial.serial_for_url(URL, timeout=10) as port:
        port.write(b"\0" + encode_frame(Message.HELLO, 5, 9))
        (frame,) = Decoder().feed(port.read_until(b"\0"))
    assert (frame.type, frame.session, frame.pos) == (Message.HELLO_ACK, 5, 9)


def test_info_tells_what_the_device_is(device: Device) -> None:
    info = device.info
    assert (info.board, info.core, info.run_id) == ("posix", "host", 0)
    assert (info.protocol, info.numerics) == (1, 1)
    assert device.hello() == info


@pytest.mark.parametrize("config", [SMALL, MOMENTUM])
def test_loaded_state_is_read_back(device: Device, config: ModelConfig) -> None:
    state = small_state(config)
    device.load(config, state, RUN, 12)
    read, position = device.read_state(config)
    assert same_state(read, state)
    assert position == 12
    assert device.hello().run_id == RUN


def test_each_reading_of_the_state_is_a_session_of_its_own(device: Device) -> None:
    device.load(SMALL, small_state(SMALL), RUN, 0)
    before = device._session._identity
    device.read_state(SMALL)
    assert device._session._identity == before % 255 + 1


def test_state_larger_than_the_window_is_loaded_and_read(device: Device) -> None:
    wide = replace(SMALL, layers=(60, 200, 3)).with_budgets()
    state = small_state(wide)
    device.load(wide, state, RUN, 0)
    assert same_state(device.read_state(wide)[0], state)
    assert device.info.window_bytes < len(state.encode())


@pytest.mark.parametrize("split_steps", [False, True])
def test_training_ends_in_the_references_state(device: Device, split_steps: bool) -> None:
    state, data = small_state(SMALL), samples(SMALL, 1003)
    stream = stream_of(SMALL, data, split_steps=split_steps)
    device.load(SMALL, state, RUN, 0)
    reports = list(device.train(stream, 0, stream.end))
    reference = reference_after(SMALL, state, data, 1003)
    assert reports[-1].next == 1003
    assert reports[-1].digest == reference.digest()
    assert reports[-1].step == reference.state.step
    assert same_state(device.read_state(SMALL)[0], reference.state)


def test_positions_advance_and_end_where_asked(device: Device) -> None:
    data = samples(SMALL, 500)
    stream = stream_of(SMALL, data)
    device.load(SMALL, small_state(SMALL), RUN, 0)
    at = 0
    for stop in (1, 2, 6, 100, 333, 334, 500):
        positions = [report.next for report in device.train(stream, at, stop)]
        assert positions == sorted(set(positions))
        assert positions[-1] == stop
        at = stop
    reference = reference_after(SMALL, small_state(SMALL), data, 500)
    assert device.hello().digest == reference.digest()


def test_stop_is_exact_where_headers_are_longer_than_samples(device: Device) -> None:
    tiny = replace(SMALL, layers=(1, 4, 3), batch=1).with_budgets()
    data = samples(tiny, 300)
    stream = stream_of(tiny, data)
    device.load(tiny, small_state(tiny), RUN, 0)
    for start, stop in ((0, 7), (7, 8), (8, 111)):
        assert [report.next for report in device.train(stream, start, stop)][-1] == stop


def test_request_to_stop_ends_after_the_samples_under_way(device: Device) -> None:
    data = samples(SMALL, 20000)
    stream = stream_of(SMALL, data)
    device.load(SMALL, small_state(SMALL), RUN, 0)
    seen: list[int] = []
    for report in device.train(stream, 0, stream.end, should_stop=lambda: len(seen) > 2):
        seen.append(report.next)
    assert seen[-1] < stream.end
    assert device.hello().next == seen[-1]


def test_payload_statistics_are_features_and_targets(patient: None, device: Device) -> None:
    data = samples(SMALL, 1000)
    stream = stream_of(SMALL, data)
    device.load(SMALL, small_state(SMALL), RUN, 0)
    list(device.train(stream, 0, 1000))
    assert device.stats.payload_bytes == data.wire(SMALL).nbytes
    assert device.stats.wire_bytes > data.wire(SMALL).nbytes + 250 * 5
    assert device.stats.retransmitted_bytes == 0


@pytest.mark.parametrize("loss", list(Loss))
def test_statistics_of_a_run_that_another_host_began(loss: Loss) -> None:
    config = replace(SMALL, loss=loss)
    data = samples(config, 40)
    if loss != Loss.SOFTMAX_CROSS_ENTROPY:
        data = Samples(data.features, np.full((40, 3), 1000, np.int32))
    stream = stream_of(config, data)
    with Device.open(URL) as first:
        first.load(config, small_state(config), RUN, 0)
        list(first.train(stream, 0, 20))
        second = Device(first._port, URL)
        assert (second.info.run_id, second.info.next) == (RUN, 20)
        list(second.train(stream, 20, 40))
        assert second.stats.payload_bytes == data.wire(config)[20:].nbytes


def test_large_samples_are_at_least_97_percent_of_the_wire(patient: None) -> None:
    config = replace(SMALL, layers=(784, 4, 3), batch=16).with_budgets()
    data = samples(config, 160)
    stream = stream_of(config, data)
    with Device.open(URL) as device:
        device.load(config, small_state(config), RUN, 0)
        list(device.train(stream, 0, 160))
        assert device.stats.efficiency >= 0.97


def test_evaluation_counts_over_many_frames(device: Device) -> None:
    state, data = small_state(SMALL), samples(SMALL, 2000)
    device.load(SMALL, state, RUN, 0)
    result = device.evaluate(data.wire(SMALL))
    predictions = Reference(SMALL, state).predict(data.features)[:, 0]
    assert result.count == 2000
    assert result.correct == int((predictions == data.targets).sum())


def test_inference_over_many_frames_agrees_with_the_reference(device: Device) -> None:
    state, data = small_state(SMALL), samples(SMALL, 999)
    device.load(SMALL, state, RUN, 0)
    result = device.infer(SMALL, data.feature_wire(SMALL))
    reference = Reference(SMALL, state)
    assert np.array_equal(result.logits, reference.logits(data.features))
    assert np.array_equal(result.predictions, reference.predict(data.features))
    assert (result.logits.dtype, result.predictions.dtype) == (np.int32, np.int32)


def test_no_samples_give_empty_results(device: Device) -> None:
    device.load(SMALL, small_state(SMALL), RUN, 0)
    assert device.evaluate(np.empty((0, 6), np.uint8)).count == 0
    assert device.infer(SMALL, np.empty((0, 5), np.uint8)).logits.shape == (0, 3)


def test_abandoned_training_leaves_the_device_usable(device: Device) -> None:
    state, data = small_state(SMALL), samples(SMALL, 4000)
    stream = stream_of(SMALL, data)
    device.load(SMALL, state, RUN, 0)
    next(iter(device.train(stream, 0, stream.end)))
    position = device.hello().next
    list(device.train(stream, position, stream.end))
    assert device.hello().digest == reference_after(SMALL, state, data, 4000).digest()


# Faults


def test_device_reset_raises_and_the_run_is_taken_up_again(device: Device) -> None:
    state, data = small_state(SMALL), samples(SMALL, 4000)
    stream = stream_of(SMALL, data)
    device.load(SMALL, state, RUN, 0)
    with pytest.raises(SessionLostError):
        for _ in device.train(stream, 0, stream.end):
            device._port.reset_device()
    assert device.hello().run_id == 0
    device.load(SMALL, state, RUN, 0)
    list(device.train(stream, 0, stream.end))
    assert device.hello().digest == reference_after(SMALL, state, data, 4000).digest()


def test_another_host_taking_the_session_raises(device: Device) -> None:
    stream = stream_of(SMALL, samples(SMALL, 4000))
    device.load(SMALL, small_state(SMALL), RUN, 0)
    other = device._session._identity % 255 + 1
    with pytest.raises(SessionLostError):
        for _ in device.train(stream, 0, stream.end):
            device._port.write(encode_frame(Message.HELLO, other, 1))


def test_bytes_of_an_earlier_run_are_not_applied(device: Device) -> None:
    state, data = small_state(SMALL), samples(SMALL, 400)
    stream = stream_of(SMALL, data)
    device.load(SMALL, state, RUN, 0)
    payload, _ = stream.payload(0, 200)
    stale = encode_frame(Message.DATA, device._session._identity, 0, payload)
    device.load(SMALL, state, RUN + 1, 0)
    device._port.write(stale)
    list(device.train(stream, 0, 400))
    assert device.hello().digest == reference_after(SMALL, state, data, 400).digest()


class FaultyPort:
    """A port that flips bits and drops bytes both ways; time passes while a board is silent."""

    def __init__(self, seed: int) -> None:
        self._board = SimulatedDevice(600)
        self._answers = b""
        self._rng = np.random.default_rng(seed)
        self.now = 0.0

    def _spoil(self, data: bytes) -> bytes:
        array = np.frombuffer(data, np.uint8).copy()
        array[self._rng.random(len(array)) < 1e-4] ^= 0x20
        return array[self._rng.random(len(array)) > 5e-5].tobytes()

    def clock(self) -> float:
        return self.now

    @property
    def in_waiting(self) -> int:
        return len(self._answers)

    def read(self, size: int) -> bytes:
        data, self._answers = self._answers[:size], self._answers[size:]
        self.now += 0 if data else 1
        return data

    def write(self, data: bytes) -> None:
        self._answers += self._spoil(self._board.receive(self._spoil(data)))

    def close(self) -> None:
        pass


@pytest.mark.parametrize("seed", range(4))
def test_faulty_line_ends_in_the_same_state(seed: int) -> None:
    state, data = small_state(SMALL), samples(SMALL, 3000)
    stream = stream_of(SMALL, data)
    port = FaultyPort(seed)
    with Device(
        port, "simulated", clock=port.clock, pause=lambda seconds: None,
        random_bits=random.Random(seed).getrandbits,
    ) as device:  # fmt: skip
        device.load(SMALL, state, RUN, 0)
        list(device.train(stream, 0, stream.end))
        reference = reference_after(SMALL, state, data, 3000)
        assert same_state(device.read_state(SMALL)[0], reference.state)
        logits = device.infer(SMALL, data.feature_wire(SMALL)).logits
        assert np.array_equal(logits, reference.logits(data.features))
        assert device.stats.retransmitted_bytes > 0


# What the device refuses


def test_model_too_large_says_bytes_needed_and_there() -> None:
    with Device.open(URL + "&arena=128") as device:
        with pytest.raises(DoesNotFitError, match=r"needs \d+ bytes.*posix has 128") as caught:
            device.load(SMALL, small_state(SMALL), RUN, 0)
        needed = int(str(caught.value).split("needs ")[1].split()[0])
    with Device.open(URL + f"&arena={needed}") as device:
        device.load(SMALL, small_state(SMALL), RUN, 0)


def test_sample_larger_than_a_payload_does_not_fit(device: Device) -> None:
    huge = replace(SMALL, layers=(2000, 4, 3)).with_budgets()
    data = samples(huge, 8)
    stream = stream_of(huge, data)
    state = small_state(huge)
    state.weights[0] //= 4
    device.load(huge, state, RUN, 0)
    with pytest.raises(DoesNotFitError, match="2006 bytes"):
        list(device.train(stream, 0, 8))
    with pytest.raises(DoesNotFitError, match="2001 bytes"):
        device.evaluate(data.wire(huge))
    with pytest.raises(DoesNotFitError, match="2000 bytes"):
        device.infer(huge, data.feature_wire(huge))


def test_too_many_layers_for_a_payload_do_not_fit(device: Device) -> None:
    deep = replace(
        SMALL,
        layers=(5, *[2] * 200, 3),
        activations=SMALL.activations * 200,
        activation_bits=SMALL.activation_bits * 200,
    ).with_budgets()
    with pytest.raises(DoesNotFitError, match="fewer layers"):
        device.load(deep, small_state(deep), RUN, 0)


def test_bad_sample_is_named_by_its_position(device: Device) -> None:
    data = samples(SMALL, 100)
    data.features[66, 2] = SMALL.input_max + 1
    stream = stream_of(SMALL, data)
    device.load(SMALL, small_state(SMALL), RUN, 0)
    with pytest.raises(DataError, match="position 66"):
        list(device.train(stream, 0, 100))
    with pytest.raises(DataError, match="sample 66"):
        device.evaluate(data.wire(SMALL))
    with pytest.raises(DataError, match="sample 66"):
        device.infer(SMALL, data.feature_wire(SMALL))


def test_state_out_of_range_is_refused(device: Device) -> None:
    state = small_state(SMALL)
    state.low[0] = 256
    with pytest.raises(ModelError, match="out of range"):
        device.load(SMALL, state, RUN, 0)


def test_reading_the_state_of_another_model_is_refused(device: Device) -> None:
    device.load(SMALL, small_state(SMALL), RUN, 0)
    with pytest.raises(ModelError, match="not this one"):
        device.read_state(replace(SMALL, layers=(9, 9, 9)).with_budgets())


def test_evaluation_without_a_run_is_a_lost_session(device: Device) -> None:
    with pytest.raises(SessionLostError, match="no run"):
        device.evaluate(samples(SMALL, 4).wire(SMALL))


# Who answers


class ScriptedPort:
    """A port whose answers a function makes; reading nothing takes time."""

    def __init__(self, answer: Callable[[bytes], bytes]) -> None:
        self._answer = answer
        self._waiting = b""
        self.now = 0.0

    def clock(self) -> float:
        return self.now

    @property
    def in_waiting(self) -> int:
        return len(self._waiting)

    def read(self, size: int) -> bytes:
        data, self._waiting = self._waiting[:size], self._waiting[size:]
        self.now += 0 if data else transport.READ_TIMEOUT_S
        return data

    def write(self, data: bytes) -> None:
        self._waiting += self._answer(data)

    def close(self) -> None:
        pass


class CoarsePort(ScriptedPort):
    """A port that tells only whether bytes wait, as pyserial's socket:// does."""

    @property
    def in_waiting(self) -> int:
        return int(bool(self._waiting))


def test_an_answer_that_waits_is_read_without_a_pause_though_the_port_does_not_tell_its_size() -> (
    None
):
    port, pauses = CoarsePort(hello_ack), list[float]()
    Device(port, "scripted", clock=port.clock, pause=pauses.append)
    assert pauses == []


def test_a_port_that_never_falls_silent_is_left_after_some_bytes() -> None:
    port = CoarsePort(lambda data: data)
    port.write(bytes(transport.WAITING_BYTES_MAX + 1))
    assert len(transport.read_waiting(port)) == transport.WAITING_BYTES_MAX
    assert len(transport.read_waiting(port)) == 1


def connect(answer: Callable[[bytes], bytes]) -> Device:
    port = ScriptedPort(answer)
    return Device(port, "scripted", clock=port.clock)


def hello_ack(request: bytes, **changes: int) -> bytes:
    """Return the answer to HELLO with some fields changed."""
    (frame,) = Decoder().feed(request)
    fields = {
        "protocol": protocol.PROTOCOL_VERSION,
        "numerics": protocol.NUMERICS_VERSION,
        "firmware": 0x0102,
        "schema": protocol.schema_hash(),
        "boot_id": 1,
        "run_id": 2,
        "next": 3,
        "digest": 4,
        "arena_bytes": 5,
        "payload_max": 256,
        "window_bytes": 511,
    }
    payload = protocol.pack(protocol.HELLO_ACK_FIELDS, **{**fields, **changes})
    return encode_frame(Message.HELLO_ACK, frame.session, frame.pos, payload + b"a\0b\0")


def test_answer_to_hello_is_read_field_by_field() -> None:
    info = connect(hello_ack).info
    assert (info.board, info.core, info.firmware) == ("a", "b", 0x0102)
    assert (info.boot_id, info.run_id, info.next, info.digest) == (1, 2, 3, 4)
    assert (info.arena_bytes, info.payload_max, info.window_bytes) == (5, 256, 511)


def test_silence_is_told_as_nothing_answers() -> None:
    with pytest.raises(LinkError, match="nothing answers on scripted"):
        connect(lambda data: b"")


def test_garbage_is_told_as_not_fixgrad() -> None:
    with pytest.raises(LinkError, match="not fixgrad"):
        connect(lambda data: b"login: \0")


def test_echo_is_told_as_no_answer_to_hello() -> None:
    with pytest.raises(LinkError, match="does not answer HELLO"):
        connect(lambda data: data)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"protocol": 2}, "protocol version 2, this fixgrad 1"),
        ({"numerics": 9}, "numerics version 9, this fixgrad 1"),
        ({"schema": 0xDEADBEEF}, "deadbeef"),
    ],
)
def test_other_version_names_both(changes: dict[str, int], message: str) -> None:
    with pytest.raises(VersionError, match=message):
        connect(lambda data: hello_ack(data, **changes))


def test_other_protocol_is_refused_whatever_follows_its_number() -> None:
    def answer(data: bytes) -> bytes:
        (frame,) = Decoder().feed(data)
        return encode_frame(Message.HELLO_ACK, frame.session, frame.pos, b"\x07")

    with pytest.raises(VersionError, match="protocol version 7"):
        connect(answer)


@pytest.mark.parametrize("cut", [1, 4, 20])
def test_truncated_answer_to_hello_is_malformed(cut: int) -> None:
    def answer(data: bytes) -> bytes:
        (frame,) = Decoder().feed(hello_ack(data))
        return encode_frame(frame.type, frame.session, frame.pos, frame.payload[:-cut])

    with pytest.raises(LinkError, match="malformed"):
        connect(answer)


def test_device_that_falls_silent_is_a_lost_link() -> None:
    with pytest.raises(LinkError, match="stopped answering"):
        connect(lambda data: hello_ack(data) if len(data) < 20 else b"").evaluate(
            np.zeros((4, 100), np.uint8)
        )


def test_ended_process_is_a_vanished_port(device: Device) -> None:
    device._port._simulator._process.kill()
    device._port._simulator._process.wait()
    with pytest.raises(PortError, match="vanished"):
        device.hello()


# Opening


def test_missing_port_lists_those_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "port_names", lambda: ["/dev/ttyA", "/dev/ttyB"])
    with pytest.raises(PortError, match="no such port.*ttyA, /dev/ttyB"):
        Device.open("/dev/fixgrad-is-not-here")


class FakePort:
    def __init__(self, device: str, serial_number: str | None) -> None:
        self.device, self.serial_number = device, serial_number


def test_usb_port_is_found_again_under_another_name(monkeypatch: pytest.MonkeyPatch) -> None:
    plugged = [FakePort("/dev/ttyACM0", "A1"), FakePort("/dev/ttyACM1", "B2")]

    def open_port(url: str, baud: int) -> str:
        if url not in [port.device for port in plugged]:
            raise PortError(f"{url}: no such port")
        return url

    monkeypatch.setattr(transport, "open_port", open_port)
    monkeypatch.setattr(transport.list_ports, "comports", lambda: plugged)
    place = transport.Place("/dev/ttyACM0")
    assert place.open() == "/dev/ttyACM0"
    plugged[:] = [FakePort("/dev/ttyACM1", "B2")]
    with pytest.raises(PortError, match="ttyACM0: no such port"):
        place.open()
    plugged.append(FakePort("/dev/ttyACM7", "A1"))
    assert (place.open(), place.url) == ("/dev/ttyACM7", "/dev/ttyACM7")


def test_port_without_serial_number_is_not_looked_for_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plugged = [FakePort("COM3", None)]

    def open_port(url: str, baud: int) -> str:
        if url not in [port.device for port in plugged]:
            raise PortError(f"{url}: no such port")
        return url

    monkeypatch.setattr(transport, "open_port", open_port)
    monkeypatch.setattr(transport.list_ports, "comports", lambda: plugged)
    place = transport.Place("COM3")
    place.open()
    plugged[:] = [FakePort("COM4", None)]
    with pytest.raises(PortError):
        place.open()


def test_unknown_scheme_is_told() -> None:
    with pytest.raises(PortError, match="unknown kind of port"):
        Device.open("teleport://board")


def test_refused_connection_is_told() -> None:
    with held_port() as port, pytest.raises(PortError, match="connection refused"):
        Device.open(f"socket://127.0.0.1:{port}")


@pytest.mark.parametrize(
    ("number", "message"), [(13, "permission denied"), (16, "busy"), (11, "busy")]
)
def test_error_of_the_system_is_explained(
    number: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **options: object) -> None:
        raise serial.SerialException(number, "could not open port")

    monkeypatch.setattr(transport.serial, "serial_for_url", fail)
    with pytest.raises(PortError, match=message):
        transport.open_port("/dev/ttyX", 115200)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sim://board", "names no board"),
        ("sim://?speed=3", "unknown option speed"),
        ("sim://?opt=O9", "opt=O9"),
        ("sim://?arena=many", "arena=many"),
        ("sim://?sanitize=yes", "sanitize=yes"),
    ],
)
def test_bad_option_of_sim_is_named(url: str, message: str) -> None:
    with pytest.raises(PortError, match=message):
        Device.open(url)


def test_options_of_sim_are_read() -> None:
    options = options_of("sim://?cc=clang&opt=O0&arena=8192")
    assert options == simulator.SimulatorOptions("clang", "O0", 8192, None, False)


def test_missing_compiler_says_what_to_install() -> None:
    with pytest.raises(BuildError, match="no C compiler found.*install gcc or clang"):
        Device.open("sim://?cc=no-such-compiler")


def test_failing_compiler_is_told() -> None:
    with pytest.raises(BuildError, match="could not compile"):
        Device.open("sim://?cc=false")


def test_missing_sources_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fixgrad.sources.__file__", str(tmp_path / "a" / "b" / "sources.py"))
    with pytest.raises(BuildError, match="install fixgrad again"):
        Device.open(URL)


def test_closing_ends_the_process() -> None:
    device = Device.open(URL)
    process = device._port._simulator._process
    device.close()
    assert process.returncode is not None


def test_process_ends_by_itself_when_its_line_is_cut() -> None:
    device = Device.open(URL)
    process = device._port._simulator._process
    device._port._socket.shutdown(socket.SHUT_RDWR)
    assert process.wait(timeout=60) == 0
    device.close()


@pytest.mark.parametrize(("compiler", "level"), [("gcc", "O0"), ("gcc", "O3"), ("clang", "O2")])
def test_every_compiler_gives_the_same_digest(compiler: str, level: str) -> None:
    state, data = small_state(MOMENTUM), samples(MOMENTUM, 200)
    stream = stream_of(MOMENTUM, data)
    with Device.open(f"sim://?cc={compiler}&opt={level}") as device:
        device.load(MOMENTUM, state, RUN, 0)
        list(device.train(stream, 0, 200))
        assert device.hello().digest == reference_after(MOMENTUM, state, data, 200).digest()


def test_positions_of_the_run_are_committed_with_their_crc(device: Device) -> None:
    state = small_state(SMALL)
    sent: list[bytes] = []
    write = device._port.write
    device._port.write = lambda data: (sent.append(data), write(data))[1]
    device.load(SMALL, state, RUN, 5)
    commits = [
        frame for data in sent for frame in Decoder().feed(data) if frame.type == Message.COMMIT
    ]
    (commit,) = commits
    crc = zlib.crc32(SMALL.encode() + state.encode() + NO_DATASET)
    assert protocol.unpack(protocol.COMMIT_FIELDS, commit.payload) == {
        "run_id": RUN, "next": 5, "crc": crc,
    }  # fmt: skip
