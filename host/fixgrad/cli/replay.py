"""`fixgrad replay`: the run of a folder again, on any port."""

from __future__ import annotations

from pathlib import Path

import click

from fixgrad.cli.opening import open_device
from fixgrad.cli.options import PATH, NumberRange, baud_option, json_option, port_option
from fixgrad.cli.output import Meter, print_json, print_line
from fixgrad.device import Device
from fixgrad.digest import state_digest
from fixgrad.errors import MismatchError, RunFileError
from fixgrad.replay import EpochReplayed, Left, Record, Replayed
from fixgrad.replay import replay as run_replay
from fixgrad.run import PreparedRun
from fixgrad.rundir import RunFolder
from fixgrad.training import Advanced, Patience, Recovered, Waiting


@click.command(short_help="Train the run of a folder again and compare every epoch.")
@click.argument("folder", metavar="DIR", type=PATH)
@port_option
@baud_option
@click.option(
    "--wait", default=300.0, show_default=True, type=NumberRange(min=0), metavar="SECONDS",
    help="How long to wait for a board that was unplugged.",
)
@json_option
def replay(folder: Path, port: str, baud: int, wait: float, as_json: bool) -> None:
    """Train the run in DIR again, on any port, and compare the digests of all its epochs.

    DIR is all it needs, the samples are in it; nothing in it is changed. Leaves with 0 only if
    every epoch that DIR records ends in the same digest.
    """
    run = RunFolder(folder)
    prepared = run.reopen()
    record = read_record(run)
    with open_device(port, baud, prepared.config) as device:
        end = _draw(device, prepared, record, Patience(wait))
        board = device.info.board
    if as_json:
        print_json(
            {
                "equal": isinstance(end, Replayed),
                "epochs": len(record.epochs),
                "digest": f"{end.digest:08x}",
                "left_at_epoch": end.epoch if isinstance(end, Left) else None,
                "recorded_digest": f"{end.recorded:08x}" if isinstance(end, Left) else None,
                "board": board,
            }
        )
    if isinstance(end, Left):
        place = "the end of the run" if end.epoch is None else f"epoch {end.epoch}"
        raise MismatchError(
            f"the replay left the run at {place}: digest {end.digest:08x} on {board}, "
            f"{end.recorded:08x} in {folder}; whether the board or the folder is wrong tells: "
            f"fixgrad validate {folder / 'run.toml'} --port {port}"
        )
    if not as_json:
        print_line(
            f"replayed on {board}: {end.epochs} epochs, every digest as in {folder}; "
            f"the last is {end.digest:08x}"
        )


def read_record(folder: RunFolder) -> Record:
    """Return the digests of a run's folder.

    Raises:
        RunFileError: no epoch of the run has ended.
    """
    epochs = folder.digests()
    if not epochs:
        raise RunFileError(
            f"{folder.path} records no epoch yet; finish the run: fixgrad train --resume "
            f"{folder.path} --port URL"
        )
    config = folder.config()
    final = state_digest(folder.final(config)) if folder.has_ended() else None
    return Record(epochs, final)


def _draw(
    device: Device, prepared: PreparedRun, record: Record, patience: Patience
) -> Left | Replayed:
    epochs = len(record.epochs)
    with Meter("replaying", epochs * prepared.schedule.samples, "samples") as meter:
        for event in run_replay(device, prepared, record, patience):
            match event:
                case Advanced():
                    meter.update(event.position, "", f"epoch {event.epoch}/{epochs}")
                case EpochReplayed():
                    meter.milestone(f"epoch {event.epoch}/{epochs}  digest {event.digest:08x}")
                case Recovered():
                    meter.note(f"going on at sample {event.position}")
                case Waiting():
                    meter.note(f"{event.reason}; waiting for it, Ctrl-C stops the replay")
                case Left() | Replayed():
                    return event
    raise AssertionError("a replay ended without a result")
