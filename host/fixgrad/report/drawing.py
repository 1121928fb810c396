"""Matplotlib figures as text: inline SVG that follows the page's colours, SVG and PNG files."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.image import imsave
from numpy.typing import NDArray


@dataclass(frozen=True)
class Palette:
    """Colours of a figure, as #rrggbb.

    Attributes:
        ink, muted, grid: text, secondary text and axes, lines of the grid.
        series: one colour a line; the first is the device, the second the float network.
    """

    ink: str
    muted: str
    grid: str
    series: tuple[str, ...]


PAPER = Palette(
    "#1d2530", "#5c6877", "#dfe4ea",
    ("#1f6feb", "#c2570c", "#15803d", "#8b3fc7", "#b0233e", "#0f766e"),
)
"""For files: on white."""

PAGE = Palette(
    "#010203", "#010204", "#010205",
    ("#010301", "#010302", "#010303", "#010304", "#010305", "#010306"),
)
"""Stands for the page's own colours: `inline_svg` puts its CSS variables in their place."""

_VARIABLES = {
    PAGE.ink: "--ink", PAGE.muted: "--muted", PAGE.grid: "--grid",
    **{colour: f"--series-{number}" for number, colour in enumerate(PAGE.series, 1)},
}


def new_figure(
    palette: Palette, rows: int, columns: int, width: float, height: float
) -> tuple[Figure, list[Axes]]:
    """Return a figure of panels, transparent, in a palette.

    Args:
        palette: its colours.
        rows: panels below each other.
        columns: panels beside each other.
        width: of the figure, in inches.
        height: the same.
    """
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.patch.set_alpha(0)
    axes = [figure.add_subplot(rows, columns, i + 1) for i in range(rows * columns)]
    for ax in axes:
        ax.patch.set_alpha(0)
        for name, spine in ax.spines.items():
            spine.set_visible(name in ("left", "bottom"))
            spine.set_color(palette.muted)
        ax.tick_params(colors=palette.muted, labelsize=8)
        ax.xaxis.label.set_color(palette.muted)
        ax.yaxis.label.set_color(palette.muted)
        ax.xaxis.label.set_fontsize(8)
        ax.yaxis.label.set_fontsize(8)
        ax.title.set_color(palette.ink)
    return figure, axes


def head(ax: Axes, palette: Palette, title: str, *, grid: bool = True) -> None:
    """Give a panel its title, and a grid behind its lines."""
    ax.set_title(title, loc="left", fontsize=9, color=palette.ink)
    if grid:
        ax.grid(axis="y", color=palette.grid, linewidth=0.8)
        ax.set_axisbelow(True)


def legend(ax: Axes, palette: Palette) -> None:
    """Show the names of a panel's lines."""
    ax.legend(frameon=False, fontsize=8, labelcolor=palette.ink)


def shades(colour: str) -> LinearSegmentedColormap:
    """Return a scale from transparent to a colour: it suits light and dark grounds."""
    red, green, blue = mpl.colors.to_rgb(colour)
    return LinearSegmentedColormap.from_list(
        "shades", [(red, green, blue, 0.0), (red, green, blue, 1.0)]
    )


def two_sided() -> LinearSegmentedColormap:
    """Return a scale from orange over transparent (0) to blue, for signed values."""
    return LinearSegmentedColormap.from_list(
        "two sided",
        [(0.85, 0.42, 0.1, 1.0), (0.6, 0.6, 0.6, 0.0), (0.2, 0.5, 0.95, 1.0)],
    )


def file_bytes(figure: Figure, kind: str) -> bytes:
    """Return a figure as a file of a kind, "svg" or "png"; the same bytes every time."""
    buffer = io.BytesIO()
    metadata = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "fixgrad"}):
        figure.savefig(
            buffer, format=kind, metadata=metadata, dpi=160,
            facecolor="none" if kind == "svg" else "white",
        )
    return buffer.getvalue()


def inline_svg(figure: Figure, name: str, label: str) -> str:
    """Return a figure in `PAGE` as an element of a page.

    Args:
        figure: the figure.
        name: makes its identifiers differ from those of other figures.
        label: says what it shows to those who cannot see it.
    """
    text = file_bytes(figure, "svg").decode()
    text = text[text.index("<svg"):]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'<style type="text/css">.*?</style>', "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', text)
    text = re.sub(r'(href="|url\()#([^")]+)', rf"\1#{name}-\2", text)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    text = re.sub(r'<svg [^>]*?viewBox="([^"]+)"[^>]*>', _opening(label), text, count=1)
    return text


def _opening(label: str) -> str:
    return (
        r'<svg class="figure" role="img" aria-label="' + label + r'" viewBox="\1" '
        r'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
    )


def picture(values: NDArray[np.generic], low: float, high: float) -> str:
    """Return grey values [rows, columns] as a data URI of a PNG file."""
    buffer = io.BytesIO()
    imsave(buffer, np.asarray(values, np.float64), cmap="gray", vmin=low, vmax=high, format="png")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
