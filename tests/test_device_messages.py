"""Every message and every status of docs/PROTOCOL.md, spoken to the firmware byte by byte.

The firmware is built with AddressSanitizer and UndefinedBehaviorSanitizer: a finding ends it.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import serial
from fixgrad import protocol
from fixgrad.device import NO_DATASET
from fixgrad.framing import Decoder, Frame, encode_frame
from fixgrad.model import ModelConfig, State, state_bytes
from fixgrad.parts import NO_EXPONENT
from fixgrad.protocol import InputFormat, Loss, Message, Reason, Region, Status
from fixgrad.reference import Part, Reference
from fixgrad.stream import Samples
from numpy.typing import NDArray
from small_models import MOMENTUM, SMALL, small_state

URL = "sim://?cc=gcc&opt=O1&sanitize=1"
RUN = 0x1234
LR = (200, -12)
OUTPUTS = SMALL.outputs


class Wire:
    """Frames to a device and back, with no session logic in between."""

    def __init__(self, url: str = URL) -> None:
        self.port = serial.serial_for_url(url, timeout=10)
        self.decoder = Decoder()
        self.waiting: list[Frame] = []
        self.session = 0

    def write(self, data: bytes) -> None:
        self.port.write(data)

    def read(self) -> Frame:
        while not self.waiting:
            data = self.port.read(self.port.in_waiting or 1)
            assert data, "no answer"
            self.waiting = self.decoder.feed(data)
        assert self.decoder.damaged == 0
        return self.waiting.pop(0)

    def ask(
        self, type_: int, pos: int = 0, payload: bytes = b"", session: int | None = None
    ) -> Frame:
        self.write(encode_frame(type_, self.session if session is None else session, pos, payload))
        return self.read()

    def hello(self, session: int = 9, nonce: int = 0xABCD) -> dict[str, int]:
        self.session = session
        frame = self.ask(Message.HELLO, nonce)
        assert (frame.type, frame.session, frame.pos) == (Message.HELLO_ACK, session, nonce)
        return protocol.unpack(protocol.HELLO_ACK_FIELDS, frame.payload)

    def load(self, region: int, offset: int, data: bytes) -> tuple[int, int]:
        frame = self.ask(Message.LOAD, offset, bytes([region]) + data)
        assert (frame.type, frame.pos, len(frame.payload)) == (Message.LOAD_ACK, offset, 6)
        values = protocol.unpack(protocol.LOAD_ACK_FIELDS, frame.payload)
        assert values["region"] == region
        return values["status"], values["detail"]

    def commit(self, crc: int, run_id: int = RUN, position: int = 0) -> int:
        payload = protocol.pack(protocol.COMMIT_FIELDS, run_id=run_id, next=position, crc=crc)
        frame = self.ask(Message.COMMIT, 0, payload)
        assert (frame.type, len(frame.payload)) == (Message.COMMIT_ACK, 1)
        return frame.payload[0]

    def read_region(self, region: int, offset: int, count: int) -> tuple[int, int, bytes]:
        payload = protocol.pack(protocol.READ_FIELDS, region=region, count=count)
        frame = self.ask(Message.READ, offset, payload)
        assert (frame.type, frame.pos) == (Message.READ_ACK, offset)
        values = protocol.unpack(protocol.READ_ACK_FIELDS, frame.payload)
        assert values["region"] == region
        return values["status"], values["next"], frame.payload[6:]

    def data(self, pos: int, payload: bytes) -> tuple[int, dict[str, int]]:
        frame = self.ask(Message.DATA, pos, payload)
        assert (frame.type, len(frame.payload)) == (Message.DATA_ACK, 33)
        return frame.pos, protocol.unpack(protocol.DATA_ACK_FIELDS, frame.payload)

    def start(self, config: ModelConfig = SMALL, position: int = 0) -> State:
        """Say HELLO and bring a run to the device."""
        self.hello()
        state = small_state(config)
        data = state.encode()
        assert self.load(Region.MODEL, 0, config.encode()) == (Status.OK, 0)
        for at in range(0, len(data), 250):
            assert self.load(Region.STATE, at, data[at : at + 250]) == (Status.OK, 0)
        assert self.commit(run_crc(config, state), position=position) == Status.OK
        return state


def run_crc(config: ModelConfig, state: State) -> int:
    return zlib.crc32(config.encode() + state.encode() + NO_DATASET)


@pytest.fixture(scope="module")
def shared_wire() -> Iterator[Wire]:
    wire = Wire()
    yield wire
    wire.port.close()


@pytest.fixture
def wire(shared_wire: Wire) -> Wire:
    """A device that was just reset."""
    shared_wire.port.reset_device()
    shared_wire.decoder = Decoder()
    shared_wire.waiting = []
    shared_wire.session = 0
    return shared_wire


def samples(count: int, seed: int = 5) -> Samples:
    rng = np.random.default_rng(seed)
    return Samples(
        rng.integers(0, SMALL.input_max + 1, (count, SMALL.layers[0])).astype(np.uint8),
        rng.integers(0, OUTPUTS, count).astype(np.int32),
    )


def header(size: int, lr: tuple[int, int] = LR) -> bytes:
    return protocol.pack(protocol.BATCH_FIELDS, size=size, lr_mantissa=lr[0], lr_exponent=lr[1])


def rows_of(data: Samples) -> list[bytes]:
    return [row.tobytes() for row in data.wire(SMALL)]


def reference_after(state: State, data: Samples, *sizes: int) -> Reference:
    """Return the reference after steps of these sizes over consecutive samples."""
    reference = Reference(SMALL, state)
    at = 0
    for size in sizes:
        reference.step(data.features[at : at + size], data.targets[at : at + size], *LR)
        at += size
    return reference


def parse_inference(frame: Frame) -> tuple[int, int, NDArray[np.int32]]:
    values = protocol.unpack(protocol.INFER_ACK_FIELDS, frame.payload)
    return values["status"], values["count"], np.frombuffer(frame.payload, "<i4", offset=3)


# HELLO and sessions


def test_hello_tells_versions_sizes_and_names(wire: Wire) -> None:
    wire.session = 200
    frame = wire.ask(Message.HELLO, 77)
    values = protocol.unpack(protocol.HELLO_ACK_FIELDS, frame.payload)
    assert (frame.session, frame.pos) == (200, 77)
    assert values["protocol"] == protocol.PROTOCOL_VERSION
    assert values["numerics"] == protocol.NUMERICS_VERSION
    assert values["schema"] == protocol.schema_hash()
    assert (values["run_id"], values["next"], values["digest"]) == (0, 0, 0)
    assert values["payload_max"] >= 256
    assert values["window_bytes"] >= 270
    assert frame.payload[32:] == b"posix\0host\0" + bytes(4)  # no flash for samples


def test_arena_is_what_the_url_asks_for() -> None:
    wire = Wire("sim://?cc=gcc&opt=O1&sanitize=1&arena=8192")
    assert wire.hello()["arena_bytes"] == 8192
    wire.port.close()


def test_boot_id_differs_after_a_reset(wire: Wire) -> None:
    first = wire.hello()["boot_id"]
    wire.port.reset_device()
    assert wire.hello()["boot_id"] != first


def test_hello_repeated_or_with_a_new_session_keeps_run_and_position(wire: Wire) -> None:
    wire.start()
    data = samples(4)
    wire.data(0, header(4) + b"".join(rows_of(data)))
    first = wire.hello(9)
    assert (first["run_id"], first["next"]) == (RUN, 4)
    assert wire.hello(9) == first
    assert wire.hello(10) == first


def test_hello_with_session_zero_is_refused_silently(wire: Wire) -> None:
    wire.write(encode_frame(Message.HELLO, 0, 1))
    assert wire.ask(Message.HELLO, 2, session=3).pos == 2


def test_hello_with_a_payload_is_refused_silently(wire: Wire) -> None:
    wire.write(encode_frame(Message.HELLO, 4, 1, b"x"))
    frame = wire.ask(Message.HELLO, 2, session=3)
    assert (frame.session, frame.pos) == (3, 2)


@pytest.mark.parametrize("type_", [2, 3, 4, 5, 6, 7, 8, 99, 129])
def test_before_hello_everything_is_answered_no_session(wire: Wire, type_: int) -> None:
    frame = wire.ask(type_, 0, bytes(12), session=9)
    assert (frame.type, frame.session) == (Message.NO_SESSION, 0)
    assert frame.payload == bytes([Reason.SESSION])
    assert frame.pos == wire.hello()["boot_id"]


@pytest.mark.parametrize("session", [0, 8, 10, 255])
def test_wrong_session_is_answered_with_the_devices_own_and_changes_nothing(
    wire: Wire, session: int
) -> None:
    wire.start()
    before = wire.hello()
    payload = header(4) + b"".join(rows_of(samples(4)))
    frame = wire.ask(Message.DATA, 0, payload, session=session)
    assert (frame.type, frame.session, frame.pos) == (Message.NO_SESSION, 9, before["boot_id"])
    assert frame.payload == bytes([Reason.SESSION])
    frame = wire.ask(Message.LOAD, 0, b"\0", session=session)
    assert frame.type == Message.NO_SESSION
    assert wire.hello() == before


@pytest.mark.parametrize("type_", [Message.DATA, Message.EVAL, Message.INFER])
def test_without_a_run_samples_are_answered_no_session_reason_run(
    wire: Wire, type_: Message
) -> None:
    wire.hello()
    wire.load(Region.MODEL, 0, SMALL.encode())
    frame = wire.ask(type_, 0, rows_of(samples(1))[0])
    assert (frame.type, frame.payload) == (Message.NO_SESSION, bytes([Reason.RUN]))


# LOAD


def test_load_clears_the_run_but_not_the_position(wire: Wire) -> None:
    wire.start(position=40)
    assert wire.hello()["run_id"] == RUN
    assert wire.load(Region.STATE, 0, b"") == (Status.OK, 0)
    values = wire.hello()
    assert (values["run_id"], values["next"]) == (0, 40)


def test_load_of_the_same_model_keeps_the_state(wire: Wire) -> None:
    state = wire.start()
    assert wire.load(Region.MODEL, 0, SMALL.encode()) == (Status.OK, 0)
    assert wire.commit(run_crc(SMALL, state)) == Status.OK


def test_state_loaded_in_any_order_and_twice_is_whole(wire: Wire) -> None:
    state = small_state(MOMENTUM)
    data = state.encode()
    wire.hello()
    wire.load(Region.MODEL, 0, MOMENTUM.encode())
    parts = [(at, data[at : at + 14]) for at in range(0, len(data), 14)]
    random.Random(1).shuffle(parts)
    for at, part in [*parts, *parts[:5]]:
        assert wire.load(Region.STATE, at, part) == (Status.OK, 0)
    assert wire.commit(run_crc(MOMENTUM, state)) == Status.OK
    assert wire.hello()["digest"] == Reference(MOMENTUM, state).digest()


@pytest.mark.parametrize(
    ("offset", "count"), [(1, 2), (0, 1), (0, None), (None, 2), (0xFFFFFFFE, 2), (0xFFFFFFFF, 1)]
)
def test_state_outside_its_region_or_odd_is_a_bad_offset(
    wire: Wire, offset: int | None, count: int | None
) -> None:
    wire.hello()
    wire.load(Region.MODEL, 0, SMALL.encode())
    size = state_bytes(SMALL)
    at = size if offset is None else offset
    data = bytes(size + 2 if count is None else count)
    assert wire.load(Region.STATE, at, data)[0] == Status.BAD_OFFSET


def test_state_without_a_model_is_a_bad_offset(wire: Wire) -> None:
    wire.hello()
    assert wire.load(Region.STATE, 0, b"\0\0")[0] == Status.BAD_OFFSET


def test_model_not_at_offset_zero_is_a_bad_offset(wire: Wire) -> None:
    wire.hello()
    assert wire.load(Region.MODEL, 2, SMALL.encode())[0] == Status.BAD_OFFSET


def test_unknown_region_is_a_bad_message(wire: Wire) -> None:
    wire.hello()
    assert wire.load(3, 0, b"\0\0")[0] == Status.BAD_MESSAGE
    assert wire.read_region(3, 0, 2) == (Status.BAD_MESSAGE, 0, b"")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"numerics": 2}, "numerics"),
        ({"layer_count": 3}, "layer_count"),
        ({"layer_count": 0}, "layer_count"),
        ({"loss": 4}, "loss"),
        ({"flags": 16}, "flags"),
        ({"batch": 0}, "batch"),
        ({"input_max": 256}, "input_max"),
        ({"input_format": 3}, "input_format"),
        ({"velocity_bits": 9}, "velocity_bits"),
        ({"decay_shift": 0}, "decay_shift"),
        ({"input_width": 0}, "input_width"),
    ],
)
def test_bad_model_names_the_field_and_leaves_no_model(
    wire: Wire, change: dict[str, int], field: str
) -> None:
    wire.start()
    model = SMALL.encode()
    head = protocol.unpack(protocol.MODEL_FIELDS, model)
    bad = protocol.pack(protocol.MODEL_FIELDS, **{**head, **change}) + model[20:]
    offset = 0
    for name, width in protocol.MODEL_FIELDS:
        if name == field:
            break
        offset += abs(width)
    assert wire.load(Region.MODEL, 0, bad) == (Status.BAD_MODEL, offset)
    assert wire.read_region(Region.STATE, 0, 2)[0] == Status.BAD_OFFSET
    assert wire.hello()["digest"] == 0


@pytest.mark.parametrize("length", [0, 1, 19, 20, 31, 33])
def test_model_of_the_wrong_length_is_a_bad_model(wire: Wire, length: int) -> None:
    wire.hello()
    blob = (SMALL.encode() + bytes(8))[:length]
    assert wire.load(Region.MODEL, 0, blob)[0] == Status.BAD_MODEL


def test_model_that_does_not_fit_tells_the_bytes_it_needs() -> None:
    big = replace(SMALL, layers=(5, 200, 3)).with_budgets()
    wire = Wire("sim://?cc=gcc&opt=O1&sanitize=1&arena=2048")
    wire.hello()
    status, needed = wire.load(Region.MODEL, 0, big.encode())
    assert status == Status.NO_MEMORY
    wire.port.close()
    exact = Wire(f"sim://?cc=gcc&opt=O1&sanitize=1&arena={needed}")
    exact.start(big)
    exact.data(0, header(4) + b"".join(rows_of(samples(4))))
    exact.port.close()
    less = Wire(f"sim://?cc=gcc&opt=O1&sanitize=1&arena={needed - 1}")
    less.hello()
    assert less.load(Region.MODEL, 0, big.encode()) == (Status.NO_MEMORY, needed)
    less.port.close()


# COMMIT


def test_commit_adopts_run_and_position(wire: Wire) -> None:
    state = wire.start(position=1000)
    values = wire.hello()
    assert (values["run_id"], values["next"]) == (RUN, 1000)
    assert values["digest"] == Reference(SMALL, state).digest()


def test_commit_of_the_same_run_changes_nothing_even_with_a_wrong_crc(wire: Wire) -> None:
    wire.start(position=12)
    wire.data(12, header(4) + rows_of(samples(1))[0])
    before = wire.hello()
    assert wire.commit(0, position=99) == Status.OK
    assert wire.hello() == before
    position, _ = wire.data(13, b"".join(rows_of(samples(3))))
    assert position == 16


def test_commit_of_another_run_restarts_the_counters_and_drops_a_half_batch(wire: Wire) -> None:
    state = wire.start()
    data = samples(6)
    rows = rows_of(data)
    wire.data(0, header(4) + b"".join(rows[:4]) + header(2) + rows[4])
    reference = reference_after(state, data, 4)
    crc = run_crc(SMALL, reference.state)
    assert wire.commit(crc, run_id=RUN + 1, position=4) == Status.OK
    position, values = wire.data(4, header(2) + b"".join(rows[4:]))
    reference = Reference(SMALL, reference.state)
    result = reference.step(data.features[4:], data.targets[4:], *LR)
    assert position == 6
    assert values["digest"] == reference.digest()
    assert values["loss_sum"] == result.loss
    assert values["correct"] == result.correct


def test_commit_with_a_wrong_crc_is_a_bad_state_and_no_run(wire: Wire) -> None:
    wire.hello()
    state = small_state(SMALL)
    wire.load(Region.MODEL, 0, SMALL.encode())
    wire.load(Region.STATE, 0, state.encode())
    assert wire.commit(run_crc(SMALL, state) ^ 1) == Status.BAD_STATE
    assert wire.hello()["run_id"] == 0


def test_commit_without_a_model_is_a_bad_state(wire: Wire) -> None:
    wire.hello()
    assert wire.commit(0) == Status.BAD_STATE


def test_commit_of_run_zero_is_a_bad_message(wire: Wire) -> None:
    wire.start()
    assert wire.commit(0, run_id=0) == Status.BAD_MESSAGE
    assert wire.hello()["run_id"] == RUN


@pytest.mark.parametrize("value", ["weight", "bias", "weight_exponent", "low"])
def test_commit_of_a_state_out_of_range_is_a_bad_state(wire: Wire, value: str) -> None:
    state = small_state(SMALL)
    if value == "weight":
        state.weights[0][0, 0] = 1 << SMALL.weight_bits[0]
    elif value == "bias":
        state.biases[1][2] = (1 << 28) + 1
    elif value == "weight_exponent":
        state.weight_exponent[1] = 32
    else:
        state.low[0] = 256
    wire.hello()
    wire.load(Region.MODEL, 0, SMALL.encode())
    wire.load(Region.STATE, 0, state.encode())
    assert wire.commit(run_crc(SMALL, state)) == Status.BAD_STATE
    assert wire.hello()["run_id"] == 0


# READ


@pytest.mark.parametrize("config", [SMALL, MOMENTUM])
def test_read_returns_model_and_state_as_loaded(wire: Wire, config: ModelConfig) -> None:
    state = wire.start(config, position=3)
    size = state_bytes(config)
    assert wire.read_region(Region.MODEL, 0, 32) == (Status.OK, 3, config.encode())
    assert wire.read_region(Region.STATE, 0, size) == (Status.OK, 3, state.encode())
    for at in range(0, size, 10):
        count = min(10, size - at)
        expected = state.encode()[at : at + count]
        assert wire.read_region(Region.STATE, at, count) == (Status.OK, 3, expected)


def test_read_of_a_part_of_the_model_may_be_odd(wire: Wire) -> None:
    wire.start()
    model = SMALL.encode()
    for at in range(len(model)):
        for count in (1, 3, len(model) - at):
            if at + count <= len(model):
                got = wire.read_region(Region.MODEL, at, count)
                assert got == (Status.OK, 0, model[at : at + count])


@pytest.mark.parametrize(
    ("region", "offset", "count"),
    [
        (Region.STATE, 1, 2), (Region.STATE, 0, 1), (Region.STATE, 0, 1020),
        (Region.STATE, 0xFFFFFFFE, 2), (Region.STATE, 0xFFFFFFFE, 4), (Region.MODEL, 32, 1),
        (Region.MODEL, 0, 33), (Region.MODEL, 0xFFFFFFFF, 2),
    ],
)  # fmt: skip
def test_read_outside_the_region_is_a_bad_offset_without_bytes(
    wire: Wire, region: Region, offset: int, count: int
) -> None:
    wire.start(position=5)
    assert wire.read_region(region, offset, count) == (Status.BAD_OFFSET, 5, b"")


def test_read_longer_than_a_payload_is_a_bad_offset(wire: Wire) -> None:
    wide = replace(SMALL, layers=(5, 100, 3)).with_budgets()
    wire.hello()
    wire.load(Region.MODEL, 0, wide.encode())
    most = wire.hello()["payload_max"] - 6
    assert wire.read_region(Region.STATE, 0, most)[0] == Status.OK
    assert wire.read_region(Region.STATE, 0, most + 2) == (Status.BAD_OFFSET, 0, b"")


@pytest.mark.parametrize("region", [Region.MODEL, Region.STATE])
def test_read_without_a_model_is_a_bad_offset(wire: Wire, region: Region) -> None:
    wire.hello()
    assert wire.read_region(region, 0, 0)[0] == Status.BAD_OFFSET


def test_read_works_without_a_run(wire: Wire) -> None:
    state = wire.start()
    wire.load(Region.STATE, 0, b"")
    got = wire.read_region(Region.STATE, 0, state_bytes(SMALL))
    assert got == (Status.OK, 0, state.encode())


# DATA


def test_batch_is_trained_when_its_last_sample_comes(wire: Wire) -> None:
    state = wire.start()
    data = samples(4)
    rows = rows_of(data)
    position, values = wire.data(0, header(4) + b"".join(rows[:3]))
    assert (position, values["status"], values["step"]) == (3, Status.OK, state.step)
    assert values["digest"] == Reference(SMALL, state).digest()
    position, values = wire.data(3, rows[3])
    reference = Reference(SMALL, state)
    result = reference.step(data.features, data.targets, *LR)
    assert (position, values["step"]) == (4, state.step + 1)
    assert values["digest"] == reference.digest()
    assert (values["loss_sum"], values["correct"]) == (result.loss, result.correct)
    assert values["wsat"] == reference.wsat


def test_one_frame_may_hold_several_batches_of_different_sizes(wire: Wire) -> None:
    state = wire.start()
    data = samples(8)
    rows = rows_of(data)
    payload = b"".join([header(4), *rows[:4], header(1), rows[4], header(3), *rows[5:]])
    position, values = wire.data(0, payload)
    assert position == 8
    assert values["digest"] == reference_after(state, data, 4, 1, 3).digest()


def test_duplicate_and_gap_frames_are_acknowledged_not_applied(wire: Wire) -> None:
    state = wire.start()
    data = samples(4)
    payload = header(4) + b"".join(rows_of(data))
    first = wire.data(0, payload)
    assert first[0] == 4
    assert wire.data(0, payload) == first
    assert wire.data(8, payload) == first
    assert wire.data(5, b"") == first
    assert first[1]["digest"] == reference_after(state, data, 4).digest()


def test_position_counts_on_across_the_end_of_32_bits(wire: Wire) -> None:
    wire.start(position=0xFFFFFFFE)
    position, _ = wire.data(0xFFFFFFFE, header(4) + b"".join(rows_of(samples(4))))
    assert position == 2


def test_bad_sample_stops_the_frame_and_those_before_it_count(wire: Wire) -> None:
    state = wire.start()
    data = samples(4)
    rows = rows_of(data)
    bad = bytes([SMALL.input_max + 1]) + rows[2][1:]
    position, values = wire.data(0, b"".join([header(4), *rows[:2], bad, rows[3]]))
    assert (position, values["status"]) == (2, Status.BAD_SAMPLE)
    position, values = wire.data(2, b"".join(rows[2:]))
    assert (position, values["status"]) == (4, Status.OK)
    assert values["digest"] == reference_after(state, data, 4).digest()


def test_bad_first_sample_takes_its_batch_header_with_it(wire: Wire) -> None:
    state = wire.start()
    data = samples(4)
    rows = rows_of(data)
    bad = rows[0][:-1] + bytes([OUTPUTS])
    position, values = wire.data(0, b"".join([header(4), bad, *rows[1:]]))
    assert (position, values["status"]) == (0, Status.BAD_SAMPLE)
    position, values = wire.data(0, b"".join([header(4), *rows]))
    assert (position, values["status"]) == (4, Status.OK)
    assert values["digest"] == reference_after(state, data, 4).digest()


@pytest.mark.parametrize(
    ("size", "lr"),
    [(0, LR), (5, LR), (4, (0, 0)), (4, (32769, 0)), (4, (128, -65)), (4, (128, 64))],
)
def test_bad_batch_header_is_a_bad_sample(wire: Wire, size: int, lr: tuple[int, int]) -> None:
    wire.start()
    position, values = wire.data(0, header(size, lr) + b"".join(rows_of(samples(4))))
    assert (position, values["status"]) == (0, Status.BAD_SAMPLE)


@pytest.mark.parametrize("cut", [1, 5, 6])
def test_data_that_is_not_whole_samples_is_a_bad_message_and_not_applied(
    wire: Wire, cut: int
) -> None:
    wire.start()
    before = wire.hello()
    payload = header(4) + b"".join(rows_of(samples(4)))
    position, values = wire.data(0, payload[:-cut] if cut < 6 else payload + b"\0")
    assert (position, values["status"]) == (0, Status.BAD_MESSAGE)
    assert wire.hello() == before


def test_header_without_its_first_sample_is_a_bad_message(wire: Wire) -> None:
    wire.start()
    rows = rows_of(samples(4))
    position, values = wire.data(0, header(4) + b"".join(rows) + header(4))
    assert (position, values["status"]) == (0, Status.BAD_MESSAGE)


def test_empty_data_asks_for_the_position(wire: Wire) -> None:
    wire.start(position=17)
    position, values = wire.data(17, b"")
    assert (position, values["status"]) == (17, Status.OK)


# EVAL and INFER


def test_evaluation_agrees_with_the_reference(wire: Wire) -> None:
    state = wire.start()
    data = samples(20)
    frame = wire.ask(Message.EVAL, 0xC0FFEE, data.wire(SMALL).tobytes())
    values = protocol.unpack(protocol.EVAL_ACK_FIELDS, frame.payload)
    assert (frame.type, frame.pos, len(frame.payload)) == (Message.EVAL_ACK, 0xC0FFEE, 9)
    assert (values["status"], values["count"]) == (Status.OK, 20)
    predictions = Reference(SMALL, state).predict(data.features)[:, 0]
    assert values["correct"] == int((predictions == data.targets).sum())
    # The loss reported by a step is that of the state before it.
    losses = [
        Reference(SMALL, state).step(data.features[i : i + 1], data.targets[i : i + 1], *LR).loss
        for i in range(20)
    ]
    assert values["loss"] == sum(losses)


def test_inference_agrees_with_the_reference(wire: Wire) -> None:
    state = wire.start()
    data = samples(20)
    frame = wire.ask(Message.INFER, 5, data.feature_wire(SMALL).tobytes())
    status, count, numbers = parse_inference(frame)
    assert (frame.type, frame.pos, status, count) == (Message.INFER_ACK, 5, Status.OK, 20)
    reference = Reference(SMALL, state)
    table = numbers.reshape(20, 1 + OUTPUTS)
    assert np.array_equal(table[:, :1], reference.predict(data.features))
    assert np.array_equal(table[:, 1:], reference.logits(data.features))


@pytest.mark.parametrize("type_", [Message.EVAL, Message.INFER])
def test_evaluation_and_inference_in_mid_batch_change_nothing(wire: Wire, type_: Message) -> None:
    state = wire.start()
    data = samples(8)
    rows = rows_of(data)
    wire.data(0, b"".join([header(4), *rows[:4], header(4), *rows[4:6]]))
    other = samples(6, seed=99)
    payload = other.wire(SMALL) if type_ == Message.EVAL else other.feature_wire(SMALL)
    before = wire.hello()
    wire.ask(type_, 1, payload.tobytes())
    assert wire.hello() == before
    _, values = wire.data(6, b"".join(rows[6:]))
    assert values["digest"] == reference_after(state, data, 4, 4).digest()


@pytest.mark.parametrize(("type_", "ack"), [(Message.EVAL, 9), (Message.INFER, 3)])
def test_part_of_a_sample_is_a_bad_message(wire: Wire, type_: Message, ack: int) -> None:
    wire.start()
    frame = wire.ask(type_, 1, bytes(13))
    assert frame.type == type_ | 0x80
    assert frame.payload == bytes([Status.BAD_MESSAGE]) + bytes(ack - 1)


def test_bad_sample_in_evaluation_counts_those_before_it(wire: Wire) -> None:
    wire.start()
    rows = rows_of(samples(5))
    rows[3] = rows[3][:-1] + bytes([OUTPUTS])
    frame = wire.ask(Message.EVAL, 1, b"".join(rows))
    values = protocol.unpack(protocol.EVAL_ACK_FIELDS, frame.payload)
    assert (values["status"], values["count"]) == (Status.BAD_SAMPLE, 3)


@pytest.mark.parametrize(
    ("input_format", "good", "bad"),
    [(InputFormat.U8, 100, 101), (InputFormat.I8, -100, -101), (InputFormat.I16, -100, -101)],
)
def test_bad_sample_in_inference_gives_the_results_before_it(
    wire: Wire, input_format: InputFormat, good: int, bad: int
) -> None:
    config = replace(SMALL, input_format=input_format, input_max=100).with_budgets()
    state = wire.start(config)
    dtype = {InputFormat.U8: "u1", InputFormat.I8: "i1", InputFormat.I16: "<i2"}[input_format]
    features = np.full((4, 5), good).astype(dtype)
    features[2, 4] = bad
    status, count, numbers = parse_inference(wire.ask(Message.INFER, 1, features.tobytes()))
    assert (status, count) == (Status.BAD_SAMPLE, 2)
    expected = Reference(config, state).logits(features[:2])
    assert np.array_equal(numbers.reshape(2, 4)[:, 1:], expected)


def test_inference_whose_answer_is_too_long_is_a_bad_message(wire: Wire) -> None:
    wire.start()
    payload_max = wire.hello()["payload_max"]
    most = (payload_max - 3) // (4 * (1 + OUTPUTS))
    status, count, _ = parse_inference(wire.ask(Message.INFER, 1, bytes(5 * most)))
    assert (status, count) == (Status.OK, most)
    status, count, _ = parse_inference(wire.ask(Message.INFER, 1, bytes(5 * (most + 1))))
    assert (status, count) == (Status.BAD_MESSAGE, 0)


@pytest.mark.parametrize(
    "loss", [Loss.SQUARED_ERROR, Loss.SIGMOID_BINARY_CROSS_ENTROPY, Loss.SIGMOID_SQUARED_ERROR]
)
def test_predictions_of_other_losses_agree_with_the_reference(wire: Wire, loss: Loss) -> None:
    config = replace(SMALL, loss=loss)
    state = wire.start(config)
    data = samples(10)
    _, _, numbers = parse_inference(wire.ask(Message.INFER, 1, data.features.tobytes()))
    reference = Reference(config, state)
    table = numbers.reshape(10, 2 * OUTPUTS)
    assert np.array_equal(table[:, :OUTPUTS], reference.predict(data.features))
    assert np.array_equal(table[:, OUTPUTS:], reference.logits(data.features))


# Parts of a batch


REACH_BYTES = 2 * 8
GRADIENT_BYTES = 4 * SMALL.parameter_count


def hold_part(wire: Wire, count: int = 3) -> Part:
    """Let the device hold a part of `count` samples; return the reference's."""
    state, data = wire.start(position=100), samples(count, seed=3)
    payload = header(count) + b"".join(rows_of(data))
    frame = wire.ask(Message.PART, 100, payload)
    part = Reference(SMALL, state).part(data.features, data.targets, *LR)
    values = protocol.unpack(protocol.DATA_ACK_FIELDS, frame.payload)
    assert (frame.type, frame.pos) == (Message.DATA_ACK, 100 + count)
    assert (values["status"], values["step"]) == (Status.OK, state.step)
    assert values["digest"] == Reference(SMALL, state).digest()
    told = part.reach
    assert (values["loss_sum"], values["correct"]) == (told.loss, told.correct)
    assert (values["wsat"], values["asat"], values["bsat"]) == (0, told.saturated, 0)
    return part


