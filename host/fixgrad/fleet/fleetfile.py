"""FLEET.toml: the run, the boards, the rounds."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fixgrad.errors import RunFileError
from fixgrad.runfile import load_run

SIMULATED: Final = "sim://"

_KEYS: Final = ("run", "rounds", "local_epochs", "skew", "deadline", "board")
_BOARD_KEYS: Final = ("name", "port", "baud", "share", "count")


@dataclass(frozen=True)
class Member:
    """A board of the fleet.

    Attributes:
        name: of the board in the log.
        port: where it is; `sim://` runs wherever a worker is free.
        baud: speed of a real serial port.
        share: its part of the data, relative to the others'.
    """

    name: str
    port: str
    baud: int
    share: int

    @property
    def simulated(self) -> bool:
        """Whether any process can be this board."""
        return self.port == SIMULATED


@dataclass(frozen=True)
class Fleet:
    """A fleet file with every default filled in.

    Attributes:
        path: the file.
        run_path: the run file: data, model, learning rates; its epochs do not count.
        rounds: averages.
        local_epochs: epochs a board trains between two averages.
        skew: part of a board's samples, 0..1, that is dealt out sorted by target, so that boards
            see different ones; the rest is dealt out evenly.
        deadline_s: after so many seconds a round goes on without the boards that are late.
        members: the boards.
    """

    path: Path
    run_path: Path
    rounds: int
    local_epochs: int
    skew: float
    deadline_s: float
    members: tuple[Member, ...]

    @property
    def identity(self) -> str:
        """What the result depends on beside the run: hexadecimal digits. Not ports or rounds."""
        shares = [(member.name, member.share) for member in self.members]
        text = json.dumps([self.local_epochs, self.skew, shares])
        return hashlib.sha256(text.encode()).hexdigest()


def load_fleet(path: Path) -> Fleet:
    """Read a fleet file.

    Raises:
        RunFileError: it, or the run file it names, is missing, not TOML, or a key is wrong.
    """
    try:
        tables = tomllib.loads(path.read_text("utf-8-sig"))
    except FileNotFoundError as error:
        raise RunFileError(
            f"no fleet file {path}; docs/FLEET.md shows one to start from"
        ) from error
    except (ValueError, OSError) as error:
        raise RunFileError(f"{path} is not a fleet file in TOML: {error}") from error
    return _Reader(path, tables).fleet()


class _Reader:
    """Checks the keys of a fleet file."""

    def __init__(self, path: Path, tables: Mapping[str, Any]) -> None:
        self._path = path
        self._tables = tables

    def fleet(self) -> Fleet:
        self._refuse_unknown("", self._tables, _KEYS)
        name = self._tables.get("run")
        if not isinstance(name, str):
            raise self._error("run", 'missing; type e.g. run = "digits.toml"')
        run_path = (self._path.parent / name).resolve()
        training = load_run(run_path).training
        if training.schedule == "plateau" or training.patience or training.target_loss:
            raise RunFileError(
                f"{run_path}: a fleet has no epochs that decide; leave plateau, patience and "
                "target_loss away"
            )
        skew = self._tables.get("skew", 0)
        if not isinstance(skew, int | float) or isinstance(skew, bool) or not 0 <= skew <= 1:
            raise self._error("skew", f"{skew!r} is not a number from 0 to 1")
        return Fleet(
            self._path,
            run_path,
            self._count("rounds", self._tables, None),
            self._count("local_epochs", self._tables, 1),
            float(skew),
            self._count("deadline", self._tables, 600),
            self._members(),
        )

    def _members(self) -> tuple[Member, ...]:
        tables = self._tables.get("board")
        if not isinstance(tables, list) or not tables:
            raise self._error("[[board]]", 'missing; type e.g. [[board]] and port = "sim://"')
        members: list[Member] = []
        for place, table in enumerate(tables, 1):
            self._refuse_unknown(f"board {place}: ", table, _BOARD_KEYS)
            port, count = table.get("port"), self._count("count", table, 1)
            if not isinstance(port, str):
                raise self._error(f"board {place}", 'port is missing; type e.g. port = "sim://"')
            if count > 1 and port != SIMULATED:
                raise self._error(
                    f"board {place}", f"count is for {SIMULATED}; {port} is one board"
                )
            name = str(table.get("name", f"board{place}"))
            for index in range(count):
                members.append(Member(
                    name if count == 1 else f"{name}.{index + 1}", port,
                    self._count("baud", table, 115200), self._count("share", table, 1),
                ))  # fmt: skip
        for what, given in (
            ("name", [member.name for member in members]),
            ("port", [member.port for member in members if not member.simulated]),
        ):
            twice = next((value for value in given if given.count(value) > 1), None)
            if twice is not None and not (what == "port" and twice.startswith("qemu://")):
                raise self._error("[[board]]", f"the {what} {twice} stands twice")
        return tuple(members)

    def _refuse_unknown(self, where: str, table: Mapping[str, Any], known: tuple[str, ...]) -> None:
        for key in table:
            if key not in known:
                raise self._error(f"{where}{key}", f"unknown; known are {', '.join(known)}")

    def _count(self, key: str, table: Mapping[str, Any], default: int | None) -> int:
        value = table.get(key, default)
        if value is None:
            raise self._error(key, f"missing; type e.g. {key} = 20")
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise self._error(key, f"{value!r} is not a whole number from 1 on")
        return value

    def _error(self, key: str, message: str) -> RunFileError:
        return RunFileError(f"{self._path}: {key}: {message}")
