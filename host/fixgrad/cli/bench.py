"""`fixgrad bench`: what a training step costs on a board, part by part."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from fixgrad.bench import Part, measure, parts
from fixgrad.boards import BOARDS, Board
from fixgrad.builds import build_image, flash_bytes
from fixgrad.cli.opening import open_device
from fixgrad.cli.options import PATH, baud_option, json_option, port_option, spell_layers
from fixgrad.cli.output import Meter, new_table, print_json, print_line, print_table
from fixgrad.device import Device, DeviceInfo
from fixgrad.emulators import instructions_per_tick
from fixgrad.errors import UsageError
from fixgrad.fitting import largest_batch
from fixgrad.model import ModelConfig
from fixgrad.planner import plan
from fixgrad.protocol import Phase
from fixgrad.run import PreparedRun, prepare
from fixgrad.runfile import load_run, new_run
from fixgrad.stream import SampleStream
from fixgrad.transport import split_url
from fixgrad.urlhandlers.protocol_qemu import PROFILE, board_of

DEFAULT_LAYERS = (64, 32, 10)
DEFAULT_BATCH = 16


_PHASE_NAMES = {
    Phase.PACK: "pack the samples",
    Phase.FORWARD: "forward",
    Phase.LOSS: "last layer forward, loss",
    Phase.BACKWARD: "backward",
    Phase.UPDATE: "update",
    Phase.END: "end of batch",
    Phase.DIGEST: "digest of the state",
}


@dataclass(frozen=True)
class _Bench:
    """What was measured: the cost of every part in `unit`, on a device that told `info`."""

    config: ModelConfig
    info: DeviceInfo
    unit: str
    costs: list[tuple[Part, int]]

    @property
    def step(self) -> int:
        return sum(cost for part, cost in self.costs if part.phase != Phase.DIGEST)

    @property
    def digest(self) -> int:
        return sum(cost for part, cost in self.costs if part.phase == Phase.DIGEST)

    @property
    def macs(self) -> int:
        return sum(part.macs for part, _ in self.costs)

    @property
    def board(self) -> Board | None:
        return BOARDS.get(self.info.board)


@click.command(short_help="What a training step costs, part by part.")
@click.argument("run_file", metavar="[RUN.toml]", type=PATH, required=False)
@port_option
@baud_option
@json_option
def bench(run_file: Path | None, port: str, baud: int, as_json: bool) -> None:
    """Count what every part of a training step of RUN.toml costs on a board.

    In QEMU that are executed instructions, on a board cycles of the core. Without RUN.toml the net
    is 64-32-10 on the digits, batch 16 or the largest that fits. qemu:// builds the image that
    profiles; a board must be flashed with it (docs/BENCHMARKS.md).
    """
    if split_url(port).scheme == "sim":
        raise UsageError(f"{port} is a process, which counts nothing; type --port qemu://BOARD")
    with _open(port, baud, run_file) as (device, prepared):
        measured = _measure(device, prepared, port)
    if _is_emulated(port):
        build_image(board_of(port))
    if as_json:
        print_json(_report(measured))
    else:
        _print(measured)


def _measure(device: Device, prepared: PreparedRun, port: str) -> _Bench:
    config = prepared.config
    unit, per_tick = "cycles", 1.0
    if _is_emulated(port):
        unit, per_tick = "instructions", instructions_per_tick(board_of(port))
    stream = SampleStream(prepared.schedule, prepared.train.wire(config))
    costs = []
    with Meter("bench", len(parts(config)), "parts") as meter:
        for part, ticks in measure(device, config, prepared.initial, stream):
            costs.append((part, round(ticks * per_tick)))
            meter.update(len(costs), _PHASE_NAMES[part.phase])
    return _Bench(config, device.info, unit, costs)


@contextmanager
def _open(
    port: str, baud: int, run_file: Path | None
) -> Iterator[tuple[Device, PreparedRun]]:
    """Open the device with the run, or with the default net as large as it fits."""
    url = f"qemu://{board_of(port).name}?{PROFILE}" if _is_emulated(port) else port
    if run_file is not None:
        prepared = prepare(load_run(run_file))
        with open_device(url, baud, prepared.config) as device:
            yield device, prepared
        return
    with open_device(url, baud) as device:
        prepared = _default_run(DEFAULT_BATCH)
        fitting = largest_batch(prepared.config, device.info.arena_bytes, DEFAULT_BATCH)
        yield device, _default_run(max(fitting, 1))


def _default_run(batch: int) -> PreparedRun:
    settings = {"batch_size": batch}
    run = new_run(Path("bench.toml"), source="digits", layers=DEFAULT_LAYERS, settings=settings)
    return prepare(run)


def _is_emulated(port: str) -> bool:
    return split_url(port).scheme == "qemu"


def _report(measured: _Bench) -> dict[str, object]:
    config, info, board = measured.config, measured.info, measured.board
    return {
        "board": info.board,
        "core": info.core,
        "layers": config.layers,
        "batch_size": config.batch,
        "macs": measured.macs,
        "unit": measured.unit,
        "step": measured.step,
        "step_per_mac": measured.step / measured.macs,
        "digest": measured.digest,
        "parts": [
            {"phase": part.phase.name.lower(), "layer": part.layer, "macs": part.macs, "cost": cost}
            for part, cost in measured.costs
        ],
        "ram": {
            "model_bytes": plan(config).arena_bytes,
            "link_bytes": None if board is None else board.link_bytes,
            "program_bytes": None if board is None else board.program_bytes,
            "stack_bytes": None if board is None else board.stack_bytes,
        },
        "flash_bytes": None if board is None else flash_bytes(board),
    }


def _print(measured: _Bench) -> None:
    config, board = measured.config, measured.board
    print_line(
        f"{spell_layers(config.layers)}, batch {config.batch}, on {measured.info.board} "
        f"({measured.info.core}): one training step"
    )
    numbers = ("layer", "MACs", measured.unit, "per MAC", "share")
    table = new_table("part", *numbers, right=numbers)
    for part, cost in measured.costs:
        in_step = part.phase != Phase.DIGEST
        table.add_row(
            _PHASE_NAMES[part.phase],
            str(part.layer) if part.macs else "",
            f"{part.macs:,}" if part.macs else "",
            f"{cost:,}",
            f"{cost / part.macs:.3f}" if part.macs else "",
            f"{100 * cost / measured.step:.1f} %" if in_step else "after it",
        )
    table.add_row(
        "step", "", f"{measured.macs:,}", f"{measured.step:,}",
        f"{measured.step / measured.macs:.3f}", "100 %",
    )
    print_table(table)
    if board is not None:
        flash = flash_bytes(board)
        print_line(
            f"RAM: model and batch {plan(config).arena_bytes:,}, link {board.link_bytes:,}, "
            f"program {board.program_bytes:,}, stack {board.stack_bytes:,} bytes; "
            f"flash: {'not built' if flash is None else f'{flash:,} bytes'}"
        )
