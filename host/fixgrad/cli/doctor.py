"""`fixgrad doctor`: what is wrong with a port, a line or a board, or with the numbers of a run."""

from __future__ import annotations

from pathlib import Path

import click

from fixgrad.cli.inspecting import examine
from fixgrad.cli.options import PATH, baud_option, json_option
from fixgrad.cli.output import print_json, print_line, status
from fixgrad.doctor import Fact, Finding, Level, Report, exit_code
from fixgrad.doctor_link import examine_link
from fixgrad.doctor_system import examine_system
from fixgrad.health import diagnose
from fixgrad.rundir import RunFolder


@click.command(short_help="Find out what is wrong with a port, a board or a run.")
@click.argument("folder", metavar="[DIR]", required=False, type=PATH)
@click.option(
    "--port",
    envvar="FIXGRAD_PORT",
    show_envvar=True,
    metavar="URL",
    help="Where the board is: /dev/ttyACM0, COM5, socket://…, sim:// or qemu://BOARD.",
)
@baud_option
@json_option
@click.pass_context
def doctor(
    ctx: click.Context, folder: Path | None, port: str | None, baud: int, as_json: bool
) -> None:
    """Examine a port and the board behind it, or the numbers of the run in DIR.

    No message changes what the board holds. For a run the NumPy reference computes it again, bit
    for bit, and looks inside. docs/TROUBLESHOOTING.md explains every code.
    """
    if folder is not None:
        reports = list(diagnose(examine(RunFolder(folder))))
        _tell(reports, {"folder": str(folder)}, as_json)
    elif port is not None:
        reports = []
        with status(f"examining {port}"):
            reports += examine_system(port)
            if not exit_code(reports):
                reports += examine_link(port, baud)
        _tell(reports, {"port": port}, as_json)
    else:
        raise click.UsageError("give --port URL to examine a board, or the folder DIR of a run")
    ctx.exit(exit_code(reports))


def _tell(reports: list[Report], subject: dict[str, str], as_json: bool) -> None:
    findings = [report for report in reports if isinstance(report, Finding)]
    if as_json:
        print_json(
            {
                **subject,
                "findings": [_as_fields(finding) for finding in findings],
                "facts": {r.name: r.value for r in reports if isinstance(r, Fact)},
            }
        )
        return
    for report in reports:
        _print(report)
    errors = sum(finding.kind.level is Level.ERROR for finding in findings)
    print_line(f"{errors} errors, {len(findings) - errors} warnings")


def _as_fields(finding: Finding) -> dict[str, object]:
    kind = finding.kind
    return {
        "code": kind.code,
        "level": kind.level.value,
        "title": kind.title,
        "detail": finding.detail,
        "cause": kind.cause,
        "next": kind.next_step,
    }


def _print(report: Report) -> None:
    if isinstance(report, Fact):
        print_line(f"ok     {report.text}")
        return
    kind = report.kind
    print_line(f"{kind.code}  {kind.level.value}: {kind.title}: {report.detail}")
    print_line(f"       cause: {kind.cause}")
    print_line(f"       next:  {kind.next_step}")
