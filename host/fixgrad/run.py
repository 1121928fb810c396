"""From a run file to everything a run needs: model, initial state, samples, order, identity."""

from __future__ import annotations

import dataclasses
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fixgrad import datasets
from fixgrad.datasets import Dataset, Part, Scaling
from fixgrad.datasets.loading import builtin_name
from fixgrad.datasets.scaling import default_method
from fixgrad.errors import DataError, ModelError
from fixgrad.model import ModelConfig, State, state_bytes
from fixgrad.protocol import NUMERICS_VERSION, Activation, Loss
from fixgrad.quantize import initial_state, initial_weights, learning_rate_pair
from fixgrad.runfile import RunFile
from fixgrad.stream import EpochSchedule, Samples

_ACTIVATIONS = {
    "relu": Activation.RELU,
    "leaky": Activation.LEAKY,
    "sigmoid": Activation.SIGMOID,
    "tanh": Activation.TANH,
}
STATE_BYTES_MAX = 2**28
"""Larger models are refused before their weights are drawn."""

_LOSSES = {"softmax_cross_entropy": Loss.SOFTMAX_CROSS_ENTROPY}


@dataclass(frozen=True)
class DataForm:
    """What is kept of a data set with a trained model: names, and the way features are scaled.

    Attributes:
        name: what messages call it.
        class_names: one per output.
        feature_names: one per feature.
        scaling: fitted on the training part.
    """

    name: str
    class_names: tuple[str, ...]
    feature_names: tuple[str, ...]
    scaling: Scaling


@dataclass(frozen=True)
class PreparedRun:
    """A run, ready to be trained on any device.

    Attributes:
        run: the run file, resolved: the scaling chosen, paths absolute.
        config: the model.
        initial: the state before the first step.
        run_id: the run's identity, not 0: CRC-32 of what decides the trained state.
        train: training samples.
        test: test samples.
        schedule: the steps.
        form: names and scaling.
    """

    run: RunFile
    config: ModelConfig
    initial: State
    run_id: int
    train: Samples
    test: Samples
    schedule: EpochSchedule
    form: DataForm

    @property
    def scaling(self) -> Scaling:
        """The scaling of the features."""
        return self.form.scaling

    @property
    def class_names(self) -> tuple[str, ...]:
        """Name of each output."""
        return self.form.class_names


def prepare(run: RunFile) -> PreparedRun:
    """Load the data and make the initial state.

    Args:
        run: a run file, resolved or not.

    Raises:
        RunFileError: settings that contradict each other or the data.
        DataError: the data is missing, malformed or does not match the model.
        ModelError: the model breaks a limit of NUMERICS.
    """
    dataset = load_dataset(run)
    try:
        datasets.check_layers(dataset, run.model.layers)
    except DataError as error:
        raise DataError(f"{run.where('model', 'layers')}: {error}") from error
    if not dataset.class_names:
        raise DataError(
            f"{run.where('data', 'source')}: {dataset.name} holds numbers to predict, not classes; "
            "softmax_cross_entropy needs classes: choose another source"
        )
    run = resolve(run, dataset)
    train, test = datasets.split(dataset, run.data.test_fraction, run.seed)
    scaling = Scaling.fit(
        run.data.scale, train.features, common=dataset.image, name=dataset.name
    )
    config = build_config(run, scaling)
    if state_bytes(config) > STATE_BYTES_MAX:
        raise run.error(
            "model", "layers",
            f"{config.parameter_count:,} parameters take more memory than any board has; type "
            "smaller widths",
            ModelError,
        )
    samples = _samples(train, scaling, dataset.name)
    initial = initial_state(
        config,
        initial_weights(config.layers, run.seed, run.model.init),
        run.seed,
        scaling.exponent,
        run.model.headroom,
    )
    return PreparedRun(
        run,
        config,
        initial,
        _run_id(run, config, initial, samples),
        samples,
        _samples(test, scaling, dataset.name),
        _schedule(run, len(samples)),
        DataForm(dataset.name, _output_names(dataset, config), dataset.feature_names, scaling),
    )


