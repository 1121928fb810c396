"""FLEET.toml: the run, the boards, the rounds."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fixgrad.errors import RunFileError
from fixgrad.keyedfile import KeyedFile
from fixgrad.runfile import RunFile
from fixgrad.transport import split_url
from fixgrad.urlhandlers import protocol_qemu, protocol_sim

SIMULATED: Final = "sim://"

_SIMULATED_MAX: Final = 100_000
"""Boards that one table of the file can stand for."""

FEDERATED: Final = "federated"
DATA_PARALLEL: Final = "data-parallel"

_ROUND_KEYS: Final = ("rounds", "local_epochs", "skew")
_KEYS: Final = ("run", *_ROUND_KEYS, "mode", "deadline", "board")
_BOARD_KEYS: Final = ("name", "port", "baud", "share", "count")


@dataclass(frozen=True)
class Member:
    """A board of the fleet.

    Attributes:
        name: of the board in the log.
        port: where it is; `sim://` runs wherever a worker is free.
        baud: speed of a real serial port.
        share: its part of the data, or of every batch, relative to the others'.
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
        run: the run file: data, model, learning rates; its epochs count in data-parallel mode only.
        mode: FEDERATED, boards average what they trained on their own; or DATA_PARALLEL, they
            share every batch, and an epoch of the run is a round.
        rounds: averages, or epochs.
        local_epochs: epochs a board trains between two averages.
        skew: part of a board's samples, 0..1, that is dealt out sorted by target, so that boards
            see different ones; the rest is dealt out evenly.
        deadline_s: after so many seconds a round goes on without the boards that are late; boards
            that share batches end when none of them has been there for so long.
        members: the boards.
    """

    path: Path
    run: RunFile
    mode: str
    rounds: int
    local_epochs: int
    skew: float
    deadline_s: float
    members: tuple[Member, ...]

    @property
    def identity(self) -> str:
        """What the result depends on beside the run: hexadecimal digits. Not ports or rounds."""
        if self.mode == DATA_PARALLEL:
            return self.mode
        shares = [(member.name, member.share) for member in self.members]
        text = json.dumps([self.local_epochs, self.skew, shares])
        return hashlib.sha256(text.encode()).hexdigest()


def load_fleet(path: Path) -> Fleet:
    """Read a fleet file.

    Raises:
        RunFileError: it, or the run file it names, is missing, not TOML, or a key is wrong.
        PortError: a URL names no board.
    """
    return _Reader(KeyedFile.read(path, "fleet")).fleet()


class _Reader:
    """Checks the keys of a fleet file."""

    def __init__(self, file: KeyedFile) -> None:
        self._file = file

    def fleet(self) -> Fleet:
        file = self._file
        file.refuse_unknown(_KEYS)
        run = file.run()
        training = run.training
        if training.schedule == "plateau" or training.patience or training.target_loss:
            raise RunFileError(
                f"{run.path}: a fleet has no epochs that decide; leave plateau, patience and "
                "target_loss away"
            )
        skew = file.tables.get("skew", 0)
        if not isinstance(skew, int | float) or isinstance(skew, bool) or not 0 <= skew <= 1:
            raise file.error("skew", f"{skew!r} is not a number from 0 to 1")
        mode = file.tables.get("mode", FEDERATED)
        if mode not in (FEDERATED, DATA_PARALLEL):
            raise file.error(
                "mode", f"{mode!r} is unknown; known are {FEDERATED}, {DATA_PARALLEL}"
            )
        for key in _ROUND_KEYS:
            if mode == DATA_PARALLEL and key in file.tables:
                raise file.error(
                    key, f"nothing is averaged in mode {DATA_PARALLEL}; leave it away: epochs, "
                    "batch and learning rates are those of the run file"
                )  # fmt: skip
        return Fleet(
            file.path,
            run,
            mode,
            training.epochs if mode == DATA_PARALLEL else file.count("rounds", None),
            file.count("local_epochs", 1),
            float(skew),
            file.count("deadline", 600),
            self._members(),
        )

    def _members(self) -> tuple[Member, ...]:
        file = self._file
        tables = file.tables.get("board")
        if not isinstance(tables, list) or not tables:
            raise file.error("[[board]]", 'missing; type e.g. [[board]] and port = "sim://"')
        members: list[Member] = []
        for place, table in enumerate(tables, 1):
            if not isinstance(table, dict):
                raise file.error("board", "not a table; type [[board]] on its own line")
            file.refuse_unknown(_BOARD_KEYS, table, f"board {place}: ")
            count = file.count("count", 1, high=_SIMULATED_MAX, table=table)
            port, name = table.get("port"), table.get("name", f"board{place}")
            if not isinstance(port, str):
                raise file.error(f"board {place}", 'port is missing; type e.g. port = "sim://"')
            if not isinstance(name, str):
                raise file.error(f"board {place}", f"name {name!r} is not a text")
            _check_url(port)
            if count > 1 and port != SIMULATED:
                raise file.error(
                    f"board {place}", f"count is for {SIMULATED}; {port} is one board"
                )
            for index in range(count):
                members.append(Member(
                    name if count == 1 else f"{name}.{index + 1}", port,
                    file.count("baud", 115200, table=table),
                    file.count("share", 1, table=table),
                ))  # fmt: skip
        for what, given in (
            ("name", [member.name for member in members]),
            ("port", [member.port for member in members if not member.simulated]),
        ):
            twice = next((value for value, times in Counter(given).items() if times > 1), None)
            if twice is not None and not (what == "port" and twice.startswith("qemu://")):
                raise file.error("[[board]]", f"the {what} {twice} stands twice")
        return tuple(members)


def _check_url(port: str) -> None:
    """Refuse a URL that can never open, which a round would wait for until its deadline."""
    match split_url(port).scheme:
        case "sim":
            protocol_sim.options_of(port)
        case "qemu":
            protocol_qemu.options_of(port)
