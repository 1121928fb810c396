"""The doctor: every finding provoked, and the page that explains the codes."""

from __future__ import annotations

import errno
import json
import os
import random
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result
from fixgrad import doctor_link, protocol
from fixgrad.cli import cli
from fixgrad.doctor import KINDS, Fact, Finding, Report
from fixgrad.doctor_link import examine_link
from fixgrad.doctor_system import examine_system
from fixgrad.errors import BuildError, PortError
from fixgrad.framing import Decoder, encode_frame
from fixgrad.protocol import Message, Status
from fixgrad.proxy import Delay, FaultRates, FaultyLine, forward, listen
from fixgrad.transport import open_port
from held_port import held_port
from link_model import data_ack
from simulated_device import SimulatedDevice

TTY = "/dev/ttyTEST0"
PAGE = Path(__file__).parents[1] / "docs" / "TROUBLESHOOTING.md"


def codes(reports: list[Report]) -> list[str]:
    return [report.kind.code for report in reports if isinstance(report, Finding)]


def facts(reports: list[Report]) -> dict[str, object]:
    return {report.name: report.value for report in reports if isinstance(report, Fact)}


def fixgrad(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["doctor", *arguments])


class FakeBoard:
    """A serial port to a board that answers what docs/PROTOCOL.md says.

    Attributes:
        speed: the baud rate that it understands.
        fields: what HELLO_ACK tells otherwise than this fixgrad expects.
        room: what follows the names in HELLO_ACK.
        knows: the speeds that it can be asked for; 64 zeros at 115,200 baud bring it back.
        carries: the fastest speed of the line.
    """

    def __init__(self, boot_id: int = 1, speed: int = 115200, **fields: int) -> None:
        self.baudrate, self.speed = 115200, speed
        self.room, self.carries = b"", 1_000_000
        self.knows: tuple[int, ...] = ()
        self.fields = {
            "protocol": protocol.PROTOCOL_VERSION, "numerics": protocol.NUMERICS_VERSION,
            "firmware": 1, "schema": protocol.schema_hash(), "boot_id": boot_id, "run_id": 0,
            "next": 0, "digest": 0, "arena_bytes": 6632, "payload_max": 256, "window_bytes": 431,
            **fields,
        }  # fmt: skip
        self._decoder, self._answers = Decoder(), b""

    def __enter__(self) -> FakeBoard:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def close(self) -> None:
        pass

    def reset_input_buffer(self) -> None:
        self._answers = b""

    def write(self, data: bytes) -> None:
        if self.speed in self.knows and self.baudrate == 115200 and data.startswith(bytes(64)):
            self.speed = 115200
        if self.baudrate != self.speed or self.speed > self.carries:
            return
        for frame in self._decoder.feed(data):
            if frame.type == Message.HELLO:
                hello = protocol.pack(protocol.HELLO_ACK_FIELDS, **self.fields)
                answer = Message.HELLO_ACK, hello + b"disco_f100rb\0cortex-m3\0" + self.room
            elif frame.type == Message.BAUD:
                asked = int.from_bytes(frame.payload, "little")
                taken = asked if asked in self.knows else 0
                self.speed = taken or self.speed
                answer = Message.BAUD_ACK, taken.to_bytes(4, "little")
            elif frame.type == Message.READ:
                echoed = frame.payload[:1] + bytes([Status.BAD_MESSAGE, 0, 0, 0, 0])
                answer = Message.READ_ACK, echoed
            else:
                answer = Message.DATA_ACK, data_ack(Status.BAD_MESSAGE)
            self._answers += encode_frame(answer[0], frame.session, frame.pos, answer[1])

    @property
    def in_waiting(self) -> int:
        return len(self._answers)

    def read(self, count: int) -> bytes:
        data, self._answers = self._answers[:count], self._answers[count:]
        return data


def at(*ports: object) -> Callable[[str, int], Any]:
    """Return a function that opens these ports, one after the other; errors are raised."""
    waiting = iter(ports)

    def open_(url: str, baud: int) -> Any:
        port = next(waiting)
        if isinstance(port, Exception):
            raise port
        return port

    return open_


def port_error(number: int) -> PortError:
    error = PortError(f"{TTY}: refused")
    error.__cause__ = OSError(number, os.strerror(number))
    return error