def reach_of(part: Part) -> bytes:
    told = zip(part.reach.exponents, part.reach.amx, strict=True)
    words = [(NO_EXPONENT if e is None else e, amx.bit_length()) for e, amx in told]
    return np.array(words, "<i4").tobytes()


def exponents_of(part: Part) -> list[int]:
    return Reference(SMALL, small_state(SMALL)).exponents(part.reach)


def scale(wire: Wire, pos: int, exponents: list[int]) -> int:
    frame = wire.ask(Message.SCALE, pos, np.array(exponents, "<i4").tobytes())
    assert (frame.type, frame.pos, len(frame.payload)) == (Message.SCALE_ACK, pos, 1)
    return frame.payload[0]


def test_part_is_held_and_its_regions_agree_with_the_reference(wire: Wire) -> None:
    part = hold_part(wire)
    words = reach_of(part)
    for _ in range(2):
        assert wire.read_region(Region.REACH, 0, REACH_BYTES) == (Status.OK, 103, words)
    assert wire.read_region(Region.GRADIENT, 0, 4)[0] == Status.BAD_OFFSET
    exponents = exponents_of(part)
    sums = b"".join(
        v.astype("<i4").tobytes() for s in part.sums(exponents) for v in (s.weights, s.biases)
    )
    for _ in range(2):
        assert scale(wire, 103, exponents) == Status.OK
        assert wire.read_region(Region.GRADIENT, 0, GRADIENT_BYTES) == (Status.OK, 103, sums)
        assert wire.read_region(Region.GRADIENT, 40, 12)[2] == sums[40:52]
        assert wire.read_region(Region.REACH, 8, 8) == (Status.OK, 103, words[8:])


