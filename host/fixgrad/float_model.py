"""A plain floating-point network with the shapes, activations and losses of docs/NUMERICS.md.

It is what the fixed-point arithmetic is compared with. Forward and backward stand side by side;
a batch's gradient is summed, and the learning rate is divided by the nominal batch size.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fixgrad.errors import ModelError
from fixgrad.model import ModelConfig
from fixgrad.protocol import Activation, Loss
from fixgrad.threads import single_threaded

Floats = NDArray[np.floating]
LEAKY_SLOPE = 0.125


def activate(activation: Activation, z: Floats) -> Floats:
    """Return a = f(z), in the shape of z."""
    if activation == Activation.RELU:
        return np.maximum(z, 0)
    if activation == Activation.LEAKY:
        return np.where(z > 0, z, z * z.dtype.type(LEAKY_SLOPE))
    if activation == Activation.SIGMOID:
        return _sigmoid(z)
    if activation == Activation.TANH:
        return np.tanh(z)
    if activation == Activation.SIGN:
        return np.where(z < 0, z.dtype.type(-1), z.dtype.type(1))
    return z


def derivative(activation: Activation, a: Floats) -> Floats:
    """Return f'(z) from a = f(z), in the shape of a; for sign see `straight_through`."""
    if activation == Activation.RELU:
        return np.asarray(a > 0, a.dtype)
    if activation == Activation.LEAKY:
        return np.where(a > 0, a.dtype.type(1), a.dtype.type(LEAKY_SLOPE))
    if activation == Activation.SIGMOID:
        return a * (1 - a)
    if activation == Activation.TANH:
        return 1 - a * a
    return np.ones_like(a)


def straight_through(z: Floats) -> Floats:
    """Return what stands for the derivative of the sign: that of clamp(z, -1, 1).

    Source:
        Bengio et al. 2013, "Estimating or propagating gradients through stochastic neurons";
        clipped as in Courbariaux et al. 2016, "Binarized neural networks".
    """
    return np.asarray(np.abs(z) <= 1, z.dtype)


def losses(loss: Loss, z: Floats, targets: NDArray[np.generic]) -> Floats:
    """Return each sample's loss.

    Args:
        loss: the loss.
        z: logits [b, n].
        targets: class indices [b] for softmax, else real values [b, n].

    Returns:
        [b]: cross-entropy in nats, or half the squared error; summed over the outputs.
    """
    if loss == Loss.SOFTMAX_CROSS_ENTROPY:
        shifted = z - z.max(axis=1, keepdims=True)
        chosen: Floats = shifted[np.arange(len(z)), targets.astype(np.int64)]
        return np.log(_sum(np.exp(shifted))) - chosen
    t = targets.astype(z.dtype)
    if loss == Loss.SQUARED_ERROR:
        return _sum((z - t) ** 2) / 2
    if loss == Loss.SIGMOID_BINARY_CROSS_ENTROPY:
        return _sum(np.maximum(z, 0) - z * t + np.log1p(np.exp(-np.abs(z))))
    return _sum((_sigmoid(z) - t) ** 2) / 2


