"""From a run file to everything a run needs: model, initial state, samples, order, identity."""

from __future__ import annotations

import dataclasses
import json
import math
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fixgrad import datasets
from fixgrad.datasets import Dataset, Part, Scaling
from fixgrad.datasets.balancing import class_repeats, resample
from fixgrad.datasets.dataset import Targets
from fixgrad.datasets.loading import builtin_name
from fixgrad.datasets.scaling import default_method
from fixgrad.errors import DataError, ModelError
from fixgrad.initial import LayerRange, parameters, ranges, read_hidden_exponents
from fixgrad.model import ModelConfig, State, state_bytes
from fixgrad.protocol import NUMERICS_VERSION, Activation, Loss
from fixgrad.quantize import initial_state
from fixgrad.runfile import RunFile
from fixgrad.schedules import RateSchedule
from fixgrad.stopping import Monitor
from fixgrad.stream import EpochSchedule, Samples
from fixgrad.targets import TargetForm, choose_kind, fit_targets

STATE_BYTES_MAX = 2**28
"""Larger models are refused before their weights are drawn."""

DECAY_SHIFT = 10
"""A decay takes 2**-10 of a weight, or more where it would come more often than every step."""


@dataclass(frozen=True)
class DataForm:
    """What is kept of a data set with a trained model: names, and the way features are scaled.

    Attributes:
        name: what messages call it.
        target: names and scaling of what is predicted.
        feature_names: one per feature.
        scaling: fitted on the training part.
    """

    name: str
    target: TargetForm
    feature_names: tuple[str, ...]
    scaling: Scaling

    @property
    def class_names(self) -> tuple[str, ...]:
        """Name of each class, or of each value that is predicted."""
        return self.target.names


@dataclass(frozen=True)
class Parts:
    """The samples of a run, quantised.

    Attributes:
        train: training samples.
        validation: samples that are held back from training; None where there are none.
        test: test samples.
        test_targets: targets of the test samples as the data set has them.
    """

    train: Samples
    validation: Samples | None
    test: Samples
    test_targets: Targets


@dataclass(frozen=True)
class PreparedRun:
    """A run, ready to be trained on any device.

    Attributes:
        run: the run file, resolved: the scaling chosen, paths absolute.
        config: the model.
        initial: the state before the first step.
        run_id: the run's identity, not 0: CRC-32 of what decides the trained state.
        parts: the samples.
        schedule: the steps.
        form: names and scaling.
        ranges: how the weights of each layer are stored at the start; empty where the run was
            read from its folder or a state was given.
        monitor: decides at the ends of epochs; None where nothing is to be decided.
    """

    run: RunFile
    config: ModelConfig
    initial: State
    run_id: int
    parts: Parts
    schedule: EpochSchedule
    form: DataForm
    ranges: tuple[LayerRange, ...]
    monitor: Monitor | None

    @property
    def train(self) -> Samples:
        """Training samples."""
        return self.parts.train

    @property
    def test(self) -> Samples:
        """Test samples."""
        return self.parts.test

    @property
    def test_targets(self) -> Targets:
        """Targets of the test samples as the data set has them."""
        return self.parts.test_targets

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
    return prepare_dataset(run, load_dataset(run))


def prepare_dataset(
    run: RunFile, dataset: Dataset, form: DataForm | None = None, initial: State | None = None
) -> PreparedRun:
    """Make a run of a data set that is loaded already.

    Args:
        run: a run file, resolved or not.
        dataset: the data; the run file's source is not read.
        form: names and scaling to keep; None: they are fitted to the training part.
        initial: the state before the first step, at step 0; None: as the run file says.

    Raises:
        RunFileError, DataError, ModelError: as for `prepare`.
    """
    loss = Loss[run.model.loss.upper()]
    try:
        kind = choose_kind(dataset, loss, run.model.layers[-1])
    except DataError as error:
        raise DataError(f"{run.where('data', 'source')}: {error}") from error
    try:
        datasets.check_layers(dataset, run.model.layers)
    except DataError as error:
        raise DataError(f"{run.where('model', 'layers')}: {error}") from error
    run = resolve(run, dataset)
    train, test = datasets.split(dataset, run.data.test_fraction, run.seed)
    train, validation = _validation_part(run, dataset, train)
    train = _balanced(run, dataset, train)
    run = _sized(run, len(train))
    if form is None:
        scaling = Scaling.fit(
            run.data.scale, train.features, common=dataset.image, name=dataset.name,
            bits=run.data.input_bits,
        )
    else:
        scaling = form.scaling
    config = build_config(run, scaling)
    if state_bytes(config) > STATE_BYTES_MAX:
        raise run.error(
            "model", "layers",
            f"{config.parameter_count:,} parameters take more memory than any board has; type "
            "smaller widths",
            ModelError,
        )
    if form is None:
        named = dataclasses.replace(dataset, class_names=_class_names(dataset, config))
        target = fit_targets(named, kind, run.data.target_scale, loss, train.targets)
        form = DataForm(dataset.name, target, dataset.feature_names, scaling)
    target = form.target

    def samples(part: Part, clip: bool) -> Samples:
        return Samples(
            scaling.apply(part.features, dataset.name),
            target.encode(part.targets, loss, dataset.name, clip=clip),
        )

    parts = Parts(
        samples(train, clip=False),
        None if validation is None else samples(validation, clip=True),
        samples(test, clip=True),
        test.targets,
    )
    layer_ranges: tuple[LayerRange, ...] = ()
    if initial is None:
        initial, layer_ranges = _initial(run, config, scaling)
    return assemble(run, config, initial, parts, form, layer_ranges)


