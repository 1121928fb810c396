"""`fixgrad fleet`: many boards train one model."""

from __future__ import annotations

from pathlib import Path

import click

from fixgrad.cli.border import InterruptedRunError
from fixgrad.cli.clustering import cluster_options, needs_extra
from fixgrad.cli.options import PATH, json_option
from fixgrad.cli.output import note, print_json, print_line
from fixgrad.run import prepare

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

    After every round the boards' parameters are averaged exactly. Stop it at any time; the same
    command goes on after the last round.
    """
    with needs_extra("fleets"):
        from fixgrad.cluster import cluster
        from fixgrad.fleet.driver import Round, read_rounds, run_fleet
        from fixgrad.fleet.fleetfile import load_fleet

    wanted = load_fleet(fleet_file)
    prepared = prepare(wanted.run)
    folder = out or _DEFAULT_FOLDER / fleet_file.stem
    rounds: list[Round] = []

    def draw(done: Round) -> None:
        rounds.append(done)
        missed = f"; without {', '.join(done.missed)}" if done.missed else ""
        note(
            f"round {done.round}/{wanted.rounds}  loss {done.loss:.4f}  accuracy "
            f"{100 * done.accuracy:.2f} %  {len(done.took_part)} boards{missed}"
        )

    simulated = any(member.simulated for member in wanted.members)
    try:
        if simulated:
            with cluster(scheduler, workers) as client:
                run_fleet(wanted, prepared, folder, client, draw)
        else:
            run_fleet(wanted, prepared, folder, None, draw)
    except KeyboardInterrupt as error:
        raise InterruptedRunError(
            f"stopped; finished rounds are kept in {folder}, the same command goes on"
        ) from error
    done = read_rounds(folder)[wanted.rounds - 1]
    if as_json:
        print_json({"folder": str(folder), "new": len(rounds), **done})
        return
    print_line(f"test accuracy {100 * done['accuracy']:.2f} %, loss {done['loss']:.4f}")
    print_line(f"{done['round']} rounds, digest {done['digest']}; kept in {folder}, rounds.jsonl "
               "tells who took part")  # fmt: skip
