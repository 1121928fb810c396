"""`fixgrad train`: a run on a device, drawn and stored."""

from __future__ import annotations

import dataclasses
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from fixgrad import training
from fixgrad.cli.border import InterruptedRunError
from fixgrad.cli.curves import beside, curve
from fixgrad.cli.events import EventFiles
from fixgrad.cli.measuring import Measured, measure_test, print_measured
from fixgrad.cli.opening import open_device
from fixgrad.cli.options import (
    PATH,
    WORD_MAX,
    NumberRange,
    baud_option,
    json_option,
    port_option,
)
from fixgrad.cli.output import Meter, note, print_json, print_line, status, stop_switch
from fixgrad.cli.serving import LivePage, parse_address
from fixgrad.delivery import deliver
from fixgrad.device import Device
from fixgrad.digest import state_digest
from fixgrad.errors import (
    LinkError,
    MismatchError,
    PortError,
    RunFileError,
    UsageError,
)
from fixgrad.holding import while_held
from fixgrad.model import State
from fixgrad.network import Network
from fixgrad.protocol import Loss
from fixgrad.run import PreparedRun, prepare
from fixgrad.rundir import RunFolder
from fixgrad.runfile import load_run
from fixgrad.session import SessionLostError
from fixgrad.training import (
    Advanced,
    Checkpoint,
    Continued,
    Ended,
    EpochDone,
    Patience,
    Recovered,
    Saved,
    Stopped,
    Streaming,
    Tally,
    Waiting,
)

_DEFAULT_FOLDER = Path("runs")

Listener = Callable[[dict[str, object], State], object]
"""Takes the line of an epoch, as metrics.jsonl has it, and the state after it."""


@dataclass(frozen=True)
class Trained:
    """A finished run.

    Attributes:
        state: the trained state.
        loss, accuracy: mean of the last epoch; None if metrics.jsonl has lost it.
        seconds: time spent training, in this call.
        cached: the device kept the samples.
    """

    state: State
    loss: float | None
    accuracy: float | None
    seconds: float
    cached: bool


@click.command(short_help="Train a run on the device.")
@click.argument("run_file", metavar="[RUN.toml]", required=False, type=PATH)
@port_option
@baud_option
@click.option("--out", type=PATH, metavar="DIR", help="Folder of the run; default runs/NAME.")
@click.option("--resume", type=PATH, metavar="DIR", help="Continue the run in this folder.")
@click.option("--force", is_flag=True, help="Replace another run in --out.")
@click.option(
    "--wait",
    default=300.0,
    show_default=True,
    type=NumberRange(min=0),
    metavar="SECONDS",
    help="How long to wait for a board that was unplugged.",
)
@click.option(
    "--stream",
    is_flag=True,
    help="Send the samples in every epoch, even if the board can keep them.",
)
@click.option(
    "--save-every",
    default=0,
    type=click.IntRange(min=0, max=WORD_MAX),
    metavar="STEPS",
    help="Let the board keep the run in its flash, from where it goes on after a power-on.",
)
@click.option(
    "--tensorboard", type=PATH, metavar="FOLDER",
    help="Write TensorBoard event files there while training.",
)
@click.option(
    "--serve", metavar="[HOST:]PORT", is_flag=False, flag_value="0", callback=parse_address,
    help="Show the report in the browser while the run trains: on this computer alone unless HOST "
    "is given, on a free port unless PORT is.",
)
@json_option
def train(
    run_file: Path | None,
    port: str,
    baud: int,
    out: Path | None,
    resume: Path | None,
    force: bool,
    wait: float,
    stream: bool,
    save_every: int,
    tensorboard: Path | None,
    serve: tuple[str, int] | None,
    as_json: bool,
) -> None:
    """Train RUN.toml on the device, then measure test accuracy there."""
    if (run_file is None) == (resume is None):
        raise click.UsageError("give either RUN.toml or --resume DIR")
    if resume is not None:
        if out is not None:
            raise click.UsageError("--resume continues in its own folder; leave --out away")
        folder = RunFolder(resume)
        prepared = folder.reopen()
    else:
        assert run_file is not None
        prepared = prepare(load_run(run_file))
        folder = choose_folder(out, run_file.stem, prepared, force)
    with (
        open_device(port, baud, prepared.config) as device,
        _listeners(tensorboard, serve, folder) as (listeners, live),
    ):
        if resume is None:
            folder.create(prepared)
        trained = run_training(
            device,
            prepared,
            folder,
            port,
            stream=stream,
            save_every=save_every,
            adopt=resume is not None,
            patience=Patience(wait),
            listeners=listeners,
        )
        result = measure(device, prepared, trained.state, folder, port, Patience(wait))
        report = describe(device, prepared, folder, trained, result, port)
        folder.save_result(report)
        if as_json:
            print_json(report)
        else:
            _print_report(report, result)
        if live is not None:
            live.end()


