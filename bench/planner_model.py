"""What a pass of each loop costs on each core: `fixgrad plan` predicts instructions with it.

    python -m bench.planner_model               # check the checked-in costs on nets held out
    python -m bench.planner_model --update      # fit them anew, check them in

Counts the parts of a step of many small nets in QEMU (bench.instructions), counts the passes of
their loops (fixgrad.loops) and finds the costs that explain the counts best, none below 0. --update
writes host/fixgrad/costs.json and the table of docs/PLAN.md. It ends with an error where a held-out
step is off by more than 3 %.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from fixgrad import costs
from fixgrad.loops import Loops, Part, step_loops
from fixgrad.protocol import Phase
from fixgrad.steptrace import trace_step
from scipy.optimize import nnls

from bench.instructions import results
from bench.machines import CORE, MACHINES, ROOT, Step, build, encode_job, run
from bench.planner_shapes import Shape, fitted_shapes, held_out_shapes

SHIFT = 4
ERROR_MAX = 0.03
DOCUMENT = ROOT / "docs" / "PLAN.md"
BEGIN, END = "<!-- bench.planner_model: begin -->", "<!-- bench.planner_model: end -->"

Counted = list[tuple[Part, Loops, int]]
"""The parts of a step: passes of their loops, instructions."""


def main() -> int:
    """Fit and check in if asked to, and tell the errors on the nets held out."""
    update = _options().update
    cores = {} if update else costs.load()["cores"]
    rows = []
    for core, machine in MACHINES.items():
        fitted: list[float] = []
        if update:
            counted = count(core, fitted_shapes())
            cores[machine.cpu] = fit(counted)
            fitted = errors(cores[machine.cpu], counted)
        held_out = errors(cores[machine.cpu], count(core, held_out_shapes()))
        rows.append((machine.cpu, fitted, held_out))
        print(f"{core}: held-out steps off by {' '.join(f'{100 * e:+.2f}' for e in held_out)} %")
    if update:
        costs.save({"compiler": results.compiler(), "sources": sources()}, cores)
        DOCUMENT.write_text(document(rows), "utf-8")
    elif costs.load()["sources"] != sources():
        print("the firmware's sources are not those that the costs were fitted to")
    if max(abs(error) for _, _, held_out in rows for error in held_out) > ERROR_MAX:
        print("predictions left 3 %: run python -m bench.planner_model --update", file=sys.stderr)
        return 1
    return 0


def count(core: str, shapes: list[Shape]) -> list[Counted]:
    """Return passes and instructions of every part of the nets' steps on a core."""
    build(MACHINES[core], "count.c", ["-DPROFILE"])
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda shape: _count(core, shape), shapes))


def _count(core: str, shape: Shape) -> Counted:
    config, samples, initial = shape.config(), shape.samples(), shape.initial()
    schedule, machine = shape.schedule(), MACHINES[core]
    steps = []
    for step in range(schedule.steps):
        row = schedule.step_indices(step)
        rate = schedule.learning_rate(step)
        steps.append(Step(samples.features[row], samples.targets[row], *rate))
    image = build(machine, "count.c", ["-DPROFILE"])
    lines = run(machine, image, [encode_job(config, initial, steps)], SHIFT)
    counted = {
        (Phase(int(phase)), int(layer)): round(int(ticks) * machine.tick_ns / 2**SHIFT)
        for phase, layer, ticks in lines
    }
    trace = trace_step(config, initial, samples, schedule)
    loops = step_loops(costs.FAMILIES[machine.cpu], config, trace)
    assert counted.keys() == loops.keys()
    return [(part, loops[part], instructions) for part, instructions in counted.items()]


def fit(counted: Iterable[Counted]) -> costs.Costs:
    """Return the costs of a core's loops, by the groups of parts."""
    rows: dict[str, list[tuple[Loops, int]]] = {group: [] for group in costs.GROUPS.values()}
    for parts in counted:
        for (phase, _), loops, instructions in parts:
            rows[costs.GROUPS[phase]].append((loops, instructions))
    return {group: _fit(table) for group, table in rows.items()}


def _fit(rows: list[tuple[Loops, int]]) -> dict[str, float]:
    """Return the costs of loops that explain counts with the least squares of relative errors."""
    names = sorted({name for loops, _ in rows for name in loops})
    weights = np.array([1 / (instructions + 100) for _, instructions in rows])
    table = np.array([[loops[name] for name in names] for loops, _ in rows], float)
    table *= weights[:, None]
    scale = np.maximum(np.abs(table).max(axis=0), 1e-12)
    wanted = np.array([instructions for _, instructions in rows]) * weights
    found, _ = nnls(table / scale, wanted, maxiter=10_000)
    return {
        name: float(f"{cost:.6g}")
        for name, cost in zip(names, found / scale, strict=True)
        if cost > 0
    }


def errors(fitted: costs.Costs, counted: Iterable[Counted]) -> list[float]:
    """Return the relative error of each step; the digest is not in it."""
    found = []
    for parts in counted:
        step = [part for part in parts if part[0][0] != Phase.DIGEST]
        predicted = sum(
            costs.passes(fitted[costs.GROUPS[phase]], loops) for (phase, _), loops, _ in step
        )
        found.append(predicted / sum(instructions for _, _, instructions in step) - 1)
    return found


def sources() -> str:
    """Return a hash of the firmware that is counted."""
    digest = hashlib.sha256()
    for path in sorted(CORE.glob("*.[ch]")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def document(rows: Iterable[tuple[str, list[float], list[float]]]) -> str:
    """Return docs/PLAN.md with the errors of each core between its markers.

    Raises:
        ValueError: it has no markers.
    """
    head, begin, rest = DOCUMENT.read_text("utf-8").partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{DOCUMENT} has no lines {BEGIN} and {END}")
    lines = [
        f"| core | {len(fitted_shapes())} fitted nets: largest error | mean "
        f"| {len(held_out_shapes())} nets held out: largest error | mean |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for core, fitted, held_out in rows:
        cells = [
            f"{100 * value:.2f} %"
            for found in (np.abs(fitted), np.abs(held_out))
            for value in (found.max(), found.mean())
        ]
        lines.append(f"| {' | '.join([core, *cells])} |")
    table = "\n".join(lines)
    return f"{head}{begin}\n{table}\n{end}{tail}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.planner_model", description="Costs of the loops of a training step."
    )
    parser.add_argument("--update", action="store_true", help="fit the costs and check them in")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
