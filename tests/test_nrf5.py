"""Registers that the images of nRF51 and nRF52 boards write at start, read from the images."""

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

# Addresses from Nordic's register descriptions (SVD): GPIO ports at 0x50000000 and 0x50000300,
# PIN_CNF at 0x700, OUTSET at 0x508; UART at 0x40002000, PSEL.TXD at 0x50C, PSEL.RXD at 0x514;
# NVMC.ICACHECNF at 0x4001E540. Pins from the boards' schematics.
WRITTEN = {
    "bbcmicrobit": [  # P0.24, P0.25
        (0x50000508, 1 << 24), (0x50000760, 3), (0x50000764, 0x0C),
        (0x4000250C, 24), (0x40002514, 25),
    ],
    "bbcmicrobit_v2": [  # P0.06, P1.08
        (0x4001E540, 1), (0x50000508, 1 << 6), (0x50000718, 3), (0x50000A20, 0x0C),
        (0x4000250C, 6), (0x40002514, 1 << 5 | 8),
    ],
    "nrf52_dk": [  # P0.06, P0.08
        (0x4001E540, 1), (0x50000508, 1 << 6), (0x50000718, 3), (0x50000720, 0x0C),
        (0x4000250C, 6), (0x40002514, 8),
    ],
    "nrf52840_dk": [
        (0x4001E540, 1), (0x50000508, 1 << 6), (0x50000718, 3), (0x50000720, 0x0C),
        (0x4000250C, 6), (0x40002514, 8),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", WRITTEN)
def test_image_writes_the_pins_of_the_board(built_image: Callable[[str], Path], name: str) -> None:
    image = built_image(name).with_suffix(".bin").read_bytes()
    places = [image.find(struct.pack("<II", *pair)) for pair in WRITTEN[name]]
    assert -1 not in places
    assert places == sorted(places)


def test_nrf51_leaves_the_register_alone_that_it_lacks(built_image: Callable[[str], Path]) -> None:
    image = built_image("bbcmicrobit").with_suffix(".bin").read_bytes()
    assert struct.pack("<I", 0x4001E540) not in image
