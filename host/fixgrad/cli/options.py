"""Options that several commands share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem
from serial.tools import list_ports

from fixgrad.boards import BOARDS

PATH = click.Path(path_type=Path)
"""A path that the command itself checks, so that its error names what to type."""

WORD_MAX = 2**32 - 1
"""Largest number that a field of a message takes."""


class NumberRange(click.FloatRange):
    """A range of numbers, in which `nan` is not."""

    name = "number"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number.

        Raises:
            click.BadParameter: it is none, or out of range.
        """
        number = float(super().convert(value, param, ctx))
        if math.isnan(number):
            self.fail(f"{value!r} is not a valid {self.name}.", param, ctx)
        return number


_Command = TypeVar("_Command", bound=Callable[..., Any])


def complete_port(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the ports of this machine that begin so, for a shell."""
    ports = {str(port.device): str(port.description) for port in list_ports.comports()}
    ports["sim://"] = "a process of this machine"
    ports |= {f"qemu://{b.name}": f"emulated {b.title}" for b in BOARDS.values() if b.machine}
    return [
        CompletionItem(port, help=text)
        for port, text in ports.items()
        if port.startswith(incomplete)
    ]


port_option = click.option(
    "--port",
    envvar="FIXGRAD_PORT",
    show_envvar=True,
    required=True,
    metavar="URL",
    shell_complete=complete_port,
    help="Where the board is: /dev/ttyACM0, COM5, socket://…, sim:// or qemu://BOARD.",
)


def _baud(what: str) -> Callable[[_Command], _Command]:
    return click.option(
        "--baud",
        envvar="FIXGRAD_BAUD",
        show_envvar=True,
        default=115200,
        show_default=True,
        type=click.IntRange(min=1, max=WORD_MAX),
        help=what,
    )


baud_option = _baud(
    "Speed of a real serial port. Boards start at 115200 and change to it if they can."
)
port_baud_option = _baud("Speed at which a real serial port is opened.")
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object instead of text."
)


def parse_layers(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> tuple[int, ...] | None:
    """Return the widths of a text such as 64-32-10: a callback of an option."""
    try:
        return None if value is None else tuple(int(width) for width in value.split("-"))
    except ValueError as error:
        raise click.BadParameter(
            f"'{value}' is not a list of widths; type them with dashes between, input first, "
            "such as 64-32-10"
        ) from error


def spell_layers(layers: Sequence[int]) -> str:
    """Return layers as they are typed on the command line."""
    return "-".join(map(str, layers))
