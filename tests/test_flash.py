"""`fixgrad flash`: what PlatformIO uploads must be what answers."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result
from fixgrad import builds
from fixgrad.boards import BOARDS
from fixgrad.cli import cli
from fixgrad.emulators import Emulator
from fixgrad.flashing import only_usb_port
from fixgrad.proxy import forward
from fixgrad.runfile import format_run, new_run
from fixgrad.urlhandlers.socket_serial import SocketSerial
from source_tree import copy_sources

NAME = "disco_f100rb"
PORT = f"qemu://{NAME}"
UPLOADER = """import sys, shutil
print("Writing 50 %", end="\\r", flush=True)
print("Writing 100 %", flush=True)
shutil.copy(sys.argv[1].replace(".bin", ".elf"), sys.argv[2])
"""


@pytest.fixture(scope="module")
def built_project(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project whose boards are flashed by copying the image to `chip.elf`."""
    copy = tmp_path_factory.mktemp("flash") / "project"
    copy_sources(root / "firmware", copy / "firmware")
    copy_sources(root / "tools", copy / "tools")
    text = (root / "platformio.ini").read_text()
    assert "[cortexm]\n" in text
    command = f"{sys.executable} {copy / 'uploader.py'} $SOURCE {copy / 'chip.elf'}"
    custom = f"[cortexm]\nupload_protocol = custom\nupload_command = {command}\n"
    (copy / "platformio.ini").write_text(text.replace("[cortexm]\n", custom))
    subprocess.run([sys.executable, copy / "tools" / "offline_platformio.py"], check=True)
    return copy


