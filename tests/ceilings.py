"""Memory that the images may take: the one table, for every board."""

from typing import NamedTuple


class Ceiling(NamedTuple):
    """Bytes that an image may take, and the batch of 64-32-10 that its board must have room for.

    Attributes:
        flash: code, constants and initial values.
        variables: RAM of variables, without stack and arena.
        stack: deepest use without interrupts.
        batch: samples.
    """

    flash: int
    variables: int
    stack: int
    batch: int


CEILINGS = {
    "disco_f100rb": Ceiling(16512, 880, 568, 8),
    "bluepill_f103c8": Ceiling(19200, 2880, 704, 16),
    "nucleo_f103rb": Ceiling(19200, 2880, 704, 16),
    "olimex_p405": Ceiling(22912, 5400, 704, 16),
    "disco_f407vg": Ceiling(22912, 5400, 704, 16),
    "nucleo_f401re": Ceiling(22912, 5400, 704, 16),
    "nucleo_f411re": Ceiling(22912, 5400, 704, 16),
    "nucleo_f446re": Ceiling(22912, 5400, 704, 16),
    "blackpill_f411ce": Ceiling(22912, 5400, 704, 16),
    "nucleo_l476rg": Ceiling(22912, 5400, 704, 16),
    "bbcmicrobit": Ceiling(19712, 2408, 896, 16),
    "bbcmicrobit_v2": Ceiling(22592, 5400, 704, 16),
    "nrf52_dk": Ceiling(22592, 5400, 704, 16),
    "nrf52840_dk": Ceiling(22592, 5400, 704, 16),
    "mps2_an385": Ceiling(16384, 5400, 704, 16),
    "mps2_an386": Ceiling(18496, 5400, 704, 16),
    "mps2_an500": Ceiling(18496, 5400, 704, 16),
    "mps2_an505": Ceiling(19584, 5400, 704, 16),
    "mps3_an547": Ceiling(21824, 5400, 1024, 16),
}

TRAINER_FLASH = {"m0": 16384, "m3": 16384}
"""Flash of trainer and link by core, without a board's own code and its store of checkpoints."""
