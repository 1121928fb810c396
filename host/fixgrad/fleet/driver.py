"""Rounds of a fleet: jobs out, states in, one exact average; everything is kept between rounds."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from distributed import Client
from distributed import wait as wait_for_workers

from fixgrad.digest import state_digest
from fixgrad.errors import LinkError, RunFileError
from fixgrad.fleet.average import average
from fixgrad.fleet.fleetfile import Fleet
from fixgrad.fleet.member import BoardAtPort, Deadline, LateError, train_simulated
from fixgrad.fleet.shares import Job, cut, job
from fixgrad.model import State
from fixgrad.reference import Reference
from fixgrad.run import PreparedRun
from fixgrad.rundir import RunFolder, write_atomic
from fixgrad.stopping import loss_unit

_LOG = "rounds.jsonl"


@dataclass(frozen=True)
class Round:
    """A finished round.

    Attributes:
        round: counted from 1.
        digest: of the average, eight hexadecimal digits.
        took_part: boards whose states are in the average, with their samples.
        missed: boards that were away or late.
        loss, accuracy: of the average on the test part, computed by the reference.
        seconds: the round took.
    """

    round: int
    digest: str
    took_part: dict[str, int]
    missed: list[str]
    loss: float
    accuracy: float
    seconds: float


def run_fleet(
    fleet: Fleet,
    run: PreparedRun,
    folder: Path,
    client: Client | None,
    on_round: Callable[[Round], object] = lambda done: None,
) -> State:
    """Run the rounds that are missing and return the trained state.

    Args:
        fleet: the fleet.
        run: its run, prepared.
        folder: where it is kept.
        client: of the cluster for `sim://` boards; None where there are none.
        on_round: called after every round.

    Raises:
        RunFileError: the folder holds another fleet.
        LinkError: no board took part in a round.
        DoesNotFitError: a board has too little memory.
    """
    kept = _Kept(folder, fleet, run)
    state, begun = kept.open()
    shares = cut(fleet, run)
    with _boards(fleet, client) as train_all:
        for index in range(begun, fleet.rounds):
            started = time.monotonic()
            jobs = [
                job(fleet, run, state, member, index, share) for member, share in enumerate(shares)
            ]
            states = train_all(jobs)
            if not states:
                raise LinkError(
                    f"no board took part in round {index + 1} within {fleet.deadline_s:g} s; the "
                    "rounds before it are kept, the same command goes on"
                )
            members = sorted(states)
            state = average(
                run.config, [states[m] for m in members], [len(shares[m]) for m in members]
            )
            done = _round(fleet, run, index, state, members, shares, started)
            kept.store(state, done)
            on_round(done)
    return state


def read_rounds(folder: Path) -> list[dict[str, Any]]:
    """Return the log of a fleet: a `Round` a line."""
    return [json.loads(line) for line in (folder / _LOG).read_text("utf-8").splitlines()]


def _round(
    fleet: Fleet, run: PreparedRun, index: int, state: State, members: list[int],
    shares: list[Any], started: float,
) -> Round:  # fmt: skip
    loss, right = Reference(run.config, state).evaluate(run.test.features, run.test.targets)
    names = [member.name for member in fleet.members]
    return Round(
        index + 1,
        f"{state_digest(state):08x}",
        {names[m]: len(shares[m]) for m in members},
        [name for m, name in enumerate(names) if m not in members],
        float(loss.sum()) * loss_unit(run.config.loss) / len(run.test),
        float(right.mean()),
        time.monotonic() - started,
    )


@contextmanager
def _boards(
    fleet: Fleet, client: Client | None
) -> Iterator[Callable[[list[Job]], dict[int, State]]]:
    """Give a function that trains a round's jobs and returns the states in time, by board."""
    ports = {m: BoardAtPort(b) for m, b in enumerate(fleet.members) if not b.simulated}
    busy: dict[int, Future[State]] = {}
    called_off = threading.Event()
    with ThreadPoolExecutor(max(len(ports), 1)) as threads:

        def train_all(jobs: list[Job]) -> dict[int, State]:
            deadline = Deadline(fleet.deadline_s, called_off)
            here = {
                m: threads.submit(board.train, jobs[m], deadline)
                for m, board in ports.items()
                if m not in busy or busy[m].done()
            }
            busy.update(here)
            there = [work for m, work in enumerate(jobs) if m not in ports]
            states = _simulated(client, there, deadline)
            wait(here.values(), timeout=deadline.left())
            return states | _in_time(here)

        try:
            yield train_all
        finally:
            called_off.set()
            for board in ports.values():
                board.close()


def _in_time(futures: Mapping[int, Future[State]]) -> dict[int, State]:
    """Return the states of boards that are done.

    Raises:
        DoesNotFitError: one can never take part.
    """
    states = {}
    for member, future in futures.items():
        if future.done():
            try:
                states[member] = future.result()
            except LateError:
                continue
    return states


def _simulated(client: Client | None, jobs: list[Job], deadline: Deadline) -> dict[int, State]:
    if client is None or not jobs:
        return {}
    futures = client.map(train_simulated, jobs, pure=False, batch_size=64)
    try:
        wait_for_workers(futures, timeout=max(deadline.left(), 0.001))
    except TimeoutError:
        pass
    done = [(work, future) for work, future in zip(jobs, futures, strict=True) if future.done()]
    states = client.gather([future for _, future in done])
    client.cancel([future for future in futures if not future.done()])
    return {work.member: state for (work, _), state in zip(done, states, strict=True)}


class _Kept:
    """The folder of a fleet: run.toml and samples as of a run, state.npz, rounds.jsonl."""

    def __init__(self, folder: Path, fleet: Fleet, run: PreparedRun) -> None:
        self._folder = RunFolder(folder)
        self._fleet = fleet
        self._run = run
        self._log = folder / _LOG
        self._identity = folder / "fleet.json"

    def open(self) -> tuple[State, int]:
        """Return the state to go on from and the rounds that are done."""
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