@pytest.mark.parametrize(
    ("region", "offset", "count"),
    [(Region.REACH, 2, 4), (Region.REACH, 0, 6), (Region.REACH, 12, 8),
     (Region.GRADIENT, 2, 4), (Region.GRADIENT, 4, 2), (Region.GRADIENT, GRADIENT_BYTES, 4)],
)  # fmt: skip
def test_regions_of_a_part_are_read_in_whole_words(
    wire: Wire, region: Region, offset: int, count: int
) -> None:
    assert scale(wire, 103, exponents_of(hold_part(wire))) == Status.OK
    assert wire.read_region(region, offset, count) == (Status.BAD_OFFSET, 103, b"")


def test_part_may_come_in_pieces_again_and_twice(wire: Wire) -> None:
    state, data = wire.start(), samples(3, seed=3)
    rows = rows_of(data)
    assert wire.ask(Message.PART, 0, header(3) + rows[0]).pos == 1
    assert wire.read_region(Region.REACH, 0, 8)[0] == Status.BAD_OFFSET
    for _ in range(2):
        assert wire.ask(Message.PART, 1, rows[1] + rows[2]).pos == 3
    assert wire.ask(Message.PART, 0, header(3) + b"".join(rows)).payload[0] == Status.OK
    part = Reference(SMALL, state).part(data.features, data.targets, *LR)
    assert wire.read_region(Region.REACH, 0, REACH_BYTES)[2] == reach_of(part)


