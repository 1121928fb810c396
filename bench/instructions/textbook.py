"""The yardsticks of bench/firmware/textbook_*.c, built as fast as the compiler can."""

from __future__ import annotations

from dataclasses import dataclass

from bench.instructions.nets import Net
from bench.machines import MACHINES, SOURCES, build_files, run

KINDS = ("float32", "int16")
STEPS = 2
FLAGS = ("-O3", "-ffp-contract=fast")
"""Contraction, the default of GNU C, makes one instruction of a multiply and an add."""
_FLOAT_UNITS = {
    "m4": ("-mfpu=fpv4-sp-d16", "-mfloat-abi=hard"),
    "m7": ("-mfpu=fpv5-sp-d16", "-mfloat-abi=hard"),
    "m33": ("-mfpu=fpv5-sp-d16", "-mfloat-abi=hard"),
    "m55": ("-mfloat-abi=hard",),
}
"""The other cores have none: the compiler's library calculates."""


@dataclass(frozen=True)
class Textbook:
    """What a yardstick did.

    Attributes:
        instructions: of its last step.
        ram: bytes of weights, gradients and rows.
        right_before, right_after: samples of its first and last batch that it classified right.
    """

    instructions: int
    ram: int
    right_before: int
    right_after: int


def count(core: str, net: Net, kind: str, steps: int = STEPS) -> Textbook:
    """Train `steps` batches with a yardstick and count the last one."""
    machine = MACHINES[core]
    files = [SOURCES / name for name in (f"textbook_{kind}.c", "textbook.c", "runtime.c")]
    flags = [*FLAGS, *_FLOAT_UNITS.get(core, ())]
    image = build_files(machine, f"textbook_{kind}", files, flags)
    ((ticks, *rest),) = run(machine, image, [net.textbook_job(steps)])
    return Textbook(round(int(ticks) * machine.tick_ns), *map(int, rest))
