"""Settings of a run file that are good one by one but not together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from fixgrad.errors import FixgradError
from fixgrad.initial import FROM_FILE

if TYPE_CHECKING:
    from fixgrad.runfile import RunFile

_ERROR_LIMIT = {
    "softmax_cross_entropy": 1,
    "sigmoid_binary_cross_entropy": 1,
    "sigmoid_squared_error": 1,
    "squared_error": 12,
}
"""log2 of the largest error of an output that a loss can give, rounded up."""

Refusal = tuple[str, str, str]
"""Section, key and message."""


def check(run: RunFile) -> None:
    """Refuse the first contradiction.

    Raises:
        RunFileError: it names the key that is wrong and what would work.
    """
    for rule in _RULES:
        for section, key, message in rule(run):
            error: FixgradError = run.error(section, key, message)
            raise error


def _outputs(run: RunFile) -> Iterator[Refusal]:
    if run.model.loss == "softmax_cross_entropy" and run.model.layers[-1] == 1:
        yield (
            "model", "layers",
            "1 output; softmax needs one output a class, so at least 2; one output works for two "
            'classes with loss = "sigmoid_binary_cross_entropy", for numbers with "squared_error"',
        )


def _data(run: RunFile) -> Iterator[Refusal]:
    data, loss = run.data, run.model.loss
    if data.targets == "values" and loss == "softmax_cross_entropy":
        yield (
            "data", "targets",
            'softmax_cross_entropy needs classes; type loss = "squared_error", or targets = "auto"',
        )
    if isinstance(data.label, tuple):
        if data.targets == "classes":
            yield "data", "targets", 'several label columns hold values; type targets = "auto"'
        if loss == "softmax_cross_entropy":
            yield (
                "data", "label",
                "softmax_cross_entropy has one class a sample, so one label column; type one "
                'column, or loss = "squared_error" or "sigmoid_binary_cross_entropy"',
            )
    if data.scale == "none" and data.input_bits == 16:
        yield (
            "data", "input_bits",
            'scale = "none" takes bytes; type input_bits = 8 or another scale',
        )


def _initial(run: RunFile) -> Iterator[Refusal]:
    model = run.model
    if model.init == FROM_FILE and model.init_file is None:
        yield "model", "init", 'the file is missing; type e.g. init_file = "weights.npz" below it'
    if model.init != FROM_FILE and model.init_file is not None:
        yield "model", "init_file", 'is read only with init = "file"; type that too'
    if model.init_scale != 1 and model.init in (FROM_FILE, "zeros"):
        yield "model", "init_scale", f'does nothing with init = "{model.init}"; leave it away'
    if model.init == "zeros" and len(model.layers) > 2:
        yield (
            "model", "init",
            "with hidden layers all zeros never learn: every gradient but the last bias is zero; "
            'type init = "he"',
        )


def _frozen(run: RunFile) -> Iterator[Refusal]:
    layers = len(run.model.layers) - 1
    if run.model.frozen_layers >= layers:
        yield (
            "model", "frozen_layers",
            f"leaves nothing to train of {layers} layer{'s' * (layers > 1)} of weights; type "
            f"{layers - 1}{' or less' if layers > 1 else ''}",
        )


def _schedule(run: RunFile) -> Iterator[Refusal]:
    t = run.training
    needs = {
        "drop_epochs": ("step", t.drop_epochs is not None),
        "final_rate": ("cosine", t.final_rate != 0),
        "plateau_patience": ("plateau", t.plateau_patience is not None),
    }
    for key, (schedule, given) in needs.items():
        if given and t.schedule != schedule:
            yield (
                "training", key,
                f'does nothing with schedule = "{t.schedule}"; type schedule = "{schedule}", or '
                "leave it away",
            )
    if t.schedule == "step" and t.drop_epochs is None:
        yield "training", "schedule", "needs epochs to drop after; type e.g. drop_epochs = [10, 15]"
    if t.schedule == "plateau" and t.plateau_patience is None:
        yield "training", "schedule", "needs a patience; type e.g. plateau_patience = 5"
    if t.drop_epochs is not None and t.drop_epochs[-1] >= t.epochs:
        yield (
            "training", "drop_epochs",
            f"the run has {t.epochs} epochs; type epochs from 1 to {t.epochs - 1}",
        )
    if t.warmup_epochs >= t.epochs and t.warmup_epochs > 0:
        yield (
            "training", "warmup_epochs",
            f"the run has {t.epochs} epochs; type {t.epochs - 1} or less",
        )


def _stopping(run: RunFile) -> Iterator[Refusal]:
    t, part = run.training, run.data.validation_fraction
    decides = t.patience is not None or t.target_loss is not None or t.schedule == "plateau"
    if t.patience is not None and part == 0:
        yield (
            "training", "patience",
            "needs a validation part to decide on; type e.g. validation_fraction = 0.1 in [data]",
        )
    if part > 0 and not decides:
        yield (
            "data", "validation_fraction",
            'nothing is decided on it; type e.g. patience = 10 or schedule = "plateau" in '
            "[training], or leave it away",
        )
    if t.min_improvement > 0 and t.patience is None and t.schedule != "plateau":
        yield (
            "training", "min_improvement",
            'does nothing without patience or schedule = "plateau"; leave it away',
        )


def _update(run: RunFile) -> Iterator[Refusal]:
    t, limit = run.training, _ERROR_LIMIT[run.model.loss]
    if t.velocity_bits != 6 and t.momentum == 0:
        yield "training", "velocity_bits", "does nothing without momentum; type e.g. momentum = 0.9"
    if t.clip is not None and t.clip >= limit:
        yield (
            "training", "clip",
            f"an error of {run.model.loss} never passes 2^{limit}, so nothing is limited; type "
            f"{limit - 1} or less, e.g. clip = -3",
        )
    if t.weight_decay * t.learning_rate >= 0.5:
        yield (
            "training", "weight_decay",
            f"takes {t.weight_decay * t.learning_rate:.2g} of every weight a step; type less than "
            f"{0.5 / t.learning_rate:.3g}",
        )


_RULES: tuple[Callable[[RunFile], Iterator[Refusal]], ...] = (
    _outputs, _data, _initial, _frozen, _schedule, _stopping, _update,
)
