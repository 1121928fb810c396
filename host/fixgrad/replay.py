"""A run again, on any port, from its folder alone: epoch by epoch it must give the same digests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fixgrad import training
from fixgrad.delivery import deliver
from fixgrad.device import Device
from fixgrad.digest import state_digest
from fixgrad.run import PreparedRun
from fixgrad.training import Checkpoint, Ended, EpochDone, Patience, Tally


@dataclass(frozen=True)
class Record:
    """What a run is compared by.

    Attributes:
        epochs: digest after every epoch, the first one first.
        final: digest of the state that the run ended with; None where it has not ended.
    """

    epochs: Sequence[int]
    final: int | None


@dataclass(frozen=True)
class EpochReplayed:
    """An epoch (counted from 1) has the digest that is recorded."""

    epoch: int
    digest: int
    tally: Tally


@dataclass(frozen=True)
class Left:
    """The replay left the run: the first epoch after which the digests differ.

    `epoch` is None where only the state at the end of the run differs.
    """

    epoch: int | None
    digest: int
    recorded: int


@dataclass(frozen=True)
class Replayed:
    """Everything that is recorded came again; `digest` is the last one."""

    epochs: int
    digest: int


def replay(
    device: Device, prepared: PreparedRun, record: Record, patience: Patience | None = None
) -> Iterator[training.Event | EpochReplayed | Left | Replayed]:
    """Train a run from its first step and compare it with what is recorded.

    Args:
        device: the device; whatever it holds is replaced.
        prepared: the run.
        record: at least one epoch.
        patience: how long to wait for a device that is away.

    Yields:
        What training yields, and after every epoch that agrees `EpochReplayed`. The last one is
        `Left` or `Replayed`.

    Raises:
        LinkError: the device stopped answering.
        DoesNotFitError: the model needs more memory than the board has.
    """
    info = device.info
    delivery = deliver(
        prepared.train, prepared.config, prepared.schedule, info.arena_bytes,
        flash_bytes=info.samples_bytes,
    )  # fmt: skip
    done, digest = 0, 0
    for event in training.train(
        device, prepared.config, prepared.run_id, prepared.train, prepared.schedule,
        Checkpoint(prepared.initial, 0, Tally()),
        delivery=delivery, monitor=prepared.monitor, patience=patience,
    ):
        yield event
        if isinstance(event, EpochDone):
            done, digest = event.epoch, state_digest(event.checkpoint.state)
            if done > len(record.epochs):
                break
            if digest != record.epochs[done - 1]:
                yield Left(done, digest, record.epochs[done - 1])
                return
            yield EpochReplayed(done, digest, event.tally)
            if done == len(record.epochs) and record.final is None:
                break
        elif isinstance(event, Ended):
            digest = state_digest(event.state)
    if record.final is not None and digest != record.final:
        yield Left(None, digest, record.final)
    else:
        yield Replayed(done, digest)

