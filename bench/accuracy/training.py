"""One seed of one task, in integers or in float32."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
from fixgrad.order import permutation
from fixgrad.protocol import NUMERICS_VERSION, Loss
from fixgrad.quantize import initial_state
from fixgrad.stream import Samples
from numpy.typing import NDArray

from bench.accuracy import float32
from bench.accuracy.augment import augment
from bench.accuracy.core import Core
from bench.accuracy.float32 import Float32
from bench.accuracy.library import fingerprint
from bench.accuracy.tasks import Prepared, score

INTEGER, FLOAT = "integer", "float32"
ENGINES = (INTEGER, FLOAT)


def engine_version(engine: str) -> str:
    """Return what decides an engine's bits.

    The integers' bits are those of the numerics version, whatever the sources look like.
    """
    if engine == INTEGER:
        return f"numerics {NUMERICS_VERSION}"
    return fingerprint(float32.inputs())


def train(prepared: Prepared, engine: str, seed: int) -> dict[str, object]:
    """Train all epochs of a seed and test the last one.

    Returns:
        `score` (percent, or R²), `seconds` of processor time, and for integers the final `digest`.
    """
    start = time.process_time()
    run = _train_integer if engine == INTEGER else _train_float
    result = run(prepared, seed)
    return result | {"seconds": round(time.process_time() - start, 2)}


def _train_integer(prepared: Prepared, seed: int) -> dict[str, object]:
    task, config = prepared.task, prepared.config
    state = initial_state(config, task.weights(seed), seed, prepared.exponent, task.headroom)
    model = Core(config, state)
    steps = -(-len(prepared.train) // task.batch)
    for epoch, samples in enumerate(_epochs(prepared, seed)):
        model.epoch(samples.wire(config), task.pairs(epoch, steps))
    predictions = model.predict(prepared.test.wire(config))
    return {
        "score": score(config, prepared.test, predictions),
        "digest": f"{model.digest():08x}",
    }


def _train_float(prepared: Prepared, seed: int) -> dict[str, object]:
    task, config = prepared.task, prepared.config
    model = Float32(config, task.weights(seed))
    steps = -(-len(prepared.train) // task.batch)
    for epoch, samples in enumerate(_epochs(prepared, seed)):
        rates = [
            task.rate(epoch * steps + i, task.epochs * steps) / task.batch for i in range(steps)
        ]
        model.epoch(*_reals(prepared, samples), np.array(rates, np.float32))
    predictions = model.predict(_reals(prepared, prepared.test)[0])
    if config.loss == Loss.SQUARED_ERROR:
        predictions = predictions.astype(np.float64) * 65536
    return {"score": score(config, prepared.test, predictions)}


def _epochs(prepared: Prepared, seed: int) -> Iterator[Samples]:
    """Yield the training samples of every epoch in the order of their visit."""
    task, samples = prepared.task, prepared.train
    for epoch in range(task.epochs):
        order = permutation(len(samples), epoch, seed)
        features = samples.features[order]
        if task.shift or task.drop:
            features = augment(
                features.astype(np.uint8), epoch * len(samples), seed,
                shift=task.shift, drop=task.drop,
            )
        yield Samples(features, samples.targets[order])


def _reals(
    prepared: Prepared, samples: Samples
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return features and targets [N, 1 or outputs] as real numbers."""
    features = np.ldexp(samples.features.astype(np.float32), prepared.exponent)
    targets = samples.targets.reshape(len(samples), -1).astype(np.float32)
    fraction = {Loss.SOFTMAX_CROSS_ENTROPY: 0, Loss.SQUARED_ERROR: 16}
    return features, np.ldexp(targets, -fraction.get(prepared.config.loss, 15))
