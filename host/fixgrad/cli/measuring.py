"""The test part measured on the device: metrics, drawn and as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fixgrad.cli.output import new_table, print_line, print_table
from fixgrad.device import Device, Evaluation
from fixgrad.metrics import measure, read_outputs, summary
from fixgrad.model import State
from fixgrad.run import PreparedRun
from fixgrad.training import Tally

_CONFUSION_MAX = 20


@dataclass(frozen=True)
class Measured:
    """The test part on the device.

    Attributes:
        evaluation: counts and loss as the device reports them.
        metrics: `fixgrad.metrics.measure` of the device's outputs.
        loss: mean reported loss a sample.
        logits: int32 [N, outputs] of the device.
    """

    evaluation: Evaluation
    metrics: dict[str, Any]
    loss: float
    logits: NDArray[np.int32]

    def fields(self) -> dict[str, Any]:
        """Return what a JSON report says."""
        fields: dict[str, Any] = {"test_loss": self.loss, "metrics": self.metrics}
        if "accuracy" in self.metrics:
            fields["test_accuracy"] = self.metrics["accuracy"]
        return fields


def measure_test(device: Device, prepared: PreparedRun, state: State) -> Measured:
    """Measure the test part with the state that the device holds.

    Args:
        device: a device that holds the state.
        prepared: the run.
        state: the state.
    """
    config, form = prepared.config, prepared.form.target
    evaluation = device.evaluate(prepared.test.wire(config))
    result = device.infer(config, prepared.test.feature_wire(config))
    exponent = state.weight_exponent[-1] + state.activation_exponent[-1]
    outputs = read_outputs(form, config.loss, result.predictions, result.logits, exponent)
    return Measured(
        evaluation,
        measure(form, outputs, prepared.test_targets),
        Tally(evaluation.count, evaluation.loss).loss(config.loss),
        result.logits,
    )


def print_measured(measured: Measured, board: str) -> None:
    """Print the headline."""
    count, metrics = measured.evaluation.count, measured.metrics
    if "accuracy" not in metrics:
        print_line(
            f"test on {board}: {summary(metrics)} ({count} samples), loss {measured.loss:.4f}"
        )
        return
    right = round(metrics["accuracy"] * count)
    print_line(
        f"test accuracy on {board}: {100 * metrics['accuracy']:.2f} % ({right} of {count}), "
        f"loss {measured.loss:.4f}"
    )


def print_details(measured: Measured, names: tuple[str, ...]) -> None:
    """Print all metrics: one line, and the confusion matrix or the outputs as a table."""
    metrics = measured.metrics
    print_line(summary(metrics))
    confusion = metrics.get("confusion")
    if "by_output" in metrics:
        table = new_table("output", "RMSE", "MAE", "R²", right=("RMSE", "MAE", "R²"))
        for name, values in metrics["by_output"].items():
            table.add_row(name, *(f"{values[key]:.4g}" for key in ("rmse", "mae", "r2")))
        print_table(table)
    elif "label_accuracy" in metrics:
        columns = ("right 0", "wrong 1", "wrong 0", "right 1")
        table = new_table("label", *columns, right=columns)
        for name, ((tn, fp), (fn, tp)) in zip(names, confusion or [], strict=True):
            table.add_row(name, str(tn), str(fp), str(fn), str(tp))
        print_table(table)
    elif confusion and len(names) <= _CONFUSION_MAX:
        table = new_table("is \\ said", *names, right=names)
        for name, row in zip(names, confusion, strict=True):
            table.add_row(name, *map(str, row))
        print_table(table)
