"""The tables that people read: on a terminal, and in docs/BENCHMARKS.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
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
PROTOTYPE = {
    "m0": (3.87, 3.32),
    "m3": (2.39, 2.11),
    "m4": (1.10, 0.885),
    "m7": (1.10, 0.885),
    "m33": (1.10, 0.885),
    "m55": (0.59, 0.353),
}
"""Measured with simplified arithmetic before the goals were set."""
AIFES = {
    "m0": ((259.0, 257.0), (292.0, 282.0)),
    "m3": ((118.0, 116.0), (136.0, 130.0)),
    "m4": ((12.95, 12.26), (20.9, 20.1)),
    "m55": ((11.65, 10.70), (19.2, 18.1)),
}
"""AIfES 2.2.0 in float32, N1 and N2: the whole batch at once, and as in its examples. Measured
earlier, with the same method, compiler and emulator."""
FORWARD_M4 = {
    "CMSIS-NN, 8 bits": (2.70, 1.94),
    "CMSIS-NN, 16 bits": (3.27, 2.84),
    "CMSIS-DSP, q15": (3.77, 3.52),
}
"""The first layer forward of N1 and N2 on the M4, measured as the figures before."""
GOAL_NETS = ("N1", "N2")
LIKE_M4 = ("m7", "m33")
"""Cores that run nearly the same code as the M4."""
CLASSES = ("load", "store", "multiply", "saturate", "shift", "branch", "other")
UNIT_WORK = {
    "errors normalised": ("norm", "mlp_backward", "mlp_scale", "vector_mve"),
    "activation": ("activation", "mlp_forward"),
    "biases, exponents": ("mlp_update", "fixed"),
}
"""C files by what they do once a unit. On the M55 vector_mve does the other work, too."""
SOFTMAX = ("loss", "functions", "divide", "libgcc")
SHOWN = 0.02
"""Share of a step from which a file is shown."""
PHASES = ("pack", "forward", "loss", "backward", "update", "end")

Table = tuple[str, list[str], list[list[str]]]


def tables(rows: Sequence[Row]) -> list[Table]:
    """Return title, heads and cells of every table."""
    counted = [row for row in rows if "files" in row]
    classes = [_classes(counted), _units(counted)] if counted else []
    return [
        _goals(rows),
        _phases(rows),
        *classes,
        _textbooks(rows),
        _others(rows),
        _forward(rows),
        _memory(rows),
    ]


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
    return _of_net(row, GOALS[row["core"]])


def _of_net(row: Row, figures: tuple[float, float]) -> float | None:
    """Return the figure of the row's net, of those of N1 and N2."""
    return figures[GOAL_NETS.index(row["net"])] if row["net"] in GOAL_NETS else None


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _goals(rows: Iterable[Row]) -> Table:
    heads = ["core, net", "batch", "prototype", "goal", "instructions per MAC", "with a digest"]
    cells = [
        [
            _name(row),
            str(row["batch"]),
            _figure(_of_net(row, PROTOTYPE[row["core"]])),
            _figure(goal(row)),
            f"{row['instructions_per_mac']:.3f}",
            f"{row['instructions_per_mac_with_digest']:.3f}",
        ]
        for row in rows
    ]
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


def _classes(rows: Iterable[Row]) -> Table:
    """Return the classes of the whole step, and of its files where it is above its goal."""
    heads = ["core, net, file", "instructions per MAC", *CLASSES]
    cells = []
    for row in rows:
        files, macs = row["files"], row["macs"]
        whole = Counter[str]()
        for counts in files.values():
            whole.update(counts)
        cells.append(_class_line(_name(row), whole, macs))
        limit = goal(row)
        if limit is None or row["instructions_per_mac"] <= limit or row["core"] in LIKE_M4:
            continue
        large = {name: c for name, c in files.items() if sum(c.values()) >= SHOWN * whole.total()}
        cells += [_class_line(f"· {name}", Counter(c), macs) for name, c in large.items()]
    return "Instructions per MAC by class, and by file where a goal is missed", heads, cells


def _units(rows: Iterable[Row]) -> Table:
    heads = [
        "core, net", "kernels per MAC", "MACs per unit", *UNIT_WORK, "softmax per logit",
        "all else per MAC",
    ]  # fmt: skip
    cells = []
    for row in rows:
        if row["core"] in LIKE_M4:
            continue
        files = {name: sum(counts.values()) for name, counts in row["files"].items()}
        units = row["batch"] * sum(row["layers"][1:])
        kernels = sum(count for name, count in files.items() if name.startswith("kernels_"))
        softmax = _in_files(files, SOFTMAX)
        work = [_in_files(files, names) for names in UNIT_WORK.values()]
        rest = sum(files.values()) - kernels - softmax - sum(work)
        cells.append([
            _name(row),
            f"{kernels / row['macs']:.3f}",
            f"{row['macs'] / units:.0f}",
            *(f"{count / units:.1f}" for count in work),
            f"{softmax / (row['batch'] * row['layers'][-1]):.1f}",
            f"{rest / row['macs']:.3f}",
        ])  # fmt: skip
    return "Instructions per unit: one output of one sample", heads, cells


def _in_files(files: Mapping[str, int], names: Iterable[str]) -> int:
    return sum(files.get(name, 0) for name in names)


def _class_line(name: str, counts: Counter[str], macs: int) -> list[str]:
    shares = [f"{counts[c] / macs:.3f}" for c in CLASSES]
    return [name, f"{counts.total() / macs:.3f}", *shares]


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


def _others(rows: Iterable[Row]) -> Table:
    heads = ["core, net", "fixgrad", "whole batch", "ratio", "as in its examples", "ratio"]
    cells = []
    for row in rows:
        if row["core"] not in AIFES or row["net"] not in GOAL_NETS:
            continue
        ours = row["instructions_per_mac"]
        line = [_name(row), f"{ours:.3f}"]
        for figures in AIFES[row["core"]]:
            theirs = figures[GOAL_NETS.index(row["net"])]
            line += [f"{theirs:g}", f"{theirs / ours:.1f}"]
        cells.append(line)
    return "Against AIfES 2.2.0, float32", heads, cells


def _forward(rows: Iterable[Row]) -> Table:
    heads = ["net", "fixgrad", *FORWARD_M4]
    cells = []
    for row in rows:
        if row["core"] != "m4" or row["net"] not in GOAL_NETS:
            continue
        n0, n1 = row["layers"][:2]
        ours = row["parts"]["forward0"] / (row["batch"] * n0 * n1)
        theirs = [f"{figures[GOAL_NETS.index(row['net'])]:g}" for figures in FORWARD_M4.values()]
        cells.append([row["net"], f"{ours:.3f}", *theirs])
    return "First layer forward on the M4, activation included", heads, cells


def _memory(rows: Iterable[Row]) -> Table:
    heads = ["core, net", "RAM", "float32 RAM", "int16 RAM", "stack", "flash"]
    names = ("ram", "float32_ram", "int16_ram", "stack", "flash")
    cells = [[_name(row), *(f"{row[name]:,}" for name in names)] for row in rows]
    return "Memory in bytes", heads, cells


def _name(row: Row) -> str:
    return f"{row['core']} {row['net']}"
