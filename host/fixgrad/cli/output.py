"""Drawing: results on stdout, everything else on stderr, escape codes only on terminals."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

import click
from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

_PIPE_WIDTH = 500
_VERBOSITY = "fixgrad.verbosity"


def print_json(value: Mapping[str, object]) -> None:
    """Print one object on stdout."""
    click.echo(json.dumps(value))


def print_line(text: str) -> None:
    """Print a line of results on stdout."""
    click.echo(text)


def set_verbosity(ctx: click.Context, level: int) -> None:
    """Be quiet (-1) or tell details (1) in this command."""
    ctx.meta[_VERBOSITY] = level


def _verbosity() -> int:
    ctx = click.get_current_context(silent=True)
    return 0 if ctx is None else int(ctx.meta.get(_VERBOSITY, 0))


def is_quiet() -> bool:
    """Tell whether results and errors are all that is wanted."""
    return _verbosity() < 0


def note(text: str) -> None:
    """Print a line for people on stderr, unless they want it quiet."""
    if not is_quiet():
        click.echo(text, err=True)


def detail(text: str) -> None:
    """Print a line on stderr for people who want to know more."""
    if _verbosity() > 0:
        click.echo(text, err=True)


def new_table(*columns: str, right: tuple[str, ...] = (), title: str | None = None) -> Table:
    """Return an empty table; the columns in `right` hold numbers."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left")
    return table


def print_table(table: Table) -> None:
    """Print a table on stdout, unabridged where it goes into a pipe."""
    console = Console(file=sys.stdout, highlight=False, markup=False)
    if not console.is_terminal:
        console.width = _PIPE_WIDTH
    console.print(table)


@contextmanager
def status(text: str) -> Iterator[None]:
    """Show on a terminal that something is under way."""
    console = Console(file=sys.stderr)
    if not console.is_terminal or is_quiet():
        yield
        return
    with console.status(Text(text)):
        yield


class _Speed(ProgressColumn):
    """Units a second."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f} {self._unit}/s" if speed else f"– {self._unit}/s")


class _Live(Progress):
    """A progress bar with lines below it."""

    below = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        if self.below:
            yield Text(self.below, no_wrap=True, overflow="crop")


class Meter:
    """A progress bar on stderr; where stderr is no terminal, its milestones as lines."""

    def __init__(self, description: str, total: int, unit: str) -> None:
        """Take what is under way and how many units it has."""
        self._console = Console(file=sys.stderr, highlight=False, markup=False)
        self._progress = _Live(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            TaskProgressColumn(),
            TextColumn("{task.fields[text]}", markup=False),
            _Speed(unit),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal or is_quiet(),
            expand=True,
        )
        self._task = self._progress.add_task(description, total=total, text="")

    def __enter__(self) -> Meter:
        """Start drawing."""
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Stop drawing."""
        self._progress.stop()

    def update(self, completed: int, text: str, description: str | None = None) -> None:
        """Move the bar."""
        if description is None:
            self._progress.update(self._task, completed=completed, text=text)
        else:
            self._progress.update(
                self._task, completed=completed, text=text, description=description
            )

    def start_at(self, completed: int) -> None:
        """Move the bar without counting it as speed."""
        self._progress.reset(self._task, completed=completed)

    def show_below(self, text: str) -> None:
        """Replace the lines below the bar."""
        self._progress.below = text

    def milestone(self, text: str) -> None:
        """Print a line where no bar can be drawn."""
        if not self._console.is_terminal:
            note(text)

    def note(self, text: str) -> None:
        """Print a line, above the bar on a terminal."""
        if not is_quiet():
            self._console.print(text, soft_wrap=True)


@contextmanager
def stop_switch() -> Iterator[list[int]]:
    """Turn the first Ctrl-C into an entry of the list, the second into KeyboardInterrupt."""
    pressed: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        if pressed:
            raise KeyboardInterrupt
        pressed.append(number)

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)
