"""Which board has which samples, and what it trains in a round: pure functions of the files."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fixgrad.errors import RunFileError
from fixgrad.fleet.fleetfile import Fleet
from fixgrad.functions import mix32_word
from fixgrad.model import ModelConfig, State
from fixgrad.order import permutation
from fixgrad.run import PreparedRun
from fixgrad.schedules import RateSchedule
from fixgrad.stream import EpochSchedule, Samples

GOLDEN = 0x9E3779B9


@dataclass(frozen=True)
class Job:
    """One board's part of a round.

    Attributes:
        member: place of the board in the fleet file.
        round: counted from 0.
        config: the model.
        state: where it starts, at step 0.
        samples: its share.
        schedule: its steps.
        run_id: identity on the device, not 0.
    """

    member: int
    round: int
    config: ModelConfig
    state: State
    samples: Samples
    schedule: EpochSchedule
    run_id: int


@dataclass(frozen=True)
class LaterRate:
    """A schedule of learning rates, from a step on."""

    rates: RateSchedule
    start: int

    def __call__(self, step: int) -> tuple[int, int]:
        """Return (mantissa, exponent) of lr/B."""
        return self.rates(self.start + step)


def cut(fleet: Fleet, run: PreparedRun) -> list[NDArray[np.int64]]:
    """Return the training samples of each board, as places in the training part.

    Raises:
        RunFileError: there are more boards than samples.
    """
    count = len(run.train)
    if count < len(fleet.members):
        raise RunFileError(
            f"{fleet.path}: {len(fleet.members)} boards, but {count} training samples; a board "
            "needs one at least"
        )
    targets = run.train.targets
    keys = targets if targets.ndim == 1 else targets[:, 0]
    order = permutation(count, 0, run.run.seed)
    sorted_part = order[: int(fleet.skew * (count - len(fleet.members)))]
    sorted_part = sorted_part[np.argsort(keys[sorted_part], kind="stable")]
    even_part = order[len(sorted_part) :]
    weights = [member.share for member in fleet.members]
    return [
        np.concatenate(parts)
        for parts in zip(_deal(sorted_part, weights, 0), _deal(even_part, weights, 1), strict=True)
    ]


def _deal(
    indices: NDArray[np.int64], weights: Sequence[int], least: int
) -> list[NDArray[np.int64]]:
    """Cut indices in proportion to weights, at least so many for each."""
    sums = np.cumsum(weights)
    spare = len(indices) - least * len(weights)
    ends = sums * spare // sums[-1] + least * np.arange(1, len(weights) + 1)
    return list(np.split(indices, ends[:-1]))


def job(
    fleet: Fleet, run: PreparedRun, state: State, member: int, index: int, share: NDArray[np.int64]
) -> Job:
    """Return what a board trains in a round.

    Args:
        fleet: the fleet.
        run: the prepared run.
        state: the model before the round.
        member: place of the board.
        index: the round, counted from 0.
        share: what `cut` gave the board.
    """
    training, epochs = run.run.training, fleet.local_epochs
    samples = Samples(run.train.features[share], run.train.targets[share])
    batch = min(training.batch_size, len(samples))
    assert isinstance(run.schedule.rate, RateSchedule)
    steps = -(-len(samples) // batch)
    rates = dataclasses.replace(
        run.schedule.rate, steps_per_epoch=steps, epochs=fleet.rounds * epochs
    )
    seed = mix32_word(mix32_word(run.run.seed + GOLDEN * (index + 1)) + GOLDEN * (member + 1))
    schedule = EpochSchedule(
        len(samples), batch, epochs, seed, training.shuffle,
        LaterRate(rates, index * epochs * steps),
    )  # fmt: skip
    start = dataclasses.replace(state, prng=mix32_word(state.prng + GOLDEN * (member + 1)), step=0)
    name = f"{run.run_id} {fleet.identity} {index} {member}"
    return Job(
        member, index, run.config, start, samples, schedule,
        zlib.crc32(start.encode(), zlib.crc32(name.encode())) or 1,
    )  # fmt: skip
