"""One trial, on a worker: train the run that a set of values makes, in a process of sim://."""

from __future__ import annotations

import dataclasses
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from fixgrad.board import Board
from fixgrad.boards import BOARDS
from fixgrad.costs import predict
from fixgrad.datasets import Dataset
from fixgrad.delivery import deliver
from fixgrad.device import Evaluation
from fixgrad.errors import FixgradError
from fixgrad.outlook import Work, least_seconds
from fixgrad.planner import checkpoint_bytes, plan
from fixgrad.protocol import Loss
from fixgrad.run import PreparedRun, load_dataset, prepare_dataset
from fixgrad.rundir import write_atomic
from fixgrad.runfile import RunFile
from fixgrad.steptrace import trace_step
from fixgrad.stopping import loss_unit
from fixgrad.sweep.sweepfile import NEED_BOARD, Sweep, Values
from fixgrad.training import EpochDone

COMPLETE, PRUNED, TOO_LARGE, REFUSED = "complete", "pruned", "too large", "refused"

Report = Callable[[int, float], bool]
"""Takes an epoch and its figure; says whether the trial should stop."""


_kept = threading.local()
"""What a worker keeps from trial to trial: a board, and the data set that was loaded last."""


@dataclass(frozen=True)
class Outcome:
    """What became of a trial.

    Attributes:
        number: of the trial.
        values: what it was given.
        status: complete; pruned; too large for the board; or refused, by the run file's rules.
        figures: by objective; those that are known.
        detail: layers, digest, steps; the reason of a refusal.
        seconds: the whole trial, and the training of it.
    """

    number: int
    values: dict[str, Any]
    status: str
    figures: dict[str, float]
    detail: dict[str, Any]
    seconds: dict[str, float]

    def write(self, folder: Path) -> None:
        """Keep it, in one piece."""
        write_atomic(place(folder, self.number), json.dumps(dataclasses.asdict(self)).encode())

    @staticmethod
    def read(path: Path) -> Outcome:
        """Return what `write` kept.

        Raises:
            FileNotFoundError: there is none.
            FixgradError: it is damaged.
        """
        try:
            outcome = Outcome(**json.loads(path.read_text("utf-8")))
            for part in (outcome.values, outcome.figures, outcome.detail, outcome.seconds):
                if not isinstance(part, dict):
                    raise TypeError("no outcome")
            return outcome
        except (ValueError, TypeError) as error:
            raise FixgradError(
                f"{path} is damaged; delete it and start the sweep again: the trial is repeated"
            ) from error


def place(folder: Path, number: int) -> Path:
    """Return the file of a trial's outcome."""
    return folder / "trials" / f"{number:06d}.json"


def run_once(
    sweep: Sweep, number: int, values: Values, folder: Path, session: str, report: Report
) -> Outcome:
    """Run a trial unless its outcome is there already; two workers never run it side by side.

    Args:
        sweep: the sweep.
        number: of the trial.
        values: what it is given.
        folder: of the sweep, on a disk that all workers share.
        session: of the driver; what a worker keeps is used for one session only.
        report: called after every epoch.

    Raises:
        FixgradError: a defect of the machine, such as a missing compiler; the trial is not kept.
    """
    file = place(folder, number)
    with FileLock(file.with_suffix(".lock")):
        if file.exists():
            return Outcome.read(file)
        outcome = _run(sweep, number, values, session, report)
        outcome.write(folder)
    os.unlink(file.with_suffix(".lock"))
    return outcome


def _run(
    sweep: Sweep, number: int, values: Values, session: str, report: Report
) -> Outcome:
    began = time.perf_counter()
    _begin(session)
    try:
        run = sweep.run(values)
        prepared = prepare_dataset(run, _dataset(run))
    except FixgradError as error:
        return Outcome(number, dict(values), REFUSED, {}, {"reason": str(error)}, {})
    figures: dict[str, float] = {"ram": plan(prepared.config).arena_bytes}
    detail: dict[str, Any] = {"layers": list(prepared.config.layers)}
    if excess(sweep, figures) > 0:
        return Outcome(number, dict(values), TOO_LARGE, figures, detail, {})
    figures |= cost(sweep, prepared)
    status, learnt, training = _train(prepared, sweep.objectives[0], report)
    detail |= learnt.pop("detail")
    seconds = {"trial": time.perf_counter() - began, "training": training}
    return Outcome(number, dict(values), status, figures | learnt, detail, seconds)


