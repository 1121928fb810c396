"""The example that predicts with the net in the board's flash: a text line in, a text line out."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
import serial
from core_library import CORE, compile_program
from fixgrad.boards import BOARDS
from fixgrad.builds import STANDALONE, build_image
from fixgrad.errors import PortError
from fixgrad.images import read_image
from fixgrad.reference import Reference
from kept_nets import ERASED, payload, record
from random_models import random_case
from small_models import SMALL, small_state
from test_predict import BAD_FEATURE, BAD_NET, NO_NET, SOURCES

FIRMWARE = CORE.parent
SANITIZERS = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
WANTS = "5 features from 0 to 200"
BOARDS_WITH_EXAMPLE = ["bbcmicrobit", "olimex_p405"]
FLASH_CEILING = 5440
"""Bytes of the example's image."""

RANDOM_NETS = 40
TRAINING = re.compile(
    r"trainer|backward|mlp_update|link_|kernels_|mul_|blocks_|store_save|flash_program"
)
"""What functions of training, of the link and of writing the flash are called."""


@pytest.fixture(scope="module")
def program() -> Path:
    """The example as a process, under sanitizers."""
    posix = FIRMWARE / "ports" / "posix"
    files = [FIRMWARE / "examples" / "standalone.c", posix / "port.c", posix / "flash.c",
             *(CORE / name for name in SOURCES)]  # fmt: skip
    return compile_program("standalone", files, (*SANITIZERS, f"-I{posix}"))


def flash_of(folder: Path, content: bytes = b"") -> Path:
    """Write a file that holds the flash of a board."""
    path = folder / "flash"
    path.write_bytes(content + ERASED)
    return path


def ask(program: Path, flash: Path, text: str) -> list[str]:
    """Return the lines that the process writes for these."""
    done = subprocess.run(
        [program], input=text.encode(), capture_output=True, timeout=60, check=False,
        env={**os.environ, "FIXGRAD_FLASH_FILE": str(flash)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().splitlines()


def line(values: Iterable[int]) -> str:
    return " ".join(map(str, values)) + "\n"


def test_random_nets_answer_as_the_reference(program: Path, tmp_path: Path) -> None:
    for seed in range(1000, 1000 + RANDOM_NETS):
        case = random_case(seed)
        flash = flash_of(tmp_path, record(payload(case.config, case.state)))
        features = np.concatenate([batch.features for batch in case.batches])
        _, *answers = ask(program, flash, "".join(map(line, features)))
        predictions = Reference(case.config, case.state).predict(features)
        assert answers == [line(row).strip() for row in predictions], f"seed {seed}"


@pytest.mark.parametrize(
    ("content", "status"),
    [(b"", NO_NET), (record(payload(SMALL, small_state(SMALL))[:-20]), BAD_NET)],
)
def test_without_a_net_only_the_error_is_told(
    program: Path, tmp_path: Path, content: bytes, status: int
) -> None:
    assert ask(program, flash_of(tmp_path, content), "1 2 3 4 5\n") == [f"error {status}"]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("\n", WANTS),
        ("\r\n", WANTS),
        ("1 2 3 4\n", "error: 4 numbers"),
        ("1 2 3 4 5 6\n", "error: 6 numbers"),
        ("1 2 3 4 201\n", f"error {BAD_FEATURE}"),
        ("1 2 3 4 -5\n", f"error {BAD_FEATURE}"),
        ("1 2 3 4 65540\n", f"error {BAD_FEATURE}"),
        ("1 2 3 4 99999999999999999999\n", f"error {BAD_FEATURE}"),
        ("7 " * 5000 + "\n", "error: 5000 numbers"),
    ],
)
def test_line_is_answered(program: Path, tmp_path: Path, text: str, answer: str) -> None:
    flash = flash_of(tmp_path, record(payload(SMALL, small_state(SMALL))))
    assert ask(program, flash, text) == [WANTS, answer]


def test_numbers_may_stand_in_any_shape(program: Path, tmp_path: Path) -> None:
    flash = flash_of(tmp_path, record(payload(SMALL, small_state(SMALL))))
    answers = ask(program, flash, "1 2 3 40 5\n 1,2,3,40,5\r\n[1;2;3; 40;5]\n1 2 3 40 5")
    assert answers[1:] == answers[1:2] * 3


@pytest.mark.parametrize("name", BOARDS_WITH_EXAMPLE)
def test_image_holds_neither_training_nor_link(
    name: str, built_image: Callable[[str], Path]
) -> None:
    image = read_image(build_image(BOARDS[name], standalone=True))
    assert [symbol for symbol in image.symbols if TRAINING.search(symbol)] == []
    assert [s for s in read_image(built_image(name)).symbols if TRAINING.search(s)] != []
    assert image.flash_bytes <= FLASH_CEILING


def test_platformio_has_the_example_for_boards_with_a_store(root: Path) -> None:
    named = re.findall(rf"^\[env:{STANDALONE}(\w+)\]$", (root / "platformio.ini").read_text(), re.M)
    assert named == BOARDS_WITH_EXAMPLE
    assert all(BOARDS[name].store_bytes for name in named)


@pytest.mark.parametrize("name", BOARDS_WITH_EXAMPLE)
def test_board_answers_from_its_flash(name: str, tmp_path: Path) -> None:
    flash = tmp_path / "flash"
    state = small_state(SMALL)
    store = record(payload(SMALL, state)).ljust(BOARDS[name].store_bytes, ERASED)
    flash.write_bytes(store)
    features = np.random.default_rng(5).integers(0, 201, (20, 5))
    expected = Reference(SMALL, state).predict(features.astype(np.uint8)).ravel()
    url = f"qemu://{name}?flash={flash}&standalone"
    with serial.serial_for_url(url, timeout=30) as port:
        assert port.read_until(b"\n").decode().strip() == WANTS
        for row, wanted in zip(features, expected, strict=True):
            port.write(line(row).encode())
            assert int(port.read_until(b"\n")) == wanted
        port.reset_device()
        assert port.read_until(b"\n").decode().strip() == WANTS
    assert flash.read_bytes() == store


def test_board_without_a_store_is_refused() -> None:
    with pytest.raises(PortError, match="disco_f100rb sets no flash aside for a net; these do: "):
        serial.serial_for_url("qemu://disco_f100rb?standalone")


def test_unknown_option_names_the_known_ones() -> None:
    with pytest.raises(PortError, match="unknown option flush; there are profile, flash and stand"):
        serial.serial_for_url("qemu://bbcmicrobit?flush=1")
