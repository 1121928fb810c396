"""The test part on the device against float64, as text and as JSON."""

from __future__ import annotations

import dataclasses
import statistics
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fixgrad.cli.output import new_table, print_line, print_table, status
from fixgrad.comparison import Comparison, Row, compare
from fixgrad.device import Device
from fixgrad.model import State
from fixgrad.run import PreparedRun

_TIMED = 50
_SHOWN = 10


@dataclass(frozen=True)
class Compared:
    """A comparison, and the seconds from sending one sample alone to its answer, a few times."""

    comparison: Comparison
    seconds: list[float]

    def fields(self) -> dict[str, Any]:
        """Return what a JSON report says."""
        comparison = self.comparison
        return {
            "samples": comparison.samples,
            **{row.name: _row_fields(row) for row in comparison.rows},
            "layers": [dataclasses.asdict(layer) for layer in comparison.layers],
            "disagreements": [dataclasses.asdict(d) for d in comparison.disagreements],
            "round_trip_ms": {name: round(value, 3) for name, value in self._times().items()},
        }

    def _times(self) -> dict[str, float]:
        times = [1000 * value for value in self.seconds]
        if not times:
            return {}
        return {
            "min": min(times), "mean": statistics.fmean(times), "max": max(times),
            "std": statistics.pstdev(times),
        }

    def print(self) -> None:
        """Print the rows, the layers, where decisions differ, and times."""
        comparison = self.comparison
        columns = ("accuracy", "95 %", "RMSE", "MAE", "L2r", "NSE", "cosine")
        table = new_table(f"{comparison.samples} test samples", *columns, right=columns)
        titles = ("device", "reference (float64)", "cross: device against reference")
        for title, row in zip(titles, comparison.rows, strict=True):
            interval = row.interval
            table.add_row(
                title,
                "" if row.accuracy is None else f"{100 * row.accuracy:.2f} %",
                "" if interval is None else f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f}",
                *(f"{value:.4g}" for value in (row.rmse, row.mae, row.l2r)),
                f"{row.nse:.6f}", f"{row.cosine:.6f}",
            )
        print_table(table)
        numbers = ("inputs", "outputs", "weight unit", "value unit", "L2r", "cosine", "worst")
        table = new_table("layer", "values", *numbers, right=numbers)
        for layer in comparison.layers:
            table.add_row(
                str(layer.index), layer.activation, *map(str, layer.widths),
                f"2^{layer.weight_unit}", f"2^{layer.value_unit}",
                f"{layer.l2r:.3g}", f"{layer.cosine:.6f}", f"{layer.worst:.3g}",
            )
        print_table(table)
        for found in comparison.disagreements[:_SHOWN]:
            print_line(
                f"sample {found.sample} is {found.truth}: device {found.device}, float64 "
                f"{found.reference}"
            )
        if len(comparison.disagreements) > _SHOWN:
            print_line(f"… {len(comparison.disagreements)} such samples in all (--json lists them)")
        times = self._times()
        if times:
            print_line(
                f"one sample alone, link included, {len(self.seconds)} times: "
                + ", ".join(f"{name} {value:.2f}" for name, value in times.items()) + " ms"
            )


def _row_fields(row: Row) -> dict[str, Any]:
    fields = dataclasses.asdict(row)
    del fields["name"]
    return {name: None if value != value else value for name, value in fields.items()}


def compare_on_device(
    device: Device, prepared: PreparedRun, state: State, logits: NDArray[np.int32] | None = None
) -> Compared:
    """Compare the whole test part on a device that holds a state.

    Args:
        device: the device.
        prepared: the run.
        state: what the device holds.
        logits: what it said about the test part; None: it is asked.
    """
    wire = prepared.test.feature_wire(prepared.config)
    with status("comparing the test part"):
        if logits is None:
            logits = device.infer(prepared.config, wire).logits
        seconds = []
        for index in range(min(_TIMED, len(wire))):
            start = time.perf_counter()
            device.infer(prepared.config, wire[index : index + 1])
            seconds.append(time.perf_counter() - start)
        return Compared(compare(prepared, state, logits), seconds)
