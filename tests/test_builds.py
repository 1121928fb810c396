"""Errors of building and emulating, and what is shipped for it."""

import os
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from fixgrad import builds, tether
from fixgrad.boards import BOARDS
from fixgrad.emulators import Emulator
from fixgrad.errors import BuildError
from source_tree import copy_sources

BOARD = BOARDS["disco_f100rb"]


@pytest.fixture
def project(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the firmware project that a test may damage."""
    copy = tmp_path / "project"
    copy_sources(root / "firmware", copy / "firmware")
    shutil.copy(root / "platformio.ini", copy)
    copy_sources(root / "tools", copy / "tools")
    subprocess.run([sys.executable, copy / "tools" / "offline_platformio.py"], check=True)
    monkeypatch.delenv("PLATFORMIO_CORE_DIR", raising=False)
    monkeypatch.setattr(builds, "firmware_dir", lambda: copy / "firmware")
    return copy


def test_second_build_leaves_the_image_alone(project: Path) -> None:
    image = builds.build_image(BOARD)
    shutil.rmtree(project / ".platformio" / "packages")  # a second run of PlatformIO would fail
    assert builds.build_image(BOARD) == image


def test_changed_source_is_built_again(project: Path) -> None:
    before = builds.build_image(BOARD).read_bytes()
    config = project / "firmware" / "ports" / "stm32f1" / "port_config.h"
    config.write_text(config.read_text().replace("432u", "1024u"))
    assert builds.build_image(BOARD).read_bytes() != before


def test_compiler_error_is_quoted_with_the_command(project: Path) -> None:
    source = project / "firmware" / "ports" / "cortexm" / "names.c"
    source.write_text(source.read_text() + "int broken(void) { return undeclared_name; }\n")
    with pytest.raises(BuildError, match="undeclared_name.*platformio run -e disco_f100rb"):
        builds.build_image(BOARD)


def test_warning_in_own_code_fails_the_build(project: Path) -> None:
    source = project / "firmware" / "ports" / "cortexm" / "names.c"
    source.write_text(source.read_text() + "int unused(int argument) { return 0; }\n")
    with pytest.raises(BuildError, match="unused parameter"):
        builds.build_image(BOARD)


def test_missing_registry_names_the_offline_tool(project: Path) -> None:
    assert "offline_platformio.py" in builds._remedy(project, None, ["pio"])


def test_missing_platformio_names_the_pip_command(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(BuildError, match="-m pip install platformio==6.2.0"):
        builds.build_image(BOARD)


def test_missing_emulator_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(BuildError, match="apt install qemu-system-arm"):
        Emulator(BOARD, Path("firmware.elf"))


def test_emulator_that_fails_is_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, project: Path
) -> None:
    image = builds.build_image(BOARD)
    qemu = tmp_path / "qemu-system-arm"
    qemu.write_text("#!/bin/sh\necho unsupported machine type >&2\nexit 1\n")
    qemu.chmod(qemu.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(BuildError, match="stm32vldiscovery: unsupported machine type"):
        Emulator(BOARD, image)


def test_tethered_process_ends_with_its_parent() -> None:
    waiting = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
    process = subprocess.Popen(
        [sys.executable, "-I", tether.__file__, sys.executable, "-c", waiting],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    process.stdin.close()
    assert process.wait(timeout=60) != 0
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_tether_passes_the_exit_code_on() -> None:
    command = [sys.executable, "-I", tether.__file__, sys.executable, "-c", "raise SystemExit(7)"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        assert process.wait(timeout=60) == 7


def test_wheel_carries_a_project_that_builds(
    root: Path, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=root, check=True, capture_output=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        wheel.extractall(tmp_path / "site")
    monkeypatch.setattr(builds, "firmware_dir", lambda: tmp_path / "site" / "fixgrad" / "_firmware")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PLATFORMIO_CORE_DIR", str(project / ".platformio"))
    image = builds.build_image(BOARD)
    assert image.is_relative_to(tmp_path / "cache")
    assert (builds.project_dir() / builds.OFFLINE_TOOL).exists()
