"""`fixgrad plan`: every byte a run needs, and the boards that have them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from fixgrad.boards import BOARDS, Board
from fixgrad.builds import flash_bytes
from fixgrad.cli.options import PATH, json_option, spell_layers
from fixgrad.cli.output import new_table, print_json, print_line, print_table
from fixgrad.delivery import cacheable
from fixgrad.errors import DoesNotFitError
from fixgrad.fitting import advice, largest_batch
from fixgrad.model import ModelConfig
from fixgrad.planner import Plan
from fixgrad.planner import plan as lay_out
from fixgrad.run import PreparedRun, prepare
from fixgrad.runfile import load_run

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


@dataclass(frozen=True)
class _Fit:
    """One board and the run."""

    board: Board
    needed: int
    largest_batch: int
    cacheable: int
    image_bytes: int | None

    @property
    def fits(self) -> bool:
        return self.needed <= self.board.arena_bytes

    @property
    def static_bytes(self) -> int:
        return self.board.ram_bytes - self.board.stack_bytes - self.board.arena_bytes


@click.command(short_help="Every byte a run needs, and where it fits.")
@click.argument("run_file", metavar="RUN.toml", type=PATH)
@click.option(
    "--board", "names", multiple=True, type=click.Choice(list(BOARDS)),
    help="Only this board (may be repeated); leaves with 6 if the run does not fit it.",
)
@json_option
def plan(run_file: Path, names: tuple[str, ...], as_json: bool) -> None:
    """Show every byte of RAM that RUN.toml needs, and which boards have it."""
    prepared = prepare(load_run(run_file))
    config = prepared.config
    layout = lay_out(config)
    fits = [
        _Fit(
            board,
            layout.arena_bytes,
            largest_batch(config, board.arena_bytes, len(prepared.train)),
            cacheable(prepared.train, config, board.arena_bytes),
            flash_bytes(board),
        )
        for board in (BOARDS[name] for name in names or BOARDS)
    ]
    if as_json:
        print_json({**_report(config, layout, fits), "weight_ranges": _ranges(prepared)})
    else:
        _print(config, layout, fits)
        print_line(
            f"samples kept: of {len(prepared.train):,} training samples; they travel once where a "
            "board keeps all, else once an epoch"
        )
        _print_ranges(prepared)
    for fit in fits:
        if names and not fit.fits:
            raise DoesNotFitError(
                f"{run_file} needs {fit.needed:,} bytes, {fit.board.name} has "
                f"{fit.board.arena_bytes:,} bytes for it; {advice(config, fit.board.arena_bytes)}"
            )


def _print(config: ModelConfig, layout: Plan, fits: list[_Fit]) -> None:
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
        "RAM", "stack", "program", "for models", "left", "largest batch", "samples kept", "flash",
        "image",
    )  # fmt: skip
    table = new_table("board", *numbers, "", right=numbers)
    for fit in fits:
        board = fit.board
        table.add_row(
            board.name,
            f"{board.ram_bytes:,}",
            f"{board.stack_bytes:,}",
            f"{fit.static_bytes:,}",
            f"{board.arena_bytes:,}",
            f"{board.arena_bytes - fit.needed:,}",
            str(fit.largest_batch),
            f"{fit.cacheable:,}",
            f"{board.flash_bytes:,}",
            "not built" if fit.image_bytes is None else f"{fit.image_bytes:,}",
            "fits" if fit.fits else "does not fit",
        )
    print_table(table)


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


def _report(config: ModelConfig, layout: Plan, fits: list[_Fit]) -> dict[str, object]:
    return {
        "layers": config.layers,
        "batch_size": config.batch,
        "parameters": config.parameter_count,
        "ram_bytes": layout.arena_bytes,
        "ram": layout.parts(),
        "boards": [
            {
                "board": fit.board.name,
                "fits": fit.fits,
                "ram_bytes": fit.board.ram_bytes,
                "stack_bytes": fit.board.stack_bytes,
                "program_bytes": fit.static_bytes,
                "model_bytes": fit.board.arena_bytes,
                "left_bytes": fit.board.arena_bytes - fit.needed,
                "largest_batch": fit.largest_batch,
                "cacheable_samples": fit.cacheable,
                "flash_bytes": fit.board.flash_bytes,
                "image_bytes": fit.image_bytes,
            }
            for fit in fits
        ],
    }
