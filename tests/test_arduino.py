"""The Arduino library: compiled against a stand-in for a core, as a process and on a Cortex-M3."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from core_library import CORE, WARNINGS, has_compiler
from fixgrad.boards import BOARDS
from fixgrad.device import Device
from fixgrad.emulators import Emulator
from fixgrad.planner import plan
from fixgrad.selftest import Outcome, selftest
from fixgrad.urlhandlers.socket_serial import SocketSerial
from fixgrad.vectors import load_case, packaged_vectors
from source_tree import copy_sources

ROOT = Path(__file__).parent.parent
STAND_IN = ROOT / "tests" / "arduino"
LIBRARY = ROOT / "firmware" / "ports" / "arduino"
EXAMPLE = ROOT / "examples" / "arduino"
SKETCH = EXAMPLE / "train" / "train.ino"
GLUE = [*sorted(LIBRARY.glob("*.c*")), SKETCH]
SKETCH_ARENA = 8 * 1024
CORES = ("cortex-m0plus", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33")
SANITIZERS = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
INCLUDED = (f"-I{LIBRARY}", f"-I{STAND_IN}")
CXX_WARNINGS = ("-std=gnu++17", *WARNINGS[1:])
QUICK_CASES = {"xor_sigmoid", "odd_shapes_five_layers", "growing_exponent_momentum_widen"}


class SketchPort(SocketSerial):
    """Serial port to the sketch as a process."""

    def __init__(self, program: Path) -> None:
        self._program = program
        super().__init__("sketch", timeout=0.02)

    def _connect(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen([self._program], stdin=theirs, stdout=theirs)
        return ours

    def _disconnect(self) -> None:
        assert self._process.wait(timeout=60) == 0


class BoardPort(SocketSerial):
    """Serial port to the sketch's image in QEMU."""

    def __init__(self, image: Path) -> None:
        self._image = image
        super().__init__("image", timeout=0.02)

    def _connect(self) -> socket.socket:
        self._emulator = Emulator(BOARDS["mps2_an385"], self._image)
        return self._emulator.uart

    def _disconnect(self) -> None:
        self._emulator.stop()