@contextmanager
def _listeners(
    tensorboard: Path | None, serve: tuple[str, int] | None, folder: RunFolder
) -> Iterator[tuple[list[Listener], LivePage | None]]:
    """Give what is to hear of every epoch; the page is to hear of the end too."""
    with ExitStack() as stack:
        listeners: list[Listener] = []
        live = None
        if tensorboard is not None:
            listeners.append(stack.enter_context(closing(EventFiles(tensorboard))).epoch)
        if serve is not None:
            live = stack.enter_context(closing(LivePage(serve, folder.path)))
            listeners.append(live.epoch)
            note(f"watch the run at {live.url}")
        yield listeners, live


def choose_folder(
    out: Path | None, name: str, prepared: PreparedRun, force: bool
) -> RunFolder:
    """Return the folder for a run; never one that holds another run, unless forced.

    Args:
        out: the user's choice, or None.
        name: name of the default folder.
        prepared: the run.
        force: replace another run in `out`.

    Raises:
        UsageError: `out` holds another run, or is a file.
    """
    if out is None:
        number = 1
        while True:
            path = _DEFAULT_FOLDER / (name if number == 1 else f"{name}-{number}")
            if not path.exists() or _same_run(RunFolder(path), prepared):
                return RunFolder(path)
            number += 1
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file; give a folder")
    folder = RunFolder(out)
    if folder.holds_run() and not force and not _same_run(folder, prepared):
        raise UsageError(
            f"--out {out} holds another run; give another folder, or --force to replace it"
        )
    return folder


def _same_run(folder: RunFolder, prepared: PreparedRun) -> bool:
    try:
        return folder.holds_run() and folder.run_id() == prepared.run_id
    except RunFileError:
        return False


def run_training(
    device: Device,
    prepared: PreparedRun,
    folder: RunFolder,
    port: str,
    *,
    stream: bool = False,
    save_every: int = 0,
    adopt: bool = False,
    patience: Patience | None = None,
    listeners: Sequence[Listener] = (),
) -> Trained:
    """Train from the folder's checkpoint, or from the start, to the end; draw and store.

    Args:
        device: an open device.
        prepared: the run.
        folder: its folder, begun.
        port: where the device is, for messages.
        stream: send the samples in every epoch, even if the device can keep them.
        save_every: steps after which the board keeps the run in its flash; 0: it does not.
        adopt: go on with what the device holds if it is this run and further on.
        patience: how long to wait for a device that is away.
        listeners: called after every epoch.

    Raises:
        InterruptedRunError: Ctrl-C; the state is kept in the folder.
        LinkError: the device stopped answering; the last checkpoint is kept.
        MismatchError: the parameters read back do not have the device's digest.
        StoreError: the board cannot keep the run in its flash.
    """
    checkpoint = _checkpoint(folder, prepared)
    go_on = f"continue with: fixgrad train --resume {_quoted(folder)} --port {shlex.quote(port)}"
    delivery = deliver(
        prepared.train,
        prepared.config,
        prepared.schedule,
        device.info.arena_bytes,
        flash_bytes=device.info.samples_bytes,
        stream=stream or save_every > 0,
    )
    if delivery.cached:
        note(
            f"the board keeps the {len(prepared.train):,} samples"
            f"{' in its flash' if delivery.in_flash else ''}, {len(delivery.region):,} bytes: "
            "they are sent once"
        )
    drawing = _Drawing(prepared, folder, checkpoint, listeners)
    started = time.monotonic()
    try:
        with stop_switch() as pressed, drawing.meter:
            for event in training.train(
                device,
                prepared.config,
                prepared.run_id,
                prepared.train,
                prepared.schedule,
                checkpoint,
                delivery=delivery,
                monitor=prepared.monitor,
                adopt=adopt,
                patience=patience,
                save_every=save_every,
                should_stop=lambda: bool(pressed),
            ):
                drawing.draw(event)
    except (LinkError, PortError) as error:
        raise type(error)(f"{error}; the last checkpoint is kept, {go_on}") from error
    except KeyboardInterrupt as error:
        raise InterruptedRunError(f"stopped; the last checkpoint is kept, {go_on}") from error
    if drawing.stopped:
        raise InterruptedRunError(
            f"stopped after step {drawing.checkpoint.state.step} of {prepared.schedule.steps}; "
            f"the state is kept in {folder.path}, {go_on}"
        )
    state = drawing.state
    try:
        network = Network(prepared.config, state, prepared.form)
        digest = while_held(device, network, lambda: _told_digest(device), patience, note)
    except (LinkError, PortError) as error:
        raise type(error)(f"{error}; the last checkpoint is kept, {go_on}") from error
    if digest != state_digest(state):
        raise MismatchError(
            f"the parameters read from the device have the digest {state_digest(state):08x}, the "
            f"device says {digest:08x}; find the difference with: fixgrad validate"
        )
    folder.save_final(prepared.config, state)
    last: dict[str, float] = next(reversed(folder.metrics()), {})
    seconds = time.monotonic() - started
    cached = delivery.cached and not drawing.refused
    return Trained(state, last.get("loss"), last.get("accuracy"), seconds, cached)


