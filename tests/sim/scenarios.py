"""Runs for the fault simulator, and what NumPy says of every position of them."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import numpy as np
from fixgrad.model import ModelConfig, State
from fixgrad.protocol import Activation, InputFormat, Loss
from fixgrad.reference import Reference
from fixgrad.stream import EpochSchedule, Samples
from simulated_device import Expectation
from small_models import MOMENTUM, SMALL, small_state

WIDE = ModelConfig(
    layers=(150, 4),
    activations=(),
    loss=Loss.SOFTMAX_CROSS_ENTROPY,
    batch=3,
    input_format=InputFormat.U8,
    input_max=255,
    activation_bits=(),
    weight_bits=(14,),
    delta_bits=(15,),
    update_bits=15,
).with_budgets()
REGRESSION = ModelConfig(
    layers=(6, 5, 2),
    activations=(Activation.TANH,),
    loss=Loss.SQUARED_ERROR,
    batch=5,
    input_format=InputFormat.I16,
    input_max=3000,
    activation_bits=(9,),
    weight_bits=(14, 14),
    delta_bits=(15, 15),
    update_bits=15,
).with_budgets()
STOCHASTIC = replace(MOMENTUM, widen=True, decay_every=3, clip_exponent=-2)
CONFIGS = (SMALL, MOMENTUM, STOCHASTIC, WIDE, REGRESSION, WIDE, REGRESSION)
LEVELS = (None, None, None, None, None, 11, 3)
"""How many values the features have, where they are so few that they travel packed."""
SAMPLES, EPOCHS, RUN_ID = 26, 3, 0xC0FFEE


@dataclass(frozen=True)
class Scenario:
    """A run with its samples, its expected states and its tables for the device."""

    config: ModelConfig
    initial: State
    samples: Samples
    schedule: EpochSchedule
    expectation: Expectation

    @property
    def samples_bytes(self) -> int:
        """Bytes of one epoch's samples."""
        return len(self.samples) * self.expectation.rows.shape[1]

    def state_at(self, position: int) -> bytes:
        """Return STATE before the sample at a position."""
        return self.expectation.states[self.expectation.completed[position]].tobytes()


def rate(step: int) -> tuple[int, int]:
    """Return a learning rate that changes with every step."""
    return 200 + 5 * step, -12


@functools.cache
def scenario(number: int) -> Scenario:
    """Return one of `CONFIGS` as a run."""
    return _build(CONFIGS[number], SAMPLES, EPOCHS, 100 + number, LEVELS[number])


@functools.cache
def three_batches() -> Scenario:
    """Return one epoch of three batches, the last one short."""
    return _build(SMALL, 2 * SMALL.batch + 3, 1, 7)


def _build(
    config: ModelConfig, count: int, epochs: int, seed: int, levels: int | None = None
) -> Scenario:
    rng = np.random.default_rng(seed)
    low = -config.input_max if config.input_format == InputFormat.I16 else 0
    features = rng.integers(low, config.input_max + 1, (count, config.layers[0]))
    # Zeros make short COBS runs, 255 long ones.
    features[rng.random(features.shape) < 0.3] = 0
    if levels is not None:
        features = rng.choice(rng.integers(low, config.input_max + 1, levels), features.shape)
    if config.loss == Loss.SQUARED_ERROR:
        targets = rng.integers(-70000, 70001, (count, config.outputs)).astype(np.int32)
    else:
        targets = rng.integers(0, config.outputs, count).astype(np.int32)
    dtype = np.int16 if config.input_format == InputFormat.I16 else np.uint8
    samples = Samples(features.astype(dtype), targets)
    schedule = EpochSchedule(count, config.batch, epochs, 9, True, rate)
    initial = replace(small_state(config), step=0)  # positions follow from the step counter
    reference = Reference(config, initial)
    states = [reference.state.encode()]
    order: list[int] = []
    completed: list[int] = []
    for step in range(schedule.steps):
        rows = schedule.step_indices(step)
        order += rows.tolist()
        completed += [step] * len(rows)
        reference.step(samples.features[rows], samples.targets[rows], *rate(step))
        states.append(reference.state.encode())
    completed.append(schedule.steps)
    wire = samples.wire(config)
    return Scenario(
        config,
        initial,
        samples,
        schedule,
        Expectation(
            RUN_ID,
            np.ascontiguousarray(wire[order]),
            np.array(completed, np.uint32),
            np.frombuffer(b"".join(states), np.uint8).reshape(len(states), -1).copy(),
        ),
    )
