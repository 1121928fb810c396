"""The command `fixgrad`: arguments in, work functions called, events drawn, errors in one line."""

from __future__ import annotations

import sys

import click

from fixgrad import __version__
from fixgrad.cli.border import Border

_COMMANDS = {
    "new": "fixgrad.cli.new:new",
    "import": "fixgrad.cli.importing:import_network",
    "train": "fixgrad.cli.train:train",
    "validate": "fixgrad.cli.validate:validate",
    "report": "fixgrad.cli.report:report",
    "replay": "fixgrad.cli.replay:replay",
    "diff": "fixgrad.cli.diff:diff",
    "gradcheck": "fixgrad.cli.gradcheck:gradcheck",
    "selftest": "fixgrad.cli.selftest:selftest",
    "bench": "fixgrad.cli.bench:bench",
    "eval": "fixgrad.cli.trained:evaluate",
    "predict": "fixgrad.cli.trained:predict",
    "deploy": "fixgrad.cli.trained:deploy",
    "export": "fixgrad.cli.export:export",
    "plan": "fixgrad.cli.plan:plan",
    "flash": "fixgrad.cli.flash:flash",
    "sweep": "fixgrad.cli.sweep:sweep",
    "fleet": "fixgrad.cli.fleet:fleet",
    "boards": "fixgrad.cli.places:boards",
    "ports": "fixgrad.cli.places:ports",
    "doctor": "fixgrad.cli.doctor:doctor",
    "demo": "fixgrad.cli.demo:demo",
    "proxy": "fixgrad.cli.proxy:proxy",
    "trace": "fixgrad.cli.proxy:trace",
    "decode": "fixgrad.cli.decode:decode",
    "completion": "fixgrad.cli.completion:completion",
}


@click.group(
    cls=Border,
    commands_by_name=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="fixgrad")
def cli() -> None:
    """Train small neural networks in fixed point on microcontrollers, proved bit for bit.

    A port is a serial device (/dev/ttyACM0, COM5), a socket (socket://HOST:PORT), an emulated
    board (qemu://disco_f100rb) or a process of this machine (sim://).

    `fixgrad COMMAND --help` ends with examples. Results go to stdout, all else to stderr.
    """


def main() -> None:
    """Run the command line and leave with its exit code."""
    try:
        cli(prog_name="fixgrad")
    except KeyboardInterrupt:
        click.echo("fixgrad: stopped", err=True)
        sys.exit(130)
