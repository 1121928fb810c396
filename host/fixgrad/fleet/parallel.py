"""One mini-batch on many boards: the digest is that of a single board, whoever did which part."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from fixgrad.digest import WORD
from fixgrad.errors import DataError, MismatchError
from fixgrad.fleet.crew import Crew, Done, Piece
from fixgrad.fleet.fleetfile import Fleet
from fixgrad.fleet.parts import BatchStep, PartBoard
from fixgrad.fleet.rounds import KeptFleet, Round, finished
from fixgrad.model import State
from fixgrad.parts import LayerSums, Reach, add_sums
from fixgrad.reference import Part, Reference
from fixgrad.run import PreparedRun


def run_parallel(
    fleet: Fleet,
    run: PreparedRun,
    folder: Path,
    on_epoch: Callable[[Round], object] = lambda done: None,
    on_step: Callable[[int], object] = lambda done: None,
) -> State:
    """Train the epochs that are missing and return the trained state.

    Args:
        fleet: the fleet.
        run: its run, prepared.
        folder: where it is kept.
        on_epoch: called after every epoch.
        on_step: called after every step with the number of steps that are done.

    Raises:
        RunFileError: the folder holds another fleet.
        UsageError: a board cannot share batches.
        DoesNotFitError: a board has no memory for even one sample.
        LinkError: no board is left.
        MismatchError: a step differs from the reference's own.
    """
    kept = KeptFleet(folder, fleet, run)
    state, begun = kept.open()
    if begun >= fleet.rounds:
        return state
    boards = [PartBoard(member, run.config) for member in fleet.members]
    steps = run.schedule.steps_per_epoch
    with closing(Crew(boards, fleet.deadline_s)) as crew:
        shared = _SharedRun(run, state, crew)
        for epoch in range(begun, fleet.rounds):
            started = time.monotonic()
            took_part: Counter[str] = Counter()
            for step in range(epoch * steps, (epoch + 1) * steps):
                took_part += shared.step(step)
                on_step(step + 1)
            done = finished(fleet, run, epoch, shared.state, took_part, started)
            kept.store(shared.state, done)
            on_epoch(done)
    return shared.state


class _SharedRun:
    """A run whose steps the boards share; the host holds the state and applies the sums.

    Attributes:
        state: after the last step.
    """

    def __init__(self, run: PreparedRun, state: State, crew: Crew) -> None:
        self._run = run
        self._crew = crew
        self._model = Reference(run.config, state)
        self._proof = Reference(run.config, state)
        self._wire = run.train.wire(run.config)

    @property
    def state(self) -> State:
        return self._model.state

    def step(self, index: int) -> Counter[str]:
        """Train a step.

        Returns:
            The samples that each board learned.

        Raises:
            MismatchError: its digest, loss or right answers are not those of the reference.
        """
        schedule, crew = self._run.schedule, self._crew
        places = schedule.step_indices(index)
        rate = schedule.learning_rate(index)
        step = BatchStep(
            self._run.config, self.state.copy(), self._wire[places], rate,
            schedule.step_start(index), self._run.run_id,
        )  # fmt: skip
        told = crew.do(crew.cut(len(places)), lambda board, piece: board.reach(step, piece))
        reach = Reach.of_batch([done.result for done in told])
        exponents = self._model.exponents(reach)
        sums = crew.do(
            [Piece(done.places, done.board) for done in told],
            lambda board, piece: board.sums(step, piece, exponents),
        )
        train = self._run.train
        expected = self._proof.step(train.features[places], train.targets[places], *rate)
        try:
            self._model.apply(reach, add_sums([done.result for done in sums]))
            agrees = self._model.digest() == self._proof.digest()
        except DataError:
            agrees = False
        told_loss = min(reach.loss, WORD - 1)
        if not agrees or (told_loss, reach.correct) != (expected.loss, expected.correct):
            raise MismatchError(self._difference(index, step, told, sums, exponents))
        learned: Counter[str] = Counter()
        for done in sums:
            learned[done.board.name] += len(done.places)
        return learned

    def _difference(
        self, index: int, step: BatchStep, told: Sequence[Done[Reach]],
        sums: Sequence[Done[list[LayerSums]]], exponents: Sequence[int],
    ) -> str:  # fmt: skip
        """Return which boards told something else than the reference does of their samples."""
        before = Reference(step.config, step.state)
        batch = self._run.schedule.step_indices(index)

        def part(places: range) -> Part:
            rows = batch[places.start : places.stop]
            train = self._run.train
            return before.part(train.features[rows], train.targets[rows], *step.rate)

        wrong = {done.board.name for done in told if not _agree(done.result, part(done.places))}
        for done in sums:
            if not _same_sums(done.result, part(done.places).sums(exponents)):
                wrong.add(done.board.name)
        who = ", ".join(sorted(wrong)) or "no board, asked alone,"
        return (
            f"step {index + 1} differs from the reference: {who} told wrong sums (digest "
            f"{self._model.digest():08x}, reference {self._proof.digest():08x}); the epochs before "
            "are kept; `fixgrad selftest` on that board tells more"
        )


def _agree(told: Reach, part: Part) -> bool:
    """Return whether a board told what the reference does; of amx its bit length counts."""
    mine = part.reach
    bits = [[value.bit_length() for value in reach.amx] for reach in (told, mine)]
    return bits[0] == bits[1] and replace(told, amx=mine.amx) == mine


def _same_sums(told: Sequence[LayerSums], mine: Sequence[LayerSums]) -> bool:
    return all(
        np.array_equal(a.weights, b.weights) and np.array_equal(a.biases, b.biases)
        for a, b in zip(told, mine, strict=True)
    )
