"""`fixgrad sweep`: search for the right run; `fixgrad sweep best`: the best net for a board."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fixgrad.boards import BOARDS
from fixgrad.cli.border import InterruptedRunError
from fixgrad.cli.clustering import cluster_options, needs_extra
from fixgrad.cli.options import PATH, json_option
from fixgrad.cli.output import Meter, note, print_json, print_line
from fixgrad.errors import UsageError
from fixgrad.rundir import write_atomic
from fixgrad.runfile import format_run

_SEARCH = "run"
_DEFAULT_FOLDER = Path("sweeps")


class _SearchByDefault(click.Group):
    """A group that takes a sweep file where a command could stand."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            args = [_SEARCH, *args]
        return super().parse_args(ctx, args)


@click.group(cls=_SearchByDefault, short_help="Search for the right network and settings.")
def sweep() -> None:
    """Search for the right network and settings: `fixgrad sweep SWEEP.toml`."""


@sweep.command(_SEARCH, short_help="Run the trials of SWEEP.toml.")
@click.argument("sweep_file", metavar="SWEEP.toml", type=PATH)
@click.option("--out", type=PATH, metavar="DIR", help="Folder; default sweeps/NAME.")
@cluster_options("; its workers must see the same folders")
@json_option
def search(
    sweep_file: Path, out: Path | None, scheduler: str | None, workers: int, as_json: bool
) -> None:
    """Run the trials of SWEEP.toml that are not finished yet.

    Stop it at any time; the same command goes on.
    """
    with needs_extra("sweeps"):
        from fixgrad.cluster import cluster
        from fixgrad.sweep.driver import run_sweep
        from fixgrad.sweep.page import write_page
        from fixgrad.sweep.records import Records
        from fixgrad.sweep.sweepfile import load_sweep
        from fixgrad.sweep.trial import REFUSED, Outcome

    wanted = load_sweep(sweep_file)
    folder = out or _DEFAULT_FOLDER / sweep_file.stem
    records = Records.begin(folder, wanted)
    before = len(records.outcomes())
    meter = Meter("trials", wanted.trials, "trials")
    meter.start_at(before)
    finished = [before]

    def draw(outcome: Outcome) -> None:
        finished[0] += 1
        meter.update(finished[0], _text(outcome.status, outcome.figures))

    try:
        with cluster(scheduler, workers) as client, meter:
            run_sweep(wanted, folder, client, draw)
    except KeyboardInterrupt as error:
        raise InterruptedRunError(
            f"stopped; finished trials are kept in {folder}, the same command goes on"
        ) from error
    table = records.write_tables()
    refused = [outcome for outcome in records.outcomes() if outcome.status == REFUSED]
    if refused:
        note(
            f"{len(refused)} of {len(table)} trials were refused, such as trial "
            f"{refused[0].number}: {refused[0].detail.get('reason')}"
        )
    write_page(records, table)
    front = records.front()
    if as_json:
        print_json({
            "folder": str(folder), "trials": len(table), "new": len(table) - before,
            "status": {str(k): int(v) for k, v in table["status"].value_counts().items()},
            "front": [_report(outcome) for outcome in front],
        })  # fmt: skip
        return
    for outcome in front:
        values = "  ".join(f"{name} {value}" for name, value in outcome.values.items())
        print_line(f"trial {outcome.number}: {_text('', outcome.figures)}  {values}")
    print_line(f"{len(table)} trials, {len(front)} on the front; kept in {folder}, see front.html")


@sweep.command("best", short_help="Write the run file of the best net that fits a board.")
@click.argument("folder", metavar="[DIR]", required=False, type=PATH)
@click.option("--board", required=True, type=click.Choice(list(BOARDS)))
@click.option("--out", type=PATH, metavar="RUN.toml", help="Default: best-BOARD.toml.")
@json_option
def best(folder: Path | None, board: str, out: Path | None, as_json: bool) -> None:
    """Write the run file of the best net of a sweep that fits a board.

    DIR is the folder of the sweep; default: the newest one in sweeps/.
    """
    with needs_extra("sweeps"):
        from fixgrad.sweep.records import Records

    records = Records.open(folder or _newest())
    outcome = records.best(BOARDS[board])
    target = out or Path(f"best-{board}.toml")
    write_atomic(target, format_run(records.run(outcome)).encode())
    if as_json:
        print_json({"run_file": str(target), **_report(outcome)})
        return
    print_line(f"wrote {target}: trial {outcome.number}, {_text('', outcome.figures)}")
    port = f"qemu://{board}" if BOARDS[board].machine else "URL"
    note(f"next: fixgrad train {target} --port {port}")


def _newest() -> Path:
    folders = sorted(_DEFAULT_FOLDER.glob("*/sweep.json"), key=lambda file: file.stat().st_mtime)
    if not folders:
        raise UsageError("no sweep in sweeps/; give the folder that `fixgrad sweep` wrote")
    return folders[-1].parent


def _report(outcome: Any) -> dict[str, Any]:
    return {"number": outcome.number, "values": outcome.values, **outcome.figures, **outcome.detail}


def _text(status: str, figures: dict[str, float]) -> str:
    parts = [status] if status and status != "complete" else []
    if "accuracy" in figures:
        parts.append(f"accuracy {100 * figures['accuracy']:.2f} %")
    elif "loss" in figures:
        parts.append(f"loss {figures['loss']:.4f}")
    parts += [f"{figures['ram']:,.0f} B"] if "ram" in figures else []
    parts += [f"{figures['instructions']:,.0f} instructions"] if "instructions" in figures else []
    parts += [f"{figures['flash']:,.0f} B of flash"] if "flash" in figures else []
    return ", ".join(parts)
