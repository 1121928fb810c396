"""SWEEP.toml: the run file to start from, the values to try, what makes a run good."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from fixgrad.boards import BOARDS
from fixgrad.keyedfile import KeyedFile
from fixgrad.runfile import RunFile, run_from_tables
from fixgrad.runkeys import KEYS

OBJECTIVES: Final[dict[str, Literal["minimize", "maximize"]]] = {
    "accuracy": "maximize",
    "loss": "minimize",
    "ram": "minimize",
    "instructions": "minimize",
    "time": "minimize",
    "flash": "minimize",
}
"""What a trial is judged by, and which way is better."""

NEED_BOARD: Final = ("instructions", "time", "flash")

SAMPLERS: Final = ("tpe", "nsga2", "random")
PRUNERS: Final = ("none", "median", "hyperband")
HIDDEN: Final = "model.hidden"
"""The hidden widths alone: inputs and outputs stay those of the run file."""

NUMBER_MAX: Final = 2**53
"""Whole numbers up to it are exact as floats too."""

_KEYS: Final = ("run", "trials", "board", "objectives", "sampler", "pruner", "seed", "space")

VALIDATION: Final = 0.2
"""Share of the training part that trials are judged by, unless the run file names one."""

DEFAULT_EPOCHS: Final = next(key.default for key in KEYS if key.name == "epochs")

Choice = str | int | float | bool
Values = Mapping[str, Choice]
"""What a trial was given: value by name in the space."""


@dataclass(frozen=True)
class Range:
    """Numbers from low to high; `step` or `log` spaced, whole if `whole`."""

    low: float
    high: float
    step: float | None
    log: bool
    whole: bool


Dimension = Range | tuple[Choice, ...]


@dataclass(frozen=True)
class Sweep:
    """A sweep file with every default filled in.

    Attributes:
        path: the file.
        base: the run file's tables, as TOML has them.
        base_path: the run file.
        trials: how many are wanted.
        board: the board whose memory and core count; None: only objectives that need none.
        objectives: names in `OBJECTIVES`, the most important one first.
        sampler, pruner, seed: of the search.
        space: dimension by name, `section.key` of the run file.
    """

    path: Path
    base: Mapping[str, Any]
    base_path: Path
    trials: int
    board: str | None
    objectives: tuple[str, ...]
    sampler: str
    pruner: str
    seed: int
    space: Mapping[str, Dimension]

    @property
    def identity(self) -> str:
        """What a trial's result depends on, and what the search is, as hexadecimal digits.

        The number of trials is not part of it: a sweep can be made longer.
        """
        text = json.dumps(
            [self.base, self.board, self.objectives, self.sampler, self.pruner, self.seed,
             {name: str(dimension) for name, dimension in self.space.items()}],
            sort_keys=True, default=str,
        )  # fmt: skip
        return hashlib.sha256(text.encode()).hexdigest()

    def run(self, values: Values) -> RunFile:
        """Return the run file of a trial.

        Raises:
            RunFileError: the values contradict each other or the run file.
        """
        return trial_run(self.base, self.base_path, values)


def trial_run(base: Mapping[str, Any], base_path: Path, values: Values) -> RunFile:
    """Return a run file with values in place of its own.

    Args:
        base: its tables, as TOML has them.
        base_path: where it stands: sources are relative to it.
        values: by `section.key`, or `model.hidden`.

    Raises:
        RunFileError: the values contradict each other or the run file.
    """
    tables = {
        name: dict(table) if isinstance(table, dict) else table for name, table in base.items()
    }
    for name, value in values.items():
        section, _, key = name.rpartition(".")
        if name == HIDDEN:
            layers = tables["model"]["layers"]
            hidden = [int(width) for width in str(value).split("-")]
            tables["model"]["layers"] = [layers[0], *hidden, layers[-1]]
        elif section:
            tables.setdefault(section, {})[key] = value
        else:
            tables[key] = value
    _judge_by_validation(tables)
    return run_from_tables(tables, base_path, {})


def _judge_by_validation(tables: dict[str, Any]) -> None:
    """Hold back samples to judge by, and end with the epoch that was best on them."""
    data = tables.setdefault("data", {})
    data["validation_fraction"] = data.get("validation_fraction") or VALIDATION
    training = tables.setdefault("training", {})
    if "plateau" != training.get("schedule") and "target_loss" not in training:
        training.setdefault("patience", training.get("epochs", DEFAULT_EPOCHS))


def load_sweep(path: Path) -> Sweep:
    """Read a sweep file.

    Raises:
        RunFileError: it, or the run file it names, is missing, not TOML, or a key is wrong.
    """
    return _Reader(KeyedFile.read(path, "sweep")).sweep()


class _Reader:
    """Checks the keys of a sweep file."""

    def __init__(self, file: KeyedFile) -> None:
        self._file = file

    def sweep(self) -> Sweep:
        file = self._file
        file.refuse_unknown(_KEYS)
        base_path = file.run().path
        sweep = Sweep(
            file.path,
            tomllib.loads(base_path.read_text("utf-8-sig")),
            base_path,
            file.count("trials", 100),
            self._board(),
            self._objectives(),
            self._choice("sampler", SAMPLERS),
            self._choice("pruner", PRUNERS, default="none"),
            file.count("seed", 1, low=0),
            self._space(),
        )
        if sweep.board is None and set(sweep.objectives) & set(NEED_BOARD):
            raise file.error("board", 'missing, but instructions, time and flash need one; type '
                             'e.g. board = "disco_f100rb"')  # fmt: skip
        if "flash" in sweep.objectives and not BOARDS[str(sweep.board)].store_bytes:
            raise file.error("objectives", f"flash is what a checkpoint takes, {sweep.board} "
                             "keeps none; leave flash away")  # fmt: skip
        if sweep.pruner != "none" and sweep.objectives not in (("accuracy",), ("loss",)):
            raise file.error("pruner", "needs accuracy or loss as the only objective")
        return sweep

    def _choice(self, key: str, options: tuple[str, ...], default: str = "") -> str:
        value = self._file.tables.get(key, default or options[0])
        if value not in options:
            raise self._file.error(key, f"{value!r} is unknown; known are {', '.join(options)}")
        return str(value)

    def _board(self) -> str | None:
        value = self._file.tables.get("board")
        if value is not None and (not isinstance(value, str) or value not in BOARDS):
            raise self._file.error("board", f"{value!r} is unknown; `fixgrad boards` lists them")
        return value

    def _objectives(self) -> tuple[str, ...]:
        value = self._file.tables.get("objectives", ["accuracy"])
        if not isinstance(value, list) or not value or len(set(map(str, value))) != len(value):
            raise self._file.error("objectives", 'not a list; type e.g. ["accuracy", "ram"]')
        for name in value:
            if not isinstance(name, str) or name not in OBJECTIVES:
                raise self._file.error(
                    "objectives", f"{name!r} is unknown; known are {', '.join(OBJECTIVES)}"
                )
        return tuple(value)

    def _space(self) -> dict[str, Dimension]:
        table = self._file.tables.get("space")
        if not isinstance(table, dict) or not table:
            raise self._file.error(
                "[space]", 'missing; type e.g. "training.learning_rate" = {low = 0.01, high = 1}'
            )
        known = [f"{key.section}.{key.name}".lstrip(".") for key in KEYS] + [HIDDEN]
        for name in table:
            if name not in known:
                raise self._file.error(
                    "[space]", f'"{name}" is no key of a run file; write it as "section.key", such '
                    f'as "training.learning_rate", or "{HIDDEN}"'
                )  # fmt: skip
        return {name: self._dimension(name, value) for name, value in table.items()}

    def _dimension(self, name: str, value: object) -> Dimension:
        if isinstance(value, list) and value:
            if all(isinstance(item, str | int | float | bool) for item in value):
                return self._widths(value) if name == HIDDEN else tuple(value)
        elif isinstance(value, dict) and set(value) <= {"low", "high", "step", "log"}:
            numbers = [value.get("low"), value.get("high"), value.get("step", 1)]
            log = value.get("log", False)
            if isinstance(log, bool) and all(map(_is_number, numbers)):
                low, high, step = numbers
                whole = isinstance(low, int) and isinstance(high, int)
                spaced = step > 0 and (isinstance(step, int) or not whole)
                widths = name != HIDDEN or (whole and low > 0)
                if low < high and spaced and widths and not (log and (low <= 0 or "step" in value)):
                    return Range(low, high, value.get("step"), log, whole)
        raise self._file.error(
            "[space]", f'"{name}" is neither a list of values nor a range such as '
            "{low = 0.01, high = 1.0, log = true} (step only without log)"
        )  # fmt: skip

    def _widths(self, values: list[Choice]) -> tuple[Choice, ...]:
        for value in values:
            if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,5}(-[0-9]{1,5})*", str(value)):
                raise self._file.error(
                    "[space]", f'"{HIDDEN}": {value!r} is no list of widths; type e.g. "32-16"'
                )
        return tuple(values)


def _is_number(value: object) -> bool:
    """Tell whether a range can begin, end or go on by this."""
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= NUMBER_MAX
    )
