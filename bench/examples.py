"""The run files of examples/ against float32 training: the table in examples/README.md.

    python -m bench.examples                  every example but MNIST
    python -m bench.examples --mnist PATH     MNIST too: a folder of IDX files, or an .npz
    python -m bench.examples iris wine        only these; the table is not written

Integer and float start from the same weights and see the same samples in the same order with the
same learning rates; the last epoch counts. The integer side runs on the simulated device.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from fixgrad.device import Device
from fixgrad.float_model import FloatMLP
from fixgrad.metrics import Outputs, measure, read_outputs
from fixgrad.protocol import Loss
from fixgrad.quantize import real_parameters
from fixgrad.run import PreparedRun, prepare
from fixgrad.runfile import RunFile, load_run
from fixgrad.stream import SampleStream
from fixgrad.targets import BINARY, CLASSES, LABELS, ONE_HOT

EXAMPLES = Path(__file__).parents[1] / "examples"
TABLE = EXAMPLES / "README.md"
BEGIN, END = "<!-- table: python -m bench.examples -->", "<!-- end of table -->"
NAMES = (
    "xor", "three_layer_sigmoid", "digits_relu", "digits_leaky", "digits_tanh", "digits_sigmoid",
    "digits_sign", "wine", "iris", "breast_cancer", "diabetes",
)
SEEDS = {"xor": 20, "mnist": 3}
DEFAULT_SEEDS = 10
_HEAD = (
    "| run file | network | test | seeds | float32 | on the device | difference |",
    "|---|---|---|---|---|---|---|",
)


@dataclass(frozen=True)
class Row:
    """One example.

    Attributes:
        name: its run file.
        network: layers, activation and loss.
        metric: what is measured; accuracies are in percent.
        floats, integers: one value a seed.
    """

    name: str
    network: str
    metric: str
    floats: tuple[float, ...]
    integers: tuple[float, ...]

    @property
    def integer_text(self) -> str:
        """The integer side, as the table shows it."""
        return _spread(self.integers, self.metric)

    @property
    def within_spread(self) -> bool:
        """Whether the mean lies within a standard deviation of float's, or above."""
        return float(np.mean(self.integers)) >= np.mean(self.floats) - np.std(self.floats, ddof=1)

    def markdown(self) -> str:
        """Return the line of the table."""
        paired = np.array(self.integers) - np.array(self.floats)
        digits = 2 if self.metric == "accuracy" else 3
        return (
            f"| [{self.name}]({self.name}.toml) | {self.network} | {self.metric} | "
            f"{len(self.floats)} | {_spread(self.floats, self.metric)} | {self.integer_text} | "
            f"{paired.mean():+.{digits}f} ± {paired.std(ddof=1):.{digits}f} |"
        )


def _spread(values: tuple[float, ...], metric: str) -> str:
    digits, unit = (2, " %") if metric == "accuracy" else (3, "")
    mean, deviation = np.mean(values), np.std(values, ddof=1)
    return f"{mean:.{digits}f} ± {deviation:.{digits}f}{unit}"


def run_example(device: Device, run: RunFile, seeds: int) -> Row:
    """Train an example with the seeds 1 to `seeds`, in integers and in float32."""
    floats, integers, metric = [], [], ""
    for seed in range(1, seeds + 1):
        prepared = prepare(dataclasses.replace(run, seed=seed))
        assert prepared.monitor is None, "the bench trains to the last epoch"
        values = measure(prepared.form.target, _train_integer(device, prepared),
                         prepared.test_targets)
        metric = "accuracy" if "accuracy" in values else "r2"
        factor = 100 if metric == "accuracy" else 1
        integers.append(factor * values[metric])
        values = measure(prepared.form.target, _train_float(prepared), prepared.test_targets)
        floats.append(factor * values[metric])
    model = run.model
    hidden = " ".join(sorted(set(model.activation)))
    network = f"{'-'.join(map(str, model.layers))} {hidden}, {model.loss.replace('_', ' ')}"
    name = "R²" if metric == "r2" else metric
    return Row(run.path.stem, network, name, tuple(floats), tuple(integers))


