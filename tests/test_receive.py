"""Reception by STM32 and nRF52 on strict models of UART and DMA, at every moment of a byte."""

import subprocess
from pathlib import Path

import pytest
from core_library import CORE, TESTS_C, compile_program

PORTS, MODELS = CORE.parent / "ports", TESTS_C / "receive"

# The model of both families, the folder that configures the link, and that of the driver.
FAMILIES = {
    "stm32f100": ("stm32f1", "stm32f1"),
    "stm32f103": ("stm32f103", "stm32f1"),
    "stm32f4": ("stm32f4", "stm32f4"),
    "stm32l4": ("stm32l4", "stm32l4"),
}


def flags(*folders: str) -> tuple[str, ...]:
    """Return flags that put the models in the place of registers and core."""
    return (
        "-O1", "-fno-pie",
        "-include", str(TESTS_C / "bus/bus.h"), "-include", str(MODELS / "cortexm.h"),
        *(f"-I{PORTS / folder}" for folder in (*folders, "cortexm")),
    )  # fmt: skip


def build(name: str, usart: int) -> Path:
    """Return the ring and the USART's driver of a family, over the models."""
    config, family = FAMILIES[name]
    files = [
        MODELS / "receive.c", MODELS / "far_end.c", MODELS / "dma_model.c",
        *(PORTS / family).glob("dma.c"), PORTS / "stm32/usart.c", PORTS / "cortexm/receive.c",
    ]  # fmt: skip
    defines = (f"-D{name.upper()}", f"-DBOARD_USART={usart}", f"-I{MODELS}", "-no-pie")
    return compile_program(
        f"receive_{name}_{usart}", files, (*flags(config, family, "stm32"), *defines)
    )


def build_uarte() -> Path:
    """Return the ring and the UARTE's driver, which call the model at each volatile access."""
    here = flags("nrf52")
    calls = ("-c", "-fsanitize=thread", "--param=tsan-distinguish-volatile=1",
             "--param=tsan-instrument-func-entry-exit=0")  # fmt: skip
    objects = [
        compile_program("driver.o", [source], (*here, *calls), "gcc")
        for source in (PORTS / "nrf52/uarte.c", PORTS / "cortexm/receive.c")
    ]
    models = [MODELS / "uarte.c", MODELS / "far_end.c"]
    return compile_program(
        "receive_uarte", [*models, *objects], (*here, f"-I{MODELS}", "-no-pie"), "gcc"
    )


def said(*command: str | Path) -> str:
    """Return what a program prints."""
    return subprocess.run(
        command, capture_output=True, text=True, timeout=300, check=False
    ).stdout  # fmt: skip


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("usart", [1, 2])
@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("stm32f100", "interrupt"), ("stm32f103", "dma"), ("stm32f103", "interrupt"),
        ("stm32f4", "dma"), ("stm32f4", "interrupt"), ("stm32l4", "dma"), ("stm32l4", "interrupt"),
    ],
)  # fmt: skip
def test_every_byte_of_a_window_comes_out_once_and_in_order(
    name: str, how: str, usart: int, seed: int
) -> None:
    assert said(build(name, usart), how, str(seed)) == "1 gave up\n"


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5, 6])
def test_every_byte_comes_out_though_it_looks_like_a_free_place(seed: int) -> None:
    assert said(build_uarte(), str(seed)) == "1 gave up\n"