@pytest.mark.parametrize("type_", [Message.EVAL, Message.INFER, Message.SAVE])
def test_held_part_refuses_what_would_work_in_its_rows(wire: Wire, type_: Message) -> None:
    hold_part(wire, 4)
    before = wire.read_region(Region.REACH, 0, REACH_BYTES)
    frame = wire.ask(type_, 104, bytes(4 if type_ == Message.SAVE else 6))
    assert (frame.type, frame.payload[0]) == (Message.DATA_ACK, Status.BAD_STATE)
    assert wire.read_region(Region.REACH, 0, REACH_BYTES) == before


@pytest.mark.parametrize("type_", [Message.DATA, Message.PART])
def test_held_part_takes_no_more_samples(wire: Wire, type_: Message) -> None:
    hold_part(wire)
    before = wire.read_region(Region.REACH, 0, REACH_BYTES)
    frame = wire.ask(type_, 103, header(1) + rows_of(samples(1))[0])
    assert (frame.pos, frame.payload[0]) == (103, Status.BAD_SAMPLE)
    assert wire.read_region(Region.REACH, 0, REACH_BYTES) == before


def test_load_and_commit_end_the_holding(wire: Wire) -> None:
    hold_part(wire)
    state = small_state(SMALL)
    assert wire.load(Region.STATE, 0, state.encode()[:2]) == (Status.OK, 0)
    assert wire.read_region(Region.REACH, 0, REACH_BYTES)[0] == Status.BAD_OFFSET
    assert wire.commit(run_crc(SMALL, state), RUN + 1) == Status.OK
    assert wire.read_region(Region.REACH, 0, REACH_BYTES)[0] == Status.BAD_OFFSET
    data = samples(4)
    _, values = wire.data(0, header(4) + b"".join(rows_of(data)))
    assert values["digest"] == reference_after(state, data, 4).digest()


