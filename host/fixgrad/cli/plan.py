"""`fixgrad plan`: what a run takes on every board, in bytes, instructions and seconds."""

from __future__ import annotations

from pathlib import Path

import click

from fixgrad.boards import BOARDS
from fixgrad.cli.options import PATH, baud_option, json_option, spell_layers
from fixgrad.cli.output import new_table, print_json, print_line, print_table
from fixgrad.fitting import require_fit
from fixgrad.model import ModelConfig
from fixgrad.outlook import Outlook, Work, outlooks
from fixgrad.run import PreparedRun, prepare
from fixgrad.runfile import load_run
from fixgrad.traffic import EpochTraffic, Traffic
from fixgrad.transport import BAUD_AT_START

_PART_NAMES = {
    "weights": "weights, 16 bits each",
    "biases": "biases, 32 bits each",
    "velocities": "momentum of the weights",
    "bias_velocities": "momentum of the biases",
    "inputs": "inputs of a batch",
    "activations": "hidden activations of a batch",
    "deltas": "errors of a batch, 16 bits each",
    "scales": "exponents of the errors",
    "targets": "targets of a batch",
    "scratch": "sums of one layer",
    "records": "layer table",
    "words": "exponents, random state, step",
    "padding": "padding",
}




@click.command(short_help="Every byte a run needs, its instructions and its time.")
@click.argument("run_file", metavar="RUN.toml", type=PATH)
@click.option(
    "--board", "names", multiple=True, type=click.Choice(list(BOARDS)),
    help="Only this board (may be repeated); leaves with 6 if the run does not fit it.",
)
@baud_option
@json_option
def plan(run_file: Path, names: tuple[str, ...], baud: int, as_json: bool) -> None:
    """Show what RUN.toml takes on each board: RAM, flash, instructions, and time on the line.

    Bytes are exact. Instructions of a step are predicted for the step that `fixgrad bench`
    counts. Times of the core are the least they can be: no board was measured.
    """
    prepared = prepare(load_run(run_file))
    views = list(outlooks(prepared, [BOARDS[name] for name in names or BOARDS], baud))
    if as_json:
        print_json({**_report(prepared, views, baud), "weight_ranges": _ranges(prepared)})
    else:
        _print_memory(prepared.config, views)
        print_line(
            f"samples kept: of {len(prepared.train):,} training samples; they travel once where a "
            "board keeps all, else once an epoch"
        )
        _print_time(prepared, views, baud)
        _print_flash(views)
        _print_ranges(prepared)
    for view in views:
        if names:
            require_fit(prepared.config, view.board, str(run_file))


def _print_memory(config: ModelConfig, views: list[Outlook]) -> None:
    layout = views[0].layout
    print_line(
        f"{spell_layers(config.layers)}, batch {config.batch}: {config.parameter_count:,} "
        "parameters"
    )
    print_line("")
    table = new_table("RAM of the model", "bytes", right=("bytes",))
    for name, size in layout.parts().items():
        if size:
            table.add_row(_PART_NAMES.get(name, name), f"{size:,}")
    table.add_row("total", f"{layout.arena_bytes:,}")
    print_table(table)
    print_line("")
    numbers = (
        "RAM", "stack", "link", "program", "for models", "left", "cache", "samples kept",
        "largest batch",
    )  # fmt: skip
    table = new_table("board", *numbers, "", right=numbers)
    for view in views:
        board = view.board
        table.add_row(
            board.name,
            f"{board.ram_bytes:,}",
            f"{board.stack_bytes:,}",
            f"{board.link_bytes:,}",
            f"{board.program_bytes:,}",
            f"{board.arena_bytes:,}",
            f"{_left_bytes(view):,}",
            f"{0 if view.cached_in_flash else view.cached_bytes:,}",
            f"{view.cacheable:,}",
            str(view.largest_batch),
            "fits" if view.fits else "does not fit",
        )
    print_table(table)


def _print_flash(views: list[Outlook]) -> None:
    print_line("")
    numbers = ("flash", "image", "for samples", "cache", "samples kept", "store", "checkpoint")
    table = new_table("board", *numbers, "", right=numbers)
    for view in views:
        board = view.board
        table.add_row(
            board.name,
            f"{board.flash_bytes:,}",
            "not built" if view.image_bytes is None else f"{view.image_bytes:,}",
            f"{board.samples_bytes:,}" if board.samples_bytes else "none",
            f"{view.cached_bytes if view.cached_in_flash else 0:,}",
            f"{view.cacheable_in_flash:,}",
            f"{board.store_bytes:,}" if board.store_bytes else "none",
            f"{view.checkpoint_bytes:,}",
            "keeps checkpoints" if view.keeps_checkpoints else "keeps none",
        )
    print_table(table)


def _left_bytes(view: Outlook) -> int:
    """Return the RAM that the model leaves to samples; what is missing as a negative number."""
    return view.board.arena_bytes - view.layout.arena_bytes


def _print_time(prepared: PreparedRun, views: list[Outlook], baud: int) -> None:
    samples, batch = len(prepared.train), prepared.config.batch
    print_line("")
    steps = ("instructions", "digest", "takes at least", "epoch at least")
    table = new_table(f"a step of {batch} samples", "core", *steps, right=steps)
    for view in views:
        if view.work is not None:
            table.add_row(view.board.name, view.board.core, *_step_cells(view, view.work))
    print_table(table)
    print_line("")
    numbers = ("bytes sent", "takes", "kept: sent once", "then an epoch takes")
    title = f"{samples:,} samples an epoch at {baud:,} baud"
    table = new_table(title, *numbers, "limited by", right=numbers)
    for view in views:
        table.add_row(
            view.board.name,
            *_sent_cells(view.streamed, view.baud),
            *_kept_cells(view.cached, view.baud),
            view.binds,
        )
    print_table(table)
    stay = [view.board.name for view in views if view.baud != baud]
    if stay:
        names = ", ".join(stay)
        print_line(f"at {BAUD_AT_START:,} baud, for the line cannot run at {baud:,}: {names}")


