"""What `fixgrad plan` predicts against what four emulated boards count, for three nets.

    python -m bench.planner_boards
    python -m bench.planner_boards --update     # and write the table of docs/PLAN.md

The nets are none of those that the costs were fitted to. Counted is what `fixgrad bench` counts.
It ends with an error where a step or a digest is off by more than 3 %.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fixgrad import bench, costs
from fixgrad.boards import BOARDS, Board
from fixgrad.device import Device
from fixgrad.emulators import instructions_per_tick
from fixgrad.protocol import Phase
from fixgrad.run import PreparedRun, prepare
from fixgrad.runfile import parse_run
from fixgrad.steptrace import trace_step
from fixgrad.stream import SampleStream

from bench.machines import ROOT

ERROR_MAX = 0.03
MEASURED = ("bbcmicrobit", "disco_f100rb", "olimex_p405", "mps3_an547")
NETS = (
    ("digits", (64, 24, 10), 12), ("breast_cancer", (30, 20, 10, 2), 16),
    ("digits", (64, 20, 16, 10), 4),
)  # fmt: skip
DOCUMENT = ROOT / "docs" / "PLAN.md"
BEGIN, END = "<!-- bench.planner_boards: begin -->", "<!-- bench.planner_boards: end -->"


@dataclass(frozen=True)
class Comparison:
    """A run on a board.

    Attributes:
        run: the run.
        board: the board.
        step: instructions of a step, predicted and counted.
        digest: those of the digest.
    """

    run: PreparedRun
    board: Board
    step: tuple[float, float]
    digest: tuple[float, float]

    @property
    def error(self) -> float:
        """Error of the step's prediction, relative."""
        return self.step[0] / self.step[1] - 1

    @property
    def is_off(self) -> bool:
        """Whether the step's or the digest's prediction leaves 3 %."""
        return any(abs(a / b - 1) > ERROR_MAX for a, b in (self.step, self.digest))


def runs() -> list[PreparedRun]:
    """Return the runs; all fit 8 KB."""
    text = '[data]\nsource = "{}"\n[model]\nlayers = {}\n[training]\nbatch_size = {}\n'
    return [
        prepare(parse_run(text.format(source, list(layers), batch), Path("run.toml")))
        for source, layers, batch in NETS
    ]


def predicted(run: PreparedRun, core: str) -> dict[tuple[Phase, int], float]:
    """Return the instructions of every part of the step that `fixgrad bench` counts."""
    parts = costs.predict(
        core, run.config, trace_step(run.config, run.initial, run.train, run.schedule)
    )
    assert parts is not None
    return parts


def compare(board: Board, nets: list[PreparedRun]) -> Iterator[Comparison]:
    """Count runs on an emulated board."""
    with Device.open(f"qemu://{board.name}?profile") as device:
        for run in nets:
            stream = SampleStream(run.schedule, run.train.wire(run.config))
            counted = {
                (part.phase, part.layer): ticks * instructions_per_tick(board)
                for part, ticks in bench.measure(device, run.config, run.initial, stream)
            }
            parts = predicted(run, board.core)
            assert parts.keys() == counted.keys()
            digest = parts.pop((Phase.DIGEST, 0)), counted.pop((Phase.DIGEST, 0))
            yield Comparison(run, board, (sum(parts.values()), sum(counted.values())), digest)


def table(rows: list[Comparison]) -> str:
    """Return a Markdown table, a line a board."""
    nets = [
        f"{source} {'-'.join(map(str, layers))}, batch {batch}" for source, layers, batch in NETS
    ]
    lines = [f"| board | {' | '.join(nets)} |", f"| --- |{' ---: |' * len(nets)}"]
    for name in MEASURED:
        cells = [
            f"{row.step[0]:,.0f} of {row.step[1]:,.0f} ({100 * row.error:+.2f} %)"
            for row in rows
            if row.board.name == name
        ]
        lines.append(f"| {' | '.join([name, *cells])} |")
    return "\n".join(lines)


def main() -> int:
    """Count, compare, and write the table if asked to."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.planner_boards", description="Predicted and counted instructions."
    )
    parser.add_argument("--update", action="store_true", help="write the table of docs/PLAN.md")
    update = parser.parse_args().update
    nets = runs()
    rows = [row for name in MEASURED for row in compare(BOARDS[name], nets)]
    print(table(rows))
    if update:
        text = DOCUMENT.read_text("utf-8")
        head, tail = text.split(BEGIN)[0], text.split(END)[1]
        DOCUMENT.write_text(f"{head}{BEGIN}\n{table(rows)}\n{END}{tail}", "utf-8")
    return int(any(row.is_off for row in rows))


if __name__ == "__main__":
    sys.exit(main())
