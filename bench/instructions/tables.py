"""The tables that people read: on a terminal, and in docs/BENCHMARKS.md."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.instructions.measuring import Row
from bench.machines import ROOT

DOCUMENT = ROOT / "docs" / "BENCHMARKS.md"
BEGIN, END = "<!-- bench.instructions: begin -->", "<!-- bench.instructions: end -->"

GOALS = {
    "m0": (4.0, 3.4),
    "m3": (2.4, 2.1),
    "m4": (1.2, 0.93),
    "m7": (1.2, 0.93),
    "m33": (1.2, 0.93),
    "m55": (0.65, 0.36),
}
"""Instructions a multiply-accumulate of N1 and N2."""
GOAL_NETS = ("N1", "N2")
PHASES = ("pack", "forward", "loss", "backward", "update", "end")

Table = tuple[str, list[str], list[list[str]]]


def tables(rows: Sequence[Row]) -> list[Table]:
    """Return title, heads and cells of every table."""
    return [_goals(rows), _phases(rows), _textbooks(rows), _memory(rows)]


def in_columns(title: str, heads: list[str], cells: list[list[str]]) -> str:
    """Return a table in columns, numbers to the right of the first."""
    widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if index else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in (heads, *cells)
    ]
    return "\n".join([title, *lines])


def text(rows: Sequence[Row]) -> str:
    """Return the tables in columns."""
    return "\n\n".join(in_columns(*table) for table in tables(rows))


def markdown(rows: Sequence[Row]) -> str:
    """Return the tables in Markdown."""
    parts = []
    for title, heads, cells in tables(rows):
        lines = [heads, ["---"] + ["---:"] * (len(heads) - 1), *cells]
        table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        parts.append(f"### {title}\n{table}")
    return "\n\n".join(parts)


def document(rows: Sequence[Row], path: Path = DOCUMENT) -> str:
    """Return the document with the tables between its markers.

    Raises:
        ValueError: it has no markers.
    """
    head, begin, rest = path.read_text("utf-8").partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path} has no lines {BEGIN} and {END}")
    return f"{head}{begin}\n{markdown(rows)}\n{end}{tail}"


def goal(row: Row) -> float | None:
    """Return the goal of a row, if it has one."""
    return GOALS[row["core"]][GOAL_NETS.index(row["net"])] if row["net"] in GOAL_NETS else None


def _goals(rows: Iterable[Row]) -> Table:
    heads = ["core, net", "batch", "goal", "instructions per MAC", "with a digest"]
    cells = []
    for row in rows:
        limit = goal(row)
        cells.append([
            _name(row),
            str(row["batch"]),
            "" if limit is None else f"{limit:g}",
            f"{row['instructions_per_mac']:.3f}",
            f"{row['instructions_per_mac_with_digest']:.3f}",
        ])  # fmt: skip
    return "A whole training step", heads, cells


def _phases(rows: Iterable[Row]) -> Table:
    heads = ["core, net", "instructions", *PHASES, "digest"]
    cells = [
        [
            _name(row),
            f"{row['instructions']:,}",
            *(f"{row['phases'][phase]:,}" for phase in PHASES),
            f"{row['digest']:,}",
        ]
        for row in rows
    ]
    return "Instructions by phase", heads, cells


def _textbooks(rows: Iterable[Row]) -> Table:
    heads = ["core, net", "fixgrad", "float32", "ratio", "int16", "ratio"]
    cells = []
    for row in rows:
        ours = row["instructions_per_mac"]
        line = [_name(row), f"{ours:.3f}"]
        for kind in ("float32", "int16"):
            theirs = row[f"{kind}_instructions_per_mac"]
            line += [f"{theirs:.2f}", f"{theirs / ours:.1f}"]
        cells.append(line)
    return "Against textbook trainers", heads, cells


def _memory(rows: Iterable[Row]) -> Table:
    heads = ["core, net", "RAM", "float32 RAM", "int16 RAM", "stack", "flash"]
    names = ("ram", "float32_ram", "int16_ram", "stack", "flash")
    cells = [[_name(row), *(f"{row[name]:,}" for name in names)] for row in rows]
    return "Memory in bytes", heads, cells


def _name(row: Row) -> str:
    return f"{row['core']} {row['net']}"