def loss_gradient(loss: Loss, z: Floats, targets: NDArray[np.generic]) -> Floats:
    """Return the derivative of `losses` with respect to the logits [b, n]."""
    if loss == Loss.SOFTMAX_CROSS_ENTROPY:
        p: Floats = np.exp(z - z.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        p[np.arange(len(z)), targets.astype(np.int64)] -= 1
        return p
    t = targets.astype(z.dtype)
    if loss == Loss.SQUARED_ERROR:
        return z - t
    a = _sigmoid(z)
    if loss == Loss.SIGMOID_BINARY_CROSS_ENTROPY:
        return a - t
    return (a - t) * a * (1 - a)


class FloatMLP:
    """A multilayer perceptron trained by SGD with momentum and decoupled weight decay.

    Attributes:
        weights: per layer [n_out, n_in].
        biases: per layer [n_out].
        step_count: steps done.
    """

    def __init__(
        self,
        activations: Sequence[Activation],
        loss: Loss,
        weights: Sequence[Floats],
        biases: Sequence[Floats] | None = None,
        *,
        batch: int,
        momentum: float = 0.0,
        decay: float = 0.0,
        decay_every: int = 0,
        frozen: int = 0,
        dtype: type[np.floating] = np.float64,
    ) -> None:
        """Take a copy of the initial parameters.

        Args:
            activations: one per hidden layer.
            loss: loss and kind of output.
            weights: per layer [n_out, n_in].
            biases: per layer [n_out]; zeros by default.
            batch: nominal batch size; a short batch is a smaller sum, not a larger mean.
            momentum: share of the velocity that a step keeps.
            decay: share of every weight that is taken away by a decay.
            decay_every: steps between decays; 0 switches decay off.
            frozen: the first layers that are not trained.
            dtype: np.float64 or np.float32.

        Raises:
            ModelError: the number of activations does not match the layers.
        """
        if len(activations) != len(weights) - 1:
            raise ModelError(
                f"{len(activations)} activations; {len(weights)} layers need {len(weights) - 1}"
            )
        self.weights: list[Floats] = [np.array(w, dtype) for w in weights]
        self.biases: list[Floats] = [
            np.zeros(len(w), dtype) if biases is None else np.array(biases[i], dtype)
            for i, w in enumerate(weights)
        ]
        self.step_count = 0
        self._activations = (*activations, Activation.LINEAR)
        self._loss = loss
        self._batch = batch
        self._momentum = momentum
        self._decay = decay
        self._decay_every = decay_every
        self._frozen = frozen
        self._dtype = dtype
        self._velocities = [np.zeros_like(p) for p in (*self.weights, *self.biases)]

    @staticmethod
    def like(
        config: ModelConfig,
        weights: Sequence[Floats],
        biases: Sequence[Floats] | None = None,
        *,
        dtype: type[np.floating] = np.float64,
    ) -> FloatMLP:
        """Return the floating-point counterpart of a model.

        Norm clipping has no counterpart here.
        """
        return FloatMLP(
            config.activations,
            config.loss,
            weights,
            biases,
            batch=config.batch,
            momentum=config.momentum / 256,
            decay=2.0**-config.decay_shift,
            decay_every=config.decay_every,
            frozen=config.frozen,
            dtype=dtype,
        )

    def forward(self, features: NDArray[np.generic]) -> list[Floats]:
        """Return the input, every hidden activation and the logits, each [b, n[l]]."""
        a: Floats = features.astype(self._dtype)
        values = [a]
        for w, b, activation in zip(self.weights, self.biases, self._activations, strict=True):
            a = activate(activation, a @ w.T + b)
            values.append(a)
        return values

    def gradients(
        self, features: NDArray[np.generic], targets: NDArray[np.generic]
    ) -> tuple[list[Floats], list[Floats]]:
        """Return the gradients of the batch's summed loss, shaped like weights and biases."""
        return self._backward(self.forward(features), targets)

    def _backward(
        self, values: list[Floats], targets: NDArray[np.generic]
    ) -> tuple[list[Floats], list[Floats]]:
        *inputs, z = values
        delta = loss_gradient(self._loss, z, targets)
        by_weight: list[Floats] = []
        by_bias: list[Floats] = []
        for layer in range(len(self.weights) - 1, -1, -1):
            by_weight.insert(0, delta.T @ inputs[layer])
            by_bias.insert(0, delta.sum(axis=0))
            if layer > 0:
                delta = (delta @ self.weights[layer]) * self._slope(layer, inputs)
        return by_weight, by_bias

    def _slope(self, index: int, inputs: list[Floats]) -> Floats:
        """Return the derivative of the activation that made a_index, [b, n[index]]."""
        activation, layer = self._activations[index - 1], index - 1
        if activation == Activation.SIGN:
            return straight_through(inputs[layer] @ self.weights[layer].T + self.biases[layer])
        return derivative(activation, inputs[index])

    def step(
        self, features: NDArray[np.generic], targets: NDArray[np.generic], learning_rate: float
    ) -> float:
        """Train one batch and return its summed loss before the step."""
        with single_threaded():
            values = self.forward(features)
            loss = float(losses(self._loss, values[-1], targets).sum())
            by_weight, by_bias = self._backward(values, targets)
        rate = self._dtype(learning_rate / self._batch)
        momentum = self._dtype(self._momentum)
        parameters = [*self.weights, *self.biases]
        for index, (parameter, velocity, gradient) in enumerate(
            zip(parameters, self._velocities, [*by_weight, *by_bias], strict=True)
        ):
            if index % len(self.weights) < self._frozen:
                continue
            velocity *= momentum
            velocity += rate * gradient
            parameter -= velocity
        every = self._decay_every
        if every and self.step_count % every == every - 1:
            for weights in self.weights[self._frozen :]:
                weights *= self._dtype(1 - self._decay)
        self.step_count += 1
        return loss

    def loss(self, features: NDArray[np.generic], targets: NDArray[np.generic]) -> float:
        """Return the batch's summed loss (see `losses`)."""
        return float(losses(self._loss, self.forward(features)[-1], targets).sum())

    def predict(self, features: NDArray[np.generic]) -> Floats | NDArray[np.int64]:
        """Return predictions: [N] classes, [N, n] of 0 and 1, or [N, n] real values."""
        z = self.forward(features)[-1]
        if self._loss == Loss.SOFTMAX_CROSS_ENTROPY:
            classes: NDArray[np.int64] = np.argmax(z, axis=1)
            return classes
        return z if self._loss == Loss.SQUARED_ERROR else np.asarray(z > 0, np.int64)


def _sigmoid(z: Floats) -> Floats:
    """Return 1 / (1 + exp(-z)) without overflow."""
    small: Floats = np.exp(-np.abs(z))
    return np.where(z >= 0, z.dtype.type(1), small) / (1 + small)


def _sum(values: Floats) -> Floats:
    """Return the sum over the outputs [b]."""
    total: Floats = values.sum(axis=1)
    return total
