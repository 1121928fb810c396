"""Write docs/TROUBLESHOOTING.md from `fixgrad.doctor`; --check only compares."""

from __future__ import annotations

import sys
from pathlib import Path

from fixgrad.doctor import KINDS, Kind, Level
from generated import write_or_check

PAGE = Path(__file__).parents[1] / "docs" / "TROUBLESHOOTING.md"
HEAD = """# Troubleshooting

    fixgrad doctor --port URL
    fixgrad doctor DIR

Both take `--json`. Given a port, the doctor looks at it before it opens it: permission, who holds
it, ModemManager, the USB adapter's latency timer. Then it asks the board: identity and versions,
memory for a model, round trip, and 150 messages of no known type, whose answers show damage in
either direction; with `--baud` all that at the speed that training would have. No message changes
what the board holds. A silent serial port is tried at other speeds, and an answering one is opened
a second time to see whether that resets the board. On qemu:// it also tells how much of the stack
was never used; a real board does not tell (`tests/test_stack.py` measures every image).

Given the folder of a run, the NumPy reference computes the run again, bit for bit as its digests
show, and looks inside (FG6xx): clamps, updates that vanish, dead units, range of the weights,
losses, and a float64 network from the same start in the same order. It keeps what it found in
DIR/history.npz.

A finding has a code, a cause and the next step. An error sets the exit code; warnings leave it 0.

Written from `host/fixgrad/doctor.py` by `tools/generate_troubleshooting.py`.
"""
TABLE = ("| code | | exit code |", "|---|---|---|")


def section(kind: Kind) -> str:
    """Return the section of one code."""
    what = "error" if kind.level is Level.ERROR else "warning"
    return (
        f"## {kind.code}: {kind.title}\n({what}) **Cause.** {kind.cause}\n\n"
        f"**Next.** {kind.next_step}\n"
    )


def render() -> str:
    """Return the page."""
    rows = [f"| {k.code} | {k.title} | {k.exit_code} |" for k in KINDS.values()]
    return "\n".join([HEAD, *TABLE, *rows, "", *map(section, KINDS.values())])


if __name__ == "__main__":
    sys.exit(write_or_check(PAGE, render()))
