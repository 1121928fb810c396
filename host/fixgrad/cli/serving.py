"""The page of a run in the browser while it trains, from a process of its own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import click

import fixgrad
from fixgrad.cli.output import note, status
from fixgrad.errors import UsageError

LOCAL = "127.0.0.1"


def parse_address(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> tuple[str, int] | None:
    """Return host and port of a text such as 8000 or 0.0.0.0:8000: a callback of an option."""
    if value is None:
        return None
    host, _, port = value.rpartition(":")
    if not port.isdecimal() or int(port) > 65535 or ":" in host:
        raise click.BadParameter(
            f"'{value}' is no address; type a port such as 8000, 0 for any free one, or HOST:PORT"
        )
    return host or LOCAL, int(port)


class LivePage:
    """Serves the page of a run until training ends.

    Attributes:
        url: of the page.
    """

    def __init__(self, address: tuple[str, int], folder: Path) -> None:
        """Begin to serve.

        Args:
            address: host and port; port 0: any free one.
            folder: of the run; it may still be to begin.

        Raises:
            UsageError: the address is taken or not one of this computer.
        """
        host, port = address
        packages = str(Path(fixgrad.__file__).parent.parent)
        paths = filter(None, (packages, os.environ.get("PYTHONPATH")))
        self._folder = folder
        self._process = subprocess.Popen(
            [sys.executable, "-m", "fixgrad.cli.page_server", str(folder), host, str(port)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )  # fmt: skip
        assert self._process.stdout is not None
        told = self._process.stdout.readline().strip()
        if not told.startswith("http"):
            self.close()
            reason = told.removeprefix("!") or "the server ended at once"
            raise UsageError(
                f"--serve {host}:{port}: {reason}; type another port, or 0 for any free one"
            )
        self.url = told

    def epoch(self, line: Mapping[str, object], state: object) -> None:
        """Tell that an epoch is done; its line is in metrics.jsonl."""
        self._tell("epoch")

    def end(self) -> None:
        """Draw the last page, keep it in the folder, and stop serving."""
        self._tell("ended")
        self.close()
        if self._process.returncode == 0:
            note(f"the page is kept in {self._folder / 'report.html'}")

    def close(self) -> None:
        """Stop serving."""
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
            with status("drawing the last page; Ctrl-C leaves it out"):
                self._process.wait()
        except KeyboardInterrupt:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def _tell(self, word: str) -> None:
        """Write a line; training does not depend on whether anybody reads it."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, ValueError):
            self._process.stdin.write(f"{word}\n")
            self._process.stdin.flush()