def test_hello_and_the_same_commit_keep_the_part(wire: Wire) -> None:
    hold_part(wire)
    before = wire.read_region(Region.REACH, 0, REACH_BYTES)
    wire.hello()
    assert wire.commit(0, position=100) == Status.OK
    assert wire.read_region(Region.REACH, 0, REACH_BYTES) == before


def test_scale_needs_a_held_part_its_position_and_possible_exponents(wire: Wire) -> None:
    wire.start(position=103)
    good = exponents_of(hold_part(wire))
    assert scale(wire, 102, good) == Status.BAD_STATE
    for wrong in (2**31 - 1, -(2**31)):
        assert scale(wire, 103, [good[0], wrong]) == Status.BAD_STATE
    assert wire.read_region(Region.GRADIENT, 0, 4)[0] == Status.BAD_OFFSET
    assert scale(wire, 103, good) == Status.OK
    frame = wire.ask(Message.SCALE, 103, bytes(12))
    assert (frame.type, frame.payload[0]) == (Message.DATA_ACK, Status.BAD_MESSAGE)
    wire.start(position=103)
    assert scale(wire, 103, good) == Status.BAD_STATE


def test_part_and_scale_need_a_run(wire: Wire) -> None:
    wire.hello()
    for type_ in (Message.PART, Message.SCALE):
        frame = wire.ask(type_)
        assert (frame.type, frame.payload[0]) == (Message.NO_SESSION, Reason.RUN)


