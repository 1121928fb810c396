"""`fixgrad eval`, `predict` and `deploy`: trained parameters on the device."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import click

from fixgrad.cli.comparing import compare_on_device
from fixgrad.cli.measuring import measure_test, print_details, print_measured
from fixgrad.cli.opening import open_device
from fixgrad.cli.options import PATH, baud_option, json_option, port_option
from fixgrad.cli.output import note, print_json, print_line, status
from fixgrad.datasets.loading import load_unlabelled
from fixgrad.digest import state_digest
from fixgrad.errors import MismatchError
from fixgrad.metrics import Outputs
from fixgrad.network import Network
from fixgrad.rundir import RunFolder, write_atomic
from fixgrad.targets import LABELS, TargetForm


@click.command("eval", short_help="Test accuracy of a trained run, on the device.")
@click.argument("folder", metavar="DIR", type=PATH)
@port_option
@baud_option
@click.option(
    "--compare", is_flag=True,
    help="Also against float64 with the same weights, as `fixgrad validate` does.",
)
@json_option
def evaluate(folder: Path, port: str, baud: int, compare: bool, as_json: bool) -> None:
    """Measure the test part of the trained run in DIR on the device.

    Classes: accuracy, F1, confusion matrix, log-loss; numbers: RMSE, MAE, R². The run's parameters
    replace whatever the device holds.
    """
    run = RunFolder(folder)
    prepared = run.reopen()
    config = prepared.config
    state = run.final(config)
    with open_device(port, baud, config) as device, status("evaluating"):
        Network(config, state, prepared.form).hold(device)
        measured = measure_test(device, prepared, state)
        board = device.info.board
        compared = compare_on_device(device, prepared, state, measured.logits) if compare else None
    if as_json:
        print_json(
            {
                "digest": f"{state_digest(state):08x}",
                "samples": measured.evaluation.count,
                "correct": measured.evaluation.correct,
                **measured.fields(),
                "board": board,
                **({"comparison": compared.fields()} if compared else {}),
            }
        )
    else:
        print_measured(measured, board)
        print_details(measured, prepared.class_names)
        if compared is not None:
            compared.print()
    if compared is not None and compared.comparison.difference is not None:
        raise MismatchError(str(compared.comparison.difference))


@click.command(short_help="Classify the rows of a CSV file on the device.")
@click.argument("folder", metavar="DIR", type=PATH)
@click.argument("data", metavar="DATA.csv", type=PATH)
@port_option
@baud_option
@click.option("--output", type=PATH, metavar="OUT.csv", help="Write there instead of on stdout.")
@json_option
def predict(
    folder: Path, data: Path, port: str, baud: int, output: Path | None, as_json: bool
) -> None:
    """Predict every row of DATA.csv on the device with the trained run in DIR.

    DATA.csv has the features of the training data in the same order, with or without its label
    column. Gives one line a row: the class and the share of probability that it gets, or one value
    an output.
    """
    network, settings = Network.open(folder), RunFolder(folder).run().data
    config, form = network.config, network.form
    table = load_unlabelled(
        data, config.layers[0], label=settings.label, header=settings.header
    )
    features = network.mantissas(table.features, str(data))
    with open_device(port, baud, config) as device, status("predicting"):
        network.hold(device)
        outputs = network.outputs(network.infer(device, features))
    rows = _rows(form.target, outputs)
    if output is not None:
        write_atomic(output, _csv(rows).encode())
        note(f"wrote {len(features)} predictions to {output}")
    if as_json:
        print_json(rows)
    elif output is None:
        click.echo(_csv(rows), nl=False)
    if table.labels is not None and outputs.classes is not None:
        names = rows["predictions"]
        right = sum(name == label for name, label in zip(names, table.labels, strict=True))
        note(f"{right} of {len(names)} rows have this label in {data}")


@click.command(short_help="Keep a trained run in the board's own flash.")
@click.argument("folder", metavar="DIR", type=PATH)
@port_option
@baud_option
@json_option
def deploy(folder: Path, port: str, baud: int, as_json: bool) -> None:
    """Store the trained run in DIR in the board's flash: it holds it after every power-on.

    `fixgrad predict` then sends no parameters.
    """
    network = Network.open(folder)
    state = network.state
    with open_device(port, baud, network.config) as device, status("writing the board's flash"):
        network.hold(device)
        generation = device.save(0)
        board = device.info.board
    if as_json:
        print_json(
            {"digest": f"{state_digest(state):08x}", "generation": generation, "board": board}
        )
    else:
        print_line(
            f"board {board} keeps digest {state_digest(state):08x}, checkpoint {generation} of "
            "its flash"
        )


def _rows(target: TargetForm, outputs: Outputs) -> dict[str, list[Any]]:
    """Return one list a column: predictions and confidence, or one value an output."""
    if outputs.classes is not None:
        rows: dict[str, list[Any]] = {
            "predictions": [target.names[int(index)] for index in outputs.classes]
        }
        if outputs.probabilities is not None:
            rows["confidence"] = outputs.probabilities.max(axis=1).tolist()
        return rows
    assert outputs.values is not None
    if target.kind == LABELS:
        values: list[list[Any]] = outputs.values.astype(int).T.tolist()
    else:
        values = outputs.values.T.tolist()
    return dict(zip(target.names, values, strict=True))


def _csv(rows: dict[str, list[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow("prediction" if name == "predictions" else name for name in rows)
    writer.writerows(
        [f"{cell:.4f}" if name == "confidence" else f"{cell:.6g}" if isinstance(cell, float)
         else cell for name, cell in zip(rows, row, strict=True)]
        for row in zip(*rows.values(), strict=True)
    )
    return text.getvalue()
