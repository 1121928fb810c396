"""Firmware images, built by PlatformIO when they are missing or older than their sources."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import platformdirs
from elftools.common.exceptions import ELFError

from fixgrad.boards import Board
from fixgrad.errors import BuildError
from fixgrad.images import read_image
from fixgrad.sources import firmware_dir

if sys.platform != "win32":
    import fcntl

BUILD_TIMEOUT_S = 1800
"""A first build may download the compiler."""

IMAGES, PROFILE_IMAGES = "images", "profile"
"""Folders in PlatformIO's workspace.

Not the folder of `pio run`: PlatformIO empties a folder that was built with other variables of the
environment, perhaps while another process starts an image from it.
"""

PROFILE_FLAGS = {"PLATFORMIO_BUILD_FLAGS": "-DPROFILE"}
"""Setting of PlatformIO that makes an image profile."""

STANDALONE = "standalone_"
"""Begins the environments of platformio.ini that predict without a host."""

INSTALLED_PROJECT = "project"
"""Folder of an installed package's firmware that holds what lies beside it in a source tree."""

OFFLINE_TOOL = Path("tools", "offline_platformio.py")
OFFLINE_CORE = ".platformio"
NOT_IN_IMAGES = "posix"
ERROR_LINE = re.compile(r"error|^\*\*\* ", re.IGNORECASE)
ERROR_LINES_SHOWN = 3


def project_dir() -> Path:
    """Return the folder of platformio.ini and firmware.

    In a source tree that is its top. An installed package is copied to the user's cache first,
    once for every version, because PlatformIO writes beside its project.
    """
    firmware = firmware_dir()
    if (firmware.parent / "platformio.ini").exists():
        return firmware.parent
    cache = platformdirs.user_cache_path("fixgrad", ensure_exists=True)
    project = cache / f"firmware-{_fingerprint(firmware)[:16]}"
    if not project.exists():
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            copy = Path(scratch) / "copy"
            shutil.copytree(firmware / INSTALLED_PROJECT, copy)
            shutil.copytree(
                firmware, copy / "firmware", ignore=shutil.ignore_patterns(INSTALLED_PROJECT)
            )
            with contextlib.suppress(FileExistsError, OSError):
                copy.rename(project)
    return project


def build_image(board: Board, *, profile: bool = False, standalone: bool = False) -> Path:
    """Build a board's image unless it is up to date.

    Args:
        board: what it is for.
        profile: build the image that answers READ of region PROFILE instead, beside the other.
        standalone: build the example that predicts with the net in the board's flash instead.

    Returns:
        The linked ELF file.

    Raises:
        BuildError: PlatformIO or the compiler is missing, or the build failed.
    """
    project = project_dir()
    folder = project / ".pio" / (PROFILE_IMAGES if profile else IMAGES)
    environment = STANDALONE + board.name if standalone else board.name
    image = folder / environment / "firmware.elf"
    stamp = image.with_name("fixgrad.stamp")
    core = core_dir(project)
    wanted = hashlib.sha256(
        f"{core}{_fingerprint(project / 'firmware')}".encode()
        + (project / "platformio.ini").read_bytes()
    ).hexdigest()
    with project_lock(project):
        if not _is_current(image, stamp, wanted):
            settings = PROFILE_FLAGS if profile else {}
            _run_platformio(project, core, environment, folder, settings)
            if not image.exists():
                raise BuildError(f"PlatformIO reports success but left no {image}")
            stamp.write_text(wanted)
    return image


def flash_bytes(board: Board) -> int | None:
    """Return the flash that a board's image takes; None if it was not built yet."""
    path = project_dir() / ".pio" / IMAGES / board.name / "firmware.elf"
    try:
        return read_image(path).flash_bytes
    except (OSError, ELFError):
        return None


def _fingerprint(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if path.is_file() and not {NOT_IN_IMAGES, "__pycache__"} & set(relative.parts):
            digest.update(f"{relative.as_posix()}\0{path.stat().st_size}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _is_current(image: Path, stamp: Path, wanted: str) -> bool:
    return (
        image.exists()
        and stamp.exists()
        and stamp.read_text() == wanted
        and stamp.stat().st_mtime_ns >= image.stat().st_mtime_ns
    )


@contextlib.contextmanager
def project_lock(project: Path) -> Iterator[None]:
    """Keep other processes from building in the same project."""
    workspace = project / ".pio"
    workspace.mkdir(exist_ok=True)
    with (workspace / "fixgrad.lock").open("w") as lock:
        if sys.platform != "win32":
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def core_dir(project: Path) -> Path | None:
    """Return PlatformIO's core directory; None lets it use its own default."""
    named = os.environ.get("PLATFORMIO_CORE_DIR")
    if named:
        return Path(named)
    offline = project / OFFLINE_CORE
    return offline if offline.exists() else None


def platformio_call(
    project: Path, core: Path | None, environment: str, folder: Path, settings: dict[str, str]
) -> tuple[list[str], dict[str, str]]:
    """Return the command that makes PlatformIO build, and its environment variables.

    Args:
        project: folder of platformio.ini.
        core: PlatformIO's core directory; None: its own default.
        environment: what to build.
        folder: where the images go.
        settings: more environment variables.

    Raises:
        BuildError: PlatformIO is missing.
    """
    if importlib.util.find_spec("platformio") is None:
        raise BuildError(
            f"PlatformIO is missing, {environment} cannot be built: "
            f"run {sys.executable} -m pip install platformio==6.2.0"
        )
    variables = os.environ | {
        "PLATFORMIO_WORKSPACE_DIR": str(project / ".pio"),
        "PLATFORMIO_BUILD_DIR": str(folder),
        "PLATFORMIO_DISABLE_UPGRADE_CHECK": "true",
        "PLATFORMIO_SETTING_ENABLE_TELEMETRY": "No",
        **settings,
    }
    if core is not None:
        variables["PLATFORMIO_CORE_DIR"] = str(core)
    return [sys.executable, "-m", "platformio", "run", "-e", environment], variables


def _run_platformio(
    project: Path, core: Path | None, environment: str, folder: Path, settings: dict[str, str]
) -> None:
    command, variables = platformio_call(project, core, environment, folder, settings)
    try:
        result = subprocess.run(
            command,
            cwd=project,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=BUILD_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired as error:
        raise BuildError(
            f"building {environment} took longer than {BUILD_TIMEOUT_S} s; "
            f"run it yourself: {shown_command(project, command)}"
        ) from error
    if result.returncode != 0:
        raise BuildError(
            f"building {environment} failed: {failure_reason(result.stdout)}; "
            f"{_remedy(project, core, command)}"
        )


def failure_reason(output: str) -> str:
    """Return the lines of a failed build that say why."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if ERROR_LINE.search(line)]
    shown = errors[:ERROR_LINES_SHOWN] or lines[-ERROR_LINES_SHOWN:]
    return " / ".join(shown) or "no output"


def _remedy(project: Path, core: Path | None, command: list[str]) -> str:
    everything = f"all of its output: {shown_command(project, command)}"
    if core is not None:
        return everything
    return (
        f"without PlatformIO's registry first run {sys.executable} {project / OFFLINE_TOOL}; "
        f"{everything}"
    )


def shown_command(project: Path, command: list[str]) -> str:
    """Return what to type to run the command in its folder."""
    return f"cd {shlex.quote(str(project))} && {shlex.join(command)}"
