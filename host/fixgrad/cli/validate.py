"""`fixgrad validate`: the proof, step by step."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from fixgrad import validation
from fixgrad.cli.opening import open_device
from fixgrad.cli.options import PATH, baud_option, json_option, port_option
from fixgrad.cli.output import Meter, print_json, print_line
from fixgrad.delivery import deliver
from fixgrad.device import Device
from fixgrad.errors import MismatchError
from fixgrad.run import PreparedRun, prepare
from fixgrad.runfile import load_run
from fixgrad.training import Tally
from fixgrad.validation import Verdict


@click.command(short_help="Prove a run: device against reference, bit for bit.")
@click.argument("run_file", metavar="RUN.toml", type=PATH)
@port_option
@baud_option
@click.option(
    "--steps", type=click.IntRange(min=1), metavar="N", help="Stop after N steps; default all."
)
@json_option
def validate(
    run_file: Path, port: str, baud: int, steps: int | None, as_json: bool
) -> None:
    """Train RUN.toml on the device and in the reference, and compare bit for bit.

    The digest is compared after every step, every parameter and the outputs for the test samples
    at the end. Leaves with 0 only if nothing differs.
    """
    prepared = prepare(load_run(run_file))
    with open_device(port, baud, prepared.config) as device:
        verdict = prove(device, prepared, steps)
    if as_json:
        print_json(_report(verdict))
    require_equal(verdict, quiet=as_json)


def prove(device: Device, prepared: PreparedRun, steps: int | None = None) -> Verdict:
    """Run device and reference in lockstep, drawn."""
    total = min(steps or prepared.schedule.steps, prepared.schedule.steps)
    delivery = deliver(
        prepared.train, prepared.config, prepared.schedule, device.info.arena_bytes
    )
    with Meter("validating", total, "steps") as meter:
        for event in validation.validate(
            device,
            prepared.config,
            prepared.initial,
            prepared.run_id,
            prepared.train,
            prepared.schedule,
            delivery=delivery,
            monitor=prepared.monitor,
            test=prepared.test,
            steps=total,
        ):
            if isinstance(event, Verdict):
                return event
            loss = Tally(event.samples, event.loss).loss(prepared.config.loss)
            meter.update(event.step, f"digest {event.digest:08x}  loss {loss:.4f}")
    raise AssertionError("a validation ended without a verdict")


def require_equal(verdict: Verdict, *, quiet: bool = False) -> None:
    """Print the verdict.

    Args:
        verdict: the end of a validation.
        quiet: print nothing.

    Raises:
        MismatchError: there is a difference.
    """
    if verdict.difference is not None:
        raise MismatchError(str(verdict.difference))
    if not quiet:
        print_line(f"digest {verdict.digest:08x}, {verdict.outputs} test outputs equal")
        print_line(
            f"bit-exact: {verdict.steps} steps, {verdict.parameters} parameters, 0 differences"
        )


def _report(verdict: Verdict) -> dict[str, object]:
    difference = verdict.difference
    return {
        "steps": verdict.steps,
        "parameters": verdict.parameters,
        "outputs": verdict.outputs,
        "digest": f"{verdict.digest:08x}",
        "differences": 0 if difference is None else difference.differing,
        "first_difference": None if difference is None else dataclasses.asdict(difference),
    }
