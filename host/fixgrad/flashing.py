"""A board's image written by PlatformIO, and the board that must answer with it afterwards."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from fixgrad.boards import Board
from fixgrad.builds import (
    IMAGES,
    build_image,
    core_dir,
    failure_reason,
    platformio_call,
    project_dir,
    project_lock,
    shown_command,
)
from fixgrad.device import Device, DeviceInfo
from fixgrad.errors import FlashError, LinkError, PortError

IDENTITY_FILE = "firmware.id"
"""Beside an image: the checksum of its sources, which HELLO_ACK tells too."""

UPLOADS = "upload"
"""Folder in PlatformIO's workspace of images that are uploaded from another core directory."""

OFFLINE_STAMP = "fixgrad-offline"
"""In core directories that tools/offline_platformio.py filled."""

CHUNK_BYTES = 4096
PAUSE_S = 0.5


def write_firmware(board: Board, show: Callable[[str], None]) -> int:
    """Build a board's image and let PlatformIO upload it.

    Args:
        board: what is connected.
        show: takes what PlatformIO says, as it comes.

    Returns:
        The checksum of the image's sources.

    Raises:
        BuildError: PlatformIO or the compiler is missing, or the build failed.
        FlashError: the upload failed.
    """
    project = project_dir()
    core = _uploading_core(project, board.name)
    image = build_image(board)
    folder = IMAGES if core == core_dir(project) else UPLOADS
    command, variables = platformio_call(project, core, board.name, project / ".pio" / folder, {})
    command += ["-t", "upload"]
    said = ""
    with (
        project_lock(project),
        subprocess.Popen(
            command, cwd=project, env=variables, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0,
        ) as process,
    ):  # fmt: skip
        assert process.stdout is not None
        while chunk := process.stdout.read(CHUNK_BYTES):
            text = chunk.decode(errors="replace")
            said += text
            show(text)
    if process.returncode != 0:
        question = "is it connected, and no other program using it?"
        if "HTTPClientError" in said:
            question = "is there a network? PlatformIO downloads the programmer once."
        raise FlashError(
            f"{board.name} was not flashed: {failure_reason(said).rstrip(':')}; {question} "
            f"The same by hand: {shown_command(project, command)}"
        )
    return int(image.with_name(IDENTITY_FILE).read_text(), 16)


def _uploading_core(project: Path, environment: str) -> Path | None:
    """Return PlatformIO's core directory for an upload; None: its own default.

    One that was filled without the registry has compilers only. The default one gets the vendor's
    programmers from the registry, unless the project brings a command of its own.

    Raises:
        FlashError: the environment insists on a core directory without programmers.
    """
    core = core_dir(project)
    if core is None or not (core / OFFLINE_STAMP).exists() or _has_command(project, environment):
        return core
    if "PLATFORMIO_CORE_DIR" in os.environ:
        raise FlashError(
            f"{environment} was not flashed: {core} was filled without PlatformIO's registry and "
            "has no programmers; unset PLATFORMIO_CORE_DIR, and PlatformIO downloads them"
        )
    return None


def _has_command(project: Path, environment: str) -> bool:
    """Return whether platformio.ini names a command that uploads."""
    from platformio.project.config import ProjectConfig

    config = ProjectConfig(str(project / "platformio.ini"))
    return bool(config.get(f"env:{environment}", "upload_command", None))


def await_firmware(
    board: Board,
    port: str,
    baud: int,
    identity: int,
    wait_s: float,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], object] = time.sleep,
) -> DeviceInfo:
    """Wait until a board answers HELLO, and compare what it tells with what was flashed.

    Args:
        board: what was flashed.
        port: where it should answer.
        baud: speed of a real serial port.
        identity: checksum of the image's sources.
        wait_s: how long it may take to start.
        clock: seconds that never go back.
        pause: waits for so many seconds.

    Raises:
        FlashError: nothing answers, or another board or firmware does.
        VersionError: firmware of another version answers.
    """
    end = clock() + wait_s
    while True:
        try:
            with Device.open(port, baud=baud) as device:
                return _checked(board, port, identity, device.info)
        except (LinkError, PortError) as error:
            if clock() >= end:
                raise FlashError(f"{board.name} was flashed, but {error}") from error
        pause(PAUSE_S)


def _checked(board: Board, port: str, identity: int, info: DeviceInfo) -> DeviceInfo:
    if info.board != board.name:
        raise FlashError(
            f"{board.name} was flashed, but the board on {port} is {info.board}: give the port of "
            "the board that was flashed"
        )
    if info.firmware != identity:
        raise FlashError(
            f"{board.name} was flashed with firmware {identity:04x}, but the board on {port} runs "
            f"{info.firmware:04x}: press its reset, or give the port of the board that was flashed"
        )
    return info


def only_usb_port(ports: Iterable[object]) -> str | None:
    """Return the USB serial port, if there is exactly one.

    Args:
        ports: what `serial.tools.list_ports.comports()` gives.
    """
    names = [str(getattr(port, "device", "")) for port in ports if getattr(port, "vid", None)]
    return names[0] if len(names) == 1 else None