# Damage and unknown messages


def test_damage_before_hello_is_answered_no_session(wire: Wire) -> None:
    wire.write(b"\x05garbage\0")
    frame = wire.read()
    assert (frame.type, frame.payload) == (Message.NO_SESSION, bytes([Reason.SESSION]))


@pytest.mark.parametrize(
    "junk",
    [
        b"\x05abc\0",
        b"\x05abcd\0",
        b"\x02a\x02b\0",
        b"\xff" * 3000 + b"\0",
        encode_frame(1, 9, 0)[:9] + b"\0",
    ],
    ids=["short run", "short frame", "two short runs", "too long", "half a frame"],
)
def test_damage_is_answered_once_until_a_good_frame(wire: Wire, junk: bytes) -> None:
    wire.start(position=6)
    for _ in range(2):
        wire.write(junk * 3)
        frame = wire.read()
        assert (frame.type, frame.pos, frame.payload[0]) == (Message.DATA_ACK, 6, Status.CORRUPT)
        assert wire.data(6, b"")[1]["status"] == Status.OK
        assert wire.waiting == []


def test_frame_with_a_wrong_crc_is_not_applied(wire: Wire) -> None:
    wire.start()
    frame = bytearray(encode_frame(Message.DATA, 9, 0, header(4) + b"".join(rows_of(samples(4)))))
    frame[-2] ^= 0x10
    wire.write(bytes(frame))
    answer = wire.read()
    assert (answer.type, answer.pos, answer.payload[0]) == (Message.DATA_ACK, 0, Status.CORRUPT)


