"""examples/sweeps/digits.toml with its driver killed at random; the best net on an 8 KB board.

    .venv/bin/python tests/campaigns/sweep.py
    .venv/bin/python tests/campaigns/sweep.py --separate    # Dask scheduler and workers apart

No trial may be lost or written twice, some are trained again and must end with the same digest,
and the run file of the best net is trained on the board in QEMU: RAM and digest must be those of
the sweep, the accuracy within a point. The exit code is 1 if anything differs.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fixgrad.board import Board
from fixgrad.device import Device
from fixgrad.errors import DoesNotFitError
from fixgrad.network import Network
from fixgrad.protocol import DATASET_FIELDS, pack
from fixgrad.run import prepare
from fixgrad.rundir import RunFolder
from fixgrad.runfile import load_run
from fixgrad.sweep.records import Records

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = ROOT / "examples"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "host")}
BOARD = "disco_f100rb"
AGAIN = 5
SAMPLES = 10_000
"""More than any board keeps."""
POINT = 0.01
NEEDS = re.compile(r"needs (\d+) bytes")


@dataclass(frozen=True)
class Plan:
    """What to do.

    Attributes:
        trials: of the sweep.
        epochs: of a trial; 0: those of the example.
        workers: processes that train.
        kills: of the driver; with `separate`, a worker is killed as often.
        separate: scheduler and workers are processes of their own.
        seed: of the moments.
    """

    trials: int
    epochs: int
    workers: int
    kills: int
    separate: bool
    seed: int


def write_sweep(plan: Plan, folder: Path) -> Path:
    """Write the sweep and its run file; return the sweep."""
    (folder / "sweeps").mkdir()
    run = (EXAMPLES / "digits_relu.toml").read_text("utf-8")
    if plan.epochs:
        run = run.replace("epochs = 30", f"epochs = {plan.epochs}")
    (folder / "digits_relu.toml").write_text(run, "utf-8")
    text = (EXAMPLES / "sweeps" / "digits.toml").read_text("utf-8")
    assert "trials = 200" in text
    file = folder / "sweeps" / "digits.toml"
    file.write_text(text.replace("trials = 200", f"trials = {plan.trials}"), "utf-8")
    return file


def fixgrad(*arguments: str) -> Any:
    """Run a command of this tree; return its JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "fixgrad", *arguments, "--json"],
        env=ENVIRONMENT, text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@contextlib.contextmanager
