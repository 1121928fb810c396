"""Test vectors of docs/NUMERICS.md: small training runs with the digest after every step.

fixgrad/vectors/README.md describes the files.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fixgrad.errors import DataError
from fixgrad.limits import check_state
from fixgrad.model import INPUT_DTYPES, ModelConfig, State
from fixgrad.protocol import NUMERICS_VERSION, Activation, InputFormat, Loss
from fixgrad.stream import Samples

NOT_CASES = ("functions.npz", "order.npz")


@dataclass(frozen=True)
class Batch:
    """One step of a case.

    Attributes:
        features: [b, n[0]] in the model's input format.
        targets: int32, [b] or [b, n[L]].
        lr_mantissa, lr_exponent: the learning-rate pair.
    """

    features: NDArray[np.integer]
    targets: NDArray[np.int32]
    lr_mantissa: int
    lr_exponent: int


@dataclass(frozen=True)
class Case:
    """A vector file.

    Attributes:
        name: what the case reaches.
        config: the model.
        initial: the state before the first step.
        samples: the samples of all steps, in order.
        samples_per_step: how many of them each step takes.
        learning_rates: (mantissa, exponent) of each step.
        digest_before: digest of the initial state.
        digests: digest after each step.
        losses: reported loss of each step.
        counters: wsat, asat, bsat after the last step.
        final: the state after the last step; its `prng` is not part of the file and stays 0.
    """

    name: str
    config: ModelConfig
    initial: State
    samples: Samples
    samples_per_step: tuple[int, ...]
    learning_rates: tuple[tuple[int, int], ...]
    digest_before: int
    digests: tuple[int, ...]
    losses: tuple[int, ...]
    counters: tuple[int, int, int]
    final: State

    @property
    def steps(self) -> int:
        """Number of steps."""
        return len(self.samples_per_step)

    def batches(self) -> Iterator[Batch]:
        """Yield the batch of every step."""
        at = 0
        for size, rate in zip(self.samples_per_step, self.learning_rates, strict=True):
            part = slice(at, at + size)
            yield Batch(self.samples.features[part], self.samples.targets[part], *rate)
            at += size


def packaged_vectors() -> list[Path]:
    """Return the vector files of training runs that ship with the package."""
    return vector_files(Path(__file__).parent / "vectors")


def vector_files(folder: Path) -> list[Path]:
    """Return the vector files of training runs in a folder, by name."""
    return sorted(p for p in folder.glob("*.npz") if p.name not in NOT_CASES)


def load_case(path: Path | str) -> Case:
    """Read a vector file.

    Raises:
        DataError: the file is missing, damaged or not a vector file.
        ModelError: its model or initial state breaks a range of NUMERICS.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except Exception as error:  # damaged files raise whatever zip and npy parsing happen to hit
        raise DataError(f"{path} is not a readable vector file: {error}") from error
    try:
        case = _case(json.loads(arrays["config"].tobytes()), arrays)
    except (KeyError, ValueError, TypeError, IndexError, OverflowError) as error:
        raise DataError(f"{path} is not a vector file: {error!r}") from error
    case.config.check()
    check_state(case.config, case.initial)
    return case


