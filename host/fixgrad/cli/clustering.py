"""What the commands that work on a cluster share: options, and the extra they need."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from fixgrad.errors import UsageError


def cluster_options(scheduler_note: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command --scheduler and --workers.

    Args:
        scheduler_note: what an address is followed by in the help.
    """
    scheduler = click.option(
        "--scheduler", metavar="URL", help=f"A Dask scheduler, tcp://HOST:PORT{scheduler_note}. "
        "Default: processes of this machine.",
    )  # fmt: skip
    workers = click.option(
        "--workers", type=click.IntRange(min=1), default=lambda: os.cpu_count() or 1,
        help="Processes on this machine; default: its cores.",
    )  # fmt: skip
    return lambda command: scheduler(workers(command))


@contextmanager
def needs_extra(what: str) -> Iterator[None]:
    """Import Optuna, Dask and pandas only where they are used: they are large, and an extra.

    Args:
        what: needs them, for messages.

    Raises:
        UsageError: one is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{what} need the package {error.name}, which is not installed: "
            "pip install 'fixgrad[sweep]'"
        ) from error
