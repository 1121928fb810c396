"""The proxy with faults, and the trace of messages."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from fixgrad import protocol
from fixgrad.cli import cli
from fixgrad.device import Device
from fixgrad.framing import encode_frame
from fixgrad.model import State
from fixgrad.protocol import Message, Reason, Status
from fixgrad.proxy import FaultRates, FaultyLine, forward, listen
from fixgrad.stream import EpochSchedule, Samples
from fixgrad.tracing import TO_DEVICE, Tracer, describe_encoded
from fixgrad.training import Checkpoint, EpochDone, Patience, Recovered, Tally, Waiting, train
from fixgrad.transport import open_port
from link_model import data_ack
from small_models import SMALL, small_state
from test_device import samples


def test_line_without_faults_carries_every_byte() -> None:
    line = FaultyLine(FaultRates(), 1)
    assert line.carry(bytes(range(256)) * 100) == bytes(range(256)) * 100
    assert line.faults == 0


def test_faults_depend_on_seed_and_bytes_not_on_portions() -> None:
    data = bytes(10_000)
    rates = FaultRates(1e-3, 1e-3)
    whole = FaultyLine(rates, 4).carry(data)
    line = FaultyLine(rates, 4)
    assert b"".join(line.carry(data[at : at + 7]) for at in range(0, len(data), 7)) == whole
    assert FaultyLine(rates, 5).carry(data) != whole


def test_rates_are_met() -> None:
    line = FaultyLine(FaultRates(bit_errors=1e-3), 2)
    out = line.carry(bytes(200_000))
    assert len(out) == 200_000
    # Mean 1600, standard deviation 40.
    assert 1400 < sum(byte.bit_count() for byte in out) == line.faults < 1800
    line = FaultyLine(FaultRates(drops=1e-2), 2)
    assert 1700 < 200_000 - len(line.carry(bytes(200_000))) == line.faults < 2300


class Proxied:
    """A simulated board behind the proxy; clients are thrown out after so many bytes."""

    def __init__(self, rates: FaultRates, bytes_a_client: int | None = None) -> None:
        self.lines = FaultyLine(rates, 1), FaultyLine(rates, 2)
        self.server = listen("localhost", 0)
        self.port = open_port("sim://", 115200)
        self.limit, self.count, self.clients = bytes_a_client, 0, 0
        self.url = f"socket://localhost:{self.server.getsockname()[1]}"
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self.server.accept()
            except OSError:
                return
            self.clients, self.count = self.clients + 1, 0
            with client:
                forward(client, self.port, self._to_device, self.lines[1].carry, self._ends)

    def _to_device(self, data: bytes) -> bytes:
        self.count += len(data)
        return self.lines[0].carry(data)

    def _ends(self) -> bool:
        return self.limit is not None and self.count > self.limit

    def close(self) -> None:
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        self.thread.join()
        self.port.close()


DATA = samples(SMALL, 2000)
SCHEDULE = EpochSchedule(len(DATA), SMALL.batch, 3, 5, True, lambda step: (200, -10))


def events_of(url: str, patience: Patience | None = None) -> Iterator[object]:
    state: State = small_state(SMALL)
    state.step = 0
    with Device.open(url) as device:
        yield from train(
            device, SMALL, 5, Samples(DATA.features, DATA.targets), SCHEDULE,
            Checkpoint(state, 0, Tally()), patience=patience,
        )  # fmt: skip


def final_state(events: list[object]) -> bytes:
    done = events[-1]
    assert isinstance(done, EpochDone)
    return done.checkpoint.state.encode()


def test_run_through_a_bad_line_ends_in_the_same_state() -> None:
    proxied = Proxied(FaultRates(bit_errors=3e-5, drops=3e-5))
    try:
        assert final_state(list(events_of(proxied.url))) == final_state(list(events_of("sim://")))
        assert sum(line.faults for line in proxied.lines) > 3
    finally:
        proxied.close()


def test_run_that_is_disconnected_again_and_again_ends_in_the_same_state() -> None:
    proxied = Proxied(FaultRates(), bytes_a_client=9000)
    try:
        events = list(events_of(proxied.url, Patience(60, 0.01)))
        expected = list(events_of("sim://"))
        assert final_state(events) == final_state(expected)
        tallies, as_expected = (
            [e.tally for e in told if isinstance(e, EpochDone)] for told in (events, expected)
        )
        assert tallies == as_expected
        assert proxied.clients > 3
        waits = [e for e in events if isinstance(e, Waiting)]
        recovered = [e for e in events if isinstance(e, Recovered)]
        assert len(waits) == len(recovered) == proxied.clients - 1
        assert not any(e.restored for e in recovered), "the device still held the run"
    finally:
        proxied.close()


def test_trace_shows_messages_in_any_portions_and_damage() -> None:
    tracer = Tracer(TO_DEVICE)
    wire = b"\0" + encode_frame(Message.HELLO, 7, 99) + b"\5ab\0"
    lines = [text for byte in wire for text in tracer.feed(bytes([byte]))]
    assert lines == ["→ HELLO, session 7, pos 99", "→ damaged, 3 bytes: 05 61 62"]


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (
            encode_frame(Message.DATA_ACK, 3, 40, data_ack(Status.CORRUPT, 12)),
            "DATA_ACK, session 3, pos 40, status CORRUPT, step 12, digest 00000000, loss_sum 0, "
            "correct 0, wsat 0, asat 0, bsat 0",
        ),
        (
            encode_frame(Message.NO_SESSION, 0, 2, bytes([Reason.RUN])),
            "NO_SESSION, session 0, pos 2, reason RUN",
        ),
        (encode_frame(Message.DATA, 1, 5, bytes(20)), "DATA, session 1, pos 5, 20 bytes"),
        (
            encode_frame(Message.TRAIN_TO, 1, 5, b"\x10\0\x80\0\xf4\x08\0\x90\0\xf4"),
            "TRAIN_TO, session 1, pos 5, 16 samples at 128·2^-12, 8 samples at 144·2^-12",
        ),
        (
            encode_frame(Message.LOAD, 1, 250, b"\2" + bytes(9)),
            "LOAD, session 1, pos 250, region DATASET, 9 bytes",
        ),
        (encode_frame(Message.SAVE, 1, 9, b"\x14\0\0\0"), "SAVE, session 1, pos 9, every 20"),
        (
            encode_frame(Message.SAVE_ACK, 1, 9, b"\x08\3\0\0\0"),
            "SAVE_ACK, session 1, pos 9, status STORE_FAILED, generation 3",
        ),
        (
            encode_frame(Message.BAUD_ACK, 1, 9, b"\x40\x42\x0f\0"),
            "BAUD_ACK, session 1, pos 9, baud 1000000",
        ),
        (encode_frame(0x55, 1, 5), "type 0x55, session 1, pos 5"),
        (
            encode_frame(Message.READ, 1, 5, b"\1"),
            "READ, session 1, pos 5, payload too short: 01",
        ),
    ],
)
def test_messages_are_described_with_their_fields(frame: bytes, expected: str) -> None:
    assert describe_encoded(frame[:-1]) == expected


def test_hello_tells_names_and_room_for_samples() -> None:
    hello = protocol.pack(
        protocol.HELLO_ACK_FIELDS, **dict.fromkeys(dict(protocol.HELLO_ACK_FIELDS), 0)
    )
    for tail, told in [
        (b"some_board\0cortex-m0\0", "board some_board, core cortex-m0, samples_bytes 0"),
        (b"b\0c\0\x00\xfc\x02\0", "board b, core c, samples_bytes 195584"),
        (b"b\0c", "3 bytes"),
    ]:
        text = describe_encoded(encode_frame(Message.HELLO_ACK, 1, 5, hello + tail)[:-1])
        assert text.endswith(f"payload_max 0, window_bytes 0, {told}")


def test_trace_prints_both_directions_with_their_times() -> None:
    command = [sys.executable, "-m", "fixgrad", "trace", "--port", "sim://"]
    with subprocess.Popen(
        [*command, "--listen", "localhost:0"], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None and process.stderr is not None
        url = process.stderr.readline().split()[4].rstrip(",")
        Device.open(url).close()
        lines = [process.stdout.readline() for _ in range(2)]
        process.terminate()
    number = r" *\d+\.\d{4}"
    assert re.match(rf"{number} → HELLO, session \d+, pos \d+\n$", lines[0])
    assert re.match(rf"{number} ← HELLO_ACK, session .* board posix, core host, ", lines[1])


@pytest.mark.parametrize("address", ["4242", "localhost:", "localhost:abc", "localhost:70000"])
def test_bad_address_of_the_proxy_is_one_line(address: str) -> None:
    result = CliRunner().invoke(cli, ["proxy", "--port", "sim://", "--listen", address])
    assert result.exit_code == 2
    assert f"--listen {address} is no HOST:PORT" in result.stderr


def test_taken_address_of_the_proxy_is_one_line(tmp_path: Path) -> None:
    with listen("localhost", 0) as server:
        address = f"localhost:{server.getsockname()[1]}"
        result = CliRunner().invoke(cli, ["proxy", "--port", "sim://", "--listen", address])
    assert result.exit_code == 7
    assert f"--listen {address}: " in result.stderr


def test_recorded_bytes_are_printed_as_messages(tmp_path: Path) -> None:
    path = tmp_path / "bytes"
    path.write_bytes(b"\0" + encode_frame(Message.HELLO, 7, 99) + encode_frame(Message.DATA, 7, 0))
    result = CliRunner().invoke(cli, ["decode", str(path)])
    assert [line.split(maxsplit=1) for line in result.stdout.splitlines()] == [
        ["1", "HELLO, session 7, pos 99"],
        ["2", "DATA, session 7, pos 0"],
    ]


def test_recording_without_a_message_is_told(tmp_path: Path) -> None:
    path = tmp_path / "bytes"
    path.write_bytes(b"\0\0")
    result = CliRunner().invoke(cli, ["decode", str(path)])
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"{path} holds no message\n"


def test_missing_recording_is_one_line(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["decode", str(tmp_path / "none")])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "cannot read" in result.stderr
