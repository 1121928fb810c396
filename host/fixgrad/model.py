"""What a model is: its fixed shape and options (`ModelConfig`) and its trained state (`State`).

Both have one canonical byte form, the regions MODEL and STATE of docs/PROTOCOL.md.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fixgrad import protocol
from fixgrad.errors import ModelError
from fixgrad.protocol import LIMITS, Activation, InputFormat, Loss, ModelFlag

INT32_MAX = 2**31 - 1
ACCUMULATOR_BUDGET = INT32_MAX - LIMITS["BIAS_MAX"]
UPDATE_BUDGET = 2**30
FROZEN_MAX = 255 // ModelFlag.FROZEN
"""Frozen layers that the flags of the MODEL region can count."""

INPUT_DTYPES: dict[InputFormat, type[np.integer]] = {
    InputFormat.U8: np.uint8,
    InputFormat.I8: np.int8,
    InputFormat.I16: np.int16,
}
FORMAT_MAX = {InputFormat.U8: 255, InputFormat.I8: 127, InputFormat.I16: 32767}


@dataclass(frozen=True)
class ModelConfig:
    """Shape, options and bit budgets of a model; constant during a run (NUMERICS section 2).

    Attributes:
        layers: widths n[0..L], input first.
        activations: one per hidden layer, L-1 of them.
        loss: loss and kind of output.
        batch: largest number of samples in a batch, B.
        input_format: storage of a feature.
        input_max: A[0], the largest magnitude of a feature mantissa.
        activation_bits: ab per hidden layer; A[l] = 2**ab - 1.
        weight_bits, delta_bits: wb and db per layer.
        update_bits: dp.
        momentum: mu in Q8; 0 switches momentum off.
        velocity_bits: vf.
        decay_every, decay_shift: N and k of weight decay; N = 0 switches it off.
        clip_exponent: power-of-two norm limit of the output delta; None switches it off.
        adaptive: adaptive activation exponents.
        widen: widening of saturated layers.
        frozen: the first layers that are not trained.
    """

    layers: tuple[int, ...]
    activations: tuple[Activation, ...]
    loss: Loss
    batch: int
    input_format: InputFormat
    input_max: int
    activation_bits: tuple[int, ...]
    weight_bits: tuple[int, ...]
    delta_bits: tuple[int, ...]
    update_bits: int
    momentum: int = 0
    velocity_bits: int = 6
    decay_every: int = 0
    decay_shift: int = 10
    clip_exponent: int | None = None
    adaptive: bool = True
    widen: bool = False
    frozen: int = 0

    @property
    def layer_count(self) -> int:
        """L, the number of weight layers."""
        return len(self.layers) - 1

    @property
    def outputs(self) -> int:
        """n[L]."""
        return self.layers[-1]

    @property
    def activation_max(self) -> tuple[int, ...]:
        """A[0..L-1]: magnitude limit of what each layer reads."""
        return (self.input_max, *(2**ab - 1 for ab in self.activation_bits))

    @property
    def parameter_count(self) -> int:
        """Weights and biases."""
        return sum((i + 1) * o for i, o in zip(self.layers, self.layers[1:], strict=False))

    @property
    def target_bytes(self) -> int:
        """Bytes of one sample's target on the wire."""
        widths = {
            Loss.SOFTMAX_CROSS_ENTROPY: 1,
            Loss.SQUARED_ERROR: 4 * self.outputs,
            Loss.SIGMOID_BINARY_CROSS_ENTROPY: 2 * self.outputs,
            Loss.SIGMOID_SQUARED_ERROR: 2 * self.outputs,
        }
        return widths[self.loss]

    @property
    def feature_bytes(self) -> int:
        """Bytes of one sample's features on the wire."""
        return self.layers[0] * np.dtype(INPUT_DTYPES[self.input_format]).itemsize

    @property
    def predictions(self) -> int:
        """Predictions per sample: the class for softmax, else one per output."""
        return 1 if self.loss == Loss.SOFTMAX_CROSS_ENTROPY else self.outputs

    def with_budgets(self) -> ModelConfig:
        """Return a copy whose weight, delta and update bits are NUMERICS' budgets."""
        weight = tuple(
            _largest_bits(14, ACCUMULATOR_BUDGET // (width * limit), minus_one=False)
            for width, limit in zip(self.layers, self.activation_max, strict=False)
        )
        widest = dataclasses.replace(self, weight_bits=weight)
        update = UPDATE_BUDGET // (self.batch * max(self.activation_max))
        return dataclasses.replace(
            widest,
            delta_bits=widest._delta_budgets(),
            update_bits=_largest_bits(15, update, minus_one=True),
        )

    def _delta_budgets(self) -> tuple[int, ...]:
        """Return the largest db of every layer for the weight bits as they are."""
        products = zip(self.layers[2:], self.weight_bits[1:], strict=True)
        return (15,) + tuple(
            _largest_bits(15, INT32_MAX // (n_out << bits), minus_one=True)
            for n_out, bits in products
        )

    def check(self) -> None:
        """Check every range and budget of NUMERICS section 2.

        Raises:
            ModelError: the first violation, with its numbers.
        """
        n, count = self.layers, len(self.layers) - 1
        if count < 1:
            raise ModelError("a model needs at least an input and an output width")
        for index, width in enumerate(n):
            _within(f"width of layer {index}", width, 1, 65535)
        _within("number of layers", count, 1, 255)
        _within("outputs", n[-1], 1, LIMITS["OUTPUTS_MAX"])
        _within("batch", self.batch, 1, 65535)
        _within("input_max", self.input_max, 1, FORMAT_MAX[self.input_format])
        for name, values, expected in (
            ("activations", self.activations, count - 1),
            ("activation_bits", self.activation_bits, count - 1),
            ("weight_bits", self.weight_bits, count),
            ("delta_bits", self.delta_bits, count),
        ):
            if len(values) != expected:
                raise ModelError(f"{name} has {len(values)} entries, the layers need {expected}")
        if Activation.LINEAR in self.activations:
            raise ModelError("a hidden layer cannot be linear: choose another activation")
        for bits in self.activation_bits:
            _within(
                "activation_bits",
                bits,
                LIMITS["ACTIVATION_BITS_MIN"],
                LIMITS["ACTIVATION_BITS_MAX"],
            )
        _within("momentum", self.momentum, 0, 255)
        _within("velocity_bits", self.velocity_bits, 1, LIMITS["VELOCITY_BITS_MAX"])
        _within("decay_every", self.decay_every, 0, 2**32 - 1)
        _within("decay_shift", self.decay_shift, 1, LIMITS["DECAY_SHIFT_MAX"])
        if self.clip_exponent is not None:
            _within("clip_exponent", self.clip_exponent, -128, 127)
        _within("frozen layers", self.frozen, 0, min(count - 1, FROZEN_MAX))
        self._check_budgets()

    def _check_budgets(self) -> None:
        best = self.with_budgets()
        for index, bits in enumerate(self.weight_bits):
            limit = self.activation_max[index]
            inputs = (ACCUMULATOR_BUDGET >> LIMITS["BITS_MIN"]) // limit
            self._check_bits(
                f"weight_bits of layer {index}", bits, best.weight_bits[index],
                f"at most {inputs} inputs of up to {limit}, or inputs of fewer bits",
            )
        for index, budget in enumerate(self._delta_budgets()):
            outputs = INT32_MAX // (2 ** LIMITS["BITS_MIN"] - 1) >> self.weight_bits[index]
            self._check_bits(
                f"delta_bits of layer {index}", self.delta_bits[index], budget,
                f"at most {outputs} outputs",
            )
        batch = UPDATE_BUDGET // (2 ** LIMITS["BITS_MIN"] - 1) // max(self.activation_max)
        self._check_bits(
            "update_bits", self.update_bits, best.update_bits, f"a batch of at most {batch}"
        )

    @staticmethod
    def _check_bits(name: str, bits: int, budget: int, remedy: str) -> None:
        minimum = LIMITS["BITS_MIN"]
        if budget < minimum:
            raise ModelError(
                f"{name}: only {budget} bits fit a 32-bit sum, {minimum} are needed; use {remedy}"
            )
        _within(name, bits, minimum, budget)

    def encode(self) -> bytes:
        """Return the MODEL region."""
        flags = ModelFlag(0)
        if self.adaptive:
            flags |= ModelFlag.ADAPTIVE
        if self.widen:
            flags |= ModelFlag.WIDEN
        if self.clip_exponent is not None:
            flags |= ModelFlag.CLIP
        head = protocol.pack(
            protocol.MODEL_FIELDS,
            numerics=protocol.NUMERICS_VERSION,
            layer_count=self.layer_count,
            loss=self.loss,
            flags=int(flags) + self.frozen * ModelFlag.FROZEN,
            batch=self.batch,
            input_max=self.input_max,
            input_format=self.input_format,
            update_bits=self.update_bits,
            momentum=self.momentum,
            velocity_bits=self.velocity_bits,
            clip_exponent=self.clip_exponent or 0,
            decay_shift=self.decay_shift,
            decay_every=self.decay_every,
            input_width=self.layers[0],
        )
        layers = b"".join(
            protocol.pack(
                protocol.LAYER_FIELDS,
                width=self.layers[i + 1],
                activation=(*self.activations, Activation.LINEAR)[i],
                activation_bits=(*self.activation_bits, 0)[i],
                weight_bits=self.weight_bits[i],
                delta_bits=self.delta_bits[i],
            )
            for i in range(self.layer_count)
        )
        return head + layers


@dataclass
class State:
    """The trained state: all that the digest covers (NUMERICS sections 2 and 9).

    Attributes:
        weights: per layer int16 [n_out, n_in].
        biases: per layer int32 [n_out].
        velocities, bias_velocities: the same shapes; empty lists without momentum.
        weight_exponent: eW[0..L-1].
        activation_exponent: eX[0..L-1].
        low: low[1..L-1].
        prng: S, the rounding generator.
        step: steps done.
    """

    weights: list[NDArray[np.int16]]
    biases: list[NDArray[np.int32]]
    velocities: list[NDArray[np.int16]]
    bias_velocities: list[NDArray[np.int32]]
    weight_exponent: list[int]
    activation_exponent: list[int]
    low: list[int]
    prng: int
    step: int

    def copy(self) -> State:
        """Return a deep copy."""
        return State(
            [w.copy() for w in self.weights],
            [b.copy() for b in self.biases],
            [v.copy() for v in self.velocities],
            [v.copy() for v in self.bias_velocities],
            list(self.weight_exponent),
            list(self.activation_exponent),
            list(self.low),
            self.prng,
            self.step,
        )

    def tensors(self) -> Iterator[tuple[str, int, NDArray[np.int16] | NDArray[np.int32]]]:
        """Yield (name, layer, tensor) in canonical order."""
        for layer, (weights, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            yield "weights", layer, weights
            yield "bias", layer, bias
            if self.velocities:
                yield "velocity", layer, self.velocities[layer]
                yield "bias_velocity", layer, self.bias_velocities[layer]

    def scalars(self) -> list[int]:
        """Return eW, eX, low, S and step in canonical order."""
        return [
            *self.weight_exponent, *self.activation_exponent, *self.low, self.prng, self.step
        ]

    def encode(self) -> bytes:
        """Return the STATE region: tensors in their own width, then scalars as 32-bit words."""
        parts = [np.ascontiguousarray(t).astype(t.dtype.newbyteorder("<")).tobytes()
                 for _, _, t in self.tensors()]
        words = np.array([v & 0xFFFFFFFF for v in self.scalars()], dtype="<u4")
        return b"".join([*parts, words.tobytes()])

    @staticmethod
    def decode(config: ModelConfig, data: bytes) -> State:
        """Read a STATE region.

        Args:
            config: the model it belongs to.
            data: `state_bytes(config)` bytes.

        Raises:
            ModelError: the length does not match the model.
        """
        if len(data) != state_bytes(config):
            raise ModelError(
                f"a state of {len(data)} bytes does not belong to this model "
                f"({state_bytes(config)} bytes)"
            )
        at = 0

        def take(dtype: str, *shape: int) -> NDArray[np.generic]:
            nonlocal at
            size = int(np.prod(shape))
            array = np.frombuffer(data, dtype, size, at).reshape(shape)
            at += array.nbytes
            return array.astype(array.dtype.newbyteorder("="))

        state = State([], [], [], [], [], [], [], 0, 0)
        for n_in, n_out in zip(config.layers, config.layers[1:], strict=False):
            state.weights.append(take("<i2", n_out, n_in))  # type: ignore[arg-type]
            state.biases.append(take("<i4", n_out))  # type: ignore[arg-type]
            if config.momentum:
                state.velocities.append(take("<i2", n_out, n_in))  # type: ignore[arg-type]
                state.bias_velocities.append(take("<i4", n_out))  # type: ignore[arg-type]
        count = config.layer_count
        words = [int(v) for v in take("<i4", 3 * count + 1)]
        state.weight_exponent = words[:count]
        state.activation_exponent = words[count : 2 * count]
        state.low = words[2 * count : 3 * count - 1]
        state.prng = words[-2] & 0xFFFFFFFF
        state.step = words[-1] & 0xFFFFFFFF
        return state


def state_bytes(config: ModelConfig) -> int:
    """Return the length of the STATE region in bytes."""
    tensors = sum(
        2 * n_in * n_out + 4 * n_out
        for n_in, n_out in zip(config.layers, config.layers[1:], strict=False)
    )
    return tensors * (2 if config.momentum else 1) + 4 * (3 * config.layer_count + 1)


def _largest_bits(most: int, budget: int, *, minus_one: bool) -> int:
    """Return the largest bits <= most with 2**bits (- 1) <= budget."""
    return max(0, min(most, (budget + int(minus_one)).bit_length() - 1))


def _within(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ModelError(f"{name} is {value}; it must be {low} to {high}")
