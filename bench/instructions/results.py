"""The checked-in counts: bench/instructions/expected.json, one row a line."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path

from bench.instructions.measuring import Row
from bench.machines import COMPILER

EXPECTED = Path(__file__).with_name("expected.json")
GROWTH_MAX = 0.005
COUNTS = ("instructions", "digest")
EXACT_TO = 4
"""Instructions: a tick of the counter, rounded up."""


def compiler() -> str:
    """Return the compiler's version."""
    command = [COMPILER, "-dumpfullversion"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def load() -> tuple[str, list[Row]]:
    """Return the compiler that was used, and the rows."""
    stored = json.loads(EXPECTED.read_text())
    return stored["compiler"], stored["rows"]


def save(rows: Iterable[Row]) -> None:
    """Replace the rows of the same core and network; keep the others."""
    new = {(row["core"], row["net"]): row for row in rows}
    old = load()[1] if EXPECTED.exists() else []
    merged = {(row["core"], row["net"]): row for row in old} | new
    lines = ",\n".join(json.dumps(row) for row in merged.values())
    EXPECTED.write_text(f'{{"compiler": "{compiler()}", "rows": [\n{lines}\n]}}\n')


def grown(rows: Iterable[Row]) -> list[str]:
    """Return what needs more instructions than the checked-in counts allow, a line each."""
    expected = {(row["core"], row["net"]): row for row in load()[1]}
    found = []
    for row in rows:
        before = expected[row["core"], row["net"]]
        for name in COUNTS:
            if row[name] > before[name] * (1 + GROWTH_MAX) + EXACT_TO:
                found.append(
                    f"{row['core']} {row['net']}: {name} grew from {before[name]:,} to "
                    f"{row[name]:,}"
                )
    return found
