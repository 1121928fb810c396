"""`fixgrad selftest`: vector files on the device."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import click

from fixgrad import selftest as work
from fixgrad.cli.opening import open_device
from fixgrad.cli.options import PATH, baud_option, json_option, port_option
from fixgrad.cli.output import Meter, print_json, print_line
from fixgrad.errors import DataError, DoesNotFitError, MismatchError
from fixgrad.selftest import CaseResult, Outcome
from fixgrad.vectors import packaged_vectors, vector_files


@click.command(short_help="Run the test vectors on the device.")
@port_option
@baud_option
@click.option(
    "--vectors", type=PATH, metavar="DIR", help="Folder of vector files; default: the packaged set."
)
@json_option
def selftest(port: str, baud: int, vectors: Path | None, as_json: bool) -> None:
    """Run the vector files on the device and compare the digest after every step.

    Leaves with 0 if every case that fits the board passes.
    """
    paths = _paths(vectors)
    with open_device(port, baud) as device, Meter("selftest", len(paths), "cases") as meter:
        results: list[CaseResult] = []
        for result in work.selftest(device, paths):
            results.append(result)
            meter.update(len(results), result.name)
        board = device.info.board
    counts = Counter(result.outcome for result in results)
    if as_json:
        print_json(_report(results, counts))
    else:
        _print(results, counts, board)
    if counts[Outcome.FAILED]:
        first = next(result for result in results if result.outcome == Outcome.FAILED)
        raise MismatchError(
            f"{counts[Outcome.FAILED]} of {len(results)} cases failed on {board}; the first is "
            f"{first.name}: {first.detail}"
        )
    if not counts[Outcome.PASSED]:
        raise DoesNotFitError(f"none of the {len(results)} cases fits {board}; nothing was tested")


def _paths(vectors: Path | None) -> list[Path]:
    if vectors is None:
        return packaged_vectors()
    if not vectors.is_dir():
        raise DataError(f"--vectors {vectors} is not a folder; give one with vector files (.npz)")
    paths = vector_files(vectors)
    if not paths:
        raise DataError(f"--vectors {vectors} holds no vector files (.npz)")
    return paths


def _print(results: list[CaseResult], counts: Counter[Outcome], board: str) -> None:
    width = max(len(result.name) for result in results)
    for result in results:
        detail = result.detail or f"{result.steps} steps"
        print_line(f"{result.outcome.value:<12} {result.name:<{width}}  {detail}")
    print_line(
        f"selftest on {board}: {counts[Outcome.PASSED]} passed, {counts[Outcome.FAILED]} failed, "
        f"{counts[Outcome.DOES_NOT_FIT]} do not fit"
    )


def _report(results: list[CaseResult], counts: Counter[Outcome]) -> dict[str, object]:
    return {
        "passed": counts[Outcome.PASSED],
        "failed": counts[Outcome.FAILED],
        "does_not_fit": counts[Outcome.DOES_NOT_FIT],
        "cases": [
            {
                "name": result.name,
                "outcome": result.outcome.value,
                "steps": result.steps,
                "arena_bytes": result.arena_bytes,
                "detail": result.detail,
            }
            for result in results
        ],
    }
