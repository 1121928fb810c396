"""Every byte of a model's memory, computed as firmware/core/mlp_plan.c lays it out."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from fixgrad.model import INPUT_DTYPES, ModelConfig, state_bytes
from fixgrad.protocol import Activation, Loss

CHECKPOINT_HEAD_BYTES = 12
"""Lengths in front of what a board keeps in its flash."""

FLASH_BANKS = 2
_AROUND_CHECKPOINT_BYTES = 2 * 32 + 4
"""Header, seal and CRC."""

LAYER_RECORD_BYTES = 20
SCALE_BYTES = 4
"""Block exponent and largest mantissa of one sample's delta row."""


@dataclass(frozen=True)
class Plan:
    """Bytes of the arena by what they hold; their sum is what the device reports as needed.

    Attributes:
        weights, biases: parameters.
        velocities, bias_velocities: state of momentum; 0 without.
        inputs: features of a batch.
        activations: hidden activations of a batch, and the gates of sign.
        deltas: errors of a batch in groups of four samples by two units, 16 bits each; targets
            that fit wait in the last layer's.
        scales: block exponent and largest mantissa per sample and layer.
        targets: targets of a batch that need 32 bits (squared error).
        scratch: sums and packed rows of the samples that are worked on together.
        records: sizes and places of the layers.
        words: exponents, random state and step.
        padding: filling up to multiples of four bytes.
    """

    weights: int
    biases: int
    velocities: int
    bias_velocities: int
    inputs: int
    activations: int
    deltas: int
    scales: int
    targets: int
    scratch: int
    records: int
    words: int
    padding: int

    @property
    def arena_bytes(self) -> int:
        """Arena that the model needs."""
        return sum(self.parts().values())

    def parts(self) -> dict[str, int]:
        """Return the bytes of each part by its name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def checkpoint_bytes(config: ModelConfig, region: bytes) -> int:
    """Return the bytes of a checkpoint in a board's flash: MODEL, STATE and DATASET.

    Args:
        config: the model.
        region: DATASET of a run that is streamed, as one that is kept in flash is.
    """
    return CHECKPOINT_HEAD_BYTES + state_bytes(config) + len(config.encode()) + len(region)


def checkpoint_bytes_max(store_bytes: int) -> int:
    """Return the largest checkpoint that a store of so many bytes takes: one in each bank."""
    return max(0, store_bytes // FLASH_BANKS - _AROUND_CHECKPOINT_BYTES)


def activation_bytes(activation: Activation, bits: int) -> int:
    """Return the bytes of one stored activation: 1 where it is never negative and fits."""
    positive = activation in (Activation.RELU, Activation.SIGMOID)
    return 1 if positive and bits <= 8 else 2


def _scratch_bytes(n: tuple[int, ...], samples: int) -> int:
    """Return the scratch of layers n[0..L] for a batch of `samples`, a multiple of four."""
    logits = 16 * _even(n[-1]) + 64
    gradient = 16 * samples + 128
    packed = min(4 * n[0], 512)
    errors = 8 * _even(max(n[1:-1], default=0))
    return -(-max(logits, gradient, packed, errors) // 32) * 32


def _even(count: int) -> int:
    return count + count % 2


def plan(config: ModelConfig) -> Plan:
    """Lay a model out.

    Args:
        config: a model that passes `ModelConfig.check`.
    """
    n, count, batch = config.layers, config.layer_count, config.batch
    feature = np.dtype(INPUT_DTYPES[config.input_format]).itemsize
    hidden = [
        activation_bytes(activation, bits)
        for activation, bits in zip(config.activations, config.activation_bits, strict=True)
    ]
    copies = 2 if config.momentum else 1
    weights = [2 * i * o for i, o in zip(n, n[1:], strict=False)]
    rows = [batch * size * width for size, width in zip([feature, *hidden], n, strict=False)]
    samples = batch + -batch % 4
    deltas = [samples * 2 * _even(width) for width in n[1:]]
    biases = 4 * sum(n[1:])
    linear = config.loss == Loss.SQUARED_ERROR
    gates = [
        batch * width if activation == Activation.SIGN else 0
        for activation, width in zip(config.activations, n[1:-1], strict=True)
    ]
    return Plan(
        weights=sum(weights),
        biases=biases,
        velocities=sum(weights) * (copies - 1),
        bias_velocities=biases * (copies - 1),
        inputs=rows[0],
        activations=sum(rows[1:]) + sum(gates),
        deltas=sum(deltas),
        scales=SCALE_BYTES * batch * count,
        targets=4 * batch * config.outputs if linear else 0,
        scratch=_scratch_bytes(n, samples),
        records=LAYER_RECORD_BYTES * count,
        words=4 * (3 * count + 1),
        padding=sum(-size % 4 for size in [*(weights * copies), *rows, *gates]),
    )
