"""What the images contain and how much memory they take."""

import configparser
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from ceilings import CEILINGS
from fixgrad.boards import BOARDS, DMA_SPARE_BYTES
from fixgrad.images import Image
from fixgrad.protocol import LIMITS

# Where RAM begins, if not at 0x20000000: the addresses of the secure state.
RAM_STARTS = {"mps2_an505": 0x38000000, "mps3_an547": 0x31000000}

# A board of every platform of platformio.ini.
ONE_OF_EACH_PLATFORM = ["disco_f100rb", "bbcmicrobit", "mps3_an547"]

# Names that the run-time ABI of Arm and libgcc give to floating-point routines.
SOFT_FLOAT = re.compile(
    r"__aeabi_(c?[fd]|u?[il]2[fd])"
    r"|__(add|sub|mul|div|neg|cmp|eq|ne|lt|le|gt|ge|unord|pow)[sd]f"
    r"|__(fix|fixuns|float|floatun|extend|trunc)[sdt][fi]"
)
# The same for products and quotients of 64 bits, and for signed quotients.
LONG_ARITHMETIC = re.compile(
    r"__aeabi_(u?ldivmod|lmul|lasr|llsl|llsr|idiv(mod)?)|__(u?(div|mod)di[34]|muldi3|divsi3)"
)
HEAP_AND_STDIO = re.compile(r"_?(malloc|calloc|realloc|free|sbrk|v?s?n?i?printf)(_r)?")

ReadImage = Callable[[str], Image]


def test_image_contains_no_floating_point_routine(
    read_built_image: ReadImage, board_name: str
) -> None:
    symbols = read_built_image(board_name).symbols
    assert [name for name in symbols if SOFT_FLOAT.match(name)] == []


def test_image_contains_no_long_arithmetic_routine(
    read_built_image: ReadImage, board_name: str
) -> None:
    symbols = read_built_image(board_name).symbols
    assert [name for name in symbols if LONG_ARITHMETIC.fullmatch(name)] == []


def test_image_contains_neither_heap_nor_stdio(
    read_built_image: ReadImage, board_name: str
) -> None:
    symbols = read_built_image(board_name).symbols
    assert [name for name in symbols if HEAP_AND_STDIO.fullmatch(name)] == []


@pytest.mark.parametrize(
    "name", ["__aeabi_fadd", "__aeabi_dmul", "__aeabi_ui2f", "__aeabi_cfcmple", "__muldf3"]
)
def test_pattern_knows_floating_point_routines(name: str) -> None:
    assert SOFT_FLOAT.match(name)


def test_image_stays_below_its_ceilings(read_built_image: ReadImage, board_name: str) -> None:
    image = read_built_image(board_name)
    assert image.flash_bytes <= CEILINGS[board_name].flash
    assert image.static_bytes <= CEILINGS[board_name].variables


def test_board_table_tells_the_memory_of_the_image(
    read_built_image: ReadImage, board_name: str
) -> None:
    image, board = read_built_image(board_name), BOARDS[board_name]
    assert (image.arena_bytes, image.stack_bytes) == (board.arena_bytes, board.stack_bytes)


def test_board_table_tells_the_flash_set_aside(
    read_built_image: ReadImage, board_name: str
) -> None:
    symbols = read_built_image(board_name).symbols
    store = symbols.get("store_end", 0) - symbols.get("store_start", 0)
    assert store == BOARDS[board_name].store_bytes
    samples = symbols.get("samples_end", 0) - symbols.get("samples_start", 0)
    assert samples == BOARDS[board_name].samples_bytes


def test_stack_variables_and_arena_fill_the_ram(
    read_built_image: ReadImage, board_name: str
) -> None:
    image, board = read_built_image(board_name), BOARDS[board_name]
    start = RAM_STARTS.get(board_name, 0x20000000)
    assert image.symbols["stack_start"] == start
    assert image.symbols["arena_end"] == start + board.ram_bytes
    used = image.stack_bytes + image.static_bytes + image.arena_bytes
    assert board.ram_bytes - 16 < used <= board.ram_bytes  # at most two gaps of alignment


def project_of(root: Path) -> configparser.ConfigParser:
    """Return platformio.ini."""
    project = configparser.ConfigParser()
    project.read(root / "platformio.ini")
    return project


def option(project: configparser.ConfigParser, board_name: str, name: str) -> str:
    """Return an option of a board's environment, its own or that of its family."""
    section = project[f"env:{board_name}"]
    return section.get(name, project[section["extends"]].get(name, ""))


def test_board_table_and_platformio_name_the_same_boards(root: Path) -> None:
    project = project_of(root)
    environments = [
        section.removeprefix("env:")
        for section in project.sections()
        if section.startswith("env:") and not section.startswith("env:standalone_")
    ]
    assert environments == list(BOARDS)
    assert project["platformio"]["default_envs"].split() == environments
    for name, board in BOARDS.items():
        assert option(project, name, "custom_qemu_machine") == (board.machine or "")
        assert option(project, name, "custom_qemu_uart") == (str(board.machine_uart or ""))


