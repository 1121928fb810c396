"""The bit-exact reference of docs/NUMERICS.md in NumPy.

Written from that page alone; it shares no code with the firmware. Matrix products of integers run
in float64: NUMERICS' budgets keep every sum below 2**31, far below 2**53, so they are exact
in any order of summation. Everything between the products is integer arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fixgrad import functions as fn
from fixgrad.digest import WORD, state_digest
from fixgrad.errors import DataError
from fixgrad.functions import Ints
from fixgrad.limits import (
    BIAS_VELOCITY_MAX,
    LOW_LIMIT,
    VELOCITY_MAX,
    check_batch,
    check_state,
    checked_features,
    checked_targets,
)
from fixgrad.model import INT32_MAX, UPDATE_BUDGET, ModelConfig, State
from fixgrad.parts import LayerSums, Reach
from fixgrad.protocol import LIMITS, Activation, Loss
from fixgrad.threads import single_threaded

Features = NDArray[np.integer]
Targets = NDArray[np.integer]
Int32s = NDArray[np.int32]
Floats = NDArray[np.float64]

BIAS_MAX = LIMITS["BIAS_MAX"]
TARGET_MAX = LIMITS["TARGET_MAX"]
SIGMOID_TARGET_MAX = LIMITS["SIGMOID_TARGET_MAX"]
UPDATE_MAX = 2**14
GATE_MAX = 2048
"""1 in Q11."""
BLOCK = 2048
"""Samples per block of inference, to bound its memory."""

RECTIFIED = (Activation.RELU, Activation.LEAKY)


@dataclass(frozen=True)
class LayerDetail:
    """What one step did in one layer.

    Attributes:
        amx: largest magnitude this layer's input had before its clamp; 0 unless the
            input comes from a ReLU or leaky layer.
        update_exponent: E of section 6; 0 in a frozen layer.
        update_shift: s of section 6; 0 in a frozen layer.
        saturated: a clamp of section 6 item 3 changed a value (counted in wsat).
        activations_saturated: clamped values of this layer's input (counted in asat).
        biases_saturated: clamped biases (counted in bsat).
        widened: the layer's weights were halved by section 6 item 6.
        unchanged: weights that item 3 of section 6 left as they are (item 5 with momentum); 0
            unless `Reference.counts_unchanged`.
        still: those of them whose batch gradient G is 0; counted likewise.
    """

    amx: int
    update_exponent: int
    update_shift: int
    saturated: bool
    activations_saturated: int
    biases_saturated: int
    widened: bool
    unchanged: int = 0
    still: int = 0


@dataclass(frozen=True)
class StepResult:
    """Outcome of one step, measured with the weights before it.

    Attributes:
        loss: reported loss of section 4, summed over the batch, at most 2**32 - 1.
        correct: samples whose prediction equals the target.
        layers: one detail per layer.
    """

    loss: int
    correct: int
    layers: tuple[LayerDetail, ...]


@dataclass
class _Forward:
    """Activations a_0..a_{L-1} [batch, n[l]], logits [batch, n[L]], saturation per layer.

    `gates` holds those of sign layers, by index l of a_l.
    """

    activations: list[Ints]
    logits: Ints
    amx: list[int]
    saturated: list[int]
    gates: dict[int, Ints]


@dataclass
class _Delta:
    """One layer's delta [batch, n_out], its exponent and largest mantissa per sample [batch]."""

    mantissa: Ints
    exponent: Ints
    most: Ints

    def wanted(self, lr_mantissa: int, lr_exponent: int, update_bits: int) -> int | None:
        """Return the largest E that a sample wants (section 6, item 1)."""
        wanted = self.exponent + fn.blen(self.most * lr_mantissa) + lr_exponent - update_bits
        wanted = wanted[self.most > 0]
        return int(wanted.max()) if wanted.size else None


