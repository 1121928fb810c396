"""Networks for tests of the export, and what runs the exported things."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from fixgrad import Board, Network
from fixgrad.datasets import Scaling
from fixgrad.device import Inference
from fixgrad.export.c_source import write_c
from fixgrad.metrics import Outputs
from fixgrad.protocol import Loss
from fixgrad.run import DataForm, load_dataset, prepare
from fixgrad.runfile import new_run
from fixgrad.targets import CLASSES, LABELS, VALUES, TargetForm
from numpy.typing import NDArray
from random_models import random_case

ROOT = Path(__file__).parent.parent
FLAGS = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-Wshadow", "-Wconversion"]

RUNS = {
    "digits": {"layers": (64, 32, 10), "epochs": 5, "scale": "minmax"},
    "iris": {"layers": (4, 8, 3), "activation": "tanh", "init": "glorot", "epochs": 20},
    "wine": {"layers": (13, 10, 8, 3), "activation": ["leaky", "sigmoid"], "epochs": 10,
             "input_bits": 8, "activation_bits": [10, 6]},
    "breast_cancer": {"layers": (30, 12, 1), "activation": "sigmoid", "epochs": 5,
                      "loss": "sigmoid_binary_cross_entropy", "learning_rate": 0.5},
    "diabetes": {"layers": (10, 16, 1), "loss": "squared_error", "learning_rate": 0.02},
    "iris with sign": {"layers": (4, 16, 3), "activation": "sign", "epochs": 10,
                       "loss": "sigmoid_squared_error"},
    "iris without hidden layer": {"layers": (4, 3), "epochs": 5},
}


@dataclass(frozen=True)
class Trained:
    """A network, features of its whole data set, and what the board says about them."""

    network: Network
    features: NDArray[np.float64]
    said: Inference
    outputs: Outputs


def train(name: str, port: str = "sim://", **settings: object) -> Trained:
    """Train one of RUNS on a board and ask it about every sample."""
    given = {**RUNS[name], "test_fraction": 0, **settings}
    layers = tuple(given.pop("layers"))
    prepared = prepare(
        new_run(Path("run.toml"), source=name.split()[0], layers=layers, settings=given)
    )
    features = load_dataset(prepared.run).samples.features.astype(np.float64)
    with Board(port) as board:
        network = board.train(prepared)
        said = network.infer(board.device, network.mantissas(features))
    return Trained(network, features, said, network.outputs(said))


def random_network(seed: int) -> tuple[Network, NDArray[np.float64]]:
    """Return a network with extreme parameters, and features that need no scaling."""
    case = random_case(seed)
    config, width = case.config, case.config.layers[0]
    scaling = Scaling(
        "standard", (0.0,) * width, (1.0,) * width, config.input_format, config.input_max,
        case.state.activation_exponent[0],
    )
    kind = {Loss.SOFTMAX_CROSS_ENTROPY: CLASSES, Loss.SQUARED_ERROR: VALUES}.get(
        config.loss, LABELS
    )
    names = tuple(f"out {k}" for k in range(config.outputs))
    target = TargetForm(kind, names, (0.0,) * config.outputs, (1.0,) * config.outputs)
    form = DataForm("random", target, tuple(map(str, range(width))), scaling)
    features = np.concatenate([batch.features for batch in case.batches]).astype(np.float64)
    return Network(config, case.state, form), features


def run_c(network: Network, features: NDArray[np.float64], folder: Path, *flags: str) -> list[str]:
    """Compile the exported C and return what it prints, one line a sample."""
    write_c(network, folder)
    program = folder / "program"
    sources = [folder / "fixgrad_infer.c", ROOT / "tests" / "c" / "exported_net.c"]
    command = ["gcc", *FLAGS, *flags, f"-I{folder}", "-o", program, *sources]
    subprocess.run(command, check=True)
    done = subprocess.run(
        [program], input=np.ascontiguousarray(features).tobytes(), capture_output=True, check=True
    )
    return done.stdout.decode().splitlines()


def run_onnx(path: Path, features: NDArray[np.float64]) -> dict[str, NDArray[np.generic]]:
    """Run an exported model in onnxruntime and return its outputs by name."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"features": features}), strict=True))
