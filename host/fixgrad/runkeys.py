"""Every key of a run file: what it may hold, its default, and the comment that explains it.

A new option is one row here and one field in `fixgrad.runfile`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from fixgrad.datasets import BUILTIN_CLASSES, SCALE_METHODS
from fixgrad.protocol import LIMITS

ACTIVATIONS: Final = ("relu", "leaky", "sigmoid", "tanh")
LOSSES: Final = ("softmax_cross_entropy",)
INITIALISATIONS: Final = ("he", "glorot", "lecun", "uniform", "zeros")


class BadValueError(ValueError):
    """A value that a key cannot hold: what is wrong, and what to type."""


class _Required:
    """Marks a key without a default."""


REQUIRED: Final = _Required()


@dataclass(frozen=True)
class Key:
    """One key.

    Attributes:
        section: its table; empty at the top.
        name: its name.
        check: returns the value in its canonical form, or raises BadValueError.
        default: the value if the key is absent; None means that it may be absent.
        example: what to type.
        comment: lines for the run file.
    """

    section: str
    name: str
    check: Callable[[object], Any]
    default: object
    example: str
    comment: str


def toml_value(value: object) -> str:
    """Return a value as TOML text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(toml_value(item) for item in value)}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k} = {toml_value(v)}" for k, v in value.items()) + "}"
    return repr(value) if isinstance(value, (int, float)) else str(value)


