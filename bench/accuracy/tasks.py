"""What is trained: networks, data and schedules."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from fixgrad import datasets
from fixgrad.datasets import Scaling
from fixgrad.model import ModelConfig
from fixgrad.protocol import Activation, Loss
from fixgrad.quantize import initial_weights, learning_rate_pair
from fixgrad.stream import Samples
from numpy.typing import NDArray

MNIST = "mnist"
SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda done: 1.0,
    "steps": lambda done: 1.0 if done < 0.5 else 0.25 if done < 0.75 else 0.0625,
    "cosine": lambda done: (1 + math.cos(math.pi * done)) / 2,
    "linear": lambda done: 1 - done,
}
"""Factor of the learning rate by the share of the run that is done."""

INTEGER_SETTINGS = (
    "headroom", "activation_bits", "clip", "decay_every", "decay_shift", "momentum", "widen"
)
"""Settings that mean nothing to float32: those of the format, and options it is shown without."""


@dataclass(frozen=True)
class Task:
    """One network, its data and its training; the values of a table row.

    Attributes:
        name: what `--tasks` calls it.
        data: `mnist` or one of fixgrad's built-in data sets, or `xor`.
        layers: widths n[0..L].
        epochs: epochs of training.
        learning_rate: at the start.
        batch: nominal batch size; 0: all samples.
        seeds: number of seeds, from 1; of the initial weights, the order, the rounding and the
            split.
        activation: of the hidden layers.
        loss: loss and kind of output.
        schedule: one of `SCHEDULES`.
        init: method of `initial_weights`, or `normal`: N(0, 1).
        headroom: see `weight_exponent`.
        activation_bits: ab of the hidden layers.
        clip: power-of-two norm limit of the output delta.
        decay_every, decay_shift: weight decay.
        momentum: in Q8.
        widen: widening of saturated layers.
        shift, drop: how both engines' training samples are varied; see `augment`.
    """

    name: str
    data: str
    layers: tuple[int, ...]
    epochs: int
    learning_rate: float
    batch: int = 16
    seeds: int = 10
    activation: Activation = Activation.RELU
    loss: Loss = Loss.SOFTMAX_CROSS_ENTROPY
    schedule: str = "constant"
    init: str = "he"
    headroom: float = 4.0
    activation_bits: int = 8
    clip: int | None = None
    decay_every: int = 0
    decay_shift: int = 10
    momentum: int = 0
    widen: bool = False
    shift: int = 0
    drop: int = 0

    def settings(self, *, integer: bool) -> dict[str, object]:
        """Return everything that decides the result of a seed in integers or in float32."""
        values = dataclasses.asdict(self)
        for name in ("name", "seeds", *(() if integer else INTEGER_SETTINGS)):
            del values[name]
        return values

    def weights(self, seed: int) -> list[NDArray[np.float64]]:
        """Return the initial weights of a seed, per layer [n_out, n_in]."""
        if self.init != "normal":
            return initial_weights(self.layers, seed, self.init)
        generator = np.random.Generator(np.random.PCG64(seed))
        pairs = zip(self.layers, self.layers[1:], strict=False)
        return [generator.standard_normal((n_out, n_in)) for n_in, n_out in pairs]

    def rate(self, step: int, steps: int) -> float:
        """Return the learning rate of a step."""
        return self.learning_rate * SCHEDULES[self.schedule](step / steps)

    def pairs(self, epoch: int, steps: int) -> list[tuple[int, int]]:
        """Return (mantissa, exponent) of lr/B for every step of an epoch of `steps` steps."""
        return [
            learning_rate_pair(self.rate(epoch * steps + i, self.epochs * steps), self.batch)
            for i in range(steps)
        ]


@dataclass(frozen=True)
class Prepared:
    """A task with its data, for one seed.

    Attributes:
        task: the task; its batch is resolved.
        config: the model.
        exponent: eX[0].
        train, test: samples; values to predict are standardised by the training part.
    """

    task: Task
    config: ModelConfig
    exponent: int
    train: Samples
    test: Samples


def prepare(task: Task, mnist: str | None, seed: int) -> Prepared:
    """Load, part and scale the data of a task.

    Args:
        task: the task.
        mnist: source of MNIST, for `datasets.load`.
        seed: seed of the split.
    """
    if task.data == "xor":
        scaling = Scaling.unscaled(2)
        features = np.array([[0, 0], [0, 255], [255, 0], [255, 255]], np.uint8)
        samples = Samples(features, np.array([[0], [32768], [32768], [0]], np.int32))
        return _prepared(task, scaling, samples, samples)
    source = mnist if task.data == MNIST else task.data
    if source is None:
        raise ValueError("MNIST is not part of fixgrad: give its file or folder with --data")
    dataset = datasets.load(source)
    train, test = datasets.split(dataset, 0.2, seed)
    if dataset.image and train.features.dtype == np.uint8:
        scaling = Scaling.unscaled(dataset.width)
    else:
        method = "minmax" if dataset.image else "standard"
        scaling = Scaling.fit(method, train.features, common=dataset.image, name=dataset.name)
    parts = []
    for part in (train, test):
        targets = part.targets
        if not dataset.class_names:
            mean, deviation = train.targets.mean(), train.targets.std()
            targets = np.rint((targets - mean) / deviation * 65536)[:, np.newaxis]
        parts.append(Samples(scaling.apply(part.features, task.data), targets.astype(np.int32)))
    return _prepared(task, scaling, *parts)


def _prepared(task: Task, scaling: Scaling, train: Samples, test: Samples) -> Prepared:
    task = dataclasses.replace(task, batch=task.batch or len(train))
    hidden = len(task.layers) - 2
    config = ModelConfig(
        layers=task.layers,
        activations=(task.activation,) * hidden,
        loss=task.loss,
        batch=task.batch,
        input_format=scaling.input_format,
        input_max=scaling.input_max,
        activation_bits=(task.activation_bits,) * hidden,
        weight_bits=(),
        delta_bits=(),
        update_bits=0,
        momentum=task.momentum,
        clip_exponent=task.clip,
        decay_every=task.decay_every,
        decay_shift=task.decay_shift,
        widen=task.widen,
    ).with_budgets()
    config.check()
    return Prepared(task, config, scaling.exponent, train, test)


def score(config: ModelConfig, samples: Samples, predictions: NDArray[np.generic]) -> float:
    """Return the accuracy in percent, or R² for squared error.

    Args:
        config: the model.
        samples: what was predicted.
        predictions: as the core gives them: [N, predictions].
    """
    targets = samples.targets.reshape(len(samples), -1)
    if config.loss == Loss.SQUARED_ERROR:
        errors = (predictions.astype(np.float64) - targets) ** 2
        return 1 - float(errors.sum() / ((targets - targets.mean()) ** 2).sum())
    softmax = config.loss == Loss.SOFTMAX_CROSS_ENTROPY
    right = predictions == (targets if softmax else targets >= 16384)
    return 100 * float(right.all(axis=1).mean())


_N2 = Task(MNIST, MNIST, (784, 100, 50, 10), 20, 0.125, schedule="steps")
_FINE = dataclasses.replace(_N2, name="mnist-fine", headroom=1.0, widen=True)
_N1 = dataclasses.replace(_N2, layers=(784, 32, 10), seeds=3)
_SMALL = dataclasses.replace(_N2, data="digits", layers=(64, 32, 10), batch=8, seeds=5)

TASKS = {
    task.name: task
    for task in (
        _N2,
        _FINE,
        dataclasses.replace(_FINE, name="mnist-decay", decay_every=128),
        dataclasses.replace(_FINE, name="mnist-varied", shift=1, drop=13),
        dataclasses.replace(_N1, name="mnist-32"),
        dataclasses.replace(_N1, name="mnist-small-rate", epochs=4, learning_rate=2**-8,
                            schedule="constant"),
        dataclasses.replace(_N1, name="mnist-batch-1", epochs=4, learning_rate=2**-11, batch=1,
                            schedule="constant"),
        dataclasses.replace(_N1, name="mnist-rate-1", epochs=4, learning_rate=1,
                            schedule="constant"),
        dataclasses.replace(_N1, name="mnist-rate-1-clip", epochs=4, learning_rate=1,
                            schedule="constant", clip=-3),
        dataclasses.replace(_N1, name="mnist-rate-4-clip", epochs=4, learning_rate=4,
                            schedule="constant", clip=-3),
        dataclasses.replace(_SMALL, name="digits", epochs=40),
        dataclasses.replace(_SMALL, name="wine", data="wine", layers=(13, 16, 3), epochs=40),
        dataclasses.replace(_SMALL, name="iris", data="iris", layers=(4, 8, 3), epochs=80,
                            activation=Activation.TANH),
        dataclasses.replace(_SMALL, name="breast_cancer", data="breast_cancer",
                            layers=(30, 16, 2), epochs=40),
        dataclasses.replace(_SMALL, name="diabetes", data="diabetes", layers=(10, 16, 1),
                            epochs=40, learning_rate=0.02, loss=Loss.SQUARED_ERROR),
        Task("xor", "xor", (2, 3, 1), 4000, 4.0, batch=0, seeds=20,
             activation=Activation.SIGMOID, loss=Loss.SIGMOID_SQUARED_ERROR, init="normal",
             headroom=16.0, activation_bits=12),
    )
}  # fmt: skip
