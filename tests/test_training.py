"""Training as events: epochs, stops, and the one path of recovery, on the firmware as a process."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from fixgrad import training
from fixgrad.delivery import deliver
from fixgrad.device import Device, Progress
from fixgrad.digest import state_digest
from fixgrad.errors import LinkError, PortError
from fixgrad.model import ModelConfig, State
from fixgrad.stream import EpochSchedule, Samples
from fixgrad.training import (
    RESTORES_MAX,
    Advanced,
    Checkpoint,
    Continued,
    EpochDone,
    Event,
    Patience,
    Recovered,
    Saved,
    Stopped,
    Tally,
    Waiting,
    train,
)
from fixgrad.urlhandlers.protocol_sim import Serial
from small_models import SMALL as CONFIG
from small_models import small_state

# An epoch takes about four of the process's frames.
SAMPLES, EPOCHS, RUN_ID = 8001, 3, 77
SCHEDULE = EpochSchedule(SAMPLES, CONFIG.batch, EPOCHS, 5, True, lambda step: (200, -10))


@pytest.fixture(scope="module")
def samples() -> Samples:
    random = np.random.default_rng(1)
    shape = (SAMPLES, CONFIG.layers[0])
    features = random.integers(0, CONFIG.input_max + 1, shape).astype(np.uint8)
    return Samples(features, random.integers(0, CONFIG.outputs, SAMPLES).astype(np.int32))


@pytest.fixture
def port() -> Iterator[Serial]:
    with Serial("sim://", timeout=0.02) as opened:
        yield opened


def start(
    device: Device, samples: Samples, point: Checkpoint, **options: object
) -> Iterator[Event]:
    return train(device, CONFIG, RUN_ID, samples, SCHEDULE, point, **options)  # type: ignore[arg-type]


def beginning() -> Checkpoint:
    state = small_state(CONFIG)
    state.step = 0
    return Checkpoint(state, 0, Tally())


def final(events: list[Event]) -> EpochDone:
    last = events[-1]
    assert isinstance(last, EpochDone)
    assert last.epoch == EPOCHS
    return last


@pytest.fixture
def undisturbed(samples: Samples) -> EpochDone:
    with Serial("sim://", timeout=0.02) as port:
        return final(list(start(Device(port, "sim"), samples, beginning())))


def test_every_epoch_counts_every_sample(port: Serial, samples: Samples) -> None:
    events = list(start(Device(port, "sim"), samples, beginning()))
    done = [e for e in events if isinstance(e, EpochDone)]
    assert [e.epoch for e in done] == [1, 2, 3]
    assert [e.tally.samples for e in done] == [SAMPLES] * EPOCHS
    assert [e.checkpoint.position for e in done] == [SAMPLES, 2 * SAMPLES, 3 * SAMPLES]


def test_a_stopped_run_continues_to_the_same_state_and_tally(
    port: Serial, samples: Samples, undisturbed: EpochDone
) -> None:
    seen: list[Event] = []
    events = start(Device(port, "sim"), samples, beginning(), should_stop=lambda: len(seen) >= 2)
    for event in events:
        seen.append(event)
    stopped = seen[-1]
    assert isinstance(stopped, Stopped)
    assert 0 < stopped.checkpoint.position < SAMPLES
    with Serial("sim://", timeout=0.02) as another:
        resumed = list(start(Device(another, "sim"), samples, stopped.checkpoint))
    assert_equal(final(resumed), undisturbed)


def assert_equal(done: EpochDone, expected: EpochDone) -> None:
    assert state_digest(done.checkpoint.state) == state_digest(expected.checkpoint.state)
    assert done.tally == expected.tally


class Disturbed:
    """A device whose board is reset when an answer for which `when` is true has come."""

    def __init__(self, port: Serial, when: Callable[[Progress], bool]) -> None:
        self._device, self._port, self._when = Device(port, "sim"), port, when

    def __getattr__(self, name: str) -> object:
        return getattr(self._device, name)

    def train(self, *arguments: object, **options: object) -> Iterator[Progress]:
        for progress in self._device.train(*arguments, **options):  # type: ignore[arg-type]
            yield progress
            if self._when(progress):
                self._port.reset_device()


def test_a_reset_board_is_restored_from_the_checkpoint(
    port: Serial, samples: Samples, undisturbed: EpochDone
) -> None:
    resets = iter([True])
    device = Disturbed(port, lambda p: p.next > SAMPLES + 10 and next(resets, False))
    events = list(start(device, samples, beginning()))  # type: ignore[arg-type]
    assert [e for e in events if isinstance(e, Recovered)] == [Recovered(SAMPLES, restored=True)]
    assert_equal(final(events), undisturbed)


class Keeping(Disturbed):
    """It notes what is to be kept, and is reset once where the state at the end was read."""

    def __init__(self, port: Serial, when: Callable[[Progress], bool], ends_reset: bool) -> None:
        super().__init__(port, when)
        self.saves: list[tuple[int, int]] = []
        self._ends_reset = ends_reset

    def save(self, position: int, every: int = 0) -> None:
        self.saves.append((position, every))

    def read_state(self, config: ModelConfig) -> tuple[State, int]:
        state, position = self._device.read_state(config)
        if self._ends_reset and state.step == SCHEDULE.steps:
            self._ends_reset = False
            self._port.reset_device()
        return state, position


def test_a_board_that_was_reset_is_told_again_to_keep_checkpoints(
    port: Serial, samples: Samples
) -> None:
    resets = iter([True])
    device = Keeping(port, lambda p: p.next > SAMPLES + 10 and next(resets, False), False)
    list(start(device, samples, beginning(), save_every=5))  # type: ignore[arg-type]
    assert [save for save in device.saves if save[1]] == [(0, 5), (SAMPLES, 5)]


def test_a_board_that_was_reset_at_the_end_holds_the_end(port: Serial, samples: Samples) -> None:
    device = Keeping(port, lambda p: False, True)
    list(start(device, samples, beginning(), save_every=5))  # type: ignore[arg-type]
    assert device.hello().next == EPOCHS * SAMPLES  # type: ignore[operator]


def test_a_board_that_resets_again_and_again_is_given_up(port: Serial, samples: Samples) -> None:
    device = Disturbed(port, lambda p: True)
    seen = []
    with pytest.raises(LinkError, match="check its supply"):
        for event in start(device, samples, beginning()):  # type: ignore[arg-type]
            seen.append(event)
    assert sum(isinstance(e, Recovered) for e in seen) == RESTORES_MAX


def test_a_board_reset_more_often_than_epochs_end_reaches_the_end(
    port: Serial, samples: Samples, undisturbed: EpochDone
) -> None:
    """Every reset comes 1,000 samples after the one before; an epoch has 8,001."""
    due = iter(range(1000, EPOCHS * SAMPLES, 1000))
    next_reset = next(due)

    def is_due(progress: Progress) -> bool:
        nonlocal next_reset
        if progress.next < next_reset:
            return False
        next_reset = next(due, EPOCHS * SAMPLES + 1)
        return True

    events = list(start(Disturbed(port, is_due), samples, beginning()))  # type: ignore[arg-type]
    restored = [e.position for e in events if isinstance(e, Recovered)]
    assert len(restored) >= 20
    assert any(position % SAMPLES for position in restored)
    assert_equal(final(events), undisturbed)


def test_a_checkpoint_inside_an_epoch_continues_to_the_same_state_and_tally(
    port: Serial, samples: Samples, undisturbed: EpochDone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "SPACING_BYTES_MIN", 20_000)
    saved = next(
        e for e in start(Device(port, "sim"), samples, beginning()) if isinstance(e, Saved)
    ).checkpoint
    assert 0 < saved.position < SAMPLES
    assert saved.position == SCHEDULE.step_start(saved.state.step)
    with Serial("sim://", timeout=0.02) as another:
        resumed = list(start(Device(another, "sim"), samples, saved))
    assert resumed[0] == Continued(saved.position, restored=True)
    assert_equal(final(resumed), undisturbed)


class LoadedAnew:
    """A device that is loaded with the run's beginning again before its state is first read."""

    def __init__(self, port: Serial) -> None:
        self._device, self._is_due = Device(port, "sim"), True

    def __getattr__(self, name: str) -> object:
        return getattr(self._device, name)

    def read_state(self, config: ModelConfig) -> tuple[State, int]:
        if self._is_due:
            self._is_due = False
            self._device.load(CONFIG, beginning().state, RUN_ID, 0)
        return self._device.read_state(config)