def _whole(low: int, high: int) -> Callable[[object], int]:
    def check(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise BadValueError(f"not a whole number; type one from {low} to {high}")
        if not low <= value <= high:
            raise BadValueError(f"out of range; type a whole number from {low} to {high}")
        return value

    return check


def _real(accepts: Callable[[float], bool], wanted: str) -> Callable[[object], float]:
    def check(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise BadValueError(f"not a number; type {wanted}")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number) or not accepts(number):
            raise BadValueError(f"out of range; type {wanted}")
        return number

    return check


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise BadValueError("neither true nor false; type true or false, without quotes")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise BadValueError("not a text; type it between double quotes")
    return value


def _choice(options: tuple[str, ...]) -> Callable[[object], str]:
    listed = " or ".join([", ".join(f'"{o}"' for o in options[:-1]), f'"{options[-1]}"'])
    listed = listed.removeprefix(" or ")

    def check(value: object) -> str:
        if not isinstance(value, str) or value not in options:
            raise BadValueError(f"unknown; type {listed}")
        return value

    return check


def _one_or_list(item: Callable[[object], Any], what: str) -> Callable[[object], Any]:
    """Accept one value for all hidden layers, or a list with one each (returned as a tuple)."""

    def check(value: object) -> object:
        if not isinstance(value, list):
            return item(value)
        checked = []
        for place, entry in enumerate(value, 1):
            try:
                checked.append(item(entry))
            except BadValueError as error:
                raise BadValueError(f"{what} {place}, {toml_value(entry)}: {error}") from error
        return tuple(checked)

    return check


def _column(value: object) -> str | int:
    if isinstance(value, str) and value:
        return value
    if isinstance(value, int) and not isinstance(value, bool) and value != 0:
        return value
    raise BadValueError(
        "not a column; type its name between double quotes, or its place "
        "(1 is the first, -1 the last)"
    )


def _layers(value: object) -> tuple[int, ...]:
    if not isinstance(value, list):
        raise BadValueError("not a list of widths; type one, input first, in square brackets")
    for place, width in enumerate(value, 1):
        if isinstance(width, bool) or not isinstance(width, int) or not 1 <= width <= 65535:
            raise BadValueError(
                f"layer {place} is {toml_value(width)} wide; type whole numbers from 1 to 65535"
            )
    if not 2 <= len(value) <= 256:
        raise BadValueError(
            f"{len(value)} widths; type at least the number of features and the number of classes"
        )
    most = LIMITS["OUTPUTS_MAX"]
    if value[-1] > most:
        raise BadValueError(
            f"{value[-1]} outputs; the last width is the number of classes, {most} at most"
        )
    if value[-1] < 2:
        raise BadValueError("1 output; softmax needs one output a class, so at least 2")
    return tuple(value)


_BATCH_MAX = 2**16 - 1

KEYS: Final = (
    Key(
        "", "seed", _whole(0, 2**32 - 1), 1, "seed = 1",
        "Seed of everything random: initial weights, order of samples, rounding, split.",
    ),
    Key(
        "data", "source", _text, REQUIRED, 'source = "digits"',
        f"Built in: {', '.join(BUILTIN_CLASSES)}.\n"
        "Or a file: CSV, .npz, .npy or IDX (also as .gz); or a folder with MNIST's four files.\n"
        "Relative paths start at this file.",
    ),
    Key(
        "data", "label", _column, None, 'label = "species"',
        "CSV: the label column by name or place (1 is the first, -1 the last). Default: the last.",
    ),
    Key(
        "data", "labels", _text, None, 'labels = "labels.npy"',
        ".npy and IDX: the file with the labels. Default: the one whose name fits.",
    ),
    Key(
        "data", "header", _flag, None, "header = true",
        "CSV: whether row 1 holds column names. Default: it does if no cell of it is a number.",
    ),
    Key(
        "data", "test_fraction", _real(lambda v: 0 < v < 1, "a number between 0 and 1"), 0.2,
        "test_fraction = 0.2",
        "Share of the samples that is kept for the test, unless the source has its own test part.",
    ),
    Key(
        "data", "scale", _choice((*SCALE_METHODS, "auto")), "auto", 'scale = "auto"',
        'How features become integers. "minmax": their range in the training part becomes 0..255,\n'
        'one range for all pixels; "standard": mean 0 and deviation 1, limited to 4 deviations;\n'
        '"none": they are whole numbers 0..255 already. "auto": minmax for pixels, else standard.',
    ),
    Key(
        "model", "layers", _layers, REQUIRED, "layers = [64, 32, 10]",
        "Widths, input first: features, hidden layers, classes.",
    ),
    Key(
        "model", "activation", _one_or_list(_choice(ACTIVATIONS), "layer"), "relu",
        'activation = "relu"',
        f"Of the hidden layers: {', '.join(ACTIVATIONS)}; a list gives each its own.",
    ),
    Key(
        "model", "activation_bits",
        _one_or_list(
            _whole(LIMITS["ACTIVATION_BITS_MIN"], LIMITS["ACTIVATION_BITS_MAX"]), "layer"
        ),
        8, "activation_bits = 8",
        "Bits of a hidden activation; up to 8 take one byte of RAM each (relu, sigmoid), more two.",
    ),
    Key(
        "model", "loss", _choice(LOSSES), LOSSES[0], f'loss = "{LOSSES[0]}"',
        "What is minimised.",
    ),
    Key(
        "model", "init", _choice(INITIALISATIONS), "he", 'init = "he"',
        f"Initial weights: {', '.join(INITIALISATIONS)}.",
    ),
    Key(
        "model", "headroom", _real(lambda v: 1 <= v <= 65536, "a number from 1 to 65536"), 4.0,
        "headroom = 4.0",
        "How far weights may grow beyond the largest initial one before they saturate.",
    ),
    Key("training", "epochs", _whole(1, 10**6), 30, "epochs = 30", "Passes over the data."),
    Key(
        "training", "batch_size", _whole(1, _BATCH_MAX), 8, "batch_size = 8",
        "Samples a step; the board keeps a whole batch in RAM.",
    ),
    Key(
        "training", "learning_rate", _real(lambda v: v > 0, "a number above 0"), 0.1,
        "learning_rate = 0.1", "Step size of the mean gradient.",
    ),
    Key(
        "training", "shuffle", _flag, True, "shuffle = true", "A new order of samples every epoch.",
    ),
    Key(
        "training", "adaptive", _flag, True, "adaptive = true",
        "Let the exponents of relu and leaky activations follow their range.",
    ),
    Key(
        "training", "widen", _flag, False, "widen = false",
        "Halve the resolution of a layer's weights instead of letting them saturate.",
    ),
    Key(
        "training", "momentum", _real(lambda v: v == 0 or 1 / 512 < v < 511 / 512,
                                      "0 (off) or a number from 0.002 to 0.998"),
        0.0, "momentum = 0.9",
        "Share of the last step that is kept, in steps of 1/256; 0 is off. Doubles the RAM of the "
        "weights.",
    ),
    Key(
        "training", "clip", _whole(-128, 127), None, "clip = -3",
        "Limit the error of a sample to 2^clip. Default: no limit.",
    ),
)
SECTIONS: Final = ("data", "model", "training")
