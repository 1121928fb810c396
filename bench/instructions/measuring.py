"""One core and network measured: instructions by phase and layer, RAM, stack, flash."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fixgrad.images import read_image
from fixgrad.planner import plan
from fixgrad.protocol import Phase

from bench.instructions import textbook
from bench.instructions.nets import Net
from bench.machines import CORE, LIBRARY, MACHINES, ROOT, SOURCES, Machine, build, build_files, run

SHIFT = 4
"""A tick is 2 to 3 instructions, and SysTick's 24 bits hold a step of 30 million."""

Row = dict[str, Any]


def measure(core: str, net: Net) -> Row:
    """Return the counts of one core and network.

    Returns:
        core, net, layers, batch, macs; instructions of the whole step, and with the digest that an
        acknowledgement may ask for behind it; the step's counts by phase and by phase and layer;
        RAM of the model and its batch, deepest stack, flash of the firmware without a board's own
        code, in bytes.
    """
    machine, job, config = MACHINES[core], net.job(), net.config()
    (_, _, ticks), (_, _, stack) = run(machine, build(machine, "count.c"), [job], SHIFT)
    instructions = _instructions(machine, ticks)
    parts = _parts(machine, job)
    digest = parts.pop("digest0")
    return {
        "core": core,
        "net": net.name,
        "layers": net.layers,
        "batch": net.batch,
        "macs": net.macs,
        "instructions": instructions,
        "instructions_per_mac": round(instructions / net.macs, 4),
        "digest": digest,
        "instructions_per_mac_with_digest": round((instructions + digest) / net.macs, 4),
        "phases": _by_phase(parts),
        "parts": parts,
        "ram": plan(config).arena_bytes,
        "stack": int(stack),
        "flash": flash_bytes(core),
    }


def measure_textbooks(core: str, net: Net) -> Row:
    """Return instructions a multiply-accumulate and RAM of the yardsticks, and ratios to ours."""
    row: Row = {}
    for kind in textbook.KINDS:
        done = textbook.count(core, net, kind)
        row[f"{kind}_instructions_per_mac"] = round(done.instructions / net.macs, 4)
        row[f"{kind}_ram"] = done.ram
    return row


def flash_bytes(core: str) -> int:
    """Return the code and constants of the whole firmware, without a board's own code."""
    return read_image(firmware_image(core)).flash_bytes


def firmware_image(core: str) -> Path:
    """Return the image of the whole firmware with a port that does nothing, and no store."""
    own = [ROOT / "firmware" / "main.c", SOURCES / "bare_port.c", *LIBRARY]
    files = [*own, *sorted(CORE.glob("*.[cS]"))]
    return build_files(MACHINES[core], "firmware", files)


def _parts(machine: Machine, job: bytes) -> dict[str, int]:
    """Return the instructions of every phase and layer, in the order they run."""
    lines = run(machine, build(machine, "count.c", ["-DPROFILE"]), [job], SHIFT)
    return {
        f"{Phase(int(phase)).name.lower()}{layer}": _instructions(machine, ticks)
        for phase, layer, ticks in lines
    }


def _by_phase(parts: dict[str, int]) -> dict[str, int]:
    phases: dict[str, int] = {}
    for part, count in parts.items():
        name = part.rstrip("0123456789")
        phases[name] = phases.get(name, 0) + count
    return phases


def _instructions(machine: Machine, ticks: str) -> int:
    return round(int(ticks) * machine.tick_ns / 2**SHIFT)