def assemble(
    run: RunFile,
    config: ModelConfig,
    initial: State,
    parts: Parts,
    form: DataForm,
    ranges: tuple[LayerRange, ...] = (),
) -> PreparedRun:
    """Return the run that these make: its order, learning rates, decisions and identity.

    Args:
        run: the run file, resolved.
        config: the model.
        initial: the state before the first step.
        parts: the samples.
        form: names and scaling.
        ranges: how the weights of each layer are stored at the start.

    Raises:
        RunFileError: settings that contradict the number of samples.
    """
    schedule, rates = _schedule(run, len(parts.train))
    monitored = parts.train if parts.validation is None else parts.validation
    monitor = _monitor(run, config.loss, rates, monitored)
    run_id = _run_id(run, config, initial, parts.train, monitor)
    return PreparedRun(
        run, config, initial, run_id, parts, schedule, form, ranges, monitor
    )


def load_dataset(run: RunFile) -> Dataset:
    """Load the data set that a run file names.

    Raises:
        DataError: it is missing or malformed.
    """
    data = run.data
    values = data.targets == "values" or (
        data.targets == "auto"
        and (run.model.loss == "squared_error" or isinstance(data.label, tuple))
    )
    return datasets.load(
        data.source, run.path.parent, label=data.label, labels=data.labels, header=data.header,
        values=values,
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
    model = run.model
    if model.init_file is not None:
        model = dataclasses.replace(model, init_file=absolute(model.init_file))
    return dataclasses.replace(run, data=data, model=model)


def build_config(run: RunFile, scaling: Scaling) -> ModelConfig:
    """Return the model of a resolved run.

    Args:
        run: the run file.
        scaling: the scaling of its features.

    Raises:
        ModelError: a limit of NUMERICS is broken.
    """
    model, training = run.model, run.training
    decay = decay_of(training.weight_decay * training.learning_rate)
    config = ModelConfig(
        layers=model.layers,
        activations=tuple(Activation[name.upper()] for name in model.activation),
        loss=Loss[model.loss.upper()],
        batch=training.batch_size,
        input_format=scaling.input_format,
        input_max=scaling.input_max,
        activation_bits=model.activation_bits,
        weight_bits=(),
        delta_bits=(),
        update_bits=0,
        momentum=round(256 * training.momentum),
        velocity_bits=training.velocity_bits,
        decay_every=decay[0],
        decay_shift=decay[1],
        clip_exponent=training.clip,
        adaptive=training.adaptive,
        widen=training.widen,
        frozen=model.frozen_layers,
    ).with_budgets()
    try:
        config.check()
    except ModelError as error:
        raise ModelError(f"{run.path}: {error}") from error
    return config


def decay_of(share: float) -> tuple[int, int]:
    """Return (N, k) of weight decay: every N steps 2**-k of a weight, about `share` a step.

    Args:
        share: 0 (off) to below 0.5.
    """
    if share <= 0:
        return 0, DECAY_SHIFT
    shift = min(DECAY_SHIFT, max(1, math.floor(-math.log2(share))))
    return min(max(1, round(2.0**-shift / share)), 2**32 - 1), shift


def _validation_part(run: RunFile, dataset: Dataset, train: Part) -> tuple[Part, Part | None]:
    """Part the training samples into those that are trained on and those that decide."""
    fraction = run.data.validation_fraction
    if fraction == 0:
        return train, None
    return datasets.split_validation(dataset, train, fraction, run.seed + 1)


def _balanced(run: RunFile, dataset: Dataset, train: Part) -> Part:
    """Repeat or leave out training samples as class_weights say."""
    weights = run.data.class_weights
    if isinstance(weights, str) and weights == "none":
        return train
    if not dataset.class_names:
        raise run.error(
            "data", "class_weights",
            f"{dataset.name} holds values to predict, not classes; leave it away",
        )
    classes, count = train.targets.astype(np.int64), len(dataset.class_names)
    if isinstance(weights, str):
        weights = class_repeats(classes, count)
    elif len(weights) != count:
        raise run.error(
            "data", "class_weights",
            f"{len(weights)} weights, but {dataset.name} has {count} classes "
            f"({', '.join(dataset.class_names[:8])}); type one each",
        )
    chosen = resample(classes, weights, run.seed, dataset.name)
    return Part(train.features[chosen], train.targets[chosen])


def _sized(run: RunFile, samples: int) -> RunFile:
    """Return a run whose batch size is a number of samples, and no larger than the data."""
    training = run.training
    if training.batch_size > samples:
        raise run.error(
            "training", "batch_size",
            f"larger than the training part of {samples} samples; type {samples} or less",
        )
    if training.batch_size:
        return run
    if samples > 65535:
        raise run.error(
            "training", "batch_size",
            f"the training part has {samples} samples, a batch at most 65535; type 65535 or less",
        )
    return dataclasses.replace(run, training=dataclasses.replace(training, batch_size=samples))


def _initial(
    run: RunFile, config: ModelConfig, scaling: Scaling
) -> tuple[State, tuple[LayerRange, ...]]:
    """Return the state before the first step, and how its weights are stored."""
    model = run.model
    path = Path(model.init_file) if model.init_file else None
    weights, biases = parameters(
        model.init, path, config.layers, run.seed, model.init_scale
    )
    layer_ranges = ranges(config, weights, model.init, model.headroom)
    rooms = [r.headroom for r in layer_ranges]
    exponents = read_hidden_exponents(path) if path is not None else None
    state = initial_state(
        config, weights, run.seed, scaling.exponent, rooms, biases, exponents
    )
    return state, layer_ranges


def _monitor(
    run: RunFile, loss: Loss, rates: RateSchedule, samples: Samples
) -> Monitor | None:
    training = run.training
    decided = (training.plateau_patience, training.patience, training.target_loss)
    if all(value is None for value in decided):
        return None
    return Monitor(samples, loss, rates, *decided, training.min_improvement)


def _schedule(run: RunFile, samples: int) -> tuple[EpochSchedule, RateSchedule]:
    training = run.training
    if training.epochs * samples >= 2**32:
        raise run.error(
            "training", "epochs",
            f"{training.epochs} times {samples} samples pass the limit of 2^32 samples a run; "
            f"type {(2**32 - 1) // samples} or less",
        )
    rates = RateSchedule(
        training.schedule,
        training.learning_rate,
        training.batch_size,
        -(-samples // training.batch_size),
        training.epochs,
        training.rate_factor,
        training.drop_epochs or (),
        training.final_rate,
        training.warmup_epochs,
    )
    try:
        rates.check()
    except ModelError as error:
        raise run.error(
            "training", "learning_rate", "beyond the exponents of NUMERICS; type e.g. 0.1"
        ) from error
    schedule = EpochSchedule(
        samples, training.batch_size, training.epochs, run.seed, training.shuffle, rates
    )
    return schedule, rates


def _class_names(dataset: Dataset, config: ModelConfig) -> tuple[str, ...]:
    """Return the names of classes, one per output where indices stand in the source."""
    named = dataset.class_names
    if not named or config.outputs <= len(named):
        return named
    return named + tuple(str(i) for i in range(len(named), config.outputs))


def _run_id(
    run: RunFile, config: ModelConfig, state: State, train: Samples, monitor: Monitor | None
) -> int:
    """Return the CRC-32 of everything that decides the trained state; 1 if it is 0.

    Where the data came from is left out: the samples themselves are in.
    """
    training = dataclasses.asdict(run.training)
    settings = json.dumps([NUMERICS_VERSION, run.seed, training], sort_keys=True)
    crc = zlib.crc32(settings.encode())
    parts = [config.encode(), state.encode(), train.wire(config).tobytes()]
    if monitor is not None:
        parts.append(monitor.samples.wire(config).tobytes())
    for part in parts:
        crc = zlib.crc32(part, crc)
    return crc or 1
