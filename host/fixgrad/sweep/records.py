"""What a sweep's folder holds: the finished trials as a table, their front, the best for a board.

sweep.json: what the trials were made of; trials/N.json: a finished trial; journal: what Optuna
asked and was told; trials.parquet and trials.csv: the table; front.html: the page.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from fixgrad.boards import Board
from fixgrad.errors import DoesNotFitError, RunFileError
from fixgrad.run import prepare
from fixgrad.rundir import write_atomic
from fixgrad.runfile import RunFile
from fixgrad.sweep.sweepfile import OBJECTIVES, Sweep, trial_run
from fixgrad.sweep.trial import COMPLETE, Outcome

_KEYS: Final = {"identity", "objectives", "board", "base", "base_path"}


@dataclass(frozen=True)
class Records:
    """The folder of a sweep.

    Attributes:
        folder: the folder.
        objectives: names, the most important one first.
        board: the board whose cost counts; None without.
        base, base_path: the run file that the trials start from.
    """

    folder: Path
    objectives: tuple[str, ...]
    board: str | None
    base: dict[str, Any]
    base_path: Path

    @staticmethod
    def begin(folder: Path, sweep: Sweep) -> Records:
        """Make a folder the one of a sweep.

        Raises:
            RunFileError: it holds another one.
        """
        (folder / "trials").mkdir(parents=True, exist_ok=True)
        file = folder / "sweep.json"
        if not file.exists():
            content = {
                "identity": sweep.identity, "objectives": sweep.objectives, "board": sweep.board,
                "base": sweep.base, "base_path": str(sweep.base_path),
            }  # fmt: skip
            write_atomic(file, json.dumps(content).encode())
        elif _read(file)["identity"] != sweep.identity:
            raise RunFileError(
                f"{folder} holds a sweep of other settings than {sweep.path}; give another --out"
            )
        return Records.open(folder)

    @staticmethod
    def open(folder: Path) -> Records:
        """Read a folder.

        Raises:
            RunFileError: it holds no sweep, or is damaged.
        """
        content = _read(folder / "sweep.json")
        return Records(
            folder, tuple(content["objectives"]), content["board"], content["base"],
            Path(content["base_path"]),
        )  # fmt: skip

    def outcomes(self) -> list[Outcome]:
        """Return the finished trials, by number.

        Raises:
            FixgradError: one is damaged.
        """
        return [Outcome.read(path) for path in sorted((self.folder / "trials").glob("*.json"))]

    def write_tables(self) -> pd.DataFrame:
        """Write the table of all trials as Parquet and CSV, and return it.

        A column that mixes numbers and words, such as headroom 2 and "auto", holds words.
        """
        rows = [_row(outcome) for outcome in self.outcomes()]
        table = pd.DataFrame(rows)
        front = {outcome.number for outcome in self.front()}
        table["front"] = table["number"].isin(front)
        for name in table.columns:
            if pd.api.types.is_object_dtype(table[name]) and table[name].map(type).nunique() > 1:
                table[name] = table[name].map(str, na_action="ignore")
        table.to_parquet(self.folder / "trials.parquet", index=False)
        table.to_csv(self.folder / "trials.csv", index=False)
        return table

    def front(self) -> list[Outcome]:
        """Return the trials that no other one beats in every objective, best first."""
        complete = [o for o in self.outcomes() if o.status == COMPLETE]
        best: list[Outcome] = []
        points: list[tuple[float, ...]] = []
        for outcome in sorted(complete, key=self._costs):
            point = self._costs(outcome)
            if not any(_beats(other, point) for other in points):
                best.append(outcome)
                points.append(point)
        return best

    def best(self, board: Board) -> Outcome:
        """Return the trial that is best in the first objective and fits a board.

        Among equals the one that takes less RAM.

        Raises:
            DoesNotFitError: none fits.
        """
        complete = [o for o in self.outcomes() if o.status == COMPLETE]
        fitting = [o for o in complete if o.figures["ram"] <= board.arena_bytes]
        if not fitting:
            smallest = min((o.figures["ram"] for o in complete), default=None)
            what = f"the smallest of {len(complete)} needs {smallest:,.0f} B" if complete else (
                "no trial is complete"
            )
            raise DoesNotFitError(
                f"no net of {self.folder} fits {board.name}, which has {board.arena_bytes:,} B for "
                f"models: {what}; let [space] hold smaller nets"
            )
        return min(fitting, key=lambda o: (self._costs(o)[0], o.figures["ram"], o.number))

    def run(self, outcome: Outcome) -> RunFile:
        """Return the run file of a trial, resolved: it can stand in any folder."""
        return prepare(trial_run(self.base, self.base_path, outcome.values)).run

    def _costs(self, outcome: Outcome) -> tuple[float, ...]:
        """Return the objectives, less is better."""
        return tuple(
            outcome.figures[name] * (-1 if OBJECTIVES[name] == "maximize" else 1)
            for name in self.objectives
        )


def _read(file: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(file.read_text("utf-8"))
        if not isinstance(content, dict) or not _KEYS <= content.keys():
            raise ValueError("no sweep")
        return content
    except FileNotFoundError as error:
        raise RunFileError(
            f"{file.parent} holds no sweep; give the folder that `fixgrad sweep` wrote"
        ) from error
    except ValueError as error:
        raise RunFileError(f"{file} is damaged; start the sweep again in another --out") from error


def _beats(one: Sequence[float], other: Sequence[float]) -> bool:
    return tuple(one) != tuple(other) and all(a <= b for a, b in zip(one, other, strict=True))


def _row(outcome: Outcome) -> dict[str, Any]:
    return {
        "number": outcome.number, "status": outcome.status, **outcome.values, **outcome.figures,
        "layers": "-".join(map(str, outcome.detail.get("layers", []))),
        "steps": outcome.detail.get("steps"), "digest": outcome.detail.get("digest"),
        "reason": outcome.detail.get("reason"),
        "seconds": outcome.seconds.get("trial"),
        "training_seconds": outcome.seconds.get("training"),
    }  # fmt: skip
