"""The folder of a fleet: run.toml and samples as of a run, final.npz, rounds.jsonl."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fixgrad.digest import state_digest
from fixgrad.errors import RunFileError
from fixgrad.fleet.fleetfile import Fleet
from fixgrad.model import State
from fixgrad.reference import Reference
from fixgrad.run import PreparedRun
from fixgrad.rundir import RunFolder, write_atomic
from fixgrad.stopping import loss_unit

_LOG = "rounds.jsonl"


@dataclass(frozen=True)
class Round:
    """A finished round; where boards share batches, an epoch.

    Attributes:
        round: counted from 1.
        digest: of the state after it, eight hexadecimal digits.
        took_part: boards whose work is in it, with their samples.
        missed: boards that were away or late.
        loss, accuracy: on the test part, computed by the reference.
        seconds: the round took.
    """

    round: int
    digest: str
    took_part: dict[str, int]
    missed: list[str]
    loss: float
    accuracy: float
    seconds: float


def finished(
    fleet: Fleet, run: PreparedRun, index: int, state: State, took_part: Mapping[str, int],
    started: float,
) -> Round:  # fmt: skip
    """Return the line of a round.

    Args:
        fleet: the fleet.
        run: its run.
        index: of the round, counted from 0.
        state: after it.
        took_part: samples by the names of boards.
        started: when, by `time.monotonic`.
    """
    loss, right = Reference(run.config, state).evaluate(run.test.features, run.test.targets)
    return Round(
        index + 1,
        f"{state_digest(state):08x}",
        dict(took_part),
        [member.name for member in fleet.members if member.name not in took_part],
        float(loss.sum()) * loss_unit(run.config.loss) / len(run.test),
        float(right.mean()),
        time.monotonic() - started,
    )


def read_rounds(folder: Path) -> list[dict[str, Any]]:
    """Return the log of a fleet: a `Round` a line.

    Raises:
        RunFileError: it is missing or damaged.
    """
    log = folder / _LOG
    try:
        lines = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
        return [asdict(Round(**line)) for line in lines]
    except (FileNotFoundError, ValueError, TypeError) as error:
        raise RunFileError(
            f"{log} is missing or damaged; start the fleet again in another --out"
        ) from error


class KeptFleet:
    """What is kept of a fleet between rounds."""

    def __init__(self, folder: Path, fleet: Fleet, run: PreparedRun) -> None:
        """Take the folder; nothing is read or written yet."""
        self._folder = RunFolder(folder)
        self._fleet = fleet
        self._run = run
        self._log = folder / _LOG
        self._identity = folder / "fleet.json"

    def open(self) -> tuple[State, int]:
        """Return the state to go on from and the rounds that are done.

        Raises:
            RunFileError: the folder holds another fleet, or is damaged.
        """
        identity = json.dumps({"fleet": self._fleet.identity, "run": self._run.run_id})
        if not self._identity.exists():
            self._folder.create(self._run)
            write_atomic(self._log, b"")
            write_atomic(self._identity, identity.encode())
            return self._run.initial, 0
        if self._identity.read_text("utf-8") != identity:
            raise RunFileError(
                f"{self._folder.path} holds another fleet than {self._fleet.path}; give another "
                "--out"
            )
        rounds = read_rounds(self._folder.path)
        if not (self._folder.path / "final.npz").exists():
            return self._run.initial, 0
        state = self._folder.final(self._run.config)
        digests = [line["digest"] for line in rounds]
        if f"{state_digest(state):08x}" not in digests:
            raise RunFileError(f"{self._log} and final.npz disagree; start again in another --out")
        return state, digests.index(f"{state_digest(state):08x}") + 1

    def store(self, state: State, done: Round) -> None:
        """Keep a round: its line first, so that every state that is found has one."""
        lines = [*read_rounds(self._folder.path)[: done.round - 1], asdict(done)]
        write_atomic(self._log, "".join(f"{json.dumps(line)}\n" for line in lines).encode())
        self._folder.save_final(self._run.config, state)
