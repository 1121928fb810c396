"""`fixgrad doctor`: what is wrong with a port, a line or a board."""

from __future__ import annotations

import click

from fixgrad.cli.options import baud_option, json_option, port_option
from fixgrad.cli.output import print_json, print_line, status
from fixgrad.doctor import Fact, Finding, Level, Report, exit_code
from fixgrad.doctor_link import examine_link
from fixgrad.doctor_system import examine_system


@click.command(short_help="Find out what is wrong with a port or a board.")
@port_option
@baud_option
@json_option
@click.pass_context
def doctor(ctx: click.Context, port: str, baud: int, as_json: bool) -> None:
    """Examine a port and the board behind it; no message changes what the board holds.

    docs/TROUBLESHOOTING.md explains every code.
    """
    reports: list[Report] = []
    with status(f"examining {port}"):
        reports += examine_system(port)
        if not exit_code(reports):
            reports += examine_link(port, baud)
    findings = [report for report in reports if isinstance(report, Finding)]
    if as_json:
        print_json(
            {
                "port": port,
                "findings": [_as_fields(finding) for finding in findings],
                "facts": {r.name: r.value for r in reports if isinstance(r, Fact)},
            }
        )
    else:
        for report in reports:
            _print(report)
        errors = sum(finding.kind.level is Level.ERROR for finding in findings)
        print_line(f"{errors} errors, {len(findings) - errors} warnings")
    ctx.exit(exit_code(reports))


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
