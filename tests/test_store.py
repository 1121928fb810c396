"""Checkpoints in a board's flash, on a strict simulated flash whose power fails."""

import json
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
from core_library import CORE, TESTS_C, compile_program
from fixgrad.boards import BOARDS

HEADER_AND_SEAL = 64
CRC = 4


class Flash(NamedTuple):
    """Geometry of a bank, and the bytes that are programmed at once."""

    sector_bytes: int
    sectors: int
    unit: int

    @property
    def bank(self) -> int:
        """Bytes of a bank."""
        return self.sector_bytes * self.sectors


GEOMETRIES = {
    "nrf51": Flash(1024, 16, 4),
    "nrf52": Flash(4096, 16, 4),
    "nrf52840": Flash(4096, 32, 4),
    "stm32f103": Flash(1024, 16, 2),
    "stm32f1 high density": Flash(2048, 8, 2),
    "stm32f4": Flash(16384, 1, 4),
    "stm32f4 large": Flash(131072, 1, 4),
    "stm32l4": Flash(2048, 32, 8),
    "stm32h7": Flash(131072, 1, 32),
    "one record": Flash(1024, 1, 4),
}
BOARD_GEOMETRIES = {
    "bluepill_f103c8": "stm32f103",
    "nucleo_f103rb": "stm32f103",
    "olimex_p405": "stm32f4 large",
    "disco_f407vg": "stm32f4 large",
    "nucleo_f401re": "stm32f4 large",
    "nucleo_f411re": "stm32f4 large",
    "nucleo_f446re": "stm32f4 large",
    "blackpill_f411ce": "stm32f4 large",
    "nucleo_l476rg": "stm32l4",
    "bbcmicrobit": "nrf51",
    "bbcmicrobit_v2": "nrf52",
    "nrf52_dk": "nrf52",
    "nrf52840_dk": "nrf52840",
}
"""Of every board with a store: pages and units as its reference manual says."""

SMALL_NET = 5260
"""Bytes of model and state of 64-32-10."""


def build_power() -> Path:
    """Return the simulated flash with the store."""
    return compile_program(
        "store_power", [TESTS_C / "store_power.c", TESTS_C / "power.c", TESTS_C / "weak_flash.c",
                        CORE / "store.c", CORE / "crc32.c"], ("-O2", "-Wno-clobbered"),
    )  # fmt: skip


@pytest.fixture(scope="module")
def power() -> Path:
    return build_power()


def run(power: Path, flash: Flash, payload: int, saves: int, *rest: int) -> dict[str, int]:
    """Run a campaign; `rest` is the step between the cuts, the rounds and the wear-out."""
    arguments = map(str, (*flash, payload, saves, *rest))
    done = subprocess.run([power, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.args}: {done.stdout}"
    result: dict[str, int] = json.loads(done.stdout)
    return result


def test_every_board_with_a_store_has_its_geometry_here() -> None:
    stores = {board.name: board.store_bytes for board in BOARDS.values() if board.store_bytes}
    banks = {name: 2 * GEOMETRIES[kind].bank for name, kind in BOARD_GEOMETRIES.items()}
    assert banks == stores


@pytest.mark.parametrize("name", GEOMETRIES)
def test_newest_complete_checkpoint_survives_a_power_loss_at_every_operation(
    power: Path, name: str
) -> None:
    flash = GEOMETRIES[name]
    payload = min(1500, flash.bank - HEADER_AND_SEAL - CRC)
    result = run(power, flash, payload, 4, 1, 1, 0)
    assert result["kept"] == 4
    assert result["cuts"] == result["operations"]
    assert result["losses"] > 2 * result["cuts"]


@pytest.mark.parametrize("payload", [0, 1, 27, 28, 29, 60, 956])
def test_records_of_any_length_are_kept(power: Path, payload: int) -> None:
    assert run(power, Flash(1024, 1, 4), payload, 9, 1, 10, 0)["kept"] == 9


def test_a_record_larger_than_a_bank_is_refused(power: Path) -> None:
    assert run(power, Flash(1024, 1, 4), 957, 3, 1, 0, 0)["kept"] == 0


def test_wear_is_spread(power: Path) -> None:
    flash = GEOMETRIES["nrf51"]
    result = run(power, flash, SMALL_NET, 10_000, 1, 0, 0)
    record = HEADER_AND_SEAL + -(-(SMALL_NET + CRC) // 32) * 32
    assert result["kept"] == 10_000
    assert result["most_erases"] <= 10_000 // (flash.bank // record) // 2 + 1
    assert result["most_erases"] - result["least_erases"] <= 1


def test_worn_out_flash_keeps_the_newest_checkpoint_and_says_so(power: Path) -> None:
    # Three records of 1,096 bytes a bank until its last sector is worn, at the 48th erase; what no
    # longer fits behind the newest goes to the other bank: two records, one at the 49th, then none.
    result = run(power, Flash(1024, 4, 4), 1000, 10_000, 1, 0, 50)
    assert result["kept"] == 2 * (47 * 3 + 2 + 1)


# A chip's folder of ports, and that of its family's driver and model.
DRIVERS = {"nrf51": "nrf5", "nrf52": "nrf5", "stm32f1": "stm32f1", "stm32f4": "stm32f4",
           "stm32l4": "stm32l4"}  # fmt: skip


@pytest.fixture(params=DRIVERS)
def controller(request: pytest.FixtureRequest) -> Path:
    """The store over a port's driver and a strict model of its flash controller."""
    name = str(request.param)
    family = DRIVERS[name]
    ports = CORE.parent / "ports"
    bus = TESTS_C / "bus"
    files = [
        bus / "model.c", bus / f"{family}.c", ports / family / "flash.c", ports / "cortexm/banks.c",
        CORE / "store.c", CORE / "cache.c", CORE / "crc32.c",
    ]  # fmt: skip
    flags = (
        "-O1", f"-D{name.upper()}", "-DPORT_SAMPLES=1", "-include", str(bus / "bus.h"),
        f"-I{ports / 'cortexm'}", f"-I{ports / name}",
    )  # fmt: skip
    return compile_program(f"controller_{name}", files, flags)


@pytest.mark.parametrize(
    ("how", "kept"),
    [
        ("kept", "20 20"), ("protected", "3 3"), ("stuck", "3 3"),
        ("samples", "13 13 13 1 0"), ("stuck-samples", "2 0"),
    ],
)  # fmt: skip
def test_driver_obeys_its_flash_controller(controller: Path, how: str, kept: str) -> None:
    done = subprocess.run(
        [controller, how], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.stdout.strip() == kept