def _told_digest(device: Device) -> int:
    boot_id = device.info.boot_id
    info = device.hello()
    if info.boot_id != boot_id:
        raise SessionLostError("the device was reset")
    return info.digest


def measure(
    device: Device,
    prepared: PreparedRun,
    state: State,
    folder: RunFolder,
    port: str,
    patience: Patience | None = None,
) -> Measured:
    """Evaluate the test part on the device, which holds the state; again where it loses it."""
    kept = (
        "the parameters are kept, measure them with: fixgrad eval "
        f"{_quoted(folder)} --port {shlex.quote(port)}"
    )
    network = Network(prepared.config, state, prepared.form)
    try:
        with status("measuring the test part on the device"):
            return while_held(
                device, network, lambda: measure_test(device, prepared, state), patience, note
            )
    except (LinkError, PortError) as error:
        raise type(error)(f"{error}; {kept}") from error
    except KeyboardInterrupt as error:
        raise InterruptedRunError(f"stopped after the last step; {kept}") from error


def _quoted(folder: RunFolder) -> str:
    return shlex.quote(str(folder.path))


class _Drawing:
    """Draws the events of training and stores what they carry."""

    def __init__(
        self,
        prepared: PreparedRun,
        folder: RunFolder,
        checkpoint: Checkpoint,
        listeners: Sequence[Listener],
    ) -> None:
        self._listeners = listeners
        self._lines = folder.metrics()
        self.checkpoint = checkpoint
        self.state = checkpoint.state
        self.stopped = False
        self.refused = False
        self._prepared = prepared
        self._folder = folder
        self._loss = prepared.config.loss
        self._counts_right = self._loss != Loss.SQUARED_ERROR
        self._monitor = prepared.monitor
        self._epochs = prepared.run.training.epochs
        size = prepared.schedule.samples
        self.meter = Meter("training", size * self._epochs, "samples")
        self.meter.start_at(checkpoint.position)

    def draw(self, event: training.Event) -> None:
        match event:
            case Advanced():
                self.meter.update(
                    event.position, self._text(event.tally), f"epoch {event.epoch}/{self._epochs}"
                )
            case EpochDone():
                # A line without its checkpoint is dropped by --resume; one that is missing is lost.
                line = self._metrics(event)
                self._folder.append_metrics(line)
                self._store(event.checkpoint)
                self._show(line)
                for listener in self._listeners:
                    listener(line, event.checkpoint.state)
                text = self._text(event.tally) + self._monitored(event)
                self.meter.milestone(f"epoch {event.epoch}/{self._epochs}  {text}")
            case Ended():
                self.state = event.state
                self.meter.note(_ending(event))
            case Continued():
                self.meter.note(_going_on(event.position, event.restored))
            case Saved():
                self._store(event.checkpoint)
            case Recovered():
                what = f"back on {event.url}" if event.url else "the device had lost the session"
                self.meter.note(f"{what}; {_going_on(event.position, event.restored)}")
            case Streaming():
                self.refused = True
                self.meter.note(f"{event.reason}: the samples are sent in every epoch")
            case Waiting():
                self.meter.note(f"{event.reason}; waiting for it, Ctrl-C stops the run")
            case Stopped():
                self.stopped = True
                self._store(event.checkpoint)

    def _show(self, line: dict[str, object]) -> None:
        """Draw the curves of the epochs so far below the bar."""
        self._lines.append(line)
        names = {"loss": "loss", "accuracy": "accuracy", "monitored_loss": "monitored loss"}
        drawings = [
            curve(title, values)
            for name, title in names.items()
            if (values := [float(line[name]) for line in self._lines if name in line])
        ]
        self.meter.show_below(beside(*drawings[:2]))

    def _store(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self.state = checkpoint.state
        self._folder.save_checkpoint(
            self._prepared.config,
            checkpoint.state,
            checkpoint.position,
            dataclasses.asdict(checkpoint.tally),
            checkpoint.course,
            checkpoint.best,
        )

    def _text(self, tally: Tally) -> str:
        """Say what was counted; nothing where the board trained and no host listened."""
        if tally.samples == 0:
            return "no sample counted"
        text = f"loss {tally.loss(self._loss):.4f}"
        return text + (f"  accuracy {100 * tally.accuracy():.2f} %" if self._counts_right else "")

    def _monitored(self, event: EpochDone) -> str:
        """Say what the end of an epoch decided."""
        if self._monitor is None or event.evaluation is None:
            return ""
        course = event.checkpoint.course
        text = f"  monitored loss {self._monitor.mean(event.evaluation.loss):.4f}"
        if course.best_epoch == event.epoch:
            text += ", the best"
        if event.epoch in course.drops:
            text += ", the learning rate falls"
        return text

    def _metrics(self, event: EpochDone) -> dict[str, object]:
        tally = event.tally
        return {
            "epoch": event.epoch,
            "samples": tally.samples,
            "steps": event.checkpoint.state.step,
            **self._counted(tally),
            **self._decisions(event),
            "wsat": tally.wsat,
            "asat": tally.asat,
            "bsat": tally.bsat,
            "digest": f"{state_digest(event.checkpoint.state):08x}",
        }

    def _counted(self, tally: Tally) -> dict[str, object]:
        if tally.samples == 0:
            return {}
        return {
            "loss": tally.loss(self._loss),
            **({"accuracy": tally.accuracy()} if self._counts_right else {}),
        }

    def _decisions(self, event: EpochDone) -> dict[str, object]:
        if self._monitor is None or event.evaluation is None:
            return {}
        course = event.checkpoint.course
        return {
            "monitored_loss": self._monitor.mean(event.evaluation.loss),
            "best_epoch": course.best_epoch,
            "rate_drops": len(course.drops),
        }


def _going_on(position: int, restored: bool) -> str:
    how = "from the last checkpoint" if restored else "where the board stands"
    return f"going on {how}, sample {position}"


def _ending(event: Ended) -> str:
    """Say why a run ended and with which weights."""
    reasons = {
        "patience": f"stopped after epoch {event.epoch}: no better loss for `patience` epochs",
        "target": f"stopped after epoch {event.epoch}: target_loss is reached",
        "": f"the last epoch, {event.epoch}, is done",
    }
    text = reasons[event.reason]
    if event.epoch_of_state != event.epoch:
        text += f"; the weights are those of epoch {event.epoch_of_state}, the best"
    return text


def _checkpoint(folder: RunFolder, prepared: PreparedRun) -> Checkpoint:
    """Return where training starts, and forget the metrics of epochs that come again."""
    saved = folder.checkpoint(prepared.config)
    if saved is None:
        return Checkpoint(prepared.initial, 0, Tally())
    folder.keep_metrics(saved.position // prepared.schedule.samples)
    return Checkpoint(
        saved.state, saved.position, Tally(**saved.tally), saved.course, saved.best
    )


def describe(
    device: Device,
    prepared: PreparedRun,
    folder: RunFolder,
    trained: Trained,
    test: Measured,
    port: str,
) -> dict[str, object]:
    """Return what is told of a run at its end, and kept in result.json."""
    stats = device.stats
    return {
        "digest": f"{state_digest(trained.state):08x}",
        "steps": trained.state.step,
        "parameters": prepared.config.parameter_count,
        **test.fields(),
        "test_samples": test.evaluation.count,
        "train_accuracy": trained.accuracy,
        "train_loss": trained.loss,
        "seconds": round(trained.seconds, 3),
        "port": port,
        "board": device.info.board,
        "core": device.info.core,
        "firmware": device.info.firmware,
        "arena_bytes": device.info.arena_bytes,
        "out": str(folder.path),
        "link": {
            "cached": trained.cached,
            "payload_bytes": stats.payload_bytes,
            "wire_bytes": stats.wire_bytes,
            "retransmitted_bytes": stats.retransmitted_bytes,
            "frames": stats.frames,
            "go_backs": stats.go_backs,
            "timeouts": stats.expiries,
            "efficiency": round(stats.efficiency, 4),
            "round_trip_ms": round(1000 * stats.round_trip_s, 3),
            "idle_share": round(stats.idle_share, 4),
        },
    }


def _print_report(report: dict[str, object], test: Measured) -> None:
    link = report["link"]
    assert isinstance(link, dict)
    print_measured(test, str(report["board"]))
    print_line(f"{report['steps']} steps, digest {report['digest']}; {_traffic(link)}")
    print_line(f"kept in {report['out']}")


def _traffic(link: dict[str, Any]) -> str:
    payload, wire = link["payload_bytes"], link["wire_bytes"]
    if payload == 0:
        return "no sample had to be sent: the board had them, or stood at the end of the run"
    return (
        f"{100 * payload / wire:.1f} % of "
        f"{wire:,} bytes sent were samples, {link['retransmitted_bytes']:,} bytes sent again, "
        f"round trip {link['round_trip_ms']:.1f} ms, nothing outstanding for "
        f"{100 * link['idle_share']:.1f} % of the time"
    )
