"""The boards' images in QEMU, reached through `qemu://`."""

import os
import signal
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import serial
from cobs import cobs
from fixgrad import builds
from fixgrad.boards import BOARDS
from fixgrad.errors import PortError
from fixgrad.urlhandlers.protocol_qemu import Serial

HELLO, HELLO_ACK = 0x01, 0x81
SESSION = 9
BOOT_ID = slice(8, 12)
NAMES = slice(32, None)  # docs/PROTOCOL.md: the names follow 32 bytes of numbers
ATTEMPTS = 1000
# What starts and receives in its own way; the others share all of it with mps2_an386.
DISTINCT_BOARDS = ["disco_f100rb", "olimex_p405", "bbcmicrobit", "mps2_an386", "mps3_an547"]


def frame(kind: int, pos: int, payload: bytes = b"") -> bytes:
    """Encode as docs/PROTOCOL.md says, without the product's code."""
    body = struct.pack("<BBI", kind, SESSION, pos) + payload
    return bytes(cobs.encode(body + struct.pack("<I", zlib.crc32(body)))) + b"\0"


def hello(port: serial.SerialBase, nonce: int) -> bytes:
    """Return the payload of the answer to HELLO.

    A board that still starts misses some, and a reset cuts an answer of before off.
    """
    received = b""
    for _ in range(ATTEMPTS):
        port.write(b"\0" + frame(HELLO, nonce))
        received += port.read_until(b"\0")
        for encoded in received.split(b"\0")[:-1]:
            try:
                body = cobs.decode(encoded)
            except cobs.DecodeError:
                continue
            if body[:6] == struct.pack("<BBI", HELLO_ACK, SESSION, nonce):
                assert zlib.crc32(body[:-4]) == int.from_bytes(body[-4:], "little")
                return bytes(body[6:-4])
        received = received.split(b"\0")[-1]
    raise AssertionError("the board does not answer HELLO")


@pytest.fixture(params=DISTINCT_BOARDS)
def distinct_board(request: pytest.FixtureRequest) -> str:
    """A board of every way to start and receive."""
    return str(request.param)


@pytest.fixture
def port(distinct_board: str) -> Iterator[Serial]:
    """The same boards, freshly started."""
    with Serial(f"qemu://{distinct_board}", timeout=0.05) as opened:
        yield opened


def test_board_tells_its_name_and_core(emulated_board: str) -> None:
    with Serial(f"qemu://{emulated_board}", timeout=0.05) as opened:
        name, core, rest = hello(opened, 1)[NAMES].split(b"\0", 2)
    board = BOARDS[emulated_board]
    assert (name.decode(), core.decode()) == (board.name, board.core)
    assert rest == (board.samples_bytes.to_bytes(4, "little") if board.samples_bytes else b"")


def test_every_reset_gives_another_boot_id(port: Serial) -> None:
    seen = [hello(port, 0)[BOOT_ID]]
    for nonce in range(1, 9):
        port.reset_device()
        seen.append(hello(port, nonce)[BOOT_ID])
    assert len(set(seen)) == len(seen)


def test_every_start_gives_another_boot_id(distinct_board: str) -> None:
    seen = set()
    for nonce in range(3):
        with Serial(f"qemu://{distinct_board}", timeout=0.05) as opened:
            seen.add(hello(opened, nonce)[BOOT_ID])
    assert len(seen) == 3


def test_reset_amid_incoming_bytes_leaves_a_board_that_answers(port: Serial) -> None:
    for nonce in range(10):
        port.write(bytes([0x55]) * 3000)
        port.reset_device()
        port.reset_input_buffer()
        hello(port, nonce)


def test_bytes_that_come_while_the_board_starts_do_not_stop_it(distinct_board: str) -> None:
    for nonce in range(8):
        with Serial(f"qemu://{distinct_board}", timeout=0.05) as opened:
            opened.write(b"\0" * 20)
            hello(opened, nonce)


def test_unpaced_flood_does_not_stop_the_board(port: Serial) -> None:
    port.write(bytes(range(1, 256)) * 100)
    hello(port, 77)


def test_closing_the_port_ends_the_emulator(distinct_board: str) -> None:
    with Serial(f"qemu://{distinct_board}", timeout=0.05) as opened:
        assert opened._emulator is not None
        process = opened._emulator._process
    assert process.poll() is not None


def test_handler_is_found_by_pyserial(distinct_board: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        serial,
        "protocol_handler_packages",
        [*serial.protocol_handler_packages, "fixgrad.urlhandlers"],
    )
    with serial.serial_for_url(f"qemu://{distinct_board}", timeout=0.05) as opened:
        hello(opened, 3)


def test_unknown_board_lists_the_known_ones() -> None:
    with pytest.raises(PortError, match="qemu://nucleo.*disco_f100rb, .*, mps3_an547$"):
        Serial("qemu://nucleo")


def test_emulate_target_prints_a_port_that_answers(root: Path, tmp_path: Path) -> None:
    environment = os.environ | {"PLATFORMIO_WORKSPACE_DIR": str(tmp_path)}
    core = builds.core_dir(root)
    if core is not None:
        environment["PLATFORMIO_CORE_DIR"] = str(core)
    command = [sys.executable, "-m", "platformio", "run", "-e", "mps2_an386", "-t", "emulate"]
    with subprocess.Popen(
        command,
        cwd=root,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        said = ""
        try:
            for line in process.stdout:
                said += line
                if "--port" in line:
                    break
            else:
                pytest.fail(said)
            url = line.split("--port ")[1].strip()
            with serial.serial_for_url(url, timeout=0.05) as opened:
                hello(opened, 4)
        finally:
            os.killpg(process.pid, signal.SIGINT)
