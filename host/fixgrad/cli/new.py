"""`fixgrad new`: a commented run file for a data set."""

from __future__ import annotations

import os
from pathlib import Path

import click

from fixgrad import datasets, rundir
from fixgrad.cli.options import PATH, parse_layers, spell_layers
from fixgrad.cli.output import print_line
from fixgrad.datasets.loading import builtin_name
from fixgrad.errors import DataError, UsageError
from fixgrad.run import prepare, resolve
from fixgrad.runfile import format_run, new_run
from fixgrad.runkeys import ACTIVATIONS

_NARROW = 32
_HIDDEN = {True: 16, False: 32}


@click.command(short_help="Write a commented run file.")
@click.argument("run_file", metavar="RUN.toml", type=PATH)
@click.option(
    "--data", default="digits", show_default=True, metavar="SOURCE",
    help=f"Built in ({', '.join(datasets.BUILTIN_CLASSES)}), or a CSV, .npz, .npy or IDX file, "
    "or a folder with MNIST's files.",
)
@click.option("--label", metavar="COLUMN", help="CSV: name or place of the label column.")
@click.option("--labels", type=PATH, metavar="FILE", help=".npy and IDX: the file of labels.")
@click.option("--layers", callback=parse_layers, metavar="N-N-N", help="Widths, such as 64-32-10.")
@click.option("--activation", type=click.Choice(ACTIVATIONS), help="Of the hidden layers.")
@click.option("--epochs", type=int, metavar="N", help="Passes over the data.")
@click.option("--batch-size", type=int, metavar="N", help="Samples a step.")
@click.option("--learning-rate", type=float, metavar="X", help="Step size of the mean gradient.")
@click.option("--seed", type=int, metavar="N", help="Seed of everything random.")
@click.option("--force", is_flag=True, help="Overwrite the file.")
def new(
    run_file: Path,
    data: str,
    label: str | None,
    labels: Path | None,
    layers: tuple[int, ...] | None,
    force: bool,
    **options: object,
) -> None:
    """Write the commented run file RUN.toml."""
    if run_file.exists() and not force:
        raise UsageError(f"{run_file} exists; choose another name, or --force to overwrite it")
    column = _column(label)
    dataset = datasets.load(data, label=column, labels=str(labels) if labels else None)
    if layers is None:
        hidden = _HIDDEN[dataset.width < _NARROW]
        layers = (dataset.width, hidden, len(dataset.class_names))
    elif len(layers) >= 2:
        try:
            datasets.check_layers(dataset, layers, lambda fit: f"--layers {spell_layers(fit)}")
        except DataError as error:
            raise DataError(f"--layers {spell_layers(layers)}: {error}") from error
    settings = {name: value for name, value in options.items() if value is not None}
    if column is not None:
        settings["label"] = column
    if labels is not None:
        settings["labels"] = _as_seen_from(run_file, labels)
    source = builtin_name(data) or _as_seen_from(run_file, Path(data))
    run = new_run(run_file, source=source, layers=layers, settings=settings)
    prepared = prepare(resolve(run, dataset))
    run_file.parent.mkdir(parents=True, exist_ok=True)
    rundir.write_atomic(run_file, format_run(run).encode())
    print_line(
        f"wrote {run_file}: {dataset.name} ({dataset.size} samples, {dataset.width} features, "
        f"{len(dataset.class_names)} classes), layers {spell_layers(layers)}, "
        f"{prepared.config.parameter_count} parameters"
    )
    print_line(f"next: fixgrad train {run_file} --port sim://")


def _column(label: str | None) -> str | int | None:
    """Return a label column as a place if it is a whole number, else as a name."""
    try:
        return int(label) if label is not None else None
    except ValueError:
        return label


def _as_seen_from(run_file: Path, path: Path) -> str:
    """Return a path as the run file names it: relative to its folder."""
    if path.is_absolute():
        return str(path)
    try:
        return os.path.relpath(path, run_file.parent)
    except ValueError:  # another drive
        return str(path.resolve())
