"""Results of single seeds, kept in one JSON file as they come."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

Row = dict[str, Any]
"""Task, engine, seed, settings, version of the engine, and what `train` returned."""

_KEY = ("engine", "seed", "settings", "version")


class Results:
    """Seeds that were trained.

    Attributes:
        rows: one per seed, in the order of the file.
    """

    def __init__(self, path: Path) -> None:
        """Read the file if it exists."""
        self._path = path
        self.rows: list[Row] = json.loads(path.read_text()) if path.exists() else []

    def find(self, row: Row) -> Row | None:
        """Return a row, of whatever task, of the same engine, seed, settings and version."""
        wanted = _plain({key: row[key] for key in _KEY})
        return next((r for r in self.rows if {key: r[key] for key in _KEY} == wanted), None)

    def add(self, row: Row) -> None:
        """Put a row in the place of one of the same task, engine and seed, and save."""
        plain = _plain(row)
        same = ("task", "engine", "seed")
        self.rows = [r for r in self.rows if any(r[key] != plain[key] for key in same)]
        self.rows.append(plain)
        self.rows.sort(key=lambda r: [r[key] for key in same])
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_suffix(".tmp")
        lines = ",\n".join(json.dumps(r, sort_keys=True) for r in self.rows)
        temporary.write_text(f"[\n{lines}\n]\n")
        temporary.replace(self._path)


def _plain(row: Row) -> Row:
    plain: Row = json.loads(json.dumps(row))
    return plain