def _train_integer(device: Device, prepared: PreparedRun) -> Outputs:
    """Train on the device; return its outputs for the test part."""
    config = prepared.config
    stream = SampleStream(prepared.schedule, prepared.train.wire(config))
    device.load(config, prepared.initial, prepared.run_id, 0)
    for _ in device.train(stream, 0, stream.end):
        pass
    state, _ = device.read_state(config)
    result = device.infer(config, prepared.test.feature_wire(config))
    exponent = state.weight_exponent[-1] + state.activation_exponent[-1]
    return read_outputs(
        prepared.form.target, config.loss, result.predictions, result.logits, exponent
    )


def _train_float(prepared: PreparedRun) -> Outputs:
    """Train the float32 counterpart; return its outputs for the test part."""
    config, schedule, state = prepared.config, prepared.schedule, prepared.initial
    weights, biases = real_parameters(state)
    model = FloatMLP.like(config, weights, biases, dtype=np.float32)
    unit = 2.0 ** state.activation_exponent[0]
    features = (prepared.train.features * unit).astype(np.float32)
    targets: np.ndarray = prepared.train.targets
    if config.loss != Loss.SOFTMAX_CROSS_ENTROPY:
        one = 65536 if config.loss == Loss.SQUARED_ERROR else 32768
        targets = (targets / one).astype(np.float32)
    for step in range(schedule.steps):
        chosen = schedule.step_indices(step)
        mantissa, exponent = schedule.learning_rate(step)
        rate = mantissa * 2.0**exponent * config.batch
        model.step(features[chosen], targets[chosen], rate)
    z = model.forward((prepared.test.features * unit).astype(np.float32))[-1].astype(np.float64)
    return _float_outputs(prepared, z)


def _float_outputs(prepared: PreparedRun, z: np.ndarray) -> Outputs:
    """Interpret float logits as `read_outputs` interprets the device's."""
    form, linear = prepared.form.target, prepared.config.loss == Loss.SQUARED_ERROR
    if form.kind in (CLASSES, ONE_HOT):
        return Outputs(z.argmax(axis=1), None, None)
    if form.kind == BINARY:
        return Outputs((z[:, 0] > (0.5 if linear else 0)).astype(np.int64), None, None)
    p = z if linear else 1 / (1 + np.exp(-z))
    if form.kind == LABELS:
        return Outputs(None, p, (p > 0.5).astype(np.float64))
    return Outputs(None, None, form.decode(p))


def table(rows: Iterable[Row]) -> str:
    """Return rows as Markdown."""
    return "\n".join((*_HEAD, *(row.markdown() for row in rows)))


def write_table(rows: list[Row], path: Path = TABLE) -> None:
    """Replace the table between the marks in a file; rows that were not run stay."""
    text = path.read_text("utf-8")
    head, rest = text.split(BEGIN)
    old, tail = rest.split(END)
    ran = {f"| [{row.name}]" for row in rows}
    kept = [
        line for line in old.splitlines()
        if line.startswith("| [") and not any(line.startswith(name) for name in ran)
    ]
    body = "\n".join((table(rows), *kept))
    path.write_text(f"{head}{BEGIN}\n{body}\n{END}{tail}", "utf-8")


def main() -> int:
    """Run the examples; return the exit code: 1 if one is below float's spread."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], help="only these")
    parser.add_argument("--mnist", metavar="PATH", help="folder of IDX files, or .npz")
    arguments = parser.parse_args()
    runs = [load_run(EXAMPLES / f"{name}.toml") for name in arguments.names or NAMES]
    if arguments.mnist:
        run = load_run(EXAMPLES / "mnist.toml")
        source = str(Path(arguments.mnist).resolve())
        runs.append(
            dataclasses.replace(run, data=dataclasses.replace(run.data, source=source))
        )
    rows = []
    with Device.open("sim://") as device:
        for run in runs:
            row = run_example(device, run, SEEDS.get(run.path.stem, DEFAULT_SEEDS))
            print(row.markdown(), "" if row.within_spread else "BELOW FLOAT", flush=True)
            rows.append(row)
    if not arguments.names:
        write_table(rows)
    return 0 if all(row.within_spread for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
