"""Predicted instructions of a step against those that emulated boards count."""

from __future__ import annotations

import pytest
from fixgrad import costs
from fixgrad.boards import BOARDS
from fixgrad.protocol import Phase
from fixgrad.run import PreparedRun
from fixgrad.steptrace import trace_step

from bench import planner_boards
from bench.planner_boards import compare, predicted
from bench.planner_shapes import fitted_shapes


@pytest.fixture(scope="module")
def runs() -> list[PreparedRun]:
    """Return the runs of `bench.planner_boards`, of which none was fitted to."""
    fitted = {shape.layers for shape in fitted_shapes()}
    assert not fitted & {layers for _, layers, _ in planner_boards.NETS}
    return planner_boards.runs()


@pytest.mark.parametrize("name", planner_boards.MEASURED)
def test_prediction_is_within_3_percent_of_what_a_board_counts(
    name: str, runs: list[PreparedRun]
) -> None:
    compared = list(compare(BOARDS[name], runs))
    assert len(compared) == 3
    off = [
        f"{what} of {row.run.config.layers}: {found:,.0f}, not {wanted:,.0f}"
        for row in compared
        for what, (found, wanted) in {"step": row.step, "digest": row.digest}.items()
        if abs(found / wanted - 1) > 0.03
    ]
    assert not off, f"run python -m bench.planner_model --update: {'; '.join(off)}"


def test_zeros_cost_less_on_the_core_that_leaves_them_out(runs: list[PreparedRun]) -> None:
    # Of the pixels of digits half are 0; the kernels of the M0 skip those of all four samples.
    run = runs[0]
    trace = trace_step(run.config, run.initial, run.train, run.schedule)
    trace[0].rows[:, :32] = 0
    for core, cheaper in [("cortex-m0", True), ("cortex-m3", False)]:
        dark = costs.predict(core, run.config, trace)
        assert dark is not None
        part = (Phase.FORWARD, 0)
        assert (dark[part] < 0.9 * predicted(run, core)[part]) == cheaper


def test_every_loop_of_every_board_has_a_core_with_costs() -> None:
    assert {board.core for board in BOARDS.values()} <= costs.FAMILIES.keys()
    for core in costs.load()["cores"]:
        groups = costs.load()["cores"][core]
        assert groups.keys() == set(costs.GROUPS.values())
        assert all(cost > 0 for table in groups.values() for cost in table.values())


def test_core_without_costs_is_left_without_a_prediction(runs: list[PreparedRun]) -> None:
    trace = trace_step(runs[0].config, runs[0].initial, runs[0].train, runs[0].schedule)
    assert costs.predict("cortex-a9", runs[0].config, trace) is None