class Part:
    """Samples of a batch, forward and backward done.

    Attributes:
        reach: what it tells first.
        saturated: per layer clamped values of its input (counted in asat).
    """

    def __init__(
        self, config: ModelConfig, forward: _Forward, deltas: list[_Delta], rate: tuple[int, int],
        loss: int, correct: int,
    ) -> None:  # fmt: skip
        """Take what forward and backward gave: deltas of the trained layers, (lrm, elr)."""
        self._config = config
        self._forward = forward
        self._deltas = deltas
        self._rate = rate
        self.saturated = forward.saturated
        wanted = (delta.wanted(*rate, config.update_bits) for delta in deltas)
        self.reach = Reach(
            (*(None,) * config.frozen, *wanted), tuple(forward.amx), loss, correct,
            sum(forward.saturated),
        )  # fmt: skip

    def rows(self, layer: int) -> Ints:
        """Return what a layer reads, [b, n_in]."""
        return self._forward.activations[layer]

    def deltas(self, layer: int) -> Ints:
        """Return a trained layer's errors, [b, n_out] (section 5)."""
        return self._deltas[layer - self._config.frozen].mantissa

    def scaled(self, layer: int, exponent: int) -> Ints:
        """Return a trained layer's d' [b, n_out] in the unit of E (section 6, item 2)."""
        delta = self._deltas[layer - self._config.frozen]
        mantissa, lr_exponent = self._rate
        return fn.rs(
            delta.mantissa * mantissa,
            (exponent - (delta.exponent + lr_exponent))[:, None],
            2**self._config.update_bits - 1,
        )

    def sums(self, exponents: Sequence[int]) -> list[LayerSums]:
        """Return the sums of every trained layer.

        Args:
            exponents: E of every layer (`Reference.exponents`); those of frozen ones do not count.
        """
        config = self._config
        return [self._sums(k, exponents[k]) for k in range(config.frozen, config.layer_count)]

    def _sums(self, layer: int, exponent: int) -> LayerSums:
        scaled, x = self.scaled(layer, exponent), self.rows(layer)
        assert len(x) * int(np.abs(scaled).max()) * int(np.abs(x).max()) <= UPDATE_BUDGET
        return LayerSums(_float_product(scaled.T, x).astype(np.int32), scaled.sum(axis=0))