def started(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command of Dask until the end."""
    with (folder / "dask.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "dask", *arguments], env=ENVIRONMENT, cwd=folder,
            stdout=log, stderr=log,
        )  # fmt: skip
        try:
            yield process
        finally:
            process.terminate()
            process.wait()


@contextlib.contextmanager
def where(plan: Plan, folder: Path) -> Iterator[tuple[list[str], list[int]]]:
    """Give the options that say where trials run, and worker processes that may be killed."""
    if not plan.separate:
        yield ["--workers", str(plan.workers)], []
        return
    file = folder / "scheduler.json"
    tail = ("--scheduler-file", str(file), "--no-dashboard")
    with contextlib.ExitStack() as stack:
        head = ("scheduler", "--port", "0", "--interface", "lo")
        scheduler = stack.enter_context(started(folder, *head, *tail))
        while not file.exists():
            assert scheduler.poll() is None, (folder / "dask.log").read_text("utf-8")
            time.sleep(0.1)
        workers = [
            stack.enter_context(started(folder, "worker", "--nthreads", "1", "--no-nanny", *tail))
            for _ in range(plan.workers + plan.kills)
        ]
        address = json.loads(file.read_text("utf-8"))["address"]
        yield ["--scheduler", address], [worker.pid for worker in workers[: plan.kills]]


def kept(out: Path) -> dict[str, tuple[int, bytes]]:
    """Return time of writing and content of every finished trial."""
    files = (out / "trials").glob("*.json")
    return {file.name: (file.stat().st_mtime_ns, file.read_bytes()) for file in files}


def sweep(plan: Plan, file: Path, out: Path) -> int:
    """Run the sweep with kills; return how many finished trials were there at the last kill."""
    chance = random.Random(plan.seed)
    moments = sorted(chance.sample(range(plan.trials // 10, 9 * plan.trials // 10), plan.kills))
    seen: dict[str, tuple[int, bytes]] = {}
    with where(plan, out.parent) as (options, workers):
        command = ("sweep", str(file), "--out", str(out), *options)
        for index, moment in enumerate(moments):
            told = out.parent / "driver.log"
            with told.open("wb") as log:
                driver = subprocess.Popen(
                    [sys.executable, "-m", "fixgrad", *command], env=ENVIRONMENT,
                    stdout=log, stderr=log,
                )  # fmt: skip
            while len(list((out / "trials").glob("*.json"))) < moment:
                assert driver.poll() is None, told.read_text("utf-8")
                time.sleep(0.05)
            if workers:
                os.kill(workers[index], signal.SIGKILL)
                time.sleep(chance.random())
            driver.send_signal(signal.SIGKILL)
            driver.wait()
            now = kept(out)
            assert seen.items() <= now.items(), "a finished trial was lost or written again"
            seen = now
        fixgrad(*command)
    assert seen.items() <= kept(out).items(), "a finished trial was lost or written again"
    return len(seen)


def same_again(plan: Plan, out: Path) -> int:
    """Train some complete trials again here; return how many were taken."""
    records = Records.open(out)
    outcomes = [outcome for outcome in records.outcomes() if outcome.status == "complete"]
    chosen = random.Random(plan.seed).sample(outcomes, min(AGAIN, len(outcomes)))
    for outcome in chosen:
        with Board("sim://") as board:
            digest = board.train(prepare(records.run(outcome))).digest
        assert f"{digest:08x}" == outcome.detail["digest"], f"trial {outcome.number}"
    return len(chosen)


@dataclass(frozen=True)
class OnBoard:
    """The best net: what the sweep says, and what the board does."""

    said: dict[str, Any]
    digest: str
    ram: int
    accuracy: float
    test_accuracy: float


def on_board(out: Path) -> OnBoard:
    """Train the best net on the board, from its run file."""
    file, folder = out.parent / "best.toml", out.parent / "best"
    said = fixgrad("sweep", "best", str(out), "--board", BOARD, "--out", str(file))
    url = f"qemu://{BOARD}"
    trained = fixgrad("train", str(file), "--port", url, "--out", str(folder))
    config, network = RunFolder(folder).config(), Network.open(folder)
    part = prepare(load_run(file)).parts.validation
    assert part is not None
    with Device.open(url) as device:
        network.hold(device)
        measured = device.evaluate(part.wire(config))
        head = pack(DATASET_FIELDS, samples=SAMPLES, seed=0, shuffle=0, bits=0)
        try:
            device.load(config, network.state, 1, 0, head)
        except DoesNotFitError as error:
            needed = NEEDS.search(str(error))
        assert needed, "the board has room for anything"
    samples_bytes = SAMPLES * part.wire(config).shape[1]
    return OnBoard(
        said, trained["digest"], int(needed[1]) - len(head) - samples_bytes,
        measured.correct / measured.count, trained["test_accuracy"],
    )  # fmt: skip


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=0, help="of a trial; 0: the example's")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kills", type=int, default=2, help="of the driver")
    parser.add_argument("--separate", action="store_true", help="scheduler and workers apart")
    parser.add_argument("--seed", type=int, default=1)
    plan = Plan(**vars(parser.parse_args()))
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp())
    try:
        file, out = write_sweep(plan, folder), folder / "out"
        finished = sweep(plan, file, out)
        outcomes = Records.open(out).outcomes()
        again = same_again(plan, out)
        best = on_board(out)
    finally:
        shutil.rmtree(folder)
    numbers = {outcome.number for outcome in outcomes}
    counts = {s: sum(o.status == s for o in outcomes) for s in {o.status for o in outcomes}}
    apart = f" apart and {plan.kills} more that are killed" if plan.separate else ""
    print(
        f"{len(outcomes)} trials ({', '.join(f'{n} {s}' for s, n in sorted(counts.items()))}) on "
        f"{plan.workers} workers{apart}, {plan.kills} kills of the driver, {finished} trials "
        f"before the last one, none lost or written again; {again} trained again, digests "
        f"equal; seed {plan.seed}, {time.monotonic() - began:.0f} s"
    )
    said = best.said
    print(
        f"best on {BOARD}: {said['layers']}, {best.ram} B of RAM (said {said['ram']:.0f}), digest "
        f"{best.digest} (said {said['digest']}), accuracy {100 * best.accuracy:.2f} % (said "
        f"{100 * said['accuracy']:.2f} %), of the test part {100 * best.test_accuracy:.2f} %"
    )
    whole = len(numbers) == len(outcomes) == plan.trials
    same = best.ram == said["ram"] and best.digest == said["digest"]
    return int(not (whole and same and abs(best.accuracy - said["accuracy"]) <= POINT))


if __name__ == "__main__":
    sys.exit(main())
