"""The nets that bench.planner_model counts: what it fits to, and what it holds out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from fixgrad.bench import WARM_STEPS
from fixgrad.model import ModelConfig, State
from fixgrad.protocol import Activation, InputFormat, Loss
from fixgrad.quantize import initial_state, initial_weights, learning_rate_pair
from fixgrad.stream import ListedSchedule, Samples

LEARNING_RATE = 0.125

_FEATURES = {
    InputFormat.U8: (0, 255, np.uint8), InputFormat.I8: (-127, 127, np.int8),
    InputFormat.I16: (-2047, 2047, np.int16),
}  # fmt: skip


@dataclass(frozen=True)
class Shape:
    """A net whose step is counted.

    Attributes:
        layers, batch: widths and samples.
        activation, loss, element: of all hidden layers; of the outputs; of the features.
        bits: of an activation; more than 8 take two bytes.
        momentum: in 256ths.
        dark: share of the features that are 0 in nearly all samples, as at the borders of images.
        rate: learning rate; a large one brings kernels to clamp their steps.
        seed: of weights and samples.
    """

    layers: tuple[int, ...]
    batch: int
    activation: Activation = Activation.RELU
    loss: Loss = Loss.SOFTMAX_CROSS_ENTROPY
    element: InputFormat = InputFormat.U8
    bits: int = 8
    momentum: int = 0
    dark: float = 0.3
    rate: float = LEARNING_RATE
    seed: int = 1

    def config(self) -> ModelConfig:
        """Return the model."""
        hidden = len(self.layers) - 2
        return ModelConfig(
            layers=self.layers, activations=(self.activation,) * hidden, loss=self.loss,
            batch=self.batch, input_format=self.element, input_max=_FEATURES[self.element][1],
            activation_bits=(self.bits,) * hidden, weight_bits=(14,) * (hidden + 1),
            delta_bits=(15,) * (hidden + 1), update_bits=15, momentum=self.momentum,
            adaptive=True,
        ).with_budgets()  # fmt: skip

    def initial(self) -> State:
        """Return the state before the first step."""
        exponent = -8 if self.element == InputFormat.U8 else -10
        weights = initial_weights(self.layers, self.seed)
        return initial_state(self.config(), weights, self.seed, exponent)

    def schedule(self) -> ListedSchedule:
        """Return the warm steps and the counted one."""
        steps = WARM_STEPS + 1
        rate = learning_rate_pair(self.rate, self.batch)
        return ListedSchedule([self.batch] * steps, [rate] * steps)

    def samples(self) -> Samples:
        """Return samples of blurred random classes, dark at some places."""
        rng = np.random.default_rng(self.seed)
        low, high, dtype = _FEATURES[self.element]
        count = (WARM_STEPS + 1) * self.batch
        shape = (self.layers[-1], self.layers[0])
        lit = rng.random(shape) >= self.dark
        centres = np.where(lit, rng.integers(low, high + 1, shape), 0)
        classes = rng.integers(0, self.layers[-1], count)
        noise = rng.integers(low, high + 1, (count, self.layers[0]))
        noise[rng.random(noise.shape) < 0.9] = 0
        features = np.where(noise != 0, noise, centres[classes]).astype(dtype)
        if self.loss == Loss.SOFTMAX_CROSS_ENTROPY:
            return Samples(features, classes.astype(np.int32))
        one = 65536 if self.loss == Loss.SQUARED_ERROR else 32768
        targets = one * (classes[:, None] == np.arange(self.layers[-1]))
        return Samples(features, targets.astype(np.int32))


def fitted_shapes() -> list[Shape]:
    """Return the nets that the costs are fitted to."""
    plain = [
        ((64, 32, 10), 16), ((64, 32, 10), 1), ((64, 32, 10), 8), ((30, 16, 2), 4),
        ((13, 10, 3), 8), ((4, 8, 3), 8), ((7, 9, 5), 5), ((33, 21, 11), 3), ((100, 30, 10), 32),
        ((196, 32, 10), 8), ((784, 20, 10), 8), ((784, 64, 10), 16), ((400, 50, 25, 10), 12),
        ((32, 24, 24, 10), 16), ((24, 48, 12, 4), 20), ((17, 40, 40, 26), 2), ((64, 10), 16),
        ((50, 27, 15, 7), 7), ((128, 128, 10), 4), ((90, 66, 40), 24), ((5, 4, 4, 3), 2),
        ((65, 33, 9), 6), ((256, 16, 10), 64), ((34, 60, 6), 13),
    ]  # fmt: skip
    shapes = [Shape(layers, batch, seed=index) for index, (layers, batch) in enumerate(plain)]
    shapes += [
        Shape((64, 32, 10), 16, dark=0.8), Shape((196, 40, 10), 16, dark=0.6),
        Shape((64, 32, 10), 16, dark=0.0), Shape((48, 32, 10), 12, rate=4.0),
        Shape((49, 31, 9), 7, rate=4.0), Shape((784, 100, 50, 10), 16, dark=0.5),
    ]  # fmt: skip
    for activation in (Activation.LEAKY, Activation.SIGMOID, Activation.TANH, Activation.SIGN):
        shapes += [
            Shape((40, 24, 12, 5), 8, activation), Shape((21, 36, 7), 13, activation),
            Shape((12, 9, 9, 4), 3, activation),
        ]  # fmt: skip
    for activation in (Activation.RELU, Activation.SIGMOID):
        shapes += [
            Shape((40, 24, 12, 5), 8, activation, bits=12),
            Shape((18, 31, 6), 5, activation, bits=12),
        ]  # fmt: skip
    for element in (InputFormat.I8, InputFormat.I16):
        shapes += [
            Shape((40, 24, 5), 8, element=element), Shape((13, 10, 3), 16, element=element),
            Shape((201, 15, 7), 5, element=element), Shape((30, 8, 2), 1, element=element),
        ]  # fmt: skip
    for loss in Loss:
        if loss != Loss.SOFTMAX_CROSS_ENTROPY:
            shapes += [
                Shape((20, 12, 1), 8, loss=loss), Shape((20, 12, 5), 4, loss=loss),
                Shape((33, 18, 12), 7, loss=loss),
            ]  # fmt: skip
    shapes += [
        Shape(layers, batch, momentum=230)
        for layers, batch in [
            ((64, 32, 10), 16), ((21, 13, 5), 3), ((40, 24, 12, 5), 8), ((10, 30, 4), 1),
            ((50, 20, 7), 24),
        ]  # fmt: skip
    ]
    return shapes


def held_out_shapes() -> list[Shape]:
    """Return nets that are not fitted to, to tell the error."""
    return [
        Shape((64, 48, 10), 12, seed=101), Shape((784, 40, 10), 8, dark=0.7, seed=102),
        Shape((30, 20, 10, 2), 16, seed=103), Shape((63, 17, 5), 9, seed=104),
        Shape((36, 36, 36, 36, 8), 8, seed=105), Shape((144, 25, 10), 2, dark=0.5, seed=106),
        Shape((16, 24, 6), 32, dark=0.1, seed=107), Shape((8, 16, 4), 1, seed=108),
        Shape((13, 16, 3), 8, element=InputFormat.I16, dark=0.0, seed=109),
        Shape((30, 16, 1), 8, loss=Loss.SIGMOID_BINARY_CROSS_ENTROPY, seed=110),
        Shape((45, 20, 6), 10, Activation.TANH, seed=111),
        Shape((64, 24, 10), 8, momentum=230, seed=112),
    ]  # fmt: skip
