"""The floating-point model against finite differences, and the reference against it."""

import itertools

import numpy as np
import pytest
from fixgrad.errors import ModelError
from fixgrad.float_model import FloatMLP
from fixgrad.model import ModelConfig
from fixgrad.protocol import Activation, InputFormat, Loss
from fixgrad.quantize import initial_state, initial_weights, learning_rate_pair, real_parameters
from fixgrad.reference import Reference
from numpy.typing import NDArray

HIDDEN = (Activation.RELU, Activation.LEAKY, Activation.SIGMOID, Activation.TANH)
COMBINATIONS = list(itertools.product(HIDDEN, Loss))
LAYERS = (7, 6, 5, 4)


def targets_for(
    loss: Loss, count: int, outputs: int, generator: np.random.Generator
) -> NDArray[np.generic]:
    if loss == Loss.SOFTMAX_CROSS_ENTROPY:
        return generator.integers(0, outputs, count)
    if loss == Loss.SQUARED_ERROR:
        return generator.normal(size=(count, outputs))
    return generator.integers(0, 2, (count, outputs)).astype(np.float64)


@pytest.mark.parametrize(("activation", "loss"), COMBINATIONS)
def test_gradients_equal_finite_differences(activation: Activation, loss: Loss) -> None:
    generator = np.random.default_rng(int(activation) * 10 + int(loss))
    second = HIDDEN[(int(activation) + 1) % 4]
    biases = [generator.normal(size=n) for n in LAYERS[1:]]
    model = FloatMLP((activation, second), loss, initial_weights(LAYERS, 5), biases, batch=8)
    features = generator.normal(size=(8, LAYERS[0]))
    targets = targets_for(loss, 8, LAYERS[-1], generator)
    by_weight, by_bias = model.gradients(features, targets)
    parameters = [*model.weights, *model.biases]
    h = 1e-5
    for parameter, gradient in zip(parameters, [*by_weight, *by_bias], strict=True):
        numeric = np.zeros_like(parameter)
        for index in np.ndindex(*parameter.shape):
            kept = parameter[index]
            parameter[index] = kept + h
            above = model.loss(features, targets)
            parameter[index] = kept - h
            below = model.loss(features, targets)
            parameter[index] = kept
            numeric[index] = (above - below) / (2 * h)
        assert np.linalg.norm(gradient) > 1e-3
        error = np.linalg.norm(gradient - numeric) / np.linalg.norm(gradient)
        assert error < 1e-6


def test_a_step_is_the_gradient_times_the_rate_over_the_nominal_batch() -> None:
    model = FloatMLP(
        (Activation.TANH,), Loss.SQUARED_ERROR, initial_weights((3, 2, 1), 1), batch=10
    )
    features, targets = np.ones((4, 3)), np.ones((4, 1))
    before = [w.copy() for w in model.weights]
    gradients, _ = model.gradients(features, targets)
    model.step(features, targets, 0.5)
    for old, new, gradient in zip(before, model.weights, gradients, strict=True):
        np.testing.assert_allclose(new, old - 0.05 * gradient, rtol=1e-12)


def test_momentum_accumulates_and_decay_fires_every_n_steps() -> None:
    """One linear neuron w*x, target 0: worked by hand."""
    model = FloatMLP(
        (),
        Loss.SQUARED_ERROR,
        [np.array([[1.0]])],
        batch=1,
        momentum=0.5,
        decay=0.25,
        decay_every=2,
    )
    model.biases[0][:] = 0
    x, t = np.array([[1.0]]), np.array([[0.0]])
    model.step(x, t, 0.5)
    assert model.weights[0][0, 0] == 0.5
    assert model.biases[0][0] == -0.5
    model.step(x, t, 0.5)
    assert model.weights[0][0, 0] == (0.5 - 0.25) * 0.75
    assert model.biases[0][0] == -0.75