def test_state_of_another_position_is_no_checkpoint(
    port: Serial, samples: Samples, undisturbed: EpochDone
) -> None:
    """A line that repeats the bytes of LOAD and COMMIT takes the device back."""
    events = list(start(LoadedAnew(port), samples, beginning()))  # type: ignore[arg-type]
    assert [e for e in events if isinstance(e, Recovered)] == [Recovered(0, restored=False)]
    done = [e.checkpoint.position for e in events if isinstance(e, EpochDone)]
    assert done == [SAMPLES, 2 * SAMPLES, 3 * SAMPLES]
    assert state_digest(final(events).checkpoint.state) == state_digest(
        undisturbed.checkpoint.state
    )


def test_a_run_that_the_board_still_holds_is_continued_there(
    port: Serial, samples: Samples, undisturbed: EpochDone
) -> None:
    first = start(Device(port, "sim"), samples, beginning())
    for event in first:
        if isinstance(event, Advanced) and event.position > SAMPLES:
            break
    events = list(start(Device(port, "sim"), samples, beginning(), adopt=True))
    positions = [e.position for e in events if isinstance(e, Advanced)]
    assert min(positions) > SAMPLES + 1
    assert isinstance(events[0], Continued) and not events[0].restored
    done = final(events)
    assert state_digest(done.checkpoint.state) == state_digest(undisturbed.checkpoint.state)


def end_process(port: Serial) -> None:
    assert port._simulator is not None
    port._simulator._process.kill()
    port._simulator._process.wait()