@pytest.fixture(autouse=True)
def no_matter_how_busy_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_link, "SLOW_S", 10.0)
    monkeypatch.setattr(doctor_link, "ANSWER_S", 3.0)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_link, "ANSWER_S", 0.01)


def test_simulated_board_is_well() -> None:
    reports = list(examine_link("sim://", 115200))
    assert codes(reports) == []
    told = facts(reports)
    assert (told["board"], told["firmware"], told["damaged_probes"]) == ("posix", "0000", 0)
    assert {"arena_bytes", "window_bytes", "round_trip_ms"} <= told.keys()


@pytest.mark.parametrize("name", ["disco_f100rb", "bbcmicrobit"])
def test_emulated_board_also_tells_its_stack(name: str) -> None:
    reports = list(examine_link(f"qemu://{name}", 115200))
    assert codes(reports) == []
    assert facts(reports)["board"] == name
    unused = facts(reports)["stack_unused_bytes"]
    assert isinstance(unused, int) and unused >= 40


def test_examination_changes_nothing_that_the_board_holds() -> None:
    board = FakeBoard(run_id=77, next=5)
    sent: list[int] = []
    write = board.write

    def note(data: bytes) -> None:
        sent.extend(frame.type for frame in Decoder().feed(data))
        write(data)

    board.write = note  # type: ignore[method-assign]
    assert codes(list(examine_link("sim://", 115200, at(board)))) == []
    assert set(sent) == {Message.HELLO, Message.READ, doctor_link.UNKNOWN_TYPE}
    assert doctor_link.UNKNOWN_TYPE not in list(Message)


# What the system says.


def system_root(folder: Path, **files: str) -> Path:
    """Return a root with the device and files whose names have __ for each slash."""
    for name, text in {"dev__ttyTEST0": "", **files}.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def examine_root(root: Path, may: bool = True) -> list[Report]:
    return list(examine_system(TTY, root, lambda path, mode: may))


def test_port_that_is_well_before_it_is_opened(tmp_path: Path) -> None:
    reports = examine_root(system_root(tmp_path, proc__7__comm="init\n"))
    assert codes(reports) == []
    assert facts(reports) == {"permission": True, "holders": [], "modem_manager": False}


def test_missing_port() -> None:
    result = fixgrad("--port", "/dev/ttyNONE9", "--json")
    assert result.exit_code == 7
    (finding,) = json.loads(result.stdout)["findings"]
    assert (finding["code"], finding["level"]) == ("FG101", "error")
    assert "/dev/ttyNONE9" in finding["detail"] and finding["cause"] and finding["next"]


def test_port_without_permission(tmp_path: Path) -> None:
    (finding, *_) = examine_root(system_root(tmp_path), may=False)
    assert isinstance(finding, Finding) and finding.kind.code == "FG102"
    assert (tmp_path / "dev/ttyTEST0").group() in finding.detail


def test_permission_denied_when_opened() -> None:
    refused = at(port_error(errno.EACCES))
    assert codes(list(examine_link(TTY, 115200, refused))) == ["FG102"]


@contextmanager
def terminal() -> Iterator[tuple[int, str]]:
    """Open a pair of pseudo terminals; give our end and the name of the other."""
    ours, theirs = os.openpty()
    try:
        yield ours, os.ttyname(theirs)
    finally:
        os.close(ours)
        os.close(theirs)


