"""`fixgrad fleet`: many boards train one model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from fixgrad.cli.border import InterruptedRunError
from fixgrad.cli.clustering import cluster_options, needs_extra
from fixgrad.cli.options import PATH, json_option
from fixgrad.cli.output import Meter, print_json, print_line
from fixgrad.errors import UsageError
from fixgrad.fleet.fleetfile import DATA_PARALLEL, Fleet, load_fleet
from fixgrad.fleet.parallel import run_parallel
from fixgrad.fleet.rounds import Round, read_rounds
from fixgrad.run import PreparedRun, prepare

_DEFAULT_FOLDER = Path("fleets")


@click.command(short_help="Train one model on many boards.")
@click.argument("fleet_file", metavar="FLEET.toml", type=PATH)
@click.option("--out", type=PATH, metavar="DIR", help="Folder; default fleets/NAME.")
@cluster_options(", for sim:// boards")
@json_option
def fleet(
    fleet_file: Path, out: Path | None, scheduler: str | None, workers: int, as_json: bool
) -> None:
    """Train one model on the boards of FLEET.toml, each on its own share of the data.

    After every round the boards' parameters are averaged exactly. In mode data-parallel the boards
    share every batch instead, and the digest is that of a single board. Stop it at any time; the
    same command goes on after the last round.
    """
    wanted = load_fleet(fleet_file)
    prepared = prepare(wanted.run)
    folder = out or _DEFAULT_FOLDER / fleet_file.stem
    shares_batches = wanted.mode == DATA_PARALLEL
    if shares_batches and scheduler is not None:
        raise UsageError(
            f"--scheduler {scheduler}: boards that share batches are reached from this machine; "
            "leave it away"
        )
    what, unit = ("epoch", "steps") if shares_batches else ("round", "rounds")
    meter = Meter(unit, prepared.schedule.steps if shares_batches else wanted.rounds, unit)
    has_moved = False
    rounds: list[Round] = []

    def move(done: int) -> None:
        nonlocal has_moved
        if not has_moved:
            meter.start_at(done - 1)
            has_moved = True
        meter.update(done, "")

    def draw(done: Round) -> None:
        rounds.append(done)
        if not shares_batches:
            move(done.round)
        missed = f"; without {', '.join(done.missed)}" if done.missed else ""
        meter.note(
            f"{what} {done.round}/{wanted.rounds}  loss {done.loss:.4f}  accuracy "
            f"{100 * done.accuracy:.2f} %  {len(done.took_part)} boards{missed}"
        )

    try:
        with meter:
            if shares_batches:
                run_parallel(wanted, prepared, folder, draw, move)
            else:
                _average(wanted, prepared, folder, draw, scheduler, workers)
    except KeyboardInterrupt as error:
        raise InterruptedRunError(
            f"stopped; finished {what}s are kept in {folder}, the same command goes on"
        ) from error
    done = read_rounds(folder)[wanted.rounds - 1]
    if as_json:
        print_json({"folder": str(folder), "new": len(rounds), **done})
        return
    print_line(f"test accuracy {100 * done['accuracy']:.2f} %, loss {done['loss']:.4f}")
    proof = ", that of a single board" if shares_batches else ""
    plural = "" if done["round"] == 1 else "s"
    print_line(f"{done['round']} {what}{plural}, digest {done['digest']}{proof}; kept in {folder}, "
               "rounds.jsonl tells who took part")  # fmt: skip


def _average(
    wanted: Fleet, prepared: PreparedRun, folder: Path, draw: Callable[[Round], None],
    scheduler: str | None, workers: int,
) -> None:  # fmt: skip
    """Train the rounds of boards that average what they trained on their own."""
    with needs_extra("fleets"):
        from fixgrad.cluster import cluster
        from fixgrad.fleet.driver import run_fleet

    if any(member.simulated for member in wanted.members):
        with cluster(scheduler, workers) as client:
            run_fleet(wanted, prepared, folder, client, draw)
    else:
        run_fleet(wanted, prepared, folder, None, draw)
