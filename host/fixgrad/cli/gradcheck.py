"""`fixgrad gradcheck`: the device's gradients against integers and against real numbers."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from fixgrad import gradcheck as checking
from fixgrad.cli.opening import open_device
from fixgrad.cli.options import PATH, baud_option, json_option, port_option
from fixgrad.cli.output import new_table, print_json, print_line, print_table, status
from fixgrad.errors import MismatchError
from fixgrad.gradcheck import TensorCheck
from fixgrad.run import PreparedRun, prepare
from fixgrad.runfile import load_run
from fixgrad.stream import Samples


@click.command(short_help="Check the device's gradients, layer by layer.")
@click.argument("run_file", metavar="RUN.toml", type=PATH)
@port_option
@baud_option
@json_option
def gradcheck(run_file: Path, port: str, baud: int, as_json: bool) -> None:
    """Recover gradients from the device's own steps on the first batch of RUN.toml, and check them.

    They must equal those of the integer reference, and differ from central differences of the
    float64 loss by no more than rounding explains. Leaves with 0 only if both hold.
    """
    prepared = prepare(load_run(run_file))
    with open_device(port, baud, prepared.config) as device, status("checking gradients"):
        samples = first_batch(prepared)
        checks = list(
            checking.gradcheck(device, prepared.config, prepared.initial, samples)
        )
    if as_json:
        print_json({"tensors": [dataclasses.asdict(check) for check in checks]})
    else:
        _print(checks)
    for check in checks:
        if check.fault:
            raise MismatchError(
                f"{check.tensor} of layer {check.layer}: {check.fault} (worst element "
                f"{list(check.worst)}, off by {100 * check.worst_share:.1f} % of the largest)"
            )
    if not as_json:
        print_line(
            "gradients equal those of the integer reference; rounding explains their distance "
            "from the float model"
        )


def first_batch(prepared: PreparedRun) -> Samples:
    """Return the samples of a run's first step."""
    indices = prepared.schedule.step_indices(0)
    return Samples(prepared.train.features[indices], prepared.train.targets[indices])


def _print(checks: list[TensorCheck]) -> None:
    numbers = ("elements", "differ from reference", "distance to float", "of it rounding",
               "unexplained")
    table = new_table("layer", "tensor", *numbers, "", right=numbers)
    for check in checks:
        note = check.fault or ("straight-through" if check.analytic is None else "good")
        table.add_row(
            str(check.layer), check.tensor, str(check.compared), str(check.differing),
            f"{100 * check.distance:.2f} %", f"{100 * check.quantisation:.2f} %",
            f"{100 * check.unexplained:.2f} %", note,
        )
    print_table(table)