def test_port_that_another_program_holds() -> None:
    held = "import sys; f = open(sys.argv[1], 'r+b', 0); print('held', flush=True); input()"
    with terminal() as (_, name):
        process = subprocess.Popen(
            [sys.executable, "-c", held, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        result = fixgrad("--port", name)
        process.communicate(b"\n")
    assert result.exit_code == 7
    assert "FG103" in result.stdout and f"PID {process.pid}" in result.stdout


def test_port_that_is_locked() -> None:
    with terminal() as (_, name):
        first = open_port(name, 115200)
        try:
            assert codes(list(examine_link(name, 115200))) == ["FG103"]
        finally:
            first.close()


def test_port_that_refuses() -> None:
    with held_port() as number:
        result = fixgrad("--port", f"socket://127.0.0.1:{number}")
    assert result.exit_code == 7
    assert "FG104" in result.stdout and "connection refused" in result.stdout


def test_modem_manager(tmp_path: Path) -> None:
    root = system_root(tmp_path, proc__812__comm="ModemManager\n")
    assert codes(examine_root(root)) == ["FG105"]


def test_firmware_that_cannot_be_built() -> None:
    reports = list(examine_link("sim://", 115200, at(BuildError("no compiler"))))
    assert codes(reports) == ["FG106"]


@pytest.mark.parametrize(("milliseconds", "expected"), [("16", ["FG401"]), ("1", [])])
def test_latency_timer(tmp_path: Path, milliseconds: str, expected: list[str]) -> None:
    root = system_root(
        tmp_path, sys__class__tty__ttyTEST0__device__latency_timer=f"{milliseconds}\n"
    )
    assert codes(examine_root(root)) == expected


# What answers.


@contextmanager
def server(answer: Callable[[bytes], bytes], answered: threading.Event) -> Iterator[str]:
    """Serve one client with what `answer` makes of its bytes; give the URL."""
    listening = listen("localhost", 0)

    def serve() -> None:
        client, _ = listening.accept()
        with client:
            while data := client.recv(4096):
                client.sendall(answer(data))
                answered.set()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"socket://localhost:{listening.getsockname()[1]}"
    finally:
        thread.join()
        listening.close()


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (lambda data: b"", "FG201"),
        (lambda data: b"\r\nlogin: ", "FG202"),
        (lambda data: data, "FG203"),
    ],
)
def test_port_without_fixgrad(
    answer: Callable[[bytes], bytes], code: str, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = threading.Event()
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() if answered.is_set() else 0.0)
    monkeypatch.setattr(doctor_link, "time", clock)
    with server(answer, answered) as url:
        result = fixgrad("--port", url, "--json")
    assert result.exit_code == 8
    assert [f["code"] for f in json.loads(result.stdout)["findings"]] == [code]


def test_silent_terminal_is_tried_at_every_speed(
    impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_link, "BAUDS", (115200, 57600))
    with terminal() as (_, name):
        assert codes(list(examine_link(name, 115200))) == ["FG201"]


def test_board_at_another_speed(impatient: None) -> None:
    reports = list(examine_link(TTY, 115200, at(FakeBoard(speed=57600))))
    assert codes(reports) == ["FG204"]
    assert isinstance(reports[0], Finding) and "57600" in reports[0].detail


def test_board_that_an_earlier_host_left_at_another_speed() -> None:
    board = FakeBoard(speed=1_000_000)
    board.knows = (1_000_000,)
    assert codes(list(examine_link(TTY, 115200, at(board, FakeBoard())))) == []


@pytest.mark.parametrize(
    ("knows", "expected", "told"),
    [
        ((1_000_000,), [], 1_000_000),
        ((230400,), [], 115200),
        ((2_000_000,), ["FG404"], None),
    ],
)
def test_speed_that_the_board_is_asked_for(
    knows: tuple[int, ...], expected: list[str], told: int | None, impatient: None
) -> None:
    board = FakeBoard()
    board.knows = knows
    wanted = max(1_000_000, *knows)
    reports = list(examine_link(TTY, wanted, at(board, FakeBoard())))
    assert codes(reports) == expected
    assert facts(reports).get("baud") == told
    assert not expected or board.speed == 115200


def test_board_that_starts_at_the_wanted_speed(impatient: None) -> None:
    board = FakeBoard(speed=57600)
    assert codes(list(examine_link(TTY, 57600, at(board, FakeBoard())))) == []


def test_board_that_tells_its_room_for_samples() -> None:
    board = FakeBoard()
    board.room = (191 * 1024).to_bytes(4, "little")  # 0x2FC00: one byte is no ASCII
    reports = list(examine_link("sim://", 115200, at(board)))
    assert codes(reports) == []
    assert facts(reports)["board"] == "disco_f100rb"


@pytest.mark.parametrize(("second", "expected"), [(1, []), (2, ["FG205"])])
def test_board_that_is_reset_by_opening_its_port(second: int, expected: list[str]) -> None:
    reports = list(examine_link(TTY, 115200, at(FakeBoard(1), FakeBoard(second))))
    assert codes(reports) == expected
    assert ("resets_on_open" in facts(reports)) == (not expected)


