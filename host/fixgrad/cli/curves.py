"""Curves made of characters, for terminals."""

from __future__ import annotations

from collections.abc import Sequence

WIDTH, ROWS = 28, 5
_EIGHTHS = " ▁▂▃▄▅▆▇█"


def curve(title: str, values: Sequence[float], width: int = WIDTH, rows: int = ROWS) -> list[str]:
    """Draw values as columns over the lowest of them, with the range beside them.

    Args:
        title: stands above.
        values: in their order, at least one: each as wide as there is room for, or one of several
            where there are more than columns.
        width: columns.
        rows: lines of the drawing.

    Returns:
        `rows` + 1 lines of the same width.
    """
    shown = list(values)
    if len(shown) > width:
        shown = [shown[round(i * (len(shown) - 1) / (width - 1))] for i in range(width)]
    else:
        shown = [value for value in shown for _ in range(width // len(values))]
    low, high = min(shown), max(shown)
    span = high - low
    steps = 8 * rows - 1
    heights = [1 + round(steps * (value - low) / span) if span > 0 else 1 for value in shown]
    lines = [f"{title}  {values[-1]:.4g}"]
    for row in range(rows - 1, -1, -1):
        bars = "".join(_EIGHTHS[min(8, max(0, height - 8 * row))] for height in heights)
        label = high if row == rows - 1 else low if row == 0 else None
        lines.append(f"{bars:<{width}} " + ("" if label is None else f"{label:.4g}"))
    across = width + 10
    return [f"{line:<{across}}"[:across] for line in lines]


def beside(*drawings: Sequence[str]) -> str:
    """Return drawings of one height beside each other."""
    return "\n".join("  ".join(lines).rstrip() for lines in zip(*drawings, strict=True))
