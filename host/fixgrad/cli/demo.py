"""`fixgrad demo`: digits trained on an emulated 8 KB board, then proved."""

from __future__ import annotations

from pathlib import Path

import click

from fixgrad.cli.opening import open_device
from fixgrad.cli.options import PATH, baud_option, json_option, spell_layers
from fixgrad.cli.output import print_json, print_line
from fixgrad.cli.train import choose_folder, describe, measure, run_training
from fixgrad.cli.validate import describe_proof, prove, require_equal
from fixgrad.planner import plan
from fixgrad.run import prepare
from fixgrad.runfile import new_run

_LAYERS = (64, 32, 10)
_SETTINGS = {"epochs": 10, "batch_size": 8, "learning_rate": 0.2, "seed": 1}


@click.command(short_help="Digits on an emulated 8 KB board, trained and proved.")
@click.option(
    "--port", envvar="FIXGRAD_PORT", default="qemu://disco_f100rb", show_default=True,
    metavar="URL", help="Where the board is.",
)
@baud_option
@click.option("--out", type=PATH, metavar="DIR", help="Folder of the run; default runs/demo.")
@json_option
def demo(port: str, baud: int, out: Path | None, as_json: bool) -> None:
    """Train handwritten digits on a board (emulated by default) and prove every step."""
    run = new_run(Path("demo.toml"), source="digits", layers=_LAYERS, settings=_SETTINGS)
    prepared = prepare(run)
    config = prepared.config
    folder = choose_folder(out, "demo", prepared, force=False)
    with open_device(port, baud, config) as device:
        info = device.info
        heading = (
            f"digits {spell_layers(_LAYERS)} on {info.board} ({info.core}): "
            f"{config.parameter_count:,} parameters, {plan(config).arena_bytes:,} of "
            f"{info.arena_bytes:,} bytes"
        )
        if not as_json:
            print_line(heading)
        folder.create(prepared)
        trained = run_training(device, prepared, folder, port)
        result = measure(device, prepared, trained.state, folder, port)
        report = describe(device, prepared, folder, trained, result, port)
        folder.save_result(report)
        test = result.evaluation
        if not as_json:
            print_line(
                f"test accuracy on the device: {100 * test.correct / test.count:.2f} % "
                f"({test.correct} of {test.count})"
            )
            print_line(
                f"kept in {folder.path}; look at it with: fixgrad report {folder.path} --open"
            )
        proof = prove(device, prepared)
        if as_json:
            print_json({**report, "proof": describe_proof(proof)})
        require_equal(proof, quiet=as_json)