def _begin(session: str) -> None:
    """Forget what was kept for another session."""
    if getattr(_kept, "session", None) != session:
        _forget_board()
        _kept.session, _kept.source = session, None


def _dataset(run: RunFile) -> Dataset:
    """Return a run's data set, loaded once for trials that share it."""
    source = (run.path.parent, run.data, run.model.loss)
    if _kept.source != source:
        _kept.dataset, _kept.source = load_dataset(run), source
    dataset: Dataset = _kept.dataset
    return dataset


@contextmanager
def _board() -> Iterator[Board]:
    """Give this worker's board; one that was left in the middle of something is closed."""
    if getattr(_kept, "board", None) is None:
        _kept.board = Board("sim://")
    try:
        yield _kept.board
    except BaseException:
        _forget_board()
        raise


def _forget_board() -> None:
    board, _kept.board = getattr(_kept, "board", None), None
    if board is not None:
        board.close()


def _train(
    prepared: PreparedRun, objective: str, report: Report
) -> tuple[str, dict[str, Any], float]:
    status = COMPLETE
    with _board() as board:
        began = time.perf_counter()
        for event in board.events(prepared):
            if (
                isinstance(event, EpochDone)
                and report(event.epoch, _progress(prepared, event, objective))
                and event.epoch < prepared.schedule.epochs
            ):
                status = PRUNED
                break
        training = time.perf_counter() - began
        assert board.network is not None
        detail = {"digest": f"{board.network.digest:08x}", "steps": board.network.state.step}
        if status == PRUNED:
            _forget_board()
            return status, {"detail": detail}, training
        return status, {"detail": detail, **_judge(board, prepared)}, training


def _judge(board: Board, prepared: PreparedRun) -> dict[str, float]:
    """Measure the validation part with the weights the run ended with."""
    part = prepared.parts.validation
    assert part is not None
    return _figures(prepared, board.device.evaluate(part.wire(prepared.config)))


def _figures(prepared: PreparedRun, measured: Evaluation) -> dict[str, float]:
    kind = prepared.config.loss
    figures = {"loss": measured.loss * loss_unit(kind) / measured.count}
    if kind != Loss.SQUARED_ERROR:
        figures["accuracy"] = measured.correct / (measured.count * prepared.config.predictions)
    return figures


def _progress(prepared: PreparedRun, event: EpochDone, objective: str) -> float:
    """Return an epoch's loss or accuracy: of the part that decides, else of the training part."""
    tally = event.tally
    measured = event.evaluation or Evaluation(tally.samples, tally.correct, tally.loss_sum)
    figures = _figures(prepared, measured)
    return figures.get(objective, figures["loss"])


def excess(sweep: Sweep, figures: Mapping[str, float]) -> float:
    """Return the bytes that a net has too many for the sweep's board; 0 or less where it fits."""
    return 0 if sweep.board is None else figures["ram"] - BOARDS[sweep.board].arena_bytes


def cost(sweep: Sweep, prepared: PreparedRun) -> dict[str, float]:
    """Return what a run costs on the sweep's board beside RAM, as `fixgrad plan` tells it.

    Returns:
        Those that are objectives of: instructions of a step; the seconds that they take at least;
        bytes of a checkpoint in the board's flash.
    """
    wanted = set(sweep.objectives) & set(NEED_BOARD)
    if not wanted:
        return {}
    config, schedule = prepared.config, prepared.schedule
    board = BOARDS[str(sweep.board)]
    figures: dict[str, float] = {}
    if "flash" in wanted:
        way = deliver(prepared.train, config, schedule, board.arena_bytes, stream=True)
        figures["flash"] = checkpoint_bytes(config, way.region)
    if wanted != {"flash"}:
        trace = trace_step(config, prepared.initial, prepared.train, schedule)
        parts = predict(board.core, config, trace)
        assert parts is not None
        figures["instructions"] = Work(parts, schedule.steps_per_epoch).step
        figures["time"] = least_seconds(board, Work(parts, schedule.steps_per_epoch).step)
    return figures
