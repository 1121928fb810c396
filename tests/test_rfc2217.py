"""Boards behind a serial port server (RFC 2217): the same digest as on this machine."""

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import serial
from click.testing import CliRunner
from fixgrad.cli import cli
from serial.rfc2217 import PortManager
from small_runs import iris_run

RUN = iris_run(epochs=1, batch_size=16, learning_rate=0.2)


class Connection:
    """What pyserial's manager answers options on."""

    def __init__(self, line: socket.socket) -> None:
        self.write = line.sendall


def serve(line: socket.socket) -> None:
    """Give a client a board of its own until it is gone."""
    gone = threading.Event()
    with line, serial.serial_for_url("sim://", timeout=0.01) as port:
        manager = PortManager(port, Connection(line))

        def answer() -> None:
            while not gone.is_set():
                data = port.read(port.in_waiting or 1)
                with contextlib.suppress(OSError):
                    line.sendall(b"".join(manager.escape(data)))

        thread = threading.Thread(target=answer)
        thread.start()
        with contextlib.suppress(OSError):
            while data := line.recv(4096):
                port.write(b"".join(manager.filter(data)))
        gone.set()
        thread.join()


def serve_all(listener: socket.socket) -> None:
    """Serve one client after the other, until the listener is shut down."""
    with contextlib.suppress(OSError):
        while True:
            serve(listener.accept()[0])


@pytest.fixture
def url() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve_all, args=[listener])
        thread.start()
        yield f"rfc2217://127.0.0.1:{listener.getsockname()[1]}?timeout=60"  # of the negotiation
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


def digest(*arguments: str | Path) -> str:
    """Return the digest that a command ends with."""
    result = CliRunner().invoke(cli, [*map(str, arguments), "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return str(json.loads(result.stdout.strip().splitlines()[-1])["digest"])


@pytest.fixture
def run(tmp_path: Path) -> Path:
    file = tmp_path / "iris.toml"
    file.write_text(RUN, encoding="utf-8")
    return file


def test_a_run_ends_as_on_this_machine(url: str, run: Path, tmp_path: Path) -> None:
    far = digest("train", run, "--port", url, "--out", tmp_path / "far")
    assert far == digest("train", run, "--port", "sim://", "--out", tmp_path / "here")


def test_a_fleet_may_have_one(url: str, run: Path, tmp_path: Path) -> None:
    fleet = run.parent / "fleet.toml"
    fleet.write_text(
        f'run = "iris.toml"\nmode = "data-parallel"\n[[board]]\nport = "{url}"\n'
        '[[board]]\nport = "sim://"\n',
        encoding="utf-8",
    )
    shared = digest("fleet", fleet, "--out", tmp_path / "fleet")
    assert shared == digest("train", run, "--port", "sim://", "--out", tmp_path / "alone")
