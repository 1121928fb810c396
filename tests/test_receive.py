"""Reception of the STM32 ports on strict models of USART and DMA, at every moment of a byte."""

import subprocess
from pathlib import Path

import pytest
from core_library import CORE, TESTS_C, compile_program

# The model of both families, the folder that configures the link, and that of the driver.
FAMILIES = {
    "stm32f103": ("stm32f103", "stm32f1"),
    "stm32f4": ("stm32f4", "stm32f4"),
    "stm32l4": ("stm32l4", "stm32l4"),
}


def build(name: str, usart: int) -> Path:
    """Return the ring and the USART's driver of a family, over the models."""
    config, family = FAMILIES[name]
    ports, models = CORE.parent / "ports", TESTS_C / "receive"
    files = [
        models / "receive.c", models / "dma_model.c", *(ports / family).glob("dma.c"),
        ports / "stm32/usart.c", ports / "cortexm/receive.c",
    ]  # fmt: skip
    folders = (models, ports / config, ports / family, ports / "stm32", ports / "cortexm")
    flags = (
        "-O1", "-fno-pie", "-no-pie", f"-D{name.upper()}", f"-DBOARD_USART={usart}",
        "-include", str(TESTS_C / "bus/bus.h"), "-include", str(models / "cortexm.h"),
        *(f"-I{folder}" for folder in folders),
    )  # fmt: skip
    return compile_program(f"receive_{name}_{usart}", files, flags)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("usart", [1, 2])
@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("stm32f103", "dma"), ("stm32f103", "interrupt"), ("stm32f4", "dma"),
        ("stm32f4", "interrupt"), ("stm32l4", "interrupt"),
    ],
)  # fmt: skip
def test_every_byte_of_a_window_comes_out_once_and_in_order(
    name: str, how: str, usart: int, seed: int
) -> None:
    done = subprocess.run(
        [build(name, usart), how, str(seed)],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.stdout == "1 gave up\n"