@pytest.mark.parametrize(
    ("field", "code"), [("protocol", "FG301"), ("numerics", "FG302"), ("schema", "FG303")]
)
def test_board_of_another_version(field: str, code: str) -> None:
    reports = list(examine_link(TTY, 115200, at(FakeBoard(**{field: 99}))))
    assert codes(reports) == [code]


@contextmanager
def proxied(rates: FaultRates, delay_s: float = 0.0) -> Iterator[str]:
    """Put a simulated board behind a bad line; give the URL."""
    lines = FaultyLine(rates, 3), FaultyLine(rates, 4)
    delays = Delay(delay_s), Delay(delay_s)
    listening, port = listen("localhost", 0), open_port("sim://", 115200)

    def serve() -> None:
        client, _ = listening.accept()
        with client:
            forward(client, port, lines[0].carry, lines[1].carry, lambda: False, delays)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"socket://localhost:{listening.getsockname()[1]}"
    finally:
        thread.join()
        listening.close()
        port.close()


class Noisy(FakeBoard):
    """The device's own code behind a bad line; time passes only while nothing is there to read."""

    def __init__(self, bit_errors: float) -> None:
        super().__init__()
        self.now = 0.0
        self._device = SimulatedDevice(431)
        self._lines = [FaultyLine(FaultRates(bit_errors), seed) for seed in (3, 4)]

    def write(self, data: bytes) -> None:
        there, back = self._lines
        self._answers += back.carry(self._device.receive(there.carry(data)))

    def read(self, count: int) -> bytes:
        self.now += 0.0 if self._answers else 0.02
        return super().read(count)


def examine_noisy(bit_errors: float, monkeypatch: pytest.MonkeyPatch) -> list[Report]:
    board, chance = Noisy(bit_errors), random.Random(1)
    monkeypatch.setattr(doctor_link, "time", SimpleNamespace(monotonic=lambda: board.now))
    drawn = SimpleNamespace(
        randbelow=chance.randrange, randbits=chance.getrandbits, token_bytes=chance.randbytes
    )
    monkeypatch.setattr(doctor_link, "secrets", drawn)
    return list(examine_link("sim://", 115200, at(board)))


def test_noisy_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """At 3e-5 a probe of 260 bytes is hit with 6 %: about 9 of 150."""
    assert codes(examine_noisy(3e-5, monkeypatch)) == ["FG403"]


def test_line_that_is_too_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    """At 1e-3 a probe of 260 bytes is hit with 88 %."""
    assert codes(examine_noisy(1e-3, monkeypatch))[-1] == "FG404"


def test_slow_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_link, "PROBES", 2)
    monkeypatch.setattr(doctor_link, "SLOW_S", 0.02)
    with proxied(FaultRates(), delay_s=0.015) as url:
        reports = list(examine_link(url, 115200))
    assert codes(reports) == ["FG402"]


class NearlyFull(FakeBoard):
    def unused_stack(self) -> tuple[int, int]:
        return 12, 608


def test_stack_that_is_nearly_full() -> None:
    reports = list(examine_link("qemu://x", 115200, at(NearlyFull())))
    assert codes(reports) == ["FG501"]


def test_port_that_vanishes_while_it_is_examined() -> None:
    board = FakeBoard()

    def gone(count: int) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    board.read = gone  # type: ignore[method-assign]
    assert codes(list(examine_link(TTY, 115200, at(board)))) == ["FG104"]


# The page.


def test_every_code_has_its_section_and_a_test() -> None:
    sections = re.findall(r"^## (FG\d+): (.+)$", PAGE.read_text(), re.MULTILINE)
    assert dict(sections) == {code: kind.title for code, kind in KINDS.items()}
    assert len(sections) == len(KINDS)
    tests = Path(__file__).read_text() + Path(__file__).with_name("test_health.py").read_text()
    tested = set(re.findall(r'"(FG\d{3})"', tests))
    assert tested == set(KINDS)


def test_text_for_people_names_code_cause_and_next_step() -> None:
    result = fixgrad("--port", "/dev/ttyNONE9")
    kind = KINDS["FG101"]
    assert all(text in result.stdout for text in (kind.code, kind.cause, kind.next_step))
    assert result.stdout.endswith("1 errors, 0 warnings\n")
