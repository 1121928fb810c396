"""The table of docs/ACCURACY.md."""

from __future__ import annotations

import statistics
from pathlib import Path

from bench.accuracy.results import Row
from bench.accuracy.tasks import TASKS, Task
from bench.accuracy.training import FLOAT, INTEGER

BEGIN, END = "<!-- bench.accuracy: begin -->", "<!-- bench.accuracy: end -->"


def table(rows: list[Row]) -> str:
    """Return the Markdown table of every task that both engines trained with the same seeds."""
    lines = [
        "| task | seeds | float32 | integer | integer − float32, paired |",
        "|---|---|---|---|---|",
    ]
    for task in TASKS.values():
        scores = paired(rows, task.name)
        if scores:
            lines.append(_line(task, scores))
    return "\n".join(lines)


def paired(rows: list[Row], task: str) -> list[tuple[float, float]]:
    """Return (float32, integer) of every seed that both engines trained."""
    by_engine: dict[str, dict[int, float]] = {FLOAT: {}, INTEGER: {}}
    for row in rows:
        if row["task"] == task:
            by_engine[row["engine"]][row["seed"]] = row["score"]
    both = sorted(by_engine[FLOAT].keys() & by_engine[INTEGER].keys())
    return [(by_engine[FLOAT][seed], by_engine[INTEGER][seed]) for seed in both]


def spread(values: list[float]) -> str:
    """Return mean ± sample standard deviation."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.3f} ± {deviation:.3f}"


def rewrite(document: Path, text: str) -> None:
    """Replace what stands between the markers of a document.

    Raises:
        ValueError: the document has no markers.
    """
    old = document.read_text()
    head, begin, rest = old.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{document} has no lines {BEGIN} and {END}")
    document.write_text(f"{head}{begin}\n{text}\n{end}{tail}")


def _line(task: Task, scores: list[tuple[float, float]]) -> str:
    floats = [f for f, _ in scores]
    integers = [i for _, i in scores]
    differences = [i - f for f, i in scores]
    sign = "+" if statistics.mean(differences) >= 0 else ""
    return (
        f"| {title(task)} | {len(scores)} | {spread(floats)} | {spread(integers)} | "
        f"{sign}{spread(differences)} |"
    )


def title(task: Task) -> str:
    """Return what a task trains, in words."""
    parts = [
        f"{task.data} {'-'.join(map(str, task.layers))}",
        task.activation.name.lower(),
        f"batch {task.batch or 'all'}",
        f"rate {task.learning_rate:g} {task.schedule}",
        f"{task.epochs} epochs",
    ]
    if task.headroom != Task.headroom:
        parts.append(f"headroom {task.headroom:g}")
    if task.widen:
        parts.append("widening")
    if task.decay_every:
        parts.append(f"decay 2^-{task.decay_shift} every {task.decay_every} steps")
    if task.clip is not None:
        parts.append(f"clip {task.clip}")
    if task.shift or task.drop:
        parts.append(f"samples varied (shift {task.shift}, drop {task.drop}/256)")
    return ", ".join(parts)
