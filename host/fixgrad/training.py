"""Training on the device: stream, account, recover. Yields events; draws and stores nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from fixgrad.delivery import Delivery, plain
from fixgrad.device import NO_DATASET, Device, Evaluation, Progress
from fixgrad.errors import LinkError, PortError, StoreError
from fixgrad.model import ModelConfig, State, state_bytes
from fixgrad.protocol import Loss
from fixgrad.session import NoAnswerError, SessionLostError
from fixgrad.stopping import Course, Monitor, loss_unit
from fixgrad.stream import CachedStream, EpochSchedule, Samples, SampleStream

_MASK32 = 0xFFFFFFFF

_Result = TypeVar("_Result")

RESTORES_MAX = 20
"""Restores from one checkpoint after which the device is given up: it resets again and again."""

SPACING_STATES = 32
"""Inside an epoch a checkpoint follows so many times its own bytes of samples: 3 % of the link."""

SPACING_BYTES_MIN = 1 << 16
"""Bytes of samples between two checkpoints at least: each also empties the window once."""


@dataclass(frozen=True)
class Patience:
    """How long a device that is away is waited for.

    Attributes:
        seconds: after them it is given up.
        interval_s: pause before every attempt.
        clock, pause: seconds that never go back; waits for so many.
    """

    seconds: float
    interval_s: float = 0.5
    clock: Callable[[], float] = time.monotonic
    pause: Callable[[float], object] = time.sleep

    def outlast(
        self,
        lost: PortError | NoAnswerError,
        regain: Callable[[], _Result],
        should_stop: Callable[[], bool] = lambda: False,
    ) -> _Result:
        """Return what `regain` gives once it succeeds; every attempt comes after a pause.

        Raises:
            PortError, NoAnswerError: `lost`, when the time is over or a stop was asked for.
        """
        end = self.clock() + self.seconds
        while self.clock() < end:
            self.pause(self.interval_s)
            if should_stop():
                break
            try:
                return regain()
            except (PortError, LinkError):
                continue
        raise lost


@dataclass(frozen=True)
class Tally:
    """What the device counted since the epoch began.

    Attributes:
        samples: samples of completed steps.
        loss_sum: reported loss summed over them (NUMERICS section 4).
        correct: how many were predicted right before their step.
        wsat, asat, bsat: saturation counters (NUMERICS section 10).
    """

    samples: int = 0
    loss_sum: int = 0
    correct: int = 0
    wsat: int = 0
    asat: int = 0
    bsat: int = 0

    def loss(self, kind: Loss) -> float:
        """Return the mean loss a sample; 0 before the first step.

        Nats for softmax cross-entropy, else the squared error summed over the outputs.
        """
        if not self.samples:
            return 0.0
        return self.loss_sum * loss_unit(kind) / self.samples

    def accuracy(self) -> float:
        """Return the share of samples predicted right, 0..1; 0 before the first step."""
        return self.correct / self.samples if self.samples else 0.0


@dataclass(frozen=True)
class Checkpoint:
    """Enough to continue a run at a batch boundary.

    Attributes:
        state: the trained state.
        position: first sample that it has not seen.
        tally: the epoch so far; empty at an epoch's start.
        course: what the ends of epochs have decided.
        best: the state after the course's best epoch, where the run will end with it.
    """

    state: State
    position: int
    tally: Tally
    course: Course = field(default_factory=Course)
    best: State | None = None


@dataclass(frozen=True)
class Advanced:
    """Samples were applied. `position` of `end`; `tally` is the epoch so far."""

    position: int
    end: int
    epoch: int
    tally: Tally


@dataclass(frozen=True)
class Continued:
    """Training begins at a `position` behind the start of the run.

    `restored`: the checkpoint was loaded; else the device still held the run.
    """

    position: int
    restored: bool


@dataclass(frozen=True)
class Saved:
    """A step inside an epoch is complete; `checkpoint` continues after it."""

    checkpoint: Checkpoint


@dataclass(frozen=True)
class EpochDone:
    """An epoch (counted from 1) is complete; `checkpoint` continues after it.

    `evaluation` is that of the monitored part, where there is one.
    """

    epoch: int
    tally: Tally
    checkpoint: Checkpoint
    evaluation: Evaluation | None = None


@dataclass(frozen=True)
class Ended:
    """The run is over before its last epoch, or with the weights of an earlier one.

    Attributes:
        epoch: the last epoch that was trained.
        reason: `Course.ended`; empty if the last epoch was reached.
        state: the state that the run ends with; the device holds it.
        epoch_of_state: the epoch it stood after.
    """

    epoch: int
    reason: str
    state: State
    epoch_of_state: int


@dataclass(frozen=True)
class Recovered:
    """The device had lost the session; training goes on from `position`.

    `restored`: the checkpoint was loaded; else the device still held the run. `url`: the port
    where a device that was away came back; else empty.
    """

    position: int
    restored: bool
    url: str = ""


@dataclass(frozen=True)
class Waiting:
    """The port vanished or the device fell silent; training waits until it is back."""

    reason: str


@dataclass(frozen=True)
class Streaming:
    """The board cannot keep the samples in its flash, for a `reason`: they are sent as needed."""

    reason: str


@dataclass(frozen=True)
class Stopped:
    """Training stopped on request; `checkpoint` continues it."""

    checkpoint: Checkpoint


Event = Advanced | Continued | EpochDone | Ended | Recovered | Saved | Stopped | Streaming | Waiting


def train(
    device: Device,
    config: ModelConfig,
    run_id: int,
    samples: Samples,
    schedule: EpochSchedule,
    checkpoint: Checkpoint,
    *,
    delivery: Delivery | None = None,
    monitor: Monitor | None = None,
    adopt: bool = False,
    patience: Patience | None = None,
    save_every: int = 0,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[Event]:
    """Train from a checkpoint to the end of the run.

    Args:
        device: an open device.
        config: the model.
        run_id: the run's identity on the device.
        samples: training samples.
        schedule: the steps.
        checkpoint: where to start; the initial state at position 0 for a new run.
        delivery: the way of the samples; None: as they are, as often as needed.
        monitor: decides at the end of every epoch; None: nothing is decided.
        adopt: continue with what the device holds if it is this run and further on.
        patience: how long to wait for a port that vanished or a device that fell silent; None:
            not at all.
        save_every: steps after which the board keeps the run in its flash; 0: it does not.
        should_stop: asked after every answer; True ends training after the samples under way.

    Yields:
        Events. The last one is the `EpochDone` of the last epoch, `Ended` or `Stopped`.

    Raises:
        LinkError: the device stopped answering, or loses its state again and again.
        DoesNotFitError: the model needs more memory than the board has.
        StoreError: the board cannot keep the run in its flash.
    """
    trainer = _Trainer(
        device,
        config,
        run_id,
        schedule,
        checkpoint,
        delivery or plain(samples, config),
        monitor,
        patience,
        save_every,
        should_stop,
    )
    return trainer.run(adopt)


def checkpoint_spacing(config: ModelConfig, sample_bytes: int) -> int:
    """Return how many samples of so many bytes lie between two checkpoints inside an epoch."""
    spacing_bytes = max(SPACING_STATES * state_bytes(config), SPACING_BYTES_MIN)
    return -(-spacing_bytes // sample_bytes)


def end_of_stretch(schedule: EpochSchedule, due: int, epoch_end: int) -> int:
    """Return where a checkpoint that is due at a position is made: at the end of its step."""
    return schedule.step_start(schedule.step_of(min(due, epoch_end) - 1) + 1)


class _Trainer:
    def __init__(
        self,
        device: Device,
        config: ModelConfig,
        run_id: int,
        schedule: EpochSchedule,
        checkpoint: Checkpoint,
        delivery: Delivery,
        monitor: Monitor | None,
        patience: Patience | None,
        save_every: int,
        should_stop: Callable[[], bool],
    ) -> None:
        self._device = device
        self._config = config
        self._plain_id = run_id
        self._schedule = schedule
        self._take(delivery)
        self._refusal = ""
        self._checkpoint = checkpoint
        self._monitor = monitor
        self._monitored = monitor.samples.wire(config) if monitor else None
        self._patience = patience
        self._save_every = save_every
        self._saves = False
        self._should_stop = should_stop
        self._end = schedule.step_start(schedule.steps)
        self._position = checkpoint.position
        self._tally = checkpoint.tally
        self._baseline: Progress | None = None
        self._boot_id = 0
        self._losses = 0

    def _take(self, delivery: Delivery) -> None:
        """Let the samples travel this way."""
        self._delivery = delivery
        self._run_id = delivery.identity(self._plain_id)
        self._spacing = self._spacing_max = checkpoint_spacing(
            self._config, delivery.wire.shape[1]
        )

    def run(self, adopt: bool) -> Iterator[Event]:
        way = self._delivery
        try:
            restored = self._recover(adopt)
        except (PortError, NoAnswerError) as error:
            yield from self._regain(error, adopt)
        else:
            if 0 < self._position < self._end and not self._checkpoint.course.ended:
                yield Continued(self._position, restored)
        size = self._schedule.samples
        stream, course = self._stream(), self._checkpoint.course
        while self._checkpoint.position < self._end and not self._checkpoint.course.ended:
            if self._delivery is not way:
                way, stream = self._delivery, self._stream()
                yield Streaming(self._refusal)
            if self._checkpoint.course != course:
                stream, course = self._stream(), self._checkpoint.course
            epoch = max(self._checkpoint.position, self._position - 1) // size
            stop = self._next_stop((epoch + 1) * size)
            evaluation = None
            try:
                self._begin_saving()
                for progress in self._device.train(
                    stream,
                    self._position,
                    stop,
                    should_stop=self._should_stop,
                ):
                    self._count(progress)
                    yield Advanced(self._position, self._end, epoch + 1, self._tally)
                state, position = self._device.read_state(self._config)
                if position != self._position:
                    raise SessionLostError("the device was loaded anew by repeated bytes")
                complete = self._position == (epoch + 1) * size
                if complete and self._monitored is not None:
                    evaluation = self._device.evaluate(self._monitored)
            except (SessionLostError, PortError, NoAnswerError) as error:
                self._narrow()
                yield from self._regain(error)
                continue
            tally = self._tally
            if complete:
                self._tally = Tally()
            self._losses = 0
            self._spacing = min(2 * self._spacing, self._spacing_max)
            self._checkpoint = self._decided(state, epoch + 1, evaluation)
            if complete:
                yield EpochDone(epoch + 1, tally, self._checkpoint, evaluation)
            elif self._position < stop:
                yield Stopped(self._checkpoint)
                return
            else:
                yield Saved(self._checkpoint)
        yield from self._conclude()

    def _begin_saving(self) -> None:
        """Tell the board to keep the run in its flash, at the next start of a step."""
        step = self._schedule.step_of(self._position)
        if self._save_every and not self._saves and self._schedule.step_start(step) == (
            self._position
        ):
            self._device.save(self._position, self._save_every)
            self._saves = True

    def _next_stop(self, epoch_end: int) -> int:
        """Return where the next checkpoint is due: at the end of a step."""
        due = max(self._checkpoint.position + self._spacing, self._position + 1)
        return end_of_stretch(self._schedule, due, epoch_end)

    def _narrow(self) -> None:
        """Make the next checkpoint due before the device is likely to be lost again."""
        reached = self._position - self._checkpoint.position
        self._spacing = max(1, min(self._spacing, reached // 2))

    def _stream(self) -> SampleStream | CachedStream:
        """Return the run with the learning rates that its course leads to."""
        schedule = self._schedule
        if self._monitor is not None:
            schedule = self._monitor.schedule(schedule, self._checkpoint.course)
        return self._delivery.stream(schedule)

    def _decided(self, state: State, epoch: int, evaluation: Evaluation | None) -> Checkpoint:
        """Return the checkpoint of a state, with what the end of its epoch decides."""
        course, best = self._checkpoint.course, self._checkpoint.best
        if self._monitor is not None and evaluation is not None:
            course = self._monitor.observe(course, epoch, evaluation.loss)
            if course.best_epoch == epoch and self._monitor.restores_best:
                best = state
        position = self._schedule.step_start(state.step)
        return Checkpoint(state, position, self._tally, course, best)

    def _conclude(self) -> Iterator[Event]:
        """Restore the best weights, keep the end on the board, and say how the run ended.

        As far as that was asked for, and for `Ended` where that is not the last epoch's end.
        """
        point, size = self._checkpoint, self._schedule.samples
        if point.best is not None or self._save_every:
            yield from self._settle()
        if self._monitor is None or not (point.course.ended or self._monitor.restores_best):
            return
        state, position = self._end_point()
        yield Ended(point.position // size, point.course.ended, state, position // size)

    def _end_point(self) -> tuple[State, int]:
        """Return the state that the run ends with, and its position."""
        point = self._checkpoint
        if point.best is None:
            return point.state, point.position
        return point.best, point.course.best_epoch * self._schedule.samples

    def _settle(self) -> Iterator[Event]:
        """Make the board hold the end of the run and keep it, whatever happens meanwhile."""
        while True:
            try:
                position = self._hold_end()
                if self._save_every:
                    self._device.save(position)
                return
            except SessionLostError as error:
                self._note_loss(error)
            except (PortError, NoAnswerError) as error:
                yield from self._regain(error)

    def _hold_end(self) -> int:
        """Make the device hold what the run ends with; return its position."""
        state, position = self._end_point()
        is_best = self._checkpoint.best is not None
        run_id = self._plain_id if is_best else self._run_id
        info = self._device.hello()
        if (info.run_id, info.next) == (run_id, position):
            return position
        if is_best:
            self._device.load(self._config, state, run_id, position, NO_DATASET)
        else:
            self._load(state, position)
        return position

    def _load(self, state: State, position: int) -> None:
        """Load the run with a state, without its samples if the board's flash refuses them."""
        way = self._delivery
        try:
            self._device.load(self._config, state, self._run_id, position, way.region)
        except StoreError as error:
            if way.streamed is None:
                raise
            self._refusal = str(error)
            self._take(way.streamed)
            self._device.load(self._config, state, self._run_id, position, way.streamed.region)

    def _recover(self, adopt: bool) -> bool:
        """Make the device hold this run; return whether the checkpoint was loaded.

        Raises:
            LinkError: it was reset again and again since the checkpoint.
        """
        self._saves = False
        while True:
            try:
                if adopt and self._adopt():
                    return False
                self._restore()
                return True
            except SessionLostError as error:
                self._note_loss(error)
                adopt = True

    def _regain(
        self, lost: SessionLostError | PortError | NoAnswerError, adopt: bool = True
    ) -> Iterator[Event]:
        """Make the device hold the run again, which may vanish while it is asked what it holds."""
        if isinstance(lost, SessionLostError):
            self._note_loss(lost)
            try:
                restored = self._recover(adopt=True)
            except (PortError, NoAnswerError) as error:
                lost = error
            else:
                yield Recovered(self._position, restored)
                return
        if self._patience is None:
            raise lost

        def reconnect() -> bool:
            self._device.reopen()
            return self._recover(adopt)

        yield Waiting(str(lost))
        restored = self._patience.outlast(lost, reconnect, self._should_stop)
        yield Recovered(self._position, restored, self._device.url)

    def _note_loss(self, error: SessionLostError) -> None:
        if self._losses == RESTORES_MAX:
            raise LinkError(
                f"the board lost its state {self._losses + 1} times since sample "
                f"{self._checkpoint.position}: check its supply and its reset line"
            ) from error
        self._losses += 1

    def _adopt(self) -> bool:
        """Go on from where the device stands, if it holds this run and is not behind."""
        info = self._device.hello()
        if info.run_id != self._run_id or info.next < self._checkpoint.position:
            return False
        size = self._schedule.samples
        epoch_end = (self._checkpoint.position // size + 1) * size
        if self._monitor is not None and info.next > epoch_end:
            return False
        told = self._device.progress()
        if told.next != info.next:
            raise SessionLostError("the device was loaded anew by repeated bytes")
        seen = self._baseline if info.boot_id == self._boot_id else None
        if seen is None or info.next < self._position or told.loss_sum < seen.loss_sum:
            if info.next // size != self._position // size:
                self._tally = Tally()
            elif info.next < self._position:
                self._tally = self._checkpoint.tally
            self._baseline = told
        self._boot_id = info.boot_id
        self._position = info.next
        self._count(told)
        return True

    def _restore(self) -> None:
        """Load the checkpoint and go on from its position."""
        point = self._checkpoint
        self._load(point.state, point.position)
        self._position, self._tally = point.position, point.tally
        self._baseline = Progress(point.position, point.state.step, 0, 0, 0, 0, 0, 0)
        self._boot_id = self._device.info.boot_id

    def _count(self, progress: Progress) -> None:
        """Add what the device counted since its last answer."""
        last = self._baseline or progress
        start = self._schedule.step_start
        self._tally = Tally(
            samples=self._tally.samples + start(progress.step) - start(last.step),
            loss_sum=self._tally.loss_sum + progress.loss_sum - last.loss_sum,
            correct=self._tally.correct + ((progress.correct - last.correct) & _MASK32),
            wsat=self._tally.wsat + ((progress.wsat - last.wsat) & _MASK32),
            asat=self._tally.asat + ((progress.asat - last.asat) & _MASK32),
            bsat=self._tally.bsat + ((progress.bsat - last.bsat) & _MASK32),
        )
        self._baseline = progress
        self._position = progress.next
