"""Trains with the C core and with float32, seed by seed, and writes docs/ACCURACY.md's table.

    python -m bench.accuracy --data mnist.npz
    python -m bench.accuracy --tasks digits xor --seeds 3

Every seed is saved as soon as it is trained, and is not trained again: the integers are the same
for one version of the numerics, float32 for one float_runner.c. --fresh trains all the same.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from bench.accuracy.library import ROOT
from bench.accuracy.results import Results
from bench.accuracy.table import rewrite, table
from bench.accuracy.tasks import MNIST, TASKS, Prepared, prepare
from bench.accuracy.training import ENGINES, INTEGER, engine_version, train

RESULTS = ROOT / "docs" / "accuracy.json"
DOCUMENT = ROOT / "docs" / "ACCURACY.md"


def main() -> None:
    """Train what is missing, print and write the table."""
    options = _options()
    results = Results(options.results)
    for name in options.tasks:
        task = TASKS[name]
        task = dataclasses.replace(
            task, seeds=options.seeds or task.seeds, epochs=options.epochs or task.epochs
        )
        if task.data == MNIST and options.data is None:
            print(f"{name}: left out; give MNIST with --data")
            continue
        for seed in range(1, task.seeds + 1):
            prepared: Prepared | None = None
            for engine in ENGINES:
                row = {
                    "task": name, "engine": engine, "seed": seed,
                    "settings": task.settings(integer=engine == INTEGER),
                    "version": engine_version(engine),
                }
                found = None if options.fresh else results.find(row)
                if found is None:
                    prepared = prepared or prepare(task, options.data, seed)
                    found = row | train(prepared, engine, seed)
                results.add(row | found | {"task": name})
                print(f"{name} seed {seed} {engine}: {found['score']:.3f}", flush=True)
    text = table(results.rows)
    print(text)
    if options.results == RESULTS:
        rewrite(DOCUMENT, text)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.accuracy", description=__doc__)
    parser.add_argument("--data", help="MNIST: a .npz file or a folder with its IDX files")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--seeds", type=int, help="seeds of every task, from 1")
    parser.add_argument("--epochs", type=int, help="epochs of every task")
    parser.add_argument("--fresh", action="store_true", help="train saved seeds again")
    parser.add_argument("--results", type=Path, default=RESULTS,
                        help="JSON file of all seeds; only the default rewrites docs/ACCURACY.md")
    return parser.parse_args()


if __name__ == "__main__":
    main()