def _case(config: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Case:
    if config["numerics"] != NUMERICS_VERSION:
        raise ValueError(f"numerics version {config['numerics']}, this is {NUMERICS_VERSION}")
    model = _model(config, arrays["x"])
    sizes = _integers(arrays["samples_per_step"])
    samples = Samples(
        arrays["x"].astype(INPUT_DTYPES[model.input_format]), arrays["y"].astype(np.int32)
    )
    if not len(samples) == len(samples.targets) == sum(sizes):
        raise ValueError(f"{len(samples)} samples where the steps need {sum(sizes)}")
    rates = zip(
        _integers(arrays["lr_mantissa"]), _integers(arrays["lr_exponent"]), strict=True
    )
    case = Case(
        name=str(config["name"]),
        config=model,
        initial=_initial(model, config, arrays),
        samples=samples,
        samples_per_step=sizes,
        learning_rates=tuple(rates),
        digest_before=int(arrays["digest_before"]),
        digests=_integers(arrays["digest"]),
        losses=_integers(arrays["loss"]),
        counters=_three(arrays["counters"]),
        final=_final(model, arrays, len(sizes)),
    )
    for values in (case.learning_rates, case.digests, case.losses):
        if len(values) != case.steps:
            raise ValueError(f"{len(values)} entries for {case.steps} steps")
    return case


def _initial(model: ModelConfig, config: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> State:
    state = _tensors(model, arrays, "")
    if model.momentum:
        state.velocities = [np.zeros_like(w) for w in state.weights]
        state.bias_velocities = [np.zeros_like(b) for b in state.biases]
    state.weight_exponent = list(map(int, config["weight_exponent"]))
    state.activation_exponent = list(map(int, config["activation_exponent"]))
    state.low = [0] * (model.layer_count - 1)
    state.prng = int(config["prng"])
    return state


def _final(model: ModelConfig, arrays: dict[str, NDArray[Any]], steps: int) -> State:
    state = _tensors(model, arrays, "final_")
    if model.momentum:
        layers = range(model.layer_count)
        state.velocities = [arrays[f"final_velocity_{i}"].astype(np.int16) for i in layers]
        state.bias_velocities = [
            arrays[f"final_bias_velocity_{i}"].astype(np.int32) for i in layers
        ]
    state.weight_exponent = list(_integers(arrays["final_weight_exponent"]))
    state.activation_exponent = list(_integers(arrays["final_activation_exponent"]))
    state.low = list(_integers(arrays["final_low"]))
    state.step = steps
    return state


def _model(config: dict[str, Any], x: NDArray[Any]) -> ModelConfig:
    layers = tuple(int(n) for n in config["layers"])
    names = config["activation"]
    names = [names] * (len(layers) - 2) if isinstance(names, str) else names
    clip = config["clip_exponent"]
    return ModelConfig(
        layers=layers,
        activations=tuple(Activation[str(name).upper()] for name in names),
        loss=Loss[str(config["loss"]).upper()],
        batch=int(config["batch"]),
        input_format=_input_format(int(config["activation_max"][0]), x),
        input_max=int(config["activation_max"][0]),
        activation_bits=tuple(int(v) for v in config["activation_bits"]),
        weight_bits=tuple(int(v) for v in config["weight_bits"]),
        delta_bits=tuple(int(v) for v in config["delta_bits"]),
        update_bits=int(config["update_bits"]),
        momentum=int(config["momentum_q8"]),
        velocity_bits=int(config["velocity_bits"]),
        decay_every=int(config["decay_every"]),
        decay_shift=int(config["decay_shift"]),
        clip_exponent=None if clip is None else int(clip),
        adaptive=bool(config["adaptive"]),
        widen=bool(config["widen"]),
        frozen=int(config.get("frozen", 0)),
    )


def _input_format(limit: int, x: NDArray[Any]) -> InputFormat:
    if limit <= 255 and x.min() >= 0:
        return InputFormat.U8
    return InputFormat.I8 if limit <= 127 else InputFormat.I16


def _integers(array: NDArray[Any]) -> tuple[int, ...]:
    return tuple(int(v) for v in array.ravel())


def _three(array: NDArray[Any]) -> tuple[int, int, int]:
    first, second, third = _integers(array)
    return first, second, third


def _tensors(model: ModelConfig, arrays: dict[str, NDArray[Any]], prefix: str) -> State:
    layers = range(model.layer_count)
    return State(
        weights=[arrays[f"{prefix}weights_{i}"].astype(np.int16) for i in layers],
        biases=[arrays[f"{prefix}bias_{i}"].astype(np.int32) for i in layers],
        velocities=[],
        bias_velocities=[],
        weight_exponent=[],
        activation_exponent=[],
        low=[],
        prng=0,
        step=0,
    )
