"""`fixgrad validate`: the proof, step by step, and the test part on the device."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import click

from fixgrad import validation
from fixgrad.cli.comparing import Compared, compare_on_device
from fixgrad.cli.opening import open_device
from fixgrad.cli.options import PATH, baud_option, json_option, port_option
from fixgrad.cli.output import Meter, print_json, print_line
from fixgrad.delivery import deliver
from fixgrad.device import Device
from fixgrad.errors import MismatchError
from fixgrad.run import PreparedRun, prepare
from fixgrad.runfile import load_run
from fixgrad.training import Tally
from fixgrad.validation import Difference, Verdict


@dataclass(frozen=True)
class Proof:
    """A verdict over the steps and the test part after them; None where the steps differ."""

    verdict: Verdict
    compared: Compared | None

    @property
    def difference(self) -> Difference | None:
        """The first value that is not the reference's."""
        if self.compared is None:
            return self.verdict.difference
        return self.compared.comparison.difference

    @property
    def outputs(self) -> int:
        """Outputs for test samples that were compared."""
        return 0 if self.compared is None else self.compared.comparison.outputs


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
    at the end. Then the whole test part on the device stands against float64 with the same
    weights: accuracy, RMSE, MAE, L2r, NSE and cosine, layer by layer, and the samples on which both
    decide differently. Leaves with 0 only if device and reference are equal.
    """
    prepared = prepare(load_run(run_file))
    with open_device(port, baud, prepared.config) as device:
        proof = prove(device, prepared, steps)
    if as_json:
        print_json(describe_proof(proof))
    elif proof.compared is not None and proof.difference is None:
        proof.compared.print()
    require_equal(proof, quiet=as_json)


def prove(device: Device, prepared: PreparedRun, steps: int | None = None) -> Proof:
    """Run device and reference in lockstep, drawn; then compare the test part."""
    verdict = _lockstep(device, prepared, steps)
    if verdict.difference is not None:
        return Proof(verdict, None)
    state, _ = device.read_state(prepared.config)
    return Proof(verdict, compare_on_device(device, prepared, state))


def _lockstep(device: Device, prepared: PreparedRun, steps: int | None) -> Verdict:
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
            steps=total,
        ):
            if isinstance(event, Verdict):
                return event
            loss = Tally(event.samples, event.loss).loss(prepared.config.loss)
            meter.update(event.step, f"digest {event.digest:08x}  loss {loss:.4f}")
    raise AssertionError("a validation ended without a verdict")


def require_equal(proof: Proof, *, quiet: bool = False) -> None:
    """Print the verdict.

    Args:
        proof: the end of a validation.
        quiet: print nothing.

    Raises:
        MismatchError: there is a difference.
    """
    if proof.difference is not None:
        raise MismatchError(str(proof.difference))
    if not quiet:
        verdict = proof.verdict
        print_line(f"digest {verdict.digest:08x}, {proof.outputs} test outputs equal")
        print_line(
            f"bit-exact: {verdict.steps} steps, {verdict.parameters} parameters, 0 differences"
        )


def describe_proof(proof: Proof) -> dict[str, object]:
    """Return what is told of a proof."""
    difference, verdict = proof.difference, proof.verdict
    return {
        "steps": verdict.steps,
        "parameters": verdict.parameters,
        "outputs": proof.outputs,
        "digest": f"{verdict.digest:08x}",
        "differences": 0 if difference is None else difference.differing,
        "first_difference": None if difference is None else dataclasses.asdict(difference),
        "comparison": None if proof.compared is None else proof.compared.fields(),
    }
