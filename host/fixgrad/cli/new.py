"""`fixgrad new`: a commented run file for a data set."""

from __future__ import annotations

import os
from pathlib import Path

import click

from fixgrad import datasets, rundir
from fixgrad.cli.options import PATH, json_option, parse_layers, spell_layers
from fixgrad.cli.output import print_json, print_line
from fixgrad.datasets.loading import builtin_name
from fixgrad.errors import DataError, UsageError
from fixgrad.run import prepare, resolve
from fixgrad.runfile import format_run, new_run
from fixgrad.runkeys import ACTIVATIONS, LOSSES

_NARROW = 32
_VALUES_LOSS = "squared_error"
_HIDDEN = {True: 16, False: 32}


@click.command(short_help="Write a commented run file.")
@click.argument("run_file", metavar="RUN.toml", type=PATH)
@click.option(
    "--data", default="digits", show_default=True, metavar="SOURCE",
    help=f"Built in ({', '.join(datasets.BUILTIN_NAMES)}), or a CSV, .npz, .npy or IDX file, "
    "or a folder with MNIST's files.",
)
@click.option(
    "--label", metavar="COLUMN", multiple=True,
    help="CSV: name or place of the label column; several columns of numbers: repeat it.",
)
@click.option("--labels", type=PATH, metavar="FILE", help=".npy and IDX: the file of labels.")
@click.option("--layers", callback=parse_layers, metavar="N-N-N", help="Widths, such as 64-32-10.")
@click.option("--loss", type=click.Choice(LOSSES), help="What is minimised; default by the data.")
@click.option("--activation", type=click.Choice(ACTIVATIONS), help="Of the hidden layers.")
@click.option("--epochs", type=int, metavar="N", help="Passes over the data.")
@click.option("--batch-size", type=int, metavar="N", help="Samples a step.")
@click.option("--learning-rate", type=float, metavar="X", help="Step size of the mean gradient.")
@click.option("--seed", type=int, metavar="N", help="Seed of everything random.")
@click.option("--force", is_flag=True, help="Overwrite the file.")
@json_option
def new(
    run_file: Path,
    data: str,
    label: tuple[str, ...],
    labels: Path | None,
    layers: tuple[int, ...] | None,
    loss: str | None,
    force: bool,
    as_json: bool,
    **options: object,
) -> None:
    """Write the commented run file RUN.toml."""
    if run_file.exists() and not force:
        raise UsageError(f"{run_file} exists; choose another name, or --force to overwrite it")
    columns = tuple(_column(name) for name in label)
    column = columns[0] if len(columns) == 1 else columns or None
    dataset = datasets.load(
        data, label=column, labels=str(labels) if labels else None, values=loss == _VALUES_LOSS
    )
    if loss is None and not dataset.class_names:
        loss = _VALUES_LOSS
    if layers is None:
        hidden = _HIDDEN[dataset.width < _NARROW]
        layers = (dataset.width, hidden, _outputs(dataset))
    elif len(layers) >= 2:
        try:
            datasets.check_layers(dataset, layers, lambda fit: f"--layers {spell_layers(fit)}")
        except DataError as error:
            raise DataError(f"--layers {spell_layers(layers)}: {error}") from error
    settings = {name: value for name, value in options.items() if value is not None}
    if loss is not None:
        settings["loss"] = loss
    if column is not None:
        settings["label"] = list(column) if isinstance(column, tuple) else column
    if labels is not None:
        settings["labels"] = _as_seen_from(run_file, labels)
    source = builtin_name(data) or _as_seen_from(run_file, Path(data))
    run = new_run(run_file, source=source, layers=layers, settings=settings)
    prepared = prepare(resolve(run, dataset))
    run_file.parent.mkdir(parents=True, exist_ok=True)
    rundir.write_atomic(run_file, format_run(run).encode())
    if as_json:
        print_json(
            {
                "run_file": str(run_file),
                "source": dataset.name,
                "samples": dataset.size,
                "features": dataset.width,
                "outputs": _outputs(dataset),
                "layers": layers,
                "parameters": prepared.config.parameter_count,
            }
        )
        return
    print_line(
        f"wrote {run_file}: {dataset.name} ({dataset.size} samples, {dataset.width} features, "
        f"{_outputs(dataset)} {'classes' if dataset.class_names else 'values'}), "
        f"layers {spell_layers(layers)}, {prepared.config.parameter_count} parameters"
    )
    print_line(f"next: fixgrad train {run_file} --port sim://")


def _outputs(dataset: datasets.Dataset) -> int:
    return len(dataset.class_names or dataset.target_names)


def _column(label: str) -> str | int:
    """Return a label column as a place if it is a whole number, else as a name."""
    try:
        return int(label)
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
