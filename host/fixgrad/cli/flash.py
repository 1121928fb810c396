"""`fixgrad flash`: firmware onto a board."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from serial.tools import list_ports

from fixgrad.boards import BOARDS
from fixgrad.cli.options import PATH, NumberRange, baud_option, json_option
from fixgrad.cli.output import is_quiet, note, print_json, print_line, status
from fixgrad.errors import UsageError
from fixgrad.fitting import require_fit
from fixgrad.flashing import await_firmware, only_usb_port, write_firmware
from fixgrad.planner import plan
from fixgrad.run import prepare
from fixgrad.runfile import load_run


@click.command(short_help="Build a board's firmware and write it onto the board.")
@click.argument("name", metavar="BOARD", type=click.Choice(list(BOARDS)))
@click.option(
    "--port", envvar="FIXGRAD_PORT", show_envvar=True, metavar="URL",
    help="Where the board answers afterwards; default: the only USB serial port.",
)
@baud_option
@click.option(
    "--run", "run_file", type=PATH, metavar="RUN.toml",
    help="Refuse before anything is built if this run does not fit the board.",
)
@click.option(
    "--wait", default=15.0, show_default=True, type=NumberRange(min=0), metavar="SECONDS",
    help="How long the board may take to answer.",
)
@json_option
def flash(
    name: str, port: str | None, baud: int, run_file: Path | None, wait: float, as_json: bool
) -> None:
    """Build the firmware of BOARD, let PlatformIO upload it, check that the board answers with it.

    The programmer is the board's own (`upload_protocol` in platformio.ini says otherwise).
    """
    board = BOARDS[name]
    if run_file is not None:
        _require_fit(name, run_file)
    port = port or only_usb_port(list_ports.comports())
    if port is None:
        raise UsageError(
            f"give the port where {name} answers after it was flashed: --port URL (`fixgrad ports` "
            "lists those of this machine)"
        )
    with status(f"building {name}"):
        identity = write_firmware(board, _show)
    with status(f"waiting for {name} on {port}"):
        info = await_firmware(board, port, baud, identity, wait)
    if as_json:
        print_json(
            {
                "board": name,
                "port": port,
                "firmware": f"{identity:04x}",
                "arena_bytes": info.arena_bytes,
            }
        )
    else:
        print_line(
            f"{name} on {port} runs firmware {identity:04x}: {info.arena_bytes:,} bytes for a model"
        )


def _show(text: str) -> None:
    """Pass on what PlatformIO says, a progress bar included."""
    if not is_quiet():
        click.echo(text, err=True, nl=False)
        sys.stderr.flush()


def _require_fit(name: str, run_file: Path) -> None:
    board, config = BOARDS[name], prepare(load_run(run_file)).config
    require_fit(config, board, str(run_file))
    needed = plan(config).arena_bytes
    note(f"{run_file} needs {needed:,} of {board.arena_bytes:,} bytes of {name}")