@pytest.fixture
def project(built_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The copy with its uploader, used by the commands."""
    (built_project / "uploader.py").write_text(UPLOADER)
    (built_project / "chip.elf").unlink(missing_ok=True)
    monkeypatch.delenv("PLATFORMIO_CORE_DIR", raising=False)
    monkeypatch.setattr(builds, "firmware_dir", lambda: built_project / "firmware")
    monkeypatch.chdir(tmp_path)
    return built_project


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> None:
    """The upload is over; only the answer is missing."""
    monkeypatch.setattr("fixgrad.cli.flash.write_firmware", lambda board, show: 0x1234)


@pytest.fixture
def unwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Building anything would be wrong."""

    def build(board: object, show: object) -> int:
        raise AssertionError("something was built")

    monkeypatch.setattr("fixgrad.cli.flash.write_firmware", build)
    monkeypatch.chdir(tmp_path)


def flash(*arguments: str, wait: int = 0) -> Result:
    command = ["flash", *arguments, "--wait", str(wait)]
    return CliRunner().invoke(cli, command, prog_name="fixgrad")


def refusal(exit_code: int, *arguments: str) -> str:
    """Return the last line of a flash that is refused."""
    result = flash(*arguments)
    assert (result.exit_code, result.stdout) == (exit_code, ""), result.output
    return result.stderr.splitlines()[-1]


@contextmanager
def served(image: Path) -> Iterator[str]:
    """Run an image in QEMU behind a socket; give its URL."""

    class ImagePort(SocketSerial):
        def _connect(self) -> socket.socket:
            self._emulator = Emulator(BOARDS[NAME], image)
            return self._emulator.uart

        def _disconnect(self) -> None:
            self._emulator.stop()

    def serve() -> None:
        client, _ = server.accept()
        with client:
            forward(client, line, bytes, bytes, lambda: False)

    with ImagePort("image", timeout=0.02) as line, socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"socket://127.0.0.1:{server.getsockname()[1]}"
        thread.join(timeout=60)


def test_flashed_board_answers_with_what_was_built(project: Path) -> None:
    result = flash(NAME, "--port", PORT)
    assert result.exit_code == 0, result.output
    line = rf"{NAME} on {PORT} runs firmware ([0-9a-f]{{4}}): 6,736 bytes for a model\n"
    told = re.fullmatch(line, result.stdout)
    assert told is not None
    assert re.search(r"Writing 50 %\s+Writing 100 %", result.stderr)
    built = project / ".pio" / builds.IMAGES / NAME
    assert (project / "chip.elf").read_bytes() == (built / "firmware.elf").read_bytes()
    with served(project / "chip.elf") as url:
        report = json.loads(flash(NAME, "--port", url, "--json").stdout)
    assert report == {"board": NAME, "port": url, "firmware": told[1], "arena_bytes": 6736}


def test_board_that_still_runs_another_build_is_told(project: Path) -> None:
    old = shutil.copy(builds.build_image(BOARDS[NAME]), project / "old.elf")
    before = (project / ".pio" / builds.IMAGES / NAME / "firmware.id").read_text().strip()
    source = project / "firmware" / "core" / "link.c"
    source.write_text(source.read_text() + f"/* other than {before} */\n")
    with served(Path(old)) as url:
        line = refusal(13, NAME, "--port", url)
    now = (project / ".pio" / builds.IMAGES / NAME / "firmware.id").read_text().strip()
    assert before != now
    assert line == (
        f"fixgrad: {NAME} was flashed with firmware {now}, but the board on {url} runs {before}: "
        "press its reset, or give the port of the board that was flashed"
    )


def test_another_board_that_answers_is_told(written: None) -> None:
    assert refusal(13, NAME, "--port", "sim://") == (
        f"fixgrad: {NAME} was flashed, but the board on sim:// is posix: give the port of the "
        "board that was flashed"
    )


def test_board_that_does_not_answer_is_told(written: None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"socket://127.0.0.1:{server.getsockname()[1]}"
        line = refusal(13, NAME, "--port", url)
    assert line == (
        f"fixgrad: {NAME} was flashed, but nothing answers on {url}: is the board powered and "
        "flashed with fixgrad, and is this its port?"
    )


def test_port_that_is_not_there_is_told(written: None) -> None:
    line = refusal(13, NAME, "--port", "/dev/no-such-port")
    assert line.startswith(f"fixgrad: {NAME} was flashed, but /dev/no-such-port: no such port; ")


def test_upload_that_fails_is_quoted_with_the_command(project: Path, root: Path) -> None:
    (project / "uploader.py").write_text("raise SystemExit('error: no probe found')\n")
    assert refusal(13, NAME, "--port", PORT) == (
        f"fixgrad: {NAME} was not flashed: error: no probe found / *** [upload] Error 1; is it "
        "connected, and no other program using it? The same by hand: "
        f"cd {project} && {sys.executable} -m platformio run -e {NAME} -t upload"
    )
    assert not (project / "chip.elf").exists()


def test_core_directory_without_programmers_is_told_before_an_upload(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLATFORMIO_CORE_DIR", str(project / ".platformio"))
    settings = project / "platformio.ini"
    with_command = settings.read_text()
    without = re.sub(r"^upload_.*\n", "", with_command, flags=re.MULTILINE)
    assert without != with_command
    settings.write_text(without)
    try:
        line = refusal(13, NAME, "--port", PORT)
    finally:
        settings.write_text(with_command)
    assert line == (
        f"fixgrad: {NAME} was not flashed: {project / '.platformio'} was filled without "
        "PlatformIO's registry and has no programmers; unset PLATFORMIO_CORE_DIR, and PlatformIO "
        "downloads them"
    )


UPLOADING_PLATFORMIO = """
import os, sys
print("core", os.environ.get("PLATFORMIO_CORE_DIR"), os.environ["PLATFORMIO_BUILD_DIR"])
sys.exit("HTTPClientError: ")
"""


def test_programmers_come_from_platformios_own_core_directory(
    project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where the project's one holds compilers only; here nothing can be downloaded."""
    monkeypatch.setattr("fixgrad.flashing.build_image", lambda board: tmp_path / "firmware.elf")
    monkeypatch.setattr("fixgrad.flashing._has_command", lambda project, environment: False)
    stand_in = tmp_path / "platformio"
    stand_in.mkdir()
    (stand_in / "__init__.py").touch()
    (stand_in / "__main__.py").write_text(UPLOADING_PLATFORMIO)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    result = flash(NAME, "--port", PORT)
    assert f"core None {project / '.pio' / 'upload'}\n" in result.stderr
    assert result.stderr.splitlines()[-1].startswith(
        f"fixgrad: {NAME} was not flashed: HTTPClientError; is there a network? PlatformIO "
        "downloads the programmer once. The same by hand: "
    )


def test_missing_platformio_names_the_pip_command(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert refusal(10, NAME, "--port", PORT) == (
        f"fixgrad: PlatformIO is missing, {NAME} cannot be built: "
        f"run {sys.executable} -m pip install platformio==6.2.0"
    )


def test_run_that_does_not_fit_is_refused_before_anything_is_built(unwritten: None) -> None:
    run = new_run(Path("wide.toml"), source="digits", layers=(64, 64, 10), settings={})
    Path("wide.toml").write_text(format_run(run))
    line = refusal(6, NAME, "--port", PORT, "--run", "wide.toml")
    needs = r"fixgrad: wide\.toml needs [\d,]+ bytes"
    assert re.fullmatch(rf"{needs}, {NAME} has 6,736 bytes for it; .* would fit", line)


def test_run_that_fits_is_told(
    written: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = new_run(Path("iris.toml"), source="iris", layers=(4, 8, 3), settings={})
    Path("iris.toml").write_text(format_run(run))
    result = flash(NAME, "--port", "sim://", "--run", "iris.toml")
    assert re.match(rf"iris\.toml needs \d+ of 6,736 bytes of {NAME}\n", result.stderr)


def test_port_is_asked_for_where_it_cannot_be_guessed(
    unwritten: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serial.tools.list_ports.comports", lambda: [])
    assert refusal(2, NAME) == (
        f"fixgrad: give the port where {NAME} answers after it was flashed: --port URL (`fixgrad "
        "ports` lists those of this machine)"
    )


def test_only_a_single_usb_port_is_guessed() -> None:
    board = SimpleNamespace(device="/dev/ttyACM0", vid=0x0483)
    other = SimpleNamespace(device="/dev/ttyACM1", vid=0x0D28)
    built_in = SimpleNamespace(device="/dev/ttyS0", vid=None)
    assert only_usb_port([built_in, board]) == "/dev/ttyACM0"
    assert only_usb_port([board, other]) is None
    assert only_usb_port([built_in]) is None
