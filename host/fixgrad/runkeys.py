"""Every key of a run file: what it may hold, its default, and the comment that explains it.

A new option is one row here and one field in `fixgrad.runfile`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from fixgrad.datasets import BUILTIN_CLASSES, BUILTIN_VALUES, SCALE_METHODS
from fixgrad.initial import FROM_FILE
from fixgrad.model import FROZEN_MAX
from fixgrad.protocol import LIMITS, Activation, Loss
from fixgrad.quantize import INITIALISATIONS as DRAWN
from fixgrad.schedules import SCHEDULES
from fixgrad.targets import TARGET_SCALES

ACTIVATIONS: Final = tuple(
    member.name.lower() for member in Activation if member != Activation.LINEAR
)
LOSSES: Final = tuple(member.name.lower() for member in Loss)
INITIALISATIONS: Final = (*DRAWN, FROM_FILE)
TARGET_KINDS: Final = ("auto", "classes", "values")


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


def _columns(value: object) -> str | int | tuple[str | int, ...]:
    if isinstance(value, list):
        if not value:
            raise BadValueError("no columns; type at least one in the square brackets")
        return tuple(_column(entry) for entry in value)
    return _column(value)


def _class_weights(value: object) -> str | tuple[float, ...]:
    wanted = 'type "none", "balanced", or one number from 0 to 1000 a class in square brackets'
    if isinstance(value, str) and value in ("none", "balanced"):
        return value
    if not isinstance(value, list) or not value:
        raise BadValueError(f"not a choice of weights; {wanted}")
    check = _real(lambda v: 0 <= v <= 1000, "a number from 0 to 1000")
    return tuple(check(entry) for entry in value)


def _headroom(value: object) -> str | float:
    if value == "auto":
        return "auto"
    return _real(lambda v: 1 <= v <= 65536, '"auto" or a number from 1 to 65536')(value)


def _epoch_list(value: object) -> tuple[int, ...]:
    check = _whole(1, 10**6)
    if not isinstance(value, list) or not value:
        raise BadValueError("not a list of epochs; type rising whole numbers in square brackets")
    epochs = tuple(check(entry) for entry in value)
    if any(a >= b for a, b in zip(epochs, epochs[1:], strict=False)):
        raise BadValueError("not rising; type every epoch once, the first one first")
    return epochs


def _input_bits(value: object) -> int:
    if isinstance(value, bool) or value not in (8, 16):
        raise BadValueError("type 8 or 16")
    return int(str(value))


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
    return tuple(value)


_BATCH_MAX = 2**16 - 1

KEYS: Final = (
    Key(
        "", "seed", _whole(0, 2**32 - 1), 1, "seed = 1",
        "Seed of everything random: initial weights, order of samples, rounding, split.",
    ),
    Key(
        "data", "source", _text, REQUIRED, 'source = "digits"',
        f"Built in: {', '.join((*BUILTIN_CLASSES, *BUILTIN_VALUES))}.\n"
        "Or a file: CSV, .npz, .npy or IDX (also as .gz); or a folder with MNIST's four files.\n"
        "Relative paths start at this file.",
    ),
    Key(
        "data", "label", _columns, None, 'label = "species"',
        "CSV: the label column by name or place (1 is the first, -1 the last), or a list of\n"
        "columns with numbers to predict. Default: the last.",
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
        "data", "test_fraction", _real(lambda v: 0 <= v < 1, "a number from 0 to below 1"), 0.2,
        "test_fraction = 0.2",
        "Share of the samples that is kept for the test, unless the source has its own test part.\n"
        "0: test on the training samples.",
    ),
    Key(
        "data", "scale", _choice((*SCALE_METHODS, "auto")), "auto", 'scale = "auto"',
        'How features become integers. "minmax": their range in the training part becomes 0..255,\n'
        'one range for all pixels; "standard": mean 0 and deviation 1, limited to 4 deviations;\n'
        '"none": they are whole numbers 0..255 already. "auto": minmax for pixels, else standard.',
    ),
    Key(
        "data", "input_bits", _input_bits, None, "input_bits = 16",
        "Bits of a feature: 8 or 16. Default: 8 for minmax, 12 (in 16) for standard.",
    ),
    Key(
        "data", "targets", _choice(TARGET_KINDS), "auto", 'targets = "auto"',
        'What the labels of a file are: "classes", "values" (numbers to predict), or "auto":\n'
        "values for squared_error and for a list of label columns, else classes.",
    ),
    Key(
        "data", "target_scale", _choice(TARGET_SCALES), "auto", 'target_scale = "auto"',
        'How numbers to predict are scaled: "standard" (mean 0, deviation 1), "minmax" (0..1) or\n'
        '"none". "auto": standard for squared_error, else none. Predictions are scaled back.',
    ),
    Key(
        "data", "class_weights", _class_weights, "none", 'class_weights = "balanced"',
        'How often the samples of each class are visited: "none", "balanced" (all classes equally\n'
        "often), or one factor a class in the order of the classes.",
    ),
    Key(
        "data", "validation_fraction", _real(lambda v: 0 <= v < 1, "a number from 0 to below 1"),
        0.0, "validation_fraction = 0.1",
        "Share of the training part that is kept to decide on: patience, plateau, target_loss.",
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
        "What is minimised: softmax_cross_entropy (classes), squared_error (numbers),\n"
        "sigmoid_binary_cross_entropy (labels that are 0 or 1 each, or two classes), or\n"
        "sigmoid_squared_error (the classic).",
    ),
    Key(
        "model", "init", _choice(INITIALISATIONS), "he", 'init = "he"',
        f"Initial weights: {', '.join(DRAWN)}; or file, which init_file names.",
    ),
    Key(
        "model", "init_scale", _real(lambda v: 0 < v <= 1024, "a number above 0, 1024 at most"),
        1.0, "init_scale = 1.0", "Factor of the initial weights that are drawn.",
    ),
    Key(
        "model", "init_file", _text, None, 'init_file = "weights.npz"',
        "init = file: .npz with weights_0, bias_0 and so on, or the final.npz of a run.",
    ),
    Key(
        "model", "headroom", _headroom, "auto", 'headroom = "auto"',
        "How far weights may grow beyond the largest initial one before they saturate; `plan`\n"
        "shows what auto chooses.",
    ),
    Key(
        "model", "frozen_layers", _whole(0, FROZEN_MAX), 0, "frozen_layers = 1",
        "The first layers that are not trained: they keep the weights they start with.",
    ),
    Key("training", "epochs", _whole(1, 10**6), 30, "epochs = 30", "Passes over the data."),
    Key(
        "training", "batch_size", _whole(0, _BATCH_MAX), 8, "batch_size = 8",
        "Samples a step; the board keeps a whole batch in RAM. 0: the whole training part.",
    ),
    Key(
        "training", "learning_rate", _real(lambda v: v > 0, "a number above 0"), 0.1,
        "learning_rate = 0.1", "Step size of the mean gradient.",
    ),
    Key(
        "training", "schedule", _choice(SCHEDULES), "constant", 'schedule = "constant"',
        "How the learning rate changes: constant; step (times rate_factor after drop_epochs);\n"
        "cosine (down to final_rate); exponential (times rate_factor every epoch); plateau (times\n"
        "rate_factor after plateau_patience epochs without a better loss).",
    ),
    Key(
        "training", "rate_factor", _real(lambda v: 0 < v < 1, "a number between 0 and 1"), 0.5,
        "rate_factor = 0.5", "What step, exponential and plateau multiply the rate by.",
    ),
    Key(
        "training", "drop_epochs", _epoch_list, None, "drop_epochs = [10, 15]",
        "schedule = step: the epochs after which the rate falls.",
    ),
    Key(
        "training", "final_rate", _real(lambda v: 0 <= v < 1, "a number from 0 to below 1"), 0.0,
        "final_rate = 0.0", "schedule = cosine: the share of the rate that is left at the end.",
    ),
    Key(
        "training", "plateau_patience", _whole(1, 10**6), None, "plateau_patience = 5",
        "schedule = plateau: epochs without a better loss before the rate falls.",
    ),
    Key(
        "training", "warmup_epochs", _whole(0, 10**6), 0, "warmup_epochs = 0",
        "Epochs in which the rate grows from almost 0.",
    ),
    Key(
        "training", "patience", _whole(1, 10**6), None, "patience = 10",
        "Stop after so many epochs without a better validation loss; the best weights are kept.",
    ),
    Key(
        "training", "target_loss", _real(lambda v: v >= 0, "a number from 0"), None,
        "target_loss = 0.05",
        "Stop when the loss of the validation part (without one: the training part) is this small.",
    ),
    Key(
        "training", "min_improvement", _real(lambda v: v >= 0, "a number from 0"), 0.0,
        "min_improvement = 0.0", "By how much a loss must fall to count as better.",
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
        "training", "velocity_bits", _whole(1, LIMITS["VELOCITY_BITS_MAX"]), 6, "velocity_bits = 6",
        "momentum: bits of a step below a weight's resolution.",
    ),
    Key(
        "training", "weight_decay", _real(lambda v: 0 <= v < 1, "a number from 0 to below 1"), 0.0,
        "weight_decay = 0.0",
        "Share of every weight that is taken away, per step and unit of learning rate (decoupled).",
    ),
    Key(
        "training", "clip", _whole(-128, 127), None, "clip = -3",
        "Limit the error of a sample to 2^clip. Default: no limit.",
    ),
)
SECTIONS: Final = ("data", "model", "training")
