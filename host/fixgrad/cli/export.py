"""`fixgrad export`: a trained run as files for other programs."""

from __future__ import annotations

from pathlib import Path

import click

from fixgrad.cli.options import PATH, json_option
from fixgrad.cli.output import print_json, print_line
from fixgrad.errors import UsageError
from fixgrad.export import FORMATS
from fixgrad.network import Network


@click.command(short_help="Write a trained run as C, ONNX, .npz or for scikit-learn.")
@click.argument("folder", metavar="DIR", type=PATH)
@click.option(
    "--format", "name", type=click.Choice(list(FORMATS)), required=True,
    help="c: a folder with two C files; onnx: float; onnx-qdq: quantised; onnx-int: the board's "
    "bits; npz: arrays; sklearn: an estimator as .joblib.",
)
@click.option("--out", type=PATH, metavar="PATH", help="Where; default: into DIR.")
@json_option
def export(folder: Path, name: str, out: Path | None, as_json: bool) -> None:
    """Write the trained network of the run in DIR for other programs."""
    network = Network.open(folder)
    ending, write = FORMATS[name]
    path = out or folder / f"network{ending}"
    if out is not None and not out.absolute().parent.is_dir():
        raise UsageError(f"--out {out}: there is no folder {out.parent}; make it first")
    files = [str(file) for file in write(network, path)]
    if as_json:
        print_json({"format": name, "digest": f"{network.digest:08x}", "files": files})
    else:
        print_line(f"digest {network.digest:08x} as {name}: {', '.join(files)}")
