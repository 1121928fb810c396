"""TOML files that name a run file, of sweeps and fleets: reading, and the checks of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fixgrad import tomlfile
from fixgrad.errors import RunFileError
from fixgrad.runfile import RunFile, load_run

COUNT_MAX: Final = 10**9


@dataclass(frozen=True)
class KeyedFile:
    """What a file says.

    Attributes:
        path: the file.
        tables: its keys.
    """

    path: Path
    tables: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path, kind: str) -> KeyedFile:
        """Read a file.

        Args:
            path: the file.
            kind: sweep or fleet, for messages.

        Raises:
            RunFileError: it is missing or not TOML.
        """
        name = f"{kind} file"
        missing = f"no {name} {path}; docs/{kind.upper()}.md shows one to start from"
        text = tomlfile.read_text(path, name, missing, RunFileError)
        return cls(path, tomlfile.parse(text, path, name, RunFileError))

    def error(self, key: str, message: str) -> RunFileError:
        """Return the error of a key."""
        return RunFileError(f"{self.path}: {key}: {message}")

    def refuse_unknown(
        self, known: tuple[str, ...], table: Mapping[str, Any] | None = None, where: str = ""
    ) -> None:
        """Refuse keys that nobody knows.

        Args:
            known: the others.
            table: that is checked; None: the file.
            where: that it is, for messages.

        Raises:
            RunFileError: there is one.
        """
        for key in self.tables if table is None else table:
            if key not in known:
                raise self.error(f"{where}{key}", f"unknown; known are {', '.join(known)}")

    def run(self) -> RunFile:
        """Return the run file that the file names; its path starts at the file.

        Raises:
            RunFileError: none is named, or it is wrong.
        """
        name = self.tables.get("run")
        if not isinstance(name, str):
            raise self.error("run", 'missing; type e.g. run = "digits.toml"')
        try:
            path = (self.path.parent / name).resolve()
        except (ValueError, OSError, RuntimeError) as error:
            raise self.error("run", f"{name!r} is no path of a file: {error}") from error
        return load_run(path)

    def count(
        self, key: str, default: int | None, low: int = 1, high: int = COUNT_MAX,
        table: Mapping[str, Any] | None = None,
    ) -> int:  # fmt: skip
        """Return a whole number.

        Args:
            key: its name.
            default: where it is left away; None: it may not be.
            low: the least.
            high: the most.
            table: that it stands in; None: the file.

        Raises:
            RunFileError: it is missing or something else.
        """
        value = (self.tables if table is None else table).get(key, default)
        if value is None:
            raise self.error(key, f"missing; type e.g. {key} = 20")
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self.error(key, f"{value!r} is not a whole number from {low} to {high}")
        return value
