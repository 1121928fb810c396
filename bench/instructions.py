"""Executed instructions of one training step on every core, counted in QEMU.

    python -m bench.instructions [--json] [--update]

Compares with bench/instructions.json and fails where a count grew by more than 0.5 %; --update
writes that file anew.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from fixgrad.planner import plan

from bench.machines import MACHINES, build, run
from bench.nets import NETS, Net

EXPECTED = Path(__file__).with_suffix(".json")
GROWTH_MAX = 0.005
Row = dict[str, object]


def measure(core: str, net: Net) -> Row:
    """Return the counts of one core and network.

    Returns:
        core, net, batch, macs, instructions_per_mac, instructions of the whole step, counts by
        phase and layer, RAM of the model and deepest stack in bytes.
    """
    machine = MACHINES[core]
    lines = run(machine, build(machine, "count.c"), [net.job()])
    ticks = {(name, int(layer)): int(count) for name, layer, count in lines}
    instructions = round(ticks.pop(("step", 0)) * machine.instructions_per_tick)
    stack = ticks.pop(("stack", 0))
    phases = {
        f"{name}{layer}": round(count * machine.instructions_per_tick)
        for (name, layer), count in ticks.items()
    }
    return {
        "core": core,
        "net": net.name,
        "batch": net.batch,
        "macs": net.macs,
        "instructions_per_mac": round(instructions / net.macs, 4),
        "instructions": instructions,
        "phases": phases,
        "ram": plan(net.config()).arena_bytes,
        "stack": stack,
    }


def grown(rows: list[Row]) -> list[str]:
    """Return what needs more instructions than the checked-in figures allow."""
    expected = {(r["core"], r["net"]): r["instructions"] for r in json.loads(EXPECTED.read_text())}
    found = []
    for row in rows:
        before, now = expected[row["core"], row["net"]], row["instructions"]
        assert isinstance(now, int)
        # A count is exact to two ticks of 50 instructions.
        if now > before * (1 + GROWTH_MAX) + 100:
            found.append(f"{row['core']} {row['net']}: {before} instructions became {now}")
    return found


def main(arguments: list[str]) -> int:
    """Count, print, compare."""
    rows = [measure(core, net) for core in MACHINES for net in NETS.values()]
    if "--update" in arguments:
        EXPECTED.write_text(json.dumps(rows, indent=1) + "\n")
    if "--json" in arguments:
        print(json.dumps(rows, indent=1))
    else:
        print("instructions per MAC".ljust(22), *(name.rjust(10) for name in NETS))
        for core in MACHINES:
            figures = [f"{r['instructions_per_mac']:10.3f}" for r in rows if r["core"] == core]
            print(core.ljust(22), *figures)
    problems = grown(rows)
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