def unplugged(samples: Samples, times_away: int, patience: Patience | None) -> list[Event]:
    """Train; the port vanishes in the second epoch and comes back after some attempts."""
    attempts = 0
    ports = [Serial("sim://", timeout=0.02)]

    def reopen() -> tuple[Serial, str]:
        nonlocal attempts
        attempts += 1
        if attempts <= times_away:
            raise PortError("sim: no such port")
        ports.append(Serial("sim://", timeout=0.02))
        return ports[-1], "sim2"

    device = Device(ports[0], "sim", reopen=reopen)
    events = []
    try:
        for event in start(device, samples, beginning(), patience=patience):
            events.append(event)
            if isinstance(event, Advanced) and event.position > SAMPLES and len(ports) == 1:
                end_process(ports[0])
    finally:
        device.close()
    assert device.url == "sim2"
    return events


def virtual_patience(seconds: float) -> Patience:
    now = 0.0

    def pause(length: float) -> None:
        nonlocal now
        now += length

    return Patience(seconds, 0.5, lambda: now, pause)


def test_a_vanished_port_is_waited_for_and_the_run_goes_on(
    samples: Samples, undisturbed: EpochDone
) -> None:
    events = unplugged(samples, 7, virtual_patience(10))
    told = [e for e in events if isinstance(e, Waiting | Recovered)]
    assert [type(e) for e in told] == [Waiting, Recovered]
    assert "vanished" in told[0].reason
    assert told[1] == Recovered(told[1].position, restored=True, url="sim2")
    assert_equal(final(events), undisturbed)


@pytest.mark.parametrize("patience", [None, virtual_patience(3)])
def test_a_port_that_stays_away_is_given_up(samples: Samples, patience: Patience | None) -> None:
    with pytest.raises(PortError, match="vanished"):
        unplugged(samples, 7, patience)


class LooseCable:
    """A port to a board that stays as it is while the cable is pulled at some events."""

    def __init__(self, port: Serial) -> None:
        self._port, self.pulled = port, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)

    def close(self) -> None:
        pass

    def read(self, count: int) -> bytes:
        if self.pulled:
            self.pulled = False
            raise OSError("pulled")
        return bytes(self._port.read(count))


@pytest.mark.parametrize("stream", [True, False])
def test_a_board_that_trained_on_while_the_cable_was_pulled_has_counted_every_sample(
    port: Serial, samples: Samples, undisturbed: EpochDone, stream: bool
) -> None:
    cable = LooseCable(port)
    device = Device(cable, "sim", reopen=lambda: (cable, "sim"))
    delivery = deliver(samples, CONFIG, SCHEDULE, device.info.arena_bytes, stream=stream)
    assert delivery.cached != stream
    events = []
    options = {"patience": virtual_patience(3), "delivery": delivery}
    for event in start(device, samples, beginning(), **options):
        events.append(event)
        cable.pulled = isinstance(event, Advanced) and len(events) % 3 == 1
    assert sum(isinstance(event, Recovered) for event in events) > 1
    assert [e.tally.samples for e in events if isinstance(e, EpochDone)] == [SAMPLES] * EPOCHS
    assert_equal(final(events), undisturbed)


@pytest.mark.parametrize("begun", [True, False])
def test_a_port_that_vanishes_while_the_board_is_loaded_is_waited_for(
    samples: Samples, undisturbed: EpochDone, monkeypatch: pytest.MonkeyPatch, begun: bool
) -> None:
    """Loaded at the start of the run, or again after a reset."""
    ports = [Serial("sim://", timeout=0.02)]
    load = Device.load

    def reopen() -> tuple[Serial, str]:
        ports.append(Serial("sim://", timeout=0.02))
        return ports[-1], "sim2"

    def unplug(device: Device, *arguments: Any) -> None:
        if begun == bool(events) and len(ports) == 1:
            end_process(ports[0])
        load(device, *arguments)

    monkeypatch.setattr(Device, "load", unplug)
    device, events = Device(ports[0], "sim", reopen=reopen), list[Event]()
    for event in start(device, samples, beginning(), patience=virtual_patience(3)):
        if begun and not events:
            ports[0].reset_device()
        events.append(event)
    device.close()
    told = [e for e in events if isinstance(e, Waiting | Recovered)]
    assert [type(e) for e in told] == [Waiting, Recovered]
    assert_equal(final(events), undisturbed)


def test_a_board_that_stands_before_the_checkpoint_is_loaded_with_it(
    port: Serial, samples: Samples, undisturbed: EpochDone
) -> None:
    device = Device(port, "sim")
    events = start(device, samples, beginning())
    ahead = next(e.checkpoint for e in events if isinstance(e, EpochDone))
    device.load(CONFIG, beginning().state, RUN_ID, 0)
    resumed = list(start(Device(port, "sim"), samples, ahead, adopt=True))
    positions = [e.position for e in resumed if isinstance(e, Advanced)]
    assert min(positions) > SAMPLES
    assert_equal(final(resumed), undisturbed)