def run(*command: object) -> str:
    """Run a command that must succeed; return what it says on standard error."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr


def compile_objects(folder: Path, prefix: str, sources: list[Path], *flags: str) -> list[Path]:
    """Compile C files as C, the others, the sketch among them, as C++."""
    objects = [folder / f"{source.name}.o" for source in sources]
    for source, target in zip(sources, objects, strict=True):
        compiler, language = (f"{prefix}gcc", WARNINGS)
        if source.suffix != ".c":
            compiler, language = (f"{prefix}g++", (*CXX_WARNINGS, "-x", "c++"))
        run(compiler, *language, *flags, *INCLUDED, "-c", source, "-o", target)
    return objects


def test_sketch_as_a_process_passes_every_vector_that_fits(tmp_path: Path) -> None:
    if not has_compiler("g++"):
        pytest.skip("g++ is not installed")
    program = tmp_path / "sketch"
    sources = [*GLUE, *sorted(CORE.glob("*.c"))]
    objects = compile_objects(tmp_path, "", sources, *SANITIZERS)
    library = tmp_path / "library.a"  # what nobody refers to stays out of the program
    run("ar", "rc", library, *objects)
    core = STAND_IN / "posix.cpp"
    run("g++", *CXX_WARNINGS, *SANITIZERS, *INCLUDED, core, library, "-o", program)
    paths = packaged_vectors()
    with SketchPort(program) as port:
        device = Device(port, "sketch")
        assert (device.info.board, device.info.arena_bytes) == ("arduino", SKETCH_ARENA)
        outcomes = {result.name: result.outcome for result in selftest(device, paths)}
    fitting = {p.stem for p in paths if plan(load_case(p).config).arena_bytes <= SKETCH_ARENA}
    assert len(fitting) > 5
    assert {name for name, outcome in outcomes.items() if outcome is Outcome.PASSED} == fitting


@pytest.mark.parametrize("core", CORES)
def test_library_compiles_for_the_core(core: str, tmp_path: Path) -> None:
    flags = (f"-mcpu={core}", "-mthumb", "-Os", "-fno-exceptions")
    for target in compile_objects(tmp_path, "arm-none-eabi-", GLUE, *flags):
        assert target.stat().st_size > 0


@pytest.mark.parametrize(
    ("flag", "warns"),
    [
        ("-DSERIAL_RX_BUFFER_SIZE=64", True),
        ("-DSERIAL_BUFFER_SIZE=256", True),
        ("-DSERIAL_RX_BUFFER_SIZE=512", False),
        ("-DUSBCON=1", False),
    ],
)
def test_small_receive_buffer_is_warned_of(flag: str, warns: bool, tmp_path: Path) -> None:
    said = run(
        "arm-none-eabi-g++", "-std=gnu++17", flag, *INCLUDED,
        "-c", LIBRARY / "fixgrad.cpp", "-o", tmp_path / "fixgrad.o",
    )  # fmt: skip
    assert ("loses bytes" in said) == warns


def test_zip_for_the_arduino_ide_compiles_by_itself(tmp_path: Path) -> None:
    run(sys.executable, ROOT / "tools" / "package_arduino.py", tmp_path / "library.zip")
    with zipfile.ZipFile(tmp_path / "library.zip") as archive:
        archive.extractall(tmp_path)
    library = tmp_path / "fixgrad"
    named = dict(
        line.split("=", 1) for line in (library / "library.properties").read_text().splitlines()
    )
    version = json.loads((ROOT / "library.json").read_text())["version"]
    assert (named["name"], named["version"], named["architectures"]) == ("fixgrad", version, "*")
    sketch = library / "examples" / "train" / "train.ino"
    sources = [*library.glob("src/**/*.c"), *library.glob("src/**/*.cpp"), sketch]
    assert {source.name for source in sources} >= {"trainer.c", "fixgrad.cpp", "train.ino"}
    # The IDE puts the core and src, no folder in it, on the path; cores differ in the language.
    for source in sources:
        language = ("-std=gnu2x",) if source.suffix == ".c" else ("-std=gnu++11", "-x", "c++")
        folders = (f"-I{STAND_IN}", f"-I{library / 'src'}")
        run(
            "arm-none-eabi-gcc", *language, "-fsyntax-only", "-mcpu=cortex-m0plus", *folders, source
        )


def test_library_has_the_version_of_the_package() -> None:
    manifest = json.loads((ROOT / "library.json").read_text())
    assert (
        manifest["version"]
        == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    )


def stand_in_platform(folder: Path) -> None:
    """Make this project's platform one with a board that has the stand-in for a core."""
    copy_sources(ROOT / "firmware" / "platform", folder)
    frameworks = folder / "builder" / "frameworks"
    frameworks.mkdir()
    shutil.copy(STAND_IN / "framework.py", frameworks / "arduino.py")
    manifest = json.loads((folder / "platform.json").read_text())
    manifest["frameworks"] = {"arduino": {"script": "builder/frameworks/arduino.py"}}
    (folder / "platform.json").write_text(json.dumps(manifest))
    board = json.loads((folder / "boards" / "mps2_an385.json").read_text())
    board["frameworks"] = ["arduino"]
    board["build"] |= {"firmware": str(ROOT / "firmware"), "stand_in": str(STAND_IN)}
    (folder / "boards" / "stand_in.json").write_text(json.dumps(board))


def test_platformio_builds_the_library_into_the_example(tmp_path: Path) -> None:
    stand_in_platform(tmp_path / "platform")
    project, core = tmp_path / "project", tmp_path / "core"
    shutil.copytree(EXAMPLE, project)
    ini = (project / "platformio.ini").read_text()
    for pattern, value in {
        "platform": f"symlink://{tmp_path / 'platform'}",
        "board": "stand_in",
        "lib_deps": f"symlink://{ROOT}",
    }.items():
        ini, changed = re.subn(rf"^{pattern} = .*$", f"{pattern} = {value}", ini, flags=re.M)
        assert changed == 1
    (project / "platformio.ini").write_text(ini)
    run(sys.executable, ROOT / "tools" / "offline_platformio.py", core)
    build = subprocess.run(
        [sys.executable, "-m", "platformio", "run"],
        cwd=project,
        env=os.environ | {"PLATFORMIO_CORE_DIR": str(core)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert build.returncode == 0, build.stdout + build.stderr
    (image,) = project.glob(".pio/build/*/firmware.elf")
    with BoardPort(image) as port:
        device = Device(port, "board")
        assert (device.info.board, device.info.core) == ("arduino", "cortex-m3")
        paths = [path for path in packaged_vectors() if path.stem in QUICK_CASES]
        results = list(selftest(device, paths))
    assert [result.outcome for result in results] == [Outcome.PASSED] * len(QUICK_CASES)