def load_dataset(run: RunFile) -> Dataset:
    """Load the data set that a run file names.

    Raises:
        DataError: it is missing or malformed.
    """
    data = run.data
    return datasets.load(
        data.source, run.path.parent, label=data.label, labels=data.labels, header=data.header
    )


def resolve(run: RunFile, dataset: Dataset) -> RunFile:
    """Return a run whose settings no longer depend on the data set's kind or the file's folder."""
    data = run.data

    def absolute(path: str) -> str:
        return str((run.path.parent / path).expanduser().resolve())

    data = dataclasses.replace(
        data,
        source=builtin_name(data.source) or absolute(data.source),
        labels=absolute(data.labels) if data.labels else None,
        scale=default_method(dataset) if data.scale == "auto" else data.scale,
    )
    return dataclasses.replace(run, data=data)


def build_config(run: RunFile, scaling: Scaling) -> ModelConfig:
    """Return the model of a resolved run.

    Args:
        run: the run file.
        scaling: the scaling of its features.

    Raises:
        ModelError: a limit of NUMERICS is broken.
    """
    model, training = run.model, run.training
    config = ModelConfig(
        layers=model.layers,
        activations=tuple(_ACTIVATIONS[name] for name in model.activation),
        loss=_LOSSES[model.loss],
        batch=training.batch_size,
        input_format=scaling.input_format,
        input_max=scaling.input_max,
        activation_bits=model.activation_bits,
        weight_bits=(),
        delta_bits=(),
        update_bits=0,
        momentum=round(256 * training.momentum),
        clip_exponent=training.clip,
        adaptive=training.adaptive,
        widen=training.widen,
    ).with_budgets()
    try:
        config.check()
    except ModelError as error:
        raise ModelError(f"{run.path}: {error}") from error
    return config


def _samples(part: Part, scaling: Scaling, name: str) -> Samples:
    return Samples(scaling.apply(part.features, name), part.targets.astype(np.int32))


def _schedule(run: RunFile, samples: int) -> EpochSchedule:
    training = run.training
    if training.batch_size > samples:
        raise run.error(
            "training", "batch_size",
            f"larger than the training part of {samples} samples; type {samples} or less",
        )
    if training.epochs * samples >= 2**32:
        raise run.error(
            "training", "epochs",
            f"{training.epochs} times {samples} samples pass the limit of 2^32 samples a run; "
            f"type {(2**32 - 1) // samples} or less",
        )
    return EpochSchedule(
        samples, training.batch_size, training.epochs, run.seed, training.shuffle, _rate(run)
    )


def _rate(run: RunFile) -> Callable[[int], tuple[int, int]]:
    """Return the constant learning rate as a schedule."""
    training = run.training
    try:
        pair = learning_rate_pair(training.learning_rate, training.batch_size)
    except ModelError as error:
        raise run.error(
            "training", "learning_rate", "beyond the exponents of NUMERICS; type e.g. 0.1"
        ) from error
    return lambda step: pair


def _output_names(dataset: Dataset, config: ModelConfig) -> tuple[str, ...]:
    named = dataset.class_names
    return named + tuple(str(i) for i in range(len(named), config.outputs))


def _run_id(run: RunFile, config: ModelConfig, initial: State, train: Samples) -> int:
    """Return the CRC-32 of everything that decides the trained state; 1 if it is 0.

    Where the data came from is left out: the samples themselves are in.
    """
    training = dataclasses.asdict(run.training)
    settings = json.dumps([NUMERICS_VERSION, run.seed, training], sort_keys=True)
    crc = zlib.crc32(settings.encode())
    for part in (config.encode(), initial.encode(), train.wire(config).tobytes()):
        crc = zlib.crc32(part, crc)
    return crc or 1
