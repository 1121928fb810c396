"""What a sweep costs beyond its trainings: workers, driver, memory, and a plan for a thousand.

    python -m bench.scale
    python -m bench.scale --trials 60 --recorded 10000

The same digits run (64-32-10, 30 epochs, random seeds) is trained by one worker and by two, after
trials that load and build. Overhead is the workers' time that was no training. Then
a sweep is given that many recorded trials, and a process of its own begins it again: its memory,
and the time to choose and record the next trials. Needs a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import optuna
from fixgrad.cluster import cluster
from fixgrad.sweep.driver import distributions, open_study, run_sweep
from fixgrad.sweep.records import Records
from fixgrad.sweep.sweepfile import Sweep, load_sweep
from fixgrad.sweep.trial import COMPLETE, Outcome

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "examples" / "sweeps" / "digits.toml"
RUN = ROOT / "examples" / "digits_relu.toml"
SAME = """
run = {run}
trials = {trials}
sampler = "random"
[space]
seed = {{ low = 1, high = 1000000 }}
"""
WORKERS = (1, 2)
MANY = 1000
ASKED = 20
MB = 1024


@dataclass(frozen=True)
class Throughput:
    """A sweep on so many workers: trials, wall clock, seconds of training in all of them."""

    workers: int
    trials: int
    seconds: float
    training_seconds: float

    @property
    def rate(self) -> float:
        """Trials a second."""
        return self.trials / self.seconds

    @property
    def overhead(self) -> float:
        """Time of the workers that was no training, as a share of the training."""
        return self.workers * self.seconds / self.training_seconds - 1


@dataclass(frozen=True)
class Driver:
    """A driver that goes on with a recorded sweep.

    Attributes:
        sampler: of the sweep.
        recorded: trials.
        memory_mb: most memory it took.
        imported_mb: of which its modules alone.
        open_seconds: to read the journal and the outcomes.
        trial_seconds, trial_cpu_seconds: to choose a trial and to tell its outcome.
    """

    sampler: str
    recorded: int
    memory_mb: float
    imported_mb: float
    open_seconds: float
    trial_seconds: float
    trial_cpu_seconds: float


def throughput(workers: int, trials: int, folder: Path) -> Throughput:
    """Measure a sweep of equal trials."""
    file = folder / "same.toml"
    out = folder / f"out{workers}"
    with cluster(None, workers) as client:
        file.write_text(SAME.format(run=json.dumps(str(RUN)), trials=2 * workers), "utf-8")
        warm = {outcome.number for outcome in run_sweep(load_sweep(file), out, client)}
        file.write_text(SAME.format(run=json.dumps(str(RUN)), trials=2 * workers + trials), "utf-8")
        began = time.perf_counter()
        outcomes = run_sweep(load_sweep(file), out, client)
        seconds = time.perf_counter() - began
    training = sum(o.seconds["training"] for o in outcomes if o.number not in warm)
    return Throughput(workers, trials, seconds, training)


def record(sweep: Sweep, folder: Path, count: int) -> None:
    """Make a sweep's folder with random finished trials."""
    chance = random.Random(1)
    records = Records.begin(folder, sweep)
    study = open_study(sweep, folder)
    dimensions = distributions(sweep)
    sampler = optuna.samplers.RandomSampler(seed=1)
    asked = optuna.create_study(sampler=sampler)
    trials = []
    for number in range(count):
        values = asked.ask(dimensions).params
        figures = {"accuracy": chance.random(), "ram": float(chance.randrange(2000, 6000))}
        detail = {"layers": [64, 32, 10], "digest": "00000000", "steps": 4320}
        seconds = {"trial": 1.0, "training": 1.0}
        Outcome(number, values, COMPLETE, figures, detail, seconds).write(records.folder)
        trials.append(optuna.trial.create_trial(
            params=values, distributions=dimensions, values=list(figures.values())
        ))  # fmt: skip
    study.add_trials(trials)


def resumed(sweep: Sweep, folder: Path) -> None:
    """Be the driver: print what a `Driver` says beside sampler and number."""
    imported = _memory()
    began = time.perf_counter()
    Records.open(folder).front()
    study = open_study(sweep, folder)
    study.ask(distributions(sweep))
    opened, cpu = time.perf_counter(), time.process_time()
    chance = random.Random(2)
    for _ in range(ASKED):
        study.tell(study.ask(distributions(sweep)), [chance.random(), 3000.0])
    ended, cpu_ended = time.perf_counter(), time.process_time()
    print(json.dumps([
        _memory(), imported, opened - began, (ended - opened) / ASKED, (cpu_ended - cpu) / ASKED,
    ]))  # fmt: skip


def driver(sampler: str, recorded: int, folder: Path) -> Driver:
    """Measure a driver in a process of its own."""
    text = EXAMPLE.read_text("utf-8").replace('"../digits_relu.toml"', json.dumps(str(RUN)))
    file = folder / f"{sampler}{recorded}.toml"
    file.write_text(text.replace("[space]", f'sampler = "{sampler}"\n[space]'), "utf-8")
    out = folder / f"{sampler}{recorded}"
    record(load_sweep(file), out, recorded)
    done = subprocess.run(
        [sys.executable, "-m", "bench.scale", "--resume", str(file), str(out)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT / "host")},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return Driver(sampler, recorded, *json.loads(done.stdout))


def _memory() -> float:
    """Return the most memory this process took, MB; Linux counts it from its start on."""
    status = Path("/proc/self/status").read_text("utf-8")
    return int(next(line for line in status.splitlines() if "VmHWM" in line).split()[1]) / MB


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--trials", type=int, default=60, help="of each throughput")
    parser.add_argument("--recorded", type=int, default=10_000)
    parser.add_argument("--resume", type=Path, nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.resume:
        resumed(load_sweep(arguments.resume[0]), arguments.resume[1])
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for workers in WORKERS:
            run = throughput(workers, arguments.trials, folder)
            trial_s = run.training_seconds / run.trials
            print(
                f"{workers} workers: {run.rate:.2f} trials/s, a training {1000 * trial_s:.0f} ms, "
                f"overhead {100 * run.overhead:.1f} %", flush=True,
            )  # fmt: skip
        for recorded in (200, arguments.recorded):
            for sampler in ("tpe", "random"):
                held = driver(sampler, recorded, folder)
                print(
                    f"driver, {sampler}, {recorded:,} trials: {held.memory_mb:.0f} MB (modules "
                    f"{held.imported_mb:.0f}), begins in {held.open_seconds:.1f} s, "
                    f"{1000 * held.trial_seconds:.1f} ms a trial, of CPU "
                    f"{1000 * held.trial_cpu_seconds:.1f} ms: {MANY} workers are busy from "
                    f"{MANY * held.trial_cpu_seconds:.0f} s a trial on", flush=True,
                )  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
