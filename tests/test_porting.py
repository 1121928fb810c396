"""The template of a port, made a board as docs/PORTING.md says, and run in QEMU."""

import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

from fixgrad.boards import BOARDS
from fixgrad.device import Device
from fixgrad.emulators import Emulator
from fixgrad.selftest import Outcome, selftest
from fixgrad.urlhandlers.socket_serial import SocketSerial
from fixgrad.vectors import packaged_vectors
from source_tree import copy_sources

# The board whose registers the template names.
LIKE = BOARDS["mps2_an385"]
# 784 features do not fit the template's payload of 512 bytes.
CASES = {
    "xor_sigmoid": Outcome.PASSED,
    "odd_shapes_five_layers": Outcome.PASSED,
    "growing_exponent_momentum_widen": Outcome.PASSED,
    "wide_input_784": Outcome.DOES_NOT_FIT,
}


class ImagePort(SocketSerial):
    """Serial port to an image in QEMU."""

    def __init__(self, image: Path) -> None:
        self._image = image
        super().__init__("image", timeout=0.02)

    def _connect(self) -> socket.socket:
        self._emulator = Emulator(LIKE, self._image)
        return self._emulator.uart

    def _disconnect(self) -> None:
        self._emulator.stop()


def follow_porting(root: Path, project: Path) -> None:
    """Do what docs/PORTING.md says in a copy of the project."""
    text = (root / "docs" / "PORTING.md").read_text()
    copy_sources(root / "firmware", project / "firmware")
    commands = re.findall(r"^    ((?:cp|mv) .*)$", text, re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        subprocess.run(command.split(), cwd=project, check=True)
    block = re.search(r"```ini\n(.*?)```", text, re.DOTALL)
    assert block is not None
    # A vendor's platform would know the board; here it is the one of this project.
    environment = block[1].replace("VENDORS_PLATFORM", "symlink://${PROJECT_DIR}/firmware/platform")
    assert environment != block[1]
    boards = project / "firmware" / "platform" / "boards"
    shutil.copy(boards / f"{LIKE.name}.json", boards / "my_board.json")
    ini = (root / "platformio.ini").read_text()
    (project / "platformio.ini").write_text(f"{ini}\n{environment}")


def test_template_made_a_board_by_the_document_passes_selftest(root: Path, tmp_path: Path) -> None:
    project, core = tmp_path / "project", tmp_path / "core"
    project.mkdir()
    follow_porting(root, project)
    tool = root / "tools" / "offline_platformio.py"
    subprocess.run([sys.executable, tool, core], check=True)
    build = subprocess.run(
        [sys.executable, "-m", "platformio", "run", "-e", "my_board"],
        cwd=project,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PLATFORMIO_CORE_DIR": str(core)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert build.returncode == 0, build.stdout + build.stderr
    with ImagePort(project / ".pio" / "build" / "my_board" / "firmware.elf") as port:
        device = Device(port, "my_board")
        assert (device.info.board, device.info.core) == ("my_board", LIKE.core)
        paths = [path for path in packaged_vectors() if path.stem in CASES]
        outcomes = {result.name: result.outcome for result in selftest(device, paths)}
    assert outcomes == CASES
