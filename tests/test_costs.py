"""Predicted instructions of a step against those that emulated boards count."""

from __future__ import annotations

from pathlib import Path

import pytest
from fixgrad import bench, costs
from fixgrad.boards import BOARDS
from fixgrad.device import Device
from fixgrad.emulators import instructions_per_tick
from fixgrad.protocol import Phase
from fixgrad.run import PreparedRun, prepare
from fixgrad.runfile import parse_run
from fixgrad.steptrace import trace_step
from fixgrad.stream import SampleStream

from bench.planner_shapes import fitted_shapes

ERROR_MAX = 0.03
NETS = [
    ("digits", [64, 24, 10], 12), ("breast_cancer", [30, 20, 10, 2], 16),
    ("digits", [64, 20, 16, 10], 4),
]  # fmt: skip


@pytest.fixture(scope="module")
def runs() -> list[PreparedRun]:
    """Return runs of which none was fitted to; all fit 8 KB."""
    fitted = {shape.layers for shape in fitted_shapes()}
    assert not fitted & {tuple(layers) for _, layers, _ in NETS}
    text = '[data]\nsource = "{}"\n[model]\nlayers = {}\n[training]\nbatch_size = {}\n'
    return [prepare(parse_run(text.format(*net), Path("run.toml"))) for net in NETS]


def predicted(run: PreparedRun, core: str) -> dict[tuple[Phase, int], float]:
    trace = trace_step(run.config, run.initial, run.train, run.schedule)
    parts = costs.predict(core, run.config, trace)
    assert parts is not None
    return parts


@pytest.mark.parametrize("name", ["bbcmicrobit", "disco_f100rb", "olimex_p405", "mps3_an547"])
def test_prediction_is_within_3_percent_of_what_a_board_counts(
    name: str, runs: list[PreparedRun]
) -> None:
    board, off = BOARDS[name], []
    with Device.open(f"qemu://{name}?profile") as device:
        assert device.info.payload_max == board.payload_max
        assert device.info.window_bytes == board.window_bytes
        for run in runs:
            stream = SampleStream(run.schedule, run.train.wire(run.config))
            counted = {
                (part.phase, part.layer): ticks * instructions_per_tick(board)
                for part, ticks in bench.measure(device, run.config, run.initial, stream)
            }
            parts = predicted(run, board.core)
            assert parts.keys() == counted.keys()
            digest = counted.pop((Phase.DIGEST, 0)), parts.pop((Phase.DIGEST, 0))
            step = sum(counted.values()), sum(parts.values())
            for what, (wanted, found) in {"step": step, "digest": digest}.items():
                if abs(found / wanted - 1) > ERROR_MAX:
                    off.append(f"{what} of {run.config.layers}: {found:,.0f}, not {wanted:,.0f}")
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
