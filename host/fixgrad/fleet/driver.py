"""Rounds of a fleet: jobs out, states in, one exact average."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path

from distributed import Client
from distributed import wait as wait_for_workers

from fixgrad.errors import LinkError
from fixgrad.fleet.average import average
from fixgrad.fleet.fleetfile import Fleet
from fixgrad.fleet.member import BoardAtPort, Deadline, LateError, train_simulated
from fixgrad.fleet.rounds import KeptFleet, Round, finished
from fixgrad.fleet.shares import Job, cut, job
from fixgrad.model import State
from fixgrad.run import PreparedRun


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
    kept = KeptFleet(folder, fleet, run)
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
            took_part = {fleet.members[m].name: len(shares[m]) for m in members}
            done = finished(fleet, run, index, state, took_part, started)
            kept.store(state, done)
            on_round(done)
    return state


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
