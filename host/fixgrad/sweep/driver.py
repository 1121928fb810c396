"""Optuna chooses, Dask executes, every finished trial is kept.

A trial's outcome is a file that its worker writes before anything else learns of it, so a killed
driver or worker costs at most what was being trained. Optuna's journal holds what was asked.
"""

from __future__ import annotations

import queue
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
from distributed import Client, Event, Future, get_worker, wait
from filelock import FileLock, Timeout
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from fixgrad.errors import RunFileError, UsageError
from fixgrad.sweep.records import Records
from fixgrad.sweep.sweepfile import OBJECTIVES, Dimension, Range, Sweep, Values
from fixgrad.sweep.trial import COMPLETE, PRUNED, TOO_LARGE, Outcome, excess, place, run_once

TOPIC = "fixgrad-sweep"
_POLL_S = 0.2


def run_sweep(
    sweep: Sweep,
    folder: Path,
    client: Client,
    on_outcome: Callable[[Outcome], object] = lambda outcome: None,
) -> list[Outcome]:
    """Run the trials that are missing.

    Args:
        sweep: the sweep.
        folder: where it is kept, on a disk that driver and workers share.
        client: of the cluster.
        on_outcome: called with every outcome that is new.

    Returns:
        Every outcome, by number.

    Raises:
        UsageError: another driver is at work on the folder.
        RunFileError: the folder holds another sweep, or is damaged.
        FixgradError: a trial cannot run on this machine at all.
    """
    folder = folder.resolve()
    records = Records.begin(folder, sweep)
    try:
        with FileLock(folder / "driver.lock", timeout=0):
            _Driver(sweep, folder, client, on_outcome).run()
    except Timeout as error:
        raise UsageError(f"another driver works on {folder}; wait for it or stop it") from error
    return records.outcomes()


class _Driver:
    """One search: asks Optuna, submits to Dask, tells Optuna."""

    def __init__(
        self, sweep: Sweep, folder: Path, client: Client, on_outcome: Callable[[Outcome], object]
    ) -> None:
        self._sweep = sweep
        self._folder = folder
        self._client = client
        self._on_outcome = on_outcome
        self._study = open_study(sweep, folder)
        self._session = uuid.uuid4().hex
        self._running: dict[Future[Outcome], optuna.Trial | FrozenTrial] = {}
        self._reports: queue.SimpleQueue[tuple[int, int, float]] = queue.SimpleQueue()

    def run(self) -> None:
        """Run until as many trials as the sweep wants are finished."""
        self._client.subscribe_topic(TOPIC, lambda event: self._reports.put(event[1]))
        try:
            finished = self._recover()
            while finished < self._sweep.trials or self._running:
                room = min(self._slots(), self._sweep.trials - finished) - len(self._running)
                for _ in range(max(room, 0)):
                    self._submit(self._ask())
                finished += self._collect()
        finally:
            self._client.unsubscribe_topic(TOPIC)

    def _recover(self) -> int:
        """Return the finished trials; those that a driver left behind run again or are told."""
        finished = 0
        for trial in self._study.get_trials(deepcopy=False):
            if trial.state.is_finished():
                finished += place(self._folder, trial.number).exists()
            elif set(trial.params) != set(self._sweep.space):
                self._study.tell(trial.number, state=TrialState.FAIL)
            elif place(self._folder, trial.number).exists():
                self._tell(trial.number, Outcome.read(place(self._folder, trial.number)))
                finished += 1
            else:
                self._submit(trial)
        return finished

    def _slots(self) -> int:
        """Trials that are given out at once: one more than there are workers."""
        return 1 + sum(map(int, self._client.ncores().values()))

    def _ask(self) -> optuna.Trial:
        return self._study.ask(fixed_distributions=distributions(self._sweep))

    def _submit(self, trial: optuna.Trial | FrozenTrial) -> None:
        future = self._client.submit(
            work, self._sweep, trial.number, dict(trial.params), self._folder, self._session,
            pure=False,
        )
        self._running[future] = trial

    def _collect(self) -> int:
        """Wait a moment; tell what has finished; stop what the pruner gives up."""
        if not self._running:
            return 0
        try:
            done = wait(
                list(self._running), timeout=_POLL_S, return_when="FIRST_COMPLETED"
            ).done
        except TimeoutError:
            done = set()
        self._prune()
        for future in done:
            trial = self._running.pop(future)
            outcome = future.result()
            if outcome.status == TOO_LARGE and isinstance(trial, optuna.Trial):
                trial.set_constraint("RAM", excess(self._sweep, outcome.figures))
            self._tell(trial.number, outcome)
            self._on_outcome(outcome)
        return len(done)

    def _prune(self) -> None:
        if self._sweep.pruner == "none":
            return
        trials = {trial.number: trial for trial in self._running.values()}
        while not self._reports.empty():
            number, epoch, figure = self._reports.get()
            trial = trials.get(number)
            if isinstance(trial, optuna.Trial):
                trial.report(figure, epoch)
                if trial.should_prune():
                    Event(_stop_name(self._sweep, number), client=self._client).set()

    def _tell(self, number: int, outcome: Outcome) -> None:
        if outcome.status == COMPLETE:
            values = [outcome.figures[name] for name in self._sweep.objectives]
            self._study.tell(number, values)
        else:
            known = outcome.status in (PRUNED, TOO_LARGE)
            state = TrialState.PRUNED if known else TrialState.FAIL
            self._study.tell(number, state=state)


