"""The pictures of docs/CONCEPTS.md, drawn from the arithmetic itself when the site is built."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Final

import matplotlib
import numpy as np
from fixgrad.model import ModelConfig
from fixgrad.protocol import InputFormat, Loss
from matplotlib.axes import Axes
from matplotlib.figure import Figure

matplotlib.rcParams.update(
    {
        "svg.fonttype": "none",
        "font.family": "sans-serif",
        "text.color": "#808080",
        "axes.edgecolor": "#808080",
        "axes.labelcolor": "#808080",
        "xtick.color": "#808080",
        "ytick.color": "#808080",
    }
)

EXACT, NEAREST, STOCHASTIC = "#909090", "#d1495b", "#00897b"
MULTIPLIER: Final = 1664525
INCREMENT: Final = 1013904223
"""The generator of NUMERICS section 1."""


def draw_all() -> dict[str, str]:
    """Return every picture by name, as SVG."""
    pictures: dict[str, Callable[[Axes], None]] = {
        "word": _word,
        "rounding": _rounding,
        "budget": _budget,
    }
    return {name: _svg(draw) for name, draw in pictures.items()}


def _svg(draw: Callable[[Axes], None]) -> str:
    figure = Figure(figsize=(7.2, 2.8), layout="constrained")
    draw(figure.add_subplot())
    text = io.StringIO()
    figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    return text.getvalue()


def _word(axes: Axes) -> None:
    """A 16-bit mantissa with exponent -12: where the binary point stands."""
    mantissa, exponent = 6554, -12
    bits = f"{mantissa:016b}"
    for place, bit in enumerate(bits):
        power = 15 - place + exponent
        colour = STOCHASTIC if power < 0 else NEAREST
        axes.text(place, 0, bit, ha="center", va="center", fontsize=15, color=colour)
        label = "±" if place == 0 else f"$2^{{{power}}}$"
        axes.text(place, -0.9, label, ha="center", va="center", fontsize=9)
    point = 15 + exponent + 0.5
    axes.axvline(point, color=EXACT, linestyle=":")
    axes.text(point, 1.2, "binary point", ha="center", fontsize=9)
    axes.set_title(
        f"mantissa {mantissa} × 2^{exponent} = {mantissa * 2.0**exponent:.6f}", color="#808080"
    )
    axes.set(xlim=(-1, 16), ylim=(-1.6, 1.8))
    axes.axis("off")


def _rounding(axes: Axes) -> None:
    """Two hundred steps of 0.3 units each: rounded to nearest, and with a random threshold."""
    steps, shift = 200, 16
    step = round(0.3 * 2**shift)
    state, weight, path = 1, 0, [0]
    for _ in range(steps):
        state = (state * MULTIPLIER + INCREMENT) % 2**32
        weight += (step + (state >> (32 - shift))) >> shift
        path.append(weight)
    nearest = [k * ((step + (1 << (shift - 1))) >> shift) for k in range(steps + 1)]
    axes.plot(np.arange(steps + 1) * step / 2**shift, color=EXACT, label="exact")
    axes.step(range(steps + 1), path, color=STOCHASTIC, label="stochastic rounding", where="post")
    axes.plot(nearest, color=NEAREST, label="rounding to nearest")
    axes.set(xlabel="steps of 0.3 units", ylabel="weight, units")
    axes.legend(frameon=False)


def _budget(axes: Axes) -> None:
    """The bits of a weight that keep every sum of a layer below 2^31."""
    inputs = 2 ** np.arange(2, 15)
    for bits, colour in ((8, STOCHASTIC), (12, NEAREST)):
        allowed = [_weight_bits(int(width), 2**bits - 1) for width in inputs]
        axes.step(inputs, allowed, where="mid", color=colour, label=f"{bits}-bit activations")
    axes.set_xscale("log", base=2)
    axes.set(xlabel="inputs of the layer", ylabel="bits of a weight")
    axes.legend(frameon=False)


def _weight_bits(inputs: int, largest: int) -> int:
    """The budget of a layer's weights (NUMERICS section 2)."""
    config = ModelConfig(
        layers=(inputs, 1),
        activations=(),
        loss=Loss.SQUARED_ERROR,
        batch=1,
        input_format=InputFormat.I16,
        input_max=largest,
        activation_bits=(),
        weight_bits=(),
        delta_bits=(),
        update_bits=15,
    )
    return config.with_budgets().weight_bits[0]
