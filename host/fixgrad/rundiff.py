"""Two runs compared: settings, samples, digests of the epochs, and the first element that differs.

The states between the ends of a run are not kept; the NumPy reference, which gives the digests of
any device, makes them again.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np

from fixgrad.digest import state_digest
from fixgrad.model import State
from fixgrad.retrace import Step, steps
from fixgrad.run import Parts, PreparedRun
from fixgrad.samplesfile import arrays_of
from fixgrad.validation import Difference, compare_states


@dataclass(frozen=True)
class Recorded:
    """A run and what its folder records of it.

    Attributes:
        prepared: the run.
        digests: after every epoch, the first one first.
        final: the state that it ended with; None where it has not ended.
    """

    prepared: PreparedRun
    digests: list[int]
    final: State | None


@dataclass(frozen=True)
class Setting:
    """A key of the run file in which two runs differ."""

    key: str
    a: object
    b: object


@dataclass(frozen=True)
class SampleDifference:
    """The first value of a part of the samples that differs.

    Attributes:
        array: such as "train_features".
        element: where in it; empty if the shapes differ.
        a, b: the values, or the shapes.
        differing: how many differ.
    """

    array: str
    element: tuple[int, ...]
    a: object
    b: object
    differing: int


@dataclass(frozen=True)
class RunDifference:
    """What differs between two runs; all of it empty or None where they are the same.

    Attributes:
        settings: keys of the run file, where the data comes from left out.
        samples: the first sample that differs.
        initial: the first value that differs before the first step.
        epoch: the first epoch (counted from 1) whose recorded digests differ.
        digests: both digests after it.
        epochs: how many epochs each records.
        element: the first value that differs, with its step, made again by the reference. None
            where the reference sees no difference, or the models have other shapes.
        honest: whether each recorded digest at `epoch` is the reference's.
        final: the first value that differs at the end, if both have ended.
    """

    settings: tuple[Setting, ...]
    samples: SampleDifference | None
    initial: Difference | None
    epoch: int | None
    digests: tuple[int, int] | None
    epochs: tuple[int, int]
    element: Difference | None
    honest: tuple[bool, bool] | None
    final: Difference | None

    @property
    def is_equal(self) -> bool:
        """Whether the runs are the same, as far as both went."""
        found = (self.samples, self.initial, self.epoch, self.final)
        return not self.settings and all(value is None for value in found)


def compare_runs(a: Recorded, b: Recorded) -> RunDifference:
    """Compare two runs."""
    same_shape = a.prepared.config.layers == b.prepared.config.layers and bool(
        a.prepared.config.momentum
    ) == bool(b.prepared.config.momentum)
    initial = (
        compare_states(a.prepared.initial, b.prepared.initial, 0) if same_shape else None
    )
    final = None
    if same_shape and a.final is not None and b.final is not None:
        final = compare_states(a.final, b.final, a.final.step)
    epoch = next(
        (
            number
            for number, (left, right) in enumerate(zip(a.digests, b.digests, strict=False), 1)
            if left != right
        ),
        None,
    )
    element, honest = None, None
    if epoch is not None:
        element, honest = _trace(a, b, epoch, same_shape)
    return RunDifference(
        _settings(a.prepared, b.prepared),
        _samples(a.prepared.parts, b.prepared.parts),
        initial,
        epoch,
        None if epoch is None else (a.digests[epoch - 1], b.digests[epoch - 1]),
        (len(a.digests), len(b.digests)),
        element,
        honest,
        final,
    )


def _trace(
    a: Recorded, b: Recorded, epoch: int, same_shape: bool
) -> tuple[Difference | None, tuple[bool, bool]]:
    """Make both runs again up to an epoch's end; find the first step after which they differ."""
    first: Difference | None = None
    last: list[Step] = []
    runs = (steps(a.prepared, epoch), steps(b.prepared, epoch))
    for pair in zip_longest(*runs):
        last = [new or old for new, old in zip_longest(pair, last)]
        if same_shape and first is None:
            first = compare_states(last[0].state, last[1].state, max(s.number for s in last))
    honest = (
        state_digest(last[0].state) == a.digests[epoch - 1],
        state_digest(last[1].state) == b.digests[epoch - 1],
    )
    return first, honest


def _settings(a: PreparedRun, b: PreparedRun) -> tuple[Setting, ...]:
    found = []
    left, right = _flat(a), _flat(b)
    for key in sorted(left.keys() | right.keys()):
        if left.get(key) != right.get(key):
            found.append(Setting(key, left.get(key), right.get(key)))
    return tuple(found)


def _flat(prepared: PreparedRun) -> dict[str, Any]:
    """Return the settings of a run file by section.key; paths of files are left out."""
    run = prepared.run
    flat: dict[str, Any] = {"seed": run.seed}
    for name in ("data", "model", "training"):
        for key, value in dataclasses.asdict(getattr(run, name)).items():
            flat[f"{name}.{key}"] = value
    for key in ("data.source", "data.labels", "model.init_file"):
        flat.pop(key, None)
    return flat


def _samples(a: Parts, b: Parts) -> SampleDifference | None:
    left, right = arrays_of(a), arrays_of(b)
    for name in sorted(left.keys() | right.keys()):
        mine, theirs = left.get(name), right.get(name)
        if mine is None or theirs is None or mine.shape != theirs.shape:
            a_shape, b_shape = (x if x is None else x.shape for x in (mine, theirs))
            return SampleDifference(name, (), a_shape, b_shape, 1)
        places = np.argwhere(mine != theirs)
        if len(places):
            at = tuple(int(i) for i in places[0])
            return SampleDifference(name, at, mine[at].item(), theirs[at].item(), len(places))
    return None