def test_lone_zeros_are_not_answered(wire: Wire) -> None:
    wire.start(position=8)
    wire.write(bytes(50))
    assert wire.data(8, b"")[0] == 8
    assert wire.waiting == []


def test_half_a_frame_and_a_zero_die_alone(wire: Wire) -> None:
    wire.start()
    payload = header(4) + b"".join(rows_of(samples(4)))
    wire.write(encode_frame(Message.DATA, 9, 0, payload)[:20] + b"\0")
    assert wire.read().payload[0] == Status.CORRUPT
    assert wire.data(0, payload)[0] == 4


@pytest.mark.parametrize("type_", [0, 13, 100, 0x85, 0xFF])
def test_unknown_type_is_a_bad_message(wire: Wire, type_: int) -> None:
    wire.start(position=3)
    frame = wire.ask(type_)
    assert (frame.type, frame.pos) == (Message.DATA_ACK, 3)
    assert frame.payload[0] == Status.BAD_MESSAGE


@pytest.mark.parametrize(
    ("type_", "length"),
    [(Message.LOAD, 0), (Message.COMMIT, 11), (Message.COMMIT, 13), (Message.READ, 2),
     (Message.READ, 4)],
)  # fmt: skip
def test_payload_of_the_wrong_length_is_a_bad_message_and_changes_nothing(
    wire: Wire, type_: Message, length: int
) -> None:
    wire.start(position=3)
    before = wire.hello()
    frame = wire.ask(type_, 0, bytes(length))
    assert (frame.type, frame.pos) == (Message.DATA_ACK, 3)
    assert frame.payload[0] == Status.BAD_MESSAGE
    assert wire.hello() == before