def _step_cells(view: Outlook, work: Work) -> list[str]:
    traffic = view.traffic
    core = None if traffic is None else view.core_seconds(traffic)
    return [
        f"{work.step:,}",
        f"{work.digest:,}",
        _spell_seconds(view.seconds(work.step)),
        "–" if core is None else _spell_seconds(core),
    ]


def _sent_cells(streamed: EpochTraffic | None, baud: int) -> list[str]:
    if streamed is None:
        return ["no sample fits", "–"]
    return [f"{streamed.samples.to_board:,}", _spell_seconds(streamed.seconds(baud))]


def _kept_cells(cached: EpochTraffic | None, baud: int) -> list[str]:
    if cached is None:
        return ["–", "–"]
    return [_spell_seconds(cached.load.seconds(baud)), _spell_seconds(cached.seconds(baud))]


def _spell_seconds(seconds: float) -> str:
    """Return a time with three digits in a unit that suits it."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:,.3g} {unit}" if seconds < 1000 * size else f"{seconds:,.0f} s"
    return f"{seconds * 1e6:.3g} µs"


def _print_ranges(prepared: PreparedRun) -> None:
    """Explain how the weights of each layer are stored, and what is decided during the run."""
    config = prepared.config
    print_line("")
    columns = ("inputs", "bits", "largest at first", "headroom", "reach", "step")
    table = new_table("weights of layer", *columns, "why", right=columns)
    for index, r in enumerate(prepared.ranges):
        table.add_row(
            str(index), str(config.layers[index]), str(r.bits), f"{r.most:.3g}", f"{r.headroom:g}",
            f"±{2.0 ** (r.bits + r.exponent):g}", f"{2.0**r.exponent:.2g}", r.reason,
        )
    print_table(table)
    if config.decay_every:
        share = 2.0**-config.decay_shift
        print_line(
            f"weight decay: {share:.2g} of every weight, every {config.decay_every} steps"
        )


def _ranges(prepared: PreparedRun) -> list[dict[str, object]]:
    return [
        {
            "largest": r.most,
            "headroom": r.headroom,
            "why": r.reason,
            "bits": r.bits,
            "exponent": r.exponent,
        }
        for r in prepared.ranges
    ]


def _report(prepared: PreparedRun, views: list[Outlook], baud: int) -> dict[str, object]:
    config, layout = prepared.config, views[0].layout
    return {
        "layers": config.layers,
        "batch_size": config.batch,
        "parameters": config.parameter_count,
        "samples": len(prepared.train),
        "steps_per_epoch": prepared.schedule.steps_per_epoch,
        "baud": baud,
        "ram_bytes": layout.arena_bytes,
        "ram": layout.parts(),
        "boards": [_report_board(view) for view in views],
    }


def _report_board(view: Outlook) -> dict[str, object]:
    board = view.board
    return {
        "board": board.name,
        "fits": view.fits,
        "ram_bytes": board.ram_bytes,
        "stack_bytes": board.stack_bytes,
        "link_bytes": board.link_bytes,
        "program_bytes": board.program_bytes,
        "model_bytes": board.arena_bytes,
        "cached_bytes": view.cached_bytes,
        "cached_in_flash": view.cached_in_flash,
        "left_bytes": _left_bytes(view),
        "largest_batch": view.largest_batch,
        "flash_bytes": board.flash_bytes,
        "image_bytes": view.image_bytes,
        "samples_bytes": board.samples_bytes,
        "store_bytes": board.store_bytes,
        "checkpoint_bytes": view.checkpoint_bytes,
        "keeps_checkpoints": view.keeps_checkpoints,
        "core": board.core,
        "clock_hz": board.clock_hz,
        "baud": view.baud,
        "instructions": None if view.work is None else _report_work(view, view.work),
        "streamed": None if view.streamed is None else _report_way(view, view.streamed),
        "cached": None if view.cached is None else _report_way(view, view.cached),
        "cacheable_samples": view.cacheable,
        "cacheable_samples_in_flash": view.cacheable_in_flash,
        "limited_by": view.binds,
    }


def _report_work(view: Outlook, work: Work) -> dict[str, object]:
    return {
        "step": work.step,
        "digest": work.digest,
        "step_seconds_at_least": view.seconds(work.step),
        "parts": [
            {"phase": phase.name.lower(), "layer": layer, "instructions": round(count)}
            for (phase, layer), count in work.parts.items()
        ],
    }


def _report_way(view: Outlook, traffic: EpochTraffic) -> dict[str, object]:
    return {
        "load": _report_traffic(traffic.load),
        "load_seconds": traffic.load.seconds(view.baud),
        "epoch": _report_traffic(traffic.samples),
        "checkpoints": traffic.checkpoints,
        "reading": _report_traffic(traffic.reading),
        "epoch_seconds": traffic.seconds(view.baud),
        "core_seconds_at_least": view.core_seconds(traffic),
    }


def _report_traffic(traffic: Traffic) -> dict[str, int]:
    return {
        "frames": traffic.frames,
        "to_board_bytes": traffic.to_board,
        "to_host_bytes": traffic.to_host,
    }