def open_study(sweep: Sweep, folder: Path) -> optuna.Study:
    """Open the search that a folder keeps, or begin it.

    Raises:
        RunFileError: its journal is damaged.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    seed = sweep.seed + len(list((folder / "trials").glob("*.json")))
    samplers: dict[str, Callable[[], Any]] = {
        "tpe": lambda: optuna.samplers.TPESampler(seed=seed, constant_liar=True),
        "nsga2": lambda: optuna.samplers.NSGAIISampler(seed=seed),
        "random": lambda: optuna.samplers.RandomSampler(seed=seed),
    }
    pruners: dict[str, Callable[[], Any]] = {
        "none": optuna.pruners.NopPruner,
        "median": optuna.pruners.MedianPruner,
        "hyperband": optuna.pruners.HyperbandPruner,
    }
    journal = folder / "journal"
    try:
        return optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(journal))),
            study_name="sweep",
            load_if_exists=True,
            directions=[OBJECTIVES[name] for name in sweep.objectives],
            sampler=samplers[sweep.sampler](),
            pruner=pruners[sweep.pruner](),
        )
    except (ValueError, KeyError) as error:
        raise RunFileError(
            f"{journal} is damaged; start the sweep again in another --out"
        ) from error


def distributions(sweep: Sweep) -> dict[str, optuna.distributions.BaseDistribution]:
    """Return the space as Optuna takes it."""
    return {name: _distribution(dimension) for name, dimension in sweep.space.items()}


def work(sweep: Sweep, number: int, values: Values, folder: Path, session: str) -> Outcome:
    """Run a trial on the worker this is called on; see `run_once`."""
    if sweep.pruner == "none":
        return run_once(sweep, number, values, folder, session, lambda epoch, figure: False)
    worker = get_worker()
    stop = Event(_stop_name(sweep, number))

    def report(epoch: int, figure: float) -> bool:
        worker.log_event(TOPIC, (number, epoch, figure))
        return bool(stop.is_set())

    return run_once(sweep, number, values, folder, session, report)


def _stop_name(sweep: Sweep, number: int) -> str:
    return f"{sweep.identity}-{number}"


def _distribution(dimension: Dimension) -> optuna.distributions.BaseDistribution:
    if not isinstance(dimension, Range):
        return optuna.distributions.CategoricalDistribution(dimension)
    if dimension.whole:
        return optuna.distributions.IntDistribution(
            int(dimension.low), int(dimension.high), log=dimension.log,
            step=int(dimension.step or 1),
        )  # fmt: skip
    return optuna.distributions.FloatDistribution(
        dimension.low, dimension.high, log=dimension.log, step=dimension.step
    )