def test_float32_stays_float32() -> None:
    model = FloatMLP(
        (Activation.LEAKY, Activation.SIGMOID),
        Loss.SIGMOID_SQUARED_ERROR,
        initial_weights(LAYERS, 1),
        batch=2,
        momentum=0.9,
        dtype=np.float32,
    )
    model.step(np.ones((2, 7)), np.zeros((2, 4)), 0.1)
    arrays = [*model.weights, *model.biases, *model.forward(np.ones((2, 7)))]
    assert {a.dtype for a in arrays} == {np.dtype(np.float32)}


def test_extreme_logits_give_finite_losses() -> None:
    for loss in Loss:
        model = FloatMLP((), loss, [np.array([[1e4], [-1e4]])], batch=1)
        targets = np.array([1]) if loss == Loss.SOFTMAX_CROSS_ENTROPY else np.ones((1, 2))
        assert np.isfinite(model.loss(np.ones((1, 1)), targets))


def test_predictions_have_the_form_of_the_loss() -> None:
    weights = [np.array([[1.0], [-1.0]])]
    x = np.array([[2.0], [-2.0]])
    predictions = {loss: FloatMLP((), loss, weights, batch=1).predict(x).tolist() for loss in Loss}
    assert predictions == {
        Loss.SOFTMAX_CROSS_ENTROPY: [0, 1],
        Loss.SQUARED_ERROR: [[2.0, -2.0], [-2.0, 2.0]],
        Loss.SIGMOID_BINARY_CROSS_ENTROPY: [[1, 0], [0, 1]],
        Loss.SIGMOID_SQUARED_ERROR: [[1, 0], [0, 1]],
    }


def test_a_wrong_number_of_activations_is_refused() -> None:
    with pytest.raises(ModelError, match="activations"):
        FloatMLP((), Loss.SQUARED_ERROR, initial_weights((2, 2, 1), 1), batch=1)


@pytest.mark.parametrize(("activation", "loss"), COMBINATIONS)
def test_an_integer_step_moves_the_parameters_like_a_float_step(
    activation: Activation, loss: Loss
) -> None:
    generator = np.random.default_rng(int(activation) * 10 + int(loss))
    config = ModelConfig(
        layers=(12, 10, 8, 4),
        activations=(activation, HIDDEN[(int(activation) + 1) % 4]),
        loss=loss,
        batch=16,
        input_format=InputFormat.I16,
        input_max=4095,
        activation_bits=(12, 12),
        weight_bits=(),
        delta_bits=(),
        update_bits=0,
    ).with_budgets()
    state = initial_state(config, initial_weights(config.layers, 4), 4, -10, headroom=8)
    state.activation_exponent = [
        -10,
        *(-9 if a in (Activation.RELU, Activation.LEAKY) else -12 for a in config.activations),
    ]
    float_model = FloatMLP.like(config, real_parameters(state)[0])
    features = generator.integers(-2000, 2001, (16, 12))
    targets = targets_for(loss, 16, 4, generator)
    unit = {Loss.SOFTMAX_CROSS_ENTROPY: 1, Loss.SQUARED_ERROR: 65536}.get(loss, 32768)
    fixed_targets = np.rint(targets * unit).astype(np.int64)
    real_targets = targets if unit == 1 else fixed_targets / unit

    rate = 4.0 if loss == Loss.SIGMOID_SQUARED_ERROR else 0.5  # so that rounding is small beside it
    before = real_parameters(state)
    reference = Reference(config, state)
    result = reference.step(features, fixed_targets, *learning_rate_pair(rate, 16))
    after = real_parameters(reference.state)
    float_before = [*float_model.weights, *float_model.biases]
    float_before = [p.copy() for p in float_before]
    float_model.step(features / 1024, real_targets, rate)

    assert not any(layer.saturated for layer in result.layers)
    for old, new, float_old, float_new in zip(
        [*before[0], *before[1]],
        [*after[0], *after[1]],
        float_before,
        [*float_model.weights, *float_model.biases],
        strict=True,
    ):
        moved, float_moved = new - old, float_new - float_old
        assert np.linalg.norm(moved - float_moved) < 0.05 * np.linalg.norm(float_moved)