def test_acknowledgement_without_a_model_is_all_zero(wire: Wire) -> None:
    wire.hello()
    frame = wire.ask(100)
    assert frame.payload == bytes([Status.BAD_MESSAGE]) + bytes(32)


def test_frame_of_the_largest_payload_is_accepted(wire: Wire) -> None:
    wire.start()
    payload_max = wire.hello()["payload_max"]
    count = payload_max // 6
    frame = wire.ask(Message.EVAL, 3, bytes(6 * count))
    assert frame.payload[0] == Status.OK
    frame = wire.ask(Message.LOAD, 0, b"\1" + bytes(payload_max - 1))
    assert frame.type == Message.LOAD_ACK
    frame = wire.ask(Message.LOAD, 0, b"\1" + bytes(payload_max))
    assert (frame.type, frame.payload[0]) == (Message.DATA_ACK, Status.CORRUPT)


@pytest.mark.parametrize("seed", range(6))
def test_noise_between_good_frames_never_changes_the_trained_state(wire: Wire, seed: int) -> None:
    rng = random.Random(seed)
    state = wire.start()
    data = samples(40)
    rows = rows_of(data)
    for at in range(0, 40, 4):
        payload = header(4) + b"".join(rows[at : at + 4])
        good = encode_frame(Message.DATA, 9, at, payload)
        damaged = bytearray(good)
        for _ in range(rng.randrange(1, 4)):
            damaged[rng.randrange(len(damaged) - 1)] ^= 1 << rng.randrange(8)
        if bytes(damaged) == good:
            continue
        wire.write(bytes(damaged) + rng.randbytes(rng.randrange(300)) + b"\0" + good)
        while wire.read().pos != at + 4:
            pass
    assert wire.waiting == []
    assert wire.hello()["digest"] == reference_after(state, data, *[4] * 10).digest()
