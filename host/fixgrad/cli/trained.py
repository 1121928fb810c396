"""`fixgrad eval` and `fixgrad predict`: trained parameters on the device."""

from __future__ import annotations

import csv
import io
import zlib
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from fixgrad.cli.opening import open_device
from fixgrad.cli.options import PATH, baud_option, json_option, port_option
from fixgrad.cli.output import note, print_json, print_line, status
from fixgrad.cli.train import reopen
from fixgrad.datasets.loading import load_unlabelled
from fixgrad.digest import state_digest
from fixgrad.model import ModelConfig, State
from fixgrad.rundir import RunFolder, write_atomic
from fixgrad.stream import Samples
from fixgrad.training import Tally


@click.command("eval", short_help="Test accuracy of a trained run, on the device.")
@click.argument("folder", metavar="DIR", type=PATH)
@port_option
@baud_option
@json_option
def evaluate(folder: Path, port: str, baud: int, as_json: bool) -> None:
    """Measure the test accuracy of the trained run in DIR on the device.

    The run's parameters replace whatever the device holds.
    """
    run = RunFolder(folder)
    prepared = reopen(run)
    config = prepared.config
    state = run.final(config)
    with open_device(port, baud, config) as device, status("evaluating"):
        device.load(config, state, _identity(config, state), 0)
        result = device.evaluate(prepared.test.wire(config))
        board = device.info.board
    loss = Tally(result.count, result.loss).loss(config.loss)
    accuracy = result.correct / result.count
    if as_json:
        print_json(
            {
                "digest": f"{state_digest(state):08x}",
                "samples": result.count,
                "correct": result.correct,
                "test_accuracy": accuracy,
                "test_loss": loss,
                "board": board,
            }
        )
        return
    print_line(
        f"test accuracy on {board}: {100 * accuracy:.2f} % ({result.correct} of {result.count}), "
        f"loss {loss:.4f}"
    )


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
    column. Gives one line a row: the class, and the share of probability that it gets.
    """
    run = RunFolder(folder)
    form, settings = run.form(), run.run().data
    config = run.config()
    state = run.final(config)
    table = load_unlabelled(
        data, config.layers[0], label=settings.label, header=settings.header
    )
    features = form.scaling.apply(table.features, str(data))
    samples = Samples(features, np.zeros(len(features), np.int32))
    with open_device(port, baud, config) as device, status("predicting"):
        device.load(config, state, _identity(config, state), 0)
        result = device.infer(config, samples.feature_wire(config))
    names = [form.class_names[int(index)] for index in result.predictions.reshape(-1)]
    confidence = _confidence(result.logits, state)
    if output is not None:
        write_atomic(output, _csv(names, confidence).encode())
        note(f"wrote {len(names)} predictions to {output}")
    if as_json:
        print_json({"predictions": names, "confidence": confidence.tolist()})
    elif output is None:
        click.echo(_csv(names, confidence), nl=False)
    if table.labels is not None:
        right = sum(name == label for name, label in zip(names, table.labels, strict=True))
        note(f"{right} of {len(names)} rows have this label in {data}")


def _identity(config: ModelConfig, state: State) -> int:
    """Return a run id for a state that is loaded to be used, not trained."""
    return zlib.crc32(state.encode(), zlib.crc32(config.encode(), zlib.crc32(b"use"))) or 1


def _confidence(logits: NDArray[np.int32], state: State) -> NDArray[np.float64]:
    """Return the largest softmax probability of each row of logits, [N]."""
    exponent = state.weight_exponent[-1] + state.activation_exponent[-1]
    values = np.ldexp(logits.astype(np.float64), exponent)
    below = np.exp(values - values.max(axis=1, keepdims=True))
    return np.asarray(1 / below.sum(axis=1))


def _csv(names: list[str], confidence: NDArray[np.float64]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["prediction", "confidence"])
    writer.writerows(
        [name, f"{share:.4f}"] for name, share in zip(names, confidence, strict=True)
    )
    return text.getvalue()