class Reference:
    """A model trained in the arithmetic of docs/NUMERICS.md.

    Attributes:
        config: the model.
        state: the live trained state; copy it to keep it.
        wsat, asat, bsat: saturation counters since construction, modulo 2**32.
        counts_unchanged: count the weights that a step leaves as they are; False at first.
    """

    def __init__(self, config: ModelConfig, state: State) -> None:
        """Start from a copy of `state`.

        Raises:
            ModelError: a range or budget of section 2 is broken.
        """
        config.check()
        check_state(config, state)
        self.config = config
        self.state = state.copy()
        self.wsat = self.asat = self.bsat = 0
        self.counts_unchanged = False
        sizes = [w.size for w in state.weights]
        self._jump = fn.JumpAhead(max(sizes))
        self._discard = sum(sizes[config.frozen :]) % 2 == 0

    def step(
        self, features: Features, targets: Targets, lr_mantissa: int, lr_exponent: int
    ) -> StepResult:
        """Train one batch.

        Args:
            features: input mantissas [b, n[0]], 1 <= b <= batch, magnitude at most A[0].
            targets: class indices [b] for softmax, else fixed point [b, n[L]] (section 4).
            lr_mantissa: lrm, 1..2**15.
            lr_exponent: elr, -64..63.

        Returns:
            Loss, correct predictions and what happened in each layer.

        Raises:
            DataError: a feature, target, batch size or learning rate is out of range.
        """
        config = self.config
        check_batch(config, len(features), lr_mantissa, lr_exponent)
        x = checked_features(config, features)
        y = checked_targets(config, targets, len(features))
        with single_threaded():
            return self._step(x, y, lr_mantissa, lr_exponent)

    def _step(self, x: Ints, y: Ints, lr_mantissa: int, lr_exponent: int) -> StepResult:
        part = self._part(x, y, lr_mantissa, lr_exponent)
        reach = part.reach
        details = self._apply(reach, part.sums(self.exponents(reach)), part.saturated)
        return StepResult(min(reach.loss, WORD - 1), reach.correct, details)

    def part(
        self, features: Features, targets: Targets, lr_mantissa: int, lr_exponent: int
    ) -> Part:
        """Compute what a part of a batch gives to a step; the state stays as it is.

        `apply` takes the step from the parts of a batch: `Reach.of_batch` of their `reach`, then
        `add_sums` of their `sums` for the `exponents` of the batch.

        Args:
            features: input mantissas [b, n[0]], 1 <= b <= batch.
            targets: as for `step`.
            lr_mantissa: lrm, 1..2**15.
            lr_exponent: elr, -64..63.

        Raises:
            DataError: as for `step`.
        """
        config = self.config
        check_batch(config, len(features), lr_mantissa, lr_exponent)
        x = checked_features(config, features)
        y = checked_targets(config, targets, len(features))
        with single_threaded():
            return self._part(x, y, lr_mantissa, lr_exponent)

    def exponents(self, reach: Reach) -> list[int]:
        """Return E of every layer (section 6, item 1) for a whole batch; 0 in frozen layers."""
        config = self.config
        fraction = config.velocity_bits if config.momentum else 0
        exponents = [0] * config.layer_count
        for layer in range(config.frozen, config.layer_count):
            unit = self._update_unit(layer)
            wanted = reach.exponents[layer]
            least = unit - 24 if wanted is None else max(unit - 24, wanted)
            exponents[layer] = min(least, unit - 1 - fraction)
        return exponents

    def apply(self, reach: Reach, sums: Sequence[LayerSums]) -> None:
        """Train one batch of which only the sums are known: the update and the end of the batch.

        Args:
            reach: of the whole batch.
            sums: of the whole batch, one for each layer from `frozen` on: G [n_out, n_in] and gb
                [n_out] in the unit of `exponents(reach)`.

        Raises:
            DataError: a sum has another shape, or is larger than a batch's can be.
        """
        config = self.config
        shapes = [w.shape for w in self.state.weights[config.frozen :]]
        for layer, (shape, given) in enumerate(zip(shapes, sums, strict=True), config.frozen):
            if given.weights.shape != shape or given.biases.shape != shape[:1]:
                raise DataError(f"layer {layer}: the sums have another shape than its weights")
            largest = max(int(np.abs(v).max()) for v in (given.weights, given.biases))
            if largest > UPDATE_BUDGET:
                raise DataError(f"layer {layer}: a sum of {largest} is no batch's")
        with single_threaded():
            self._apply(reach, sums, [0] * config.layer_count)

    def _part(self, x: Ints, y: Ints, lr_mantissa: int, lr_exponent: int) -> Part:
        forward = self._forward(x)
        error, exponent, losses = self._error(forward.logits, y)
        correct = int(np.count_nonzero(self._correct(forward.logits, y)))
        deltas = self._backward(forward, error, exponent)
        return Part(
            self.config, forward, deltas, (lr_mantissa, lr_exponent), int(losses.sum()), correct
        )

    def _apply(
        self, reach: Reach, sums: Sequence[LayerSums], saturated: Sequence[int]
    ) -> tuple[LayerDetail, ...]:
        """Update every layer and end the batch.

        Args:
            reach: of the batch.
            sums: of each trained layer.
            saturated: per layer, for the details alone.
        """
        frozen, exponents = self.config.frozen, self.exponents(reach)
        details = tuple(
            self._update(k, exponents[k], sums[k - frozen], reach.amx[k], saturated[k])
            if k >= frozen
            else LayerDetail(reach.amx[k], 0, 0, False, saturated[k], 0, False)
            for k in range(self.config.layer_count)
        )
        self._end_batch(reach.amx)
        self.wsat = (self.wsat + sum(d.saturated for d in details)) % WORD
        self.asat = (self.asat + reach.saturated) % WORD
        self.bsat = (self.bsat + sum(d.biases_saturated for d in details)) % WORD
        return details

    def logits(self, features: Features) -> Int32s:
        """Return the last layer's accumulators [N, n[L]] for features [N, n[0]]."""
        x = checked_features(self.config, features)
        with single_threaded():
            blocks = [self._forward(x[i : i + BLOCK]).logits for i in range(0, len(x), BLOCK)]
        return np.concatenate(
            [b.astype(np.int32) for b in blocks] or [np.empty((0, self.config.outputs), np.int32)]
        )

    def activations(self, features: Features) -> list[Ints]:
        """Return a_0..a_{L-1}, each [N, n[l]], of features [N, n[0]]: at most BLOCK of them."""
        with single_threaded():
            return self._forward(checked_features(self.config, features)).activations

    def predict(self, features: Features) -> Int32s:
        """Return the predictions of section 3 for features [N, n[0]].

        Returns:
            [N, 1] class indices for softmax; [N, n[L]] of 0 and 1 for sigmoid outputs,
            of Q16 for linear outputs.
        """
        return self._predictions(self.logits(features).astype(np.int64)).astype(np.int32)

    def evaluate(self, features: Features, targets: Targets) -> tuple[Ints, NDArray[np.bool_]]:
        """Return each sample's reported loss [N] and whether its prediction is right [N]."""
        y = checked_targets(self.config, targets, len(features))
        logits = self.logits(features).astype(np.int64)
        return self._error(logits, y)[2], self._correct(logits, y)

    def digest(self) -> int:
        """Return the digest of the state (section 9)."""
        return state_digest(self.state)

    # Section 3

    def _forward(self, x: Ints) -> _Forward:
        config, state = self.config, self.state
        forward = _Forward([], np.empty(0, np.int64), [0], [0], {})
        a = x
        for layer in range(config.layer_count):
            forward.activations.append(a)
            z = _product(a, state.weights[layer].T) + state.biases[layer]
            assert np.abs(z).max(initial=0) < INT32_MAX
            if layer == config.layer_count - 1:
                forward.logits = z
                break
            if config.activations[layer] == Activation.SIGN:
                forward.gates[layer + 1] = self._gate(layer, z)
            a, amx, saturated = self._activate(layer + 1, z)
            forward.amx.append(amx)
            forward.saturated.append(saturated)
        return forward

    def _activate(self, index: int, z: Ints) -> tuple[Ints, int, int]:
        """Return a_index, and of what a rectifier clamps: the largest magnitude, the count."""
        config, state = self.config, self.state
        activation = config.activations[index - 1]
        bits, limit = config.activation_bits[index - 1], config.activation_max[index]
        e = state.weight_exponent[index - 1] + state.activation_exponent[index - 1]
        if activation in RECTIFIED:
            slope = 0 if activation == Activation.RELU else z >> 3
            v = fn.rs(np.where(z < 0, slope, z), state.activation_exponent[index] - e, INT32_MAX)
            size = np.abs(v)
            amx = int(size.max(initial=0))
            saturated = int(np.count_nonzero(size > limit)) if amx > limit else 0
            return np.clip(v, -limit, limit), amx, saturated
        if activation == Activation.SIGN:
            one = 2 ** (bits - 1)
            return np.where(z < 0, -one, one), 0, 0
        function = fn.sigmoid if activation == Activation.SIGMOID else fn.tanh
        y = function(fn.rs(z, -11 - e, 32767))
        return np.clip(fn.rn(y, 15 - bits), -limit, limit), 0, 0

    def _gate(self, layer: int, z: Ints) -> Ints:
        """Return where the gradient passes the sign that follows a layer."""
        e = self.state.weight_exponent[layer] + self.state.activation_exponent[layer]
        return (np.abs(fn.rs(z, -11 - e, 32767)) <= GATE_MAX).astype(np.int64)

    @property
    def _logit_exponent(self) -> int:
        return self.state.weight_exponent[-1] + self.state.activation_exponent[-1]

    def _predictions(self, logits: Ints) -> Ints:
        if self.config.loss == Loss.SOFTMAX_CROSS_ENTROPY:
            best: Ints = np.argmax(logits, axis=1).astype(np.int64)
            return best[:, None]
        if self.config.loss == Loss.SQUARED_ERROR:
            return fn.rs(logits, -16 - self._logit_exponent, TARGET_MAX)
        return (logits > 0).astype(np.int64)

    def _correct(self, logits: Ints, y: Ints) -> NDArray[np.bool_]:
        if self.config.loss == Loss.SQUARED_ERROR:
            return np.zeros(len(y), np.bool_)
        classes = self.config.loss == Loss.SOFTMAX_CROSS_ENTROPY
        right = y[:, None] if classes else y >= SIGMOID_TARGET_MAX // 2
        same: NDArray[np.bool_] = (self._predictions(logits) == right).all(axis=1)
        return same

    # Section 4

    def _error(self, z: Ints, y: Ints) -> tuple[Ints, int, Ints]:
        """Return the error vector [b, n[L]], its exponent, the reported loss [b]."""
        e = self._logit_exponent
        if self.config.loss == Loss.SOFTMAX_CROSS_ENTROPY:
            p, u, total = fn.softmax(z, e)
            rows = np.arange(len(y))
            p[rows, y] -= 32768
            return p, -15, u[rows, y] + fn.log2(total) - 16 * 1024
        if self.config.loss == Loss.SQUARED_ERROR:
            d = fn.rs(z, -16 - e, TARGET_MAX) - y
            return d, -16, (fn.rs(d, 8, 2047) ** 2).sum(axis=1)
        a = fn.sigmoid(fn.rs(z, -11 - e, 32767))
        d = a - y
        losses: Ints = (fn.rs(d, 7, 2047) ** 2).sum(axis=1)
        if self.config.loss == Loss.SIGMOID_BINARY_CROSS_ENTROPY:
            return d, -15, losses
        return d * fn.rn(a * (32768 - a), 15), -30, losses

    # Section 5

    def _backward(self, forward: _Forward, error: Ints, exponent: int) -> list[_Delta]:
        """Return the delta of every layer that is trained."""
        config, state = self.config, self.state
        mantissa, shift, most = fn.norm(error, config.delta_bits[-1])
        ed = exponent + shift
        if config.clip_exponent is not None:
            excess = np.maximum(0, ed + fn.blen(most) - config.clip_exponent)
            ed -= np.where(most > 0, excess, 0)
        deltas = [_Delta(mantissa, ed, most)]
        for layer in range(config.layer_count - 1, config.frozen, -1):
            above = deltas[0]
            e = _product(above.mantissa, state.weights[layer])
            assert np.abs(e).max(initial=0) <= INT32_MAX
            ex = state.weight_exponent[layer] + above.exponent
            if layer in forward.gates:
                e = e * forward.gates[layer]
            else:
                e, ex = self._derivative(layer, forward.activations[layer], e, ex)
            mantissa, shift, most = fn.norm(e, config.delta_bits[layer - 1])
            deltas.insert(0, _Delta(mantissa, ex + shift, most))
        return deltas

    def _derivative(self, index: int, a: Ints, e: Ints, ex: Ints) -> tuple[Ints, Ints]:
        """Multiply e [b, n] with exponents ex [b] by the derivative of activation a_index."""
        activation = self.config.activations[index - 1]
        if activation == Activation.RELU:
            return np.where(a > 0, e, 0), ex
        if activation == Activation.LEAKY:
            return np.where(a > 0, e, e >> 3), ex
        bits = self.config.activation_bits[index - 1]
        mantissa, shift, _ = fn.norm(e, 15)
        one = 2**bits
        q = a * (one - a) if activation == Activation.SIGMOID else one * one - a * a
        q = fn.rn(q, 2 * bits - 15) if 2 * bits >= 15 else q << (15 - 2 * bits)
        return mantissa * q, ex + shift - 15

    # Section 6

    def _update_unit(self, layer: int) -> int:
        return self.state.weight_exponent[layer] - self.state.activation_exponent[layer]

    def _update(
        self, layer: int, exponent: int, sums: LayerSums, amx: int, activations_saturated: int
    ) -> LayerDetail:
        state = self.state
        e_w, e_x = state.weight_exponent[layer], state.activation_exponent[layer]
        shift = self._update_unit(layer) - exponent
        saturated, unchanged, still = self._update_weights(layer, sums.weights, shift)
        gradient = sums.biases.astype(np.int64)
        biases_saturated = self._update_bias(layer, gradient, shift + 2 * e_x)
        widened = self.config.widen and saturated and e_w < LIMITS["WEIGHT_EXPONENT_MAX"]
        if widened:
            self._widen(layer)
        return LayerDetail(
            amx, exponent, shift, saturated, activations_saturated, biases_saturated, widened,
            unchanged, still,
        )  # fmt: skip

    def _update_weights(
        self, layer: int, gradient: NDArray[np.integer], shift: int
    ) -> tuple[bool, int, int]:
        """Update and round the weights (items 3 and 5).

        Returns:
            True if a counted clamp changed one; `LayerDetail`'s unchanged and still.

        int32 throughout: |G| <= 2**30 and the noise is below 2**24; |V * mu| < 2**23.
        """
        weights = self.state.weights[layer]
        g = gradient.astype(np.int32)
        r = self._draw(weights.size).reshape(weights.shape)
        moving = g != 0 if self.counts_unchanged else None
        saturated = False
        if self.config.momentum:
            u = self._velocity_update(layer, g, r, shift)
        else:
            g += (r >> np.uint32(32 - shift)).view(np.int32)
            g >>= shift
            u, saturated = _clamp(g, -UPDATE_MAX, UPDATE_MAX - 1)
        w = weights.astype(np.int32)
        w -= u
        limit = 2 ** self.config.weight_bits[layer]
        w, limited = _clamp(w, -limit, limit - 1)
        unchanged = still = 0
        if moving is not None:
            same = w == weights
            unchanged = int(np.count_nonzero(same))
            still = unchanged - int(np.count_nonzero(same & moving))
        weights[...] = w
        return saturated or limited, unchanged, still

    def _velocity_update(
        self, layer: int, g: Int32s, r: NDArray[np.uint32], shift: int
    ) -> Int32s:
        bits, velocity = self.config.velocity_bits, self.state.velocities[layer]
        s = shift - bits
        g = np.clip((g + (r >> np.uint32(32 - s)).view(np.int32)) >> s, -VELOCITY_MAX, VELOCITY_MAX)
        v = velocity.astype(np.int32) * self.config.momentum
        v += ((r >> np.uint32(8)) & np.uint32(255)).view(np.int32)
        v >>= 8
        v = np.clip(v + g, -VELOCITY_MAX, VELOCITY_MAX)
        velocity[...] = v
        noise = ((r >> np.uint32(16)) & np.uint32(2**bits - 1)).view(np.int32)
        u: Int32s = (v + noise) >> bits
        return u

    def _update_bias(self, layer: int, gradient: Ints, shift: int) -> int:
        """Update the bias (items 4 and 5); return how many values the clamp changed."""
        bias = self.state.biases[layer].astype(np.int64)
        if self.config.momentum:
            velocity = self.state.bias_velocities[layer].astype(np.int64)
            velocity = fn.rn(velocity * self.config.momentum, 8)
            velocity += fn.rs(gradient, shift - 4, 2**20)
            velocity = np.clip(velocity, -BIAS_VELOCITY_MAX, BIAS_VELOCITY_MAX)
            self.state.bias_velocities[layer][...] = velocity
            bias -= fn.rn(velocity, 4)
        else:
            bias -= fn.rs(gradient, shift, BIAS_MAX)
        self.state.biases[layer][...] = np.clip(bias, -BIAS_MAX, BIAS_MAX)
        return int(np.count_nonzero(np.abs(bias) > BIAS_MAX))

    def _widen(self, layer: int) -> None:
        """Halve the weights and double their unit (item 6)."""
        state = self.state
        weights = state.weights[layer]
        r = self._draw(weights.size).reshape(weights.shape)
        weights[...] = (weights.astype(np.int32) + (r >> np.uint32(31)).view(np.int32)) >> 1
        _halve(state.biases[layer])
        if self.config.momentum:
            _halve(state.velocities[layer])
            _halve(state.bias_velocities[layer])
        state.weight_exponent[layer] += 1

    def _draw(self, count: int) -> NDArray[np.uint32]:
        r = self._jump.draws(self.state.prng, count)
        self.state.prng = int(r[-1])
        return r

    # Section 7

    def _end_batch(self, amx: Sequence[int]) -> None:
        config, state = self.config, self.state
        if config.decay_every and state.step % config.decay_every == config.decay_every - 1:
            for weights in state.weights[config.frozen :]:
                r = self._draw(weights.size).reshape(weights.shape)
                noise = (r >> np.uint32(32 - config.decay_shift)).view(np.int32)
                w = weights.astype(np.int32)
                weights[...] = w - ((w + noise) >> config.decay_shift)
        if config.adaptive:
            for index in range(1, config.layer_count):
                if config.activations[index - 1] in RECTIFIED:
                    self._adapt(index, amx[index])
        if self._discard:
            self._draw(1)
        state.step = (state.step + 1) % WORD

    def _adapt(self, index: int, amx: int) -> None:
        """Move the exponent of a_index by one where its range asks for it (item 2)."""
        state, limit = self.state, self.config.activation_max[index]
        bias, low = state.biases[index], state.low[index - 1]
        low = low + 1 if 0 < amx <= limit >> 2 else 0
        if amx > limit and state.activation_exponent[index] < 0:
            state.activation_exponent[index] += 1
            _halve(bias)
            if self.config.momentum:
                _halve(state.bias_velocities[index])
        elif low == LOW_LIMIT:
            low = 0
            room = int(np.abs(bias.astype(np.int64)).max()) <= BIAS_MAX // 2
            if state.activation_exponent[index] > -14 and room:
                state.activation_exponent[index] -= 1
                bias *= 2
                if self.config.momentum:
                    velocity = state.bias_velocities[index]
                    velocity[...] = np.clip(2 * velocity, -BIAS_VELOCITY_MAX, BIAS_VELOCITY_MAX)
        state.low[index - 1] = low


def _float_product(a: NDArray[np.integer], b: NDArray[np.integer]) -> Floats:
    product: Floats = np.matmul(a.astype(np.float64), b.astype(np.float64))
    return product


def _product(a: NDArray[np.integer], b: NDArray[np.integer]) -> Ints:
    """Multiply integer matrices whose sums stay below 2**53: exact in float64."""
    return _float_product(a, b).astype(np.int64)


def _clamp(v: Int32s, low: int, high: int) -> tuple[Int32s, bool]:
    """Return v within low..high and whether that changed a value."""
    if int(v.max()) <= high and int(v.min()) >= low:
        return v, False
    return np.clip(v, low, high), True


def _halve(values: NDArray[np.int16] | NDArray[np.int32]) -> None:
    """Replace each value by RN(value, 1)."""
    values[...] = fn.rn(values.astype(np.int64), 1)
