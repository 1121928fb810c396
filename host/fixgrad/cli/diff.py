"""`fixgrad diff`: two runs down to the first element in which they differ."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import click

from fixgrad.cli.options import PATH, json_option
from fixgrad.cli.output import print_json, print_line, status
from fixgrad.errors import MismatchError
from fixgrad.rundiff import Recorded, RunDifference, compare_runs
from fixgrad.rundir import RunFolder
from fixgrad.validation import Difference


@click.command(short_help="Compare two runs down to the first differing element.")
@click.argument("a", metavar="DIR_A", type=PATH)
@click.argument("b", metavar="DIR_B", type=PATH)
@json_option
@click.pass_context
def diff(ctx: click.Context, a: Path, b: Path, as_json: bool) -> None:
    """Compare the runs in DIR_A and DIR_B: settings, samples, initial state, digests of epochs.

    Where the digests part, both runs are made again by the reference up to that epoch, and the
    first weight that differs is named with its step. Leaves with 0 only if nothing differs.
    """
    left, right = _recorded(a), _recorded(b)
    with status("comparing"):
        found = compare_runs(left, right)
    if as_json:
        print_json(_fields(found))
    else:
        for line in _lines(found, a, b):
            print_line(line)
    ctx.exit(0 if found.is_equal else MismatchError.exit_code)


def _recorded(path: Path) -> Recorded:
    folder = RunFolder(path)
    prepared = folder.reopen()
    digests = folder.digests()
    final = folder.final(prepared.config) if folder.has_ended() else None
    return Recorded(prepared, digests, final)


def _fields(found: RunDifference) -> dict[str, object]:
    """Return what the JSON says."""

    def element(value: Difference | None) -> dict[str, object] | None:
        if value is None:
            return None
        return {
            "step": value.step, "tensor": value.tensor, "layer": value.layer,
            "element": value.element, "a": value.device, "b": value.reference,
            "differing": value.differing,
        }

    return {
        "equal": found.is_equal,
        "settings": [dataclasses.asdict(setting) for setting in found.settings],
        "samples": found.samples and dataclasses.asdict(found.samples),
        "initial": element(found.initial),
        "first_differing_epoch": found.epoch,
        "digests": found.digests and [f"{digest:08x}" for digest in found.digests],
        "epochs": found.epochs,
        "first_difference": element(found.element),
        "as_reference": found.honest,
        "final": element(found.final),
    }


def _lines(found: RunDifference, a: Path, b: Path) -> Iterator[str]:
    """Yield what differs, one line each."""
    for setting in found.settings:
        yield f"{setting.key}: {setting.a} in {a}, {setting.b} in {b}"
    if found.samples is not None:
        s = found.samples
        place = f"[{', '.join(map(str, s.element))}]" if s.element else " (shape)"
        yield f"samples: {s.array}{place}: {s.a} in {a}, {s.b} in {b} ({s.differing} values differ)"
    if found.initial is not None:
        yield f"before the first step: {_element(found.initial, a, b)}"
    if found.epoch is None:
        short = min(found.epochs)
        yield f"the digests of {short} epochs are equal" if short else "no epoch to compare"
    else:
        assert found.digests is not None
        yield (
            f"the digests part at epoch {found.epoch}: {found.digests[0]:08x} in {a}, "
            f"{found.digests[1]:08x} in {b}"
        )
    if found.element is not None:
        yield f"after step {found.element.step}: {_element(found.element, a, b)}"
    if found.honest is not None:
        for path, honest in zip((a, b), found.honest, strict=True):
            if not honest:
                yield (
                    f"{path}: the reference has another digest after epoch {found.epoch}: its "
                    "board computed it wrongly, or the folder was changed"
                )
    if found.final is not None:
        yield f"at the end: {_element(found.final, a, b)}"
    if found.epochs[0] != found.epochs[1]:
        yield f"{a} records {found.epochs[0]} epochs, {b} {found.epochs[1]}"


def _element(found: Difference, a: Path, b: Path) -> str:
    where = found.tensor
    if found.layer is not None:
        where += f" of layer {found.layer}"
    if found.element:
        where += f"[{', '.join(map(str, found.element))}]"
    return (
        f"{where}: {found.device} in {a}, {found.reference} in {b} "
        f"({found.differing} values differ)"
    )