def test_board_table_tells_the_link_sizes_of_the_port(root: Path, board_name: str) -> None:
    script = option(project_of(root), board_name, "board_build.ldscript")
    config = ((root / script).parent / "port_config.h").read_text()
    sizes = dict(re.findall(r"#define (\w+) (\d+)u", config))
    board = BOARDS[board_name]
    assert int(sizes["LINK_PAYLOAD_MAX"]) == board.payload_max
    assert int(sizes["PORT_RING_BYTES"]) == board.ring_bytes
    assert ("#define PORT_DMA 1\n" in config) == board.dma
    assert int(sizes.get("PORT_DMA_PART_BYTES", 0)) == board.dma_part_bytes
    assert ("#define PORT_BAUD 1\n" in config) == bool(board.uart_hz or board.bauds)
    assert ("#define PORT_PARTS 1\n" in config) == board.shares_batches


def test_host_knows_the_room_that_dma_spares(root: Path) -> None:
    header = (root / "firmware/ports/cortexm/dma.h").read_text()
    assert f"#define DMA_SPARE_BYTES {DMA_SPARE_BYTES}u\n" in header


def test_host_knows_the_only_speeds_of_the_nrf52(root: Path) -> None:
    driver = (root / "firmware/ports/nrf52/uarte.c").read_text()
    speeds = re.findall(r"\{(\w+), 0x\w+u\}", driver)
    named = {"LIMIT_BAUD_AT_START": LIMITS["BAUD_AT_START"]}
    told = tuple(named.get(speed) or int(speed.removesuffix("u")) for speed in speeds)
    for name in ("bbcmicrobit_v2", "nrf52_dk", "nrf52840_dk"):
        assert BOARDS[name].bauds == told
    assert [BOARDS["nrf52_dk"].line_baud(baud) for baud in (1_000_000, 921_600, 2_000_000)] == [
        1_000_000, 115_200, 115_200,
    ]  # fmt: skip


def test_board_table_agrees_with_the_manifest(root: Path, board_name: str) -> None:
    folders = ("tools/offline_boards", "firmware/platform/boards")
    paths = [root / folder / f"{board_name}.json" for folder in folders]
    manifest = json.loads(next(path for path in paths if path.exists()).read_text())
    board = BOARDS[board_name]
    assert board.core == manifest["build"]["cpu"]
    assert f"{board.clock_hz}L" == manifest["build"]["f_cpu"]
    assert board.ram_bytes == manifest["upload"]["maximum_ram_size"]
    assert board.flash_bytes == manifest["upload"]["maximum_size"]


def test_board_table_tells_the_usart_of_the_environment(root: Path) -> None:
    project = project_of(root)
    for name, board in BOARDS.items():
        flags = option(project, name, "build_flags")
        if board.mcu.startswith("STM32"):
            section = "usart1" if "${usart1." in flags else "usart2"
            assert "${nucleo." in flags or f"${{{section}." in flags
            assert board.uart.startswith(f"{section.upper()}: ")


def test_board_table_tells_the_clock_of_the_usart() -> None:
    """Data sheets: the fastest clocks of the buses of USART1 and USART2, in MHz."""
    fastest = {
        "STM32F100": (24, 24), "STM32F103": (72, 36), "STM32F401": (84, 42), "STM32F405": (84, 42),
        "STM32F407": (84, 42), "STM32F411": (100, 50), "STM32F446": (90, 45), "STM32L476": (80, 80),
    }  # fmt: skip
    for board in BOARDS.values():
        if board.mcu.startswith("STM32"):
            limits = fastest[board.mcu[:9]]
            clock = board.clock_hz
            while clock > limits[board.uart.startswith("USART2")] * 1_000_000:
                clock //= 2
            assert board.uart_hz == clock


@pytest.mark.parametrize(
    ("name", "wanted", "reached"),
    [
        ("disco_f100rb", 1_500_000, 1_500_000), ("disco_f100rb", 1_500_001, 115_200),
        ("disco_f100rb", 1_456_000, 115_200), ("nucleo_f103rb", 2_250_000, 2_250_000),
        ("nucleo_f103rb", 2_500_000, 115_200), ("nucleo_f446re", 2_000_000, 2_000_000),
        ("bbcmicrobit", 230_400, 115_200), ("bbcmicrobit", 9_600, 9_600),
    ],
)  # fmt: skip
def test_line_runs_at_what_its_clock_divides_to(name: str, wanted: int, reached: int) -> None:
    assert BOARDS[name].line_baud(wanted) == reached


def test_image_is_built_without_a_registry(
    root: Path, tmp_path: Path, built_image: Callable[[str], Path]
) -> None:
    core = tmp_path / "core"
    tool = [sys.executable, "tools/offline_platformio.py", str(core)]
    first = subprocess.run(tool, cwd=root, capture_output=True, text=True, check=True)
    again = subprocess.run(tool, cwd=root, capture_output=True, text=True, check=True)
    assert first.stdout.endswith("filled\n")
    assert again.stdout.endswith("up to date\n")

    nowhere = "http://127.0.0.1:9"
    environment = os.environ | {
        "PLATFORMIO_CORE_DIR": str(core),
        "PLATFORMIO_WORKSPACE_DIR": str(tmp_path / "work"),
        "HTTP_PROXY": nowhere,
        "HTTPS_PROXY": nowhere,
    }
    wanted = [argument for name in ONE_OF_EACH_PLATFORM for argument in ("-e", name)]
    build = subprocess.run(
        [sys.executable, "-m", "platformio", "run", *wanted],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert build.returncode == 0, build.stdout + build.stderr
    for name in ONE_OF_EACH_PLATFORM:
        image = tmp_path / "work" / "build" / name / "firmware.bin"
        assert image.read_bytes() == built_image(name).with_suffix(".bin").read_bytes()
