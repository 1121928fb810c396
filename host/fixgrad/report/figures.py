"""The figures of a report; each takes what it shows and a palette."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from fixgrad.history import History
from fixgrad.model import ModelConfig
from fixgrad.report.drawing import Palette, head, legend, new_figure, shades, two_sided

Reals = NDArray[np.float64]
_BINS = 48
_UNITS_MAX = 64
_HEAT = "#4a8df0"


def learning_curves(history: History, held: str, palette: Palette) -> Figure:
    """Draw training loss, held loss and held accuracy: the device and float64."""
    panels = [(history.train_loss, "training loss"), (history.held_loss, f"{held} loss")]
    if np.isfinite(history.held_accuracy).all():
        panels.append((history.train_accuracy * 100, "training accuracy, %"))
        panels.append((history.held_accuracy * 100, f"{held} accuracy, %"))
    figure, axes = new_figure(palette, len(panels) // 2, 2, 9, 2.5 * (len(panels) // 2))
    for ax, (values, title) in zip(axes, panels, strict=True):
        epochs = np.arange(len(values))
        ax.plot(epochs, values[:, 0], color=palette.series[0], linewidth=4, label="device")
        ax.plot(
            epochs, values[:, 1], color=palette.series[1], linewidth=1.8, linestyle=(0, (4, 3)),
            label="float64",
        )
        head(ax, palette, title)
        _epochs(ax)
    legend(axes[0], palette)
    return figure


def confusion(matrix: Sequence[Sequence[int]], names: Sequence[str], palette: Palette) -> Figure:
    """Draw a confusion matrix: rows are the truth, columns what the device said."""
    values = np.array(matrix, np.float64)
    size = max(3.2, 0.42 * len(names) + 1.4)
    figure, (ax,) = new_figure(palette, 1, 1, size, size)
    share = values / np.maximum(values.sum(axis=1, keepdims=True), 1)
    ax.imshow(share, cmap=shades(_HEAT), vmin=0, vmax=1)
    for row, column in np.argwhere(values > 0):
        ax.text(
            column, row, f"{int(values[row, column])}", ha="center", va="center", fontsize=8,
            color=palette.ink,
        )
    ax.set_xticks(range(len(names)), names, rotation=45 if len(max(names, key=len)) > 3 else 0)
    ax.set_yticks(range(len(names)), names)
    ax.set_xlabel("said")
    ax.set_ylabel("is")
    for spine in ax.spines.values():
        spine.set_visible(False)
    return figure


def predicted(
    truth: Reals, values: Reals, names: Sequence[str], palette: Palette
) -> Figure:
    """Draw predictions [N, outputs] over the truth, one panel an output, at most four."""
    count = min(4, len(names))
    figure, axes = new_figure(palette, 1, count, 3.4 * count, 3.2)
    for k, ax in enumerate(axes):
        ax.scatter(truth[:, k], values[:, k], s=9, color=palette.series[0], alpha=0.6, linewidths=0)
        ends = [float(truth[:, k].min()), float(truth[:, k].max())]
        ax.plot(ends, ends, color=palette.muted, linewidth=1, linestyle=(0, (4, 3)))
        head(ax, palette, names[k])
        ax.set_xlabel("is")
        ax.set_ylabel("said")
    return figure


def numbers(history: History, palette: Palette) -> Figure:
    """Draw clamps, lost updates and exponents, one line a layer."""
    figure, axes = new_figure(palette, 2, 3, 9, 4.6)
    epochs = np.arange(1, history.epochs + 1)
    shares = [
        (history.weights_clamped, "steps with clamped weights, %", 0),
        (history.activations_clamped, "activations clamped, %", 1),
        (history.lost, "updates that changed nothing, %", 0),
        (history.dead, "units with one value only, %", 1),
    ]
    for ax, (values, title, first) in zip(axes, shares, strict=False):
        for layer in range(first, values.shape[1]):
            colour = _colour(palette, layer - first)
            x = np.arange(len(values)) if len(values) > history.epochs else epochs
            ax.plot(x, 100 * values[:, layer], color=colour, label=f"layer {layer - first}")
        head(ax, palette, title)
        ax.set_ylim(0, max(1.0, ax.get_ylim()[1]))
        _epochs(ax)
    for ax, values, title, first in (
        (axes[4], history.weight_exponent, "exponent of weights", 0),
        (axes[5], history.activation_exponent, "exponent of activations", 1),
    ):
        for layer in range(first, values.shape[1]):
            ax.step(
                np.arange(len(values)), values[:, layer], where="post",
                color=_colour(palette, layer - first), label=f"layer {layer - first}",
            )
        head(ax, palette, title)
        low, high = ax.get_ylim()
        ax.set_ylim(low - 1, high + 1)
        ax.yaxis.set_major_locator(MaxNLocator(integer=True))
        _epochs(ax)
    legend(axes[0], palette)
    return figure


def distributions(history: History, config: ModelConfig, palette: Palette) -> Figure:
    """Draw how weights and activations of every layer spread over the epochs."""
    figure, axes = new_figure(
        palette, config.layer_count, 2, 9, 2.1 * config.layer_count
    )
    for layer in range(config.layer_count):
        limit = np.ldexp(2.0 ** config.weight_bits[layer], _ints(history.weight_exponent[:, layer]))
        _heat(axes[2 * layer], history.weights[:, layer], palette)
        _limits(axes[2 * layer], limit, palette)
        head(axes[2 * layer], palette, f"weights of layer {layer}", grid=False)
        values = history.activations[:, layer]
        _heat(axes[2 * layer + 1], values, palette)
        exponents = _ints(history.activation_exponent[:, layer])
        _limits(
            axes[2 * layer + 1], np.ldexp(float(config.activation_max[layer]), exponents), palette
        )
        what = "inputs" if layer == 0 else f"activations of layer {layer - 1}"
        head(axes[2 * layer + 1], palette, what, grid=False)
    return figure


def first_weights(weights: Reals, shape: tuple[int, int], palette: Palette) -> Figure:
    """Draw the weights of the first units as images, orange below 0, blue above.

    Args:
        weights: [units, rows * columns].
        shape: (rows, columns) of an image.
        palette: its colours.
    """
    rows, columns = shape
    shown = weights[:_UNITS_MAX]
    across = int(np.ceil(np.sqrt(2 * len(shown))))
    down = -(-len(shown) // across)
    mosaic = np.full((down * (rows + 1), across * (columns + 1)), np.nan)
    for unit, row in enumerate(shown):
        top, left = unit // across * (rows + 1), unit % across * (columns + 1)
        mosaic[top : top + rows, left : left + columns] = row.reshape(shape)
    most = float(np.abs(shown).max()) or 1.0
    figure, (ax,) = new_figure(palette, 1, 1, 9, 9 * mosaic.shape[0] / mosaic.shape[1] + 0.1)
    ax.imshow(mosaic, cmap=two_sided(), vmin=-most, vmax=most, interpolation="nearest")
    ax.set_axis_off()
    return figure


def _heat(ax: Axes, values: NDArray[np.float32], palette: Palette) -> None:
    """Draw one histogram an epoch, side by side; each epoch's fullest bin is the darkest."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if low == high:
        low, high = low - 0.5, high + 0.5
    counts = np.stack(
        [np.histogram(row[np.isfinite(row)], _BINS, (low, high))[0] for row in values], axis=1
    )
    share = np.sqrt(counts / np.maximum(counts.max(axis=0), 1))
    ax.imshow(
        share, cmap=shades(_HEAT), aspect="auto", origin="lower", vmin=0, vmax=1,
        extent=(-0.5, len(values) - 0.5, low, high), interpolation="nearest",
    )
    ax.set_ylim(low, high)
    _epochs(ax)


def _limits(ax: Axes, limit: Reals, palette: Palette) -> None:
    """Draw the largest values that can be stored, where they are in sight."""
    low, high = ax.get_ylim()
    if limit.min() > 4 * max(abs(low), abs(high)):
        return
    epochs = np.arange(len(limit))
    for sign in (1, -1) if low < 0 else (1,):
        ax.step(
            epochs, sign * limit, where="mid", color=palette.series[1], linewidth=1,
            linestyle=(0, (4, 3)),
        )
    most = float(limit.max()) * 1.05
    ax.set_ylim(min(low, -most if low < 0 else low), max(high, most))


def _ints(values: Reals) -> NDArray[np.int64]:
    return values.astype(np.int64)


def _colour(palette: Palette, number: int) -> str:
    return palette.series[number % len(palette.series)]


def _epochs(ax: Axes) -> None:
    ax.set_xlabel("epoch")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
