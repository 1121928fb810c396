"""One board's round: train its share from the common state, wherever the board is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from fixgrad import training
from fixgrad.delivery import deliver
from fixgrad.device import Device
from fixgrad.errors import LinkError, PortError
from fixgrad.fitting import check_fit
from fixgrad.fleet.fleetfile import SIMULATED, Member
from fixgrad.fleet.shares import Job
from fixgrad.model import State
from fixgrad.training import Checkpoint, EpochDone, Patience, Tally

REOPEN_S = 0.5
"""Pause before a board that is away is looked for again."""

_workers = threading.local()


class Deadline:
    """The end of a round: a time, or being called off before it."""

    def __init__(self, seconds: float, called_off: threading.Event) -> None:
        """Begin now."""
        self._until = time.monotonic() + seconds
        self._called_off = called_off

    def left(self) -> float:
        """Return the seconds that are left."""
        return 0.0 if self._called_off.is_set() else max(self._until - time.monotonic(), 0.0)

    def over(self) -> bool:
        """Tell whether none is left."""
        return not self.left()

    def patience(self) -> Patience:
        """Return the patience to wait until then."""
        seconds = self.left()
        return Patience(seconds, clock=lambda: seconds - self.left())


class LateError(LinkError):
    """The round ended before the board did."""


def train_simulated(job: Job) -> State:
    """Train a job on a process of `sim://` that this worker keeps for the next one.

    Raises:
        BuildError: the firmware could not be built.
        DoesNotFitError: the model needs more memory than it has.
    """
    if not hasattr(_workers, "device"):
        _workers.device = Device.open(SIMULATED)
    return _train(_workers.device, job, None, lambda: False)


class BoardAtPort:
    """A board at a port of this machine; kept open from round to round."""

    def __init__(self, member: Member) -> None:
        """Open nothing yet."""
        self._member = member
        self._device: Device | None = None

    def train(self, job: Job, deadline: Deadline) -> State:
        """Train a job; a board that is away is waited for until the round ends.

        Args:
            job: what to train.
            deadline: the end of the round.

        Raises:
            LateError: the round was over first.
            DoesNotFitError: the model needs more memory than the board has.
        """
        while not deadline.over():
            try:
                return _train(self.open(), job, deadline.patience(), deadline.over)
            except (LinkError, PortError):
                self.close()
                time.sleep(REOPEN_S)
        raise LateError(f"{self._member.port}: the round ended before the board did")

    def open(self) -> Device:
        """Return the board, opening its port unless it is open.

        Raises:
            PortError: the port is not there.
            LinkError: nothing answers, or not fixgrad.
        """
        if self._device is None:
            self._device = Device.open(self._member.port, baud=self._member.baud)
        return self._device

    def close(self) -> None:
        """Close the port."""
        device, self._device = self._device, None
        if device is not None:
            device.close()


def _train(
    device: Device, job: Job, patience: Patience | None, should_stop: Callable[[], bool]
) -> State:
    check_fit(device, job.config)
    delivery = deliver(job.samples, job.config, job.schedule, device.info.arena_bytes)
    state, end = job.state, job.schedule.steps
    for event in training.train(
        device, job.config, job.run_id, job.samples, job.schedule,
        Checkpoint(job.state, 0, Tally()), delivery=delivery, adopt=True, patience=patience,
        should_stop=should_stop,
    ):  # fmt: skip
        if isinstance(event, EpochDone):
            state = event.checkpoint.state
    if state.step < end:
        raise LateError(f"{device.url}: the round ended before the board did")
    return state
