"""What the reference accepts, refuses and reports; its bits are tested by vectors."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from fixgrad.errors import DataError, ModelError
from fixgrad.model import ModelConfig, State
from fixgrad.protocol import Activation, InputFormat, Loss
from fixgrad.quantize import initial_state, initial_weights
from fixgrad.reference import Reference

PAIR = (128, -12)


def config(loss: Loss = Loss.SOFTMAX_CROSS_ENTROPY, momentum: int = 0) -> ModelConfig:
    return ModelConfig(
        layers=(5, 4, 3),
        activations=(Activation.RELU,),
        loss=loss,
        batch=4,
        input_format=InputFormat.I8,
        input_max=100,
        activation_bits=(8,),
        weight_bits=(),
        delta_bits=(),
        update_bits=0,
        momentum=momentum,
    ).with_budgets()


def state_of(model: ModelConfig, seed: int = 1) -> State:
    return initial_state(model, initial_weights(model.layers, seed), seed, -6)


def linear(loss: Loss, weights: list[list[int]], batch: int = 4) -> Reference:
    """Return one layer whose logits are weights @ x, in units of 2**-16."""
    model = ModelConfig(
        layers=(len(weights[0]), len(weights)),
        activations=(),
        loss=loss,
        batch=batch,
        input_format=InputFormat.I16,
        input_max=1000,
        activation_bits=(),
        weight_bits=(),
        delta_bits=(),
        update_bits=0,
    ).with_budgets()
    state = State(
        [np.array(weights, np.int16)],
        [np.zeros(len(weights), np.int32)],
        [],
        [],
        [-16],
        [0],
        [],
        0,
        0,
    )
    return Reference(model, state)


@pytest.mark.parametrize("momentum", [0, 230])
def test_digest_is_the_multiply_add_over_every_word(momentum: int) -> None:
    """NUMERICS section 9, word by word in Python's integers."""
    model = config(momentum=momentum)
    reference = Reference(model, state_of(model))
    rng = np.random.default_rng(0)
    for _ in range(3):
        reference.step(rng.integers(-100, 101, (4, 5)), rng.integers(0, 3, 4), *PAIR)
    state = reference.state
    words: list[int] = []
    for layer in range(2):
        words += [int(w) for w in state.weights[layer].ravel()]
        words += [int(b) for b in state.biases[layer]]
        if momentum:
            words += [int(v) for v in state.velocities[layer].ravel()]
            words += [int(v) for v in state.bias_velocities[layer]]
    words += [*state.weight_exponent, *state.activation_exponent, *state.low]
    words += [state.prng, state.step]
    digest = 0x811C9DC5
    for word in words:
        digest = (digest * 0x9E3779B1 + word) % 2**32
    assert reference.digest() == digest


def test_the_given_state_stays_as_it_was() -> None:
    model = config()
    state = state_of(model)
    before = state.encode()
    Reference(model, state).step(np.ones((2, 5), np.int8), np.array([0, 1]), *PAIR)
    assert state.encode() == before


def test_inference_changes_neither_state_nor_counters() -> None:
    model = config()
    reference = Reference(model, state_of(model))
    before = reference.state.encode()
    features = np.full((5000, 5), 100, np.int8)
    reference.logits(features)
    reference.predict(features)
    reference.evaluate(features, np.zeros(5000, np.int64))
    assert reference.state.encode() == before
    assert (reference.wsat, reference.asat, reference.bsat) == (0, 0, 0)


def test_many_samples_give_the_logits_of_each_alone() -> None:
    model = config()
    reference = Reference(model, state_of(model))
    features = np.random.default_rng(0).integers(-100, 101, (4100, 5)).astype(np.int8)
    together = reference.logits(features)
    for index in (0, 2047, 2048, 4099):
        np.testing.assert_array_equal(
            together[index], reference.logits(features[index : index + 1])[0]
        )
    assert reference.logits(features[:0]).shape == (0, 3)


def test_equal_logits_predict_the_lowest_class() -> None:
    reference = linear(Loss.SOFTMAX_CROSS_ENTROPY, [[1], [2], [2]])
    assert reference.predict(np.array([[3], [0], [-1]])).tolist() == [[1], [0], [0]]


def test_softmax_counts_a_sample_whose_class_is_predicted() -> None:
    reference = linear(Loss.SOFTMAX_CROSS_ENTROPY, [[1], [2], [2]])
    result = reference.step(np.array([[3], [0], [-1]]), np.array([1, 1, 0]), 1, -64)
    assert result.correct == 2


@pytest.mark.parametrize("loss", [Loss.SIGMOID_BINARY_CROSS_ENTROPY, Loss.SIGMOID_SQUARED_ERROR])
def test_sigmoid_counts_a_sample_whose_outputs_are_all_right(loss: Loss) -> None:
    reference = linear(loss, [[1], [-1]])
    features = np.array([[5], [5], [-5], [0]])
    targets = np.array([[16384, 16383], [16384, 16384], [0, 32768], [0, 0]])
    assert reference.predict(features).tolist() == [[1, 0], [1, 0], [0, 1], [0, 0]]
    assert reference.evaluate(features, targets)[1].tolist() == [True, False, True, True]
    assert reference.step(features, targets, 1, -64).correct == 3


def test_linear_outputs_predict_q16_and_count_nothing() -> None:
    reference = linear(Loss.SQUARED_ERROR, [[3], [-7]])
    features = np.array([[5], [-5]])
    assert reference.predict(features).tolist() == [[15, -35], [-15, 35]]
    assert reference.step(features, np.array([[15, -35], [-15, 35]]), 1, -64).correct == 0


def test_a_batch_loss_saturates_at_32_bits() -> None:
    """64 outputs, each 2047**2: 17 samples pass 2**32."""
    for samples, loss in ((16, 16 * 64 * 2047**2), (17, 2**32 - 1)):
        reference = linear(Loss.SQUARED_ERROR, [[1]] * 64, batch=17)
        targets = np.full((samples, 64), 2**26)
        assert reference.step(np.ones((samples, 1), int), targets, 1, -64).loss == loss


def test_counters_wrap_at_32_bits() -> None:
    reference = linear(Loss.SQUARED_ERROR, [[1]])
    reference.wsat = 2**32 - 1
    result = reference.step(np.array([[1000]]), np.array([[2**26]]), 2**15, 30)
    assert result.layers[0].saturated
    assert reference.wsat == 0


def test_step_counts_wrap_at_32_bits() -> None:
    model = config()
    state = state_of(model)
    state.step = 2**32 - 1
    reference = Reference(model, state)
    reference.step(np.zeros((1, 5), int), np.array([0]), *PAIR)
    assert reference.state.step == 0


def test_details_name_the_saturated_activations() -> None:
    model = config()
    state = state_of(model)
    state.weights[0][:] = 2000
    state.activation_exponent = [-6, -15]
    result = Reference(model, state).step(np.full((3, 5), 100), np.array([0, 1, 2]), *PAIR)
    assert result.layers[1].activations_saturated == 12
    assert result.layers[1].amx > 255
    assert result.layers[0].amx == 0


@pytest.mark.parametrize(
    ("features", "targets", "pair", "what"),
    [
        (np.zeros((5, 5)), np.zeros(5), PAIR, "batch size is 5; it must be 1 to 4"),
        (np.zeros((0, 5)), np.zeros(0), PAIR, "batch size is 0"),
        (np.zeros((1, 5)), np.zeros(1), (0, 0), "mantissa is 0; it must be 1 to 32768"),
        (np.zeros((1, 5)), np.zeros(1), (32769, 0), "mantissa is 32769"),
        (np.zeros((1, 5)), np.zeros(1), (1, -65), "exponent is -65; it must be -64 to 63"),
        (np.zeros((1, 5)), np.zeros(1), (1, 64), "exponent is 64"),
        (np.zeros((1, 4)), np.zeros(1), PAIR, "features of shape"),
        (np.full((1, 5), 101), np.zeros(1), PAIR, "outside -100 to 100"),
        (np.full((1, 5), -101), np.zeros(1), PAIR, "outside -100 to 100"),
        (np.zeros((1, 5)), np.full(1, 3), PAIR, "outside 0 to 2"),
        (np.zeros((1, 5)), np.full(1, -1), PAIR, "outside 0 to 2"),
        (np.zeros((1, 5)), np.zeros((1, 3)), PAIR, "targets of shape"),
        (np.zeros((2, 5)), np.zeros(1), PAIR, "targets of shape"),
    ],
)
def test_a_bad_batch_is_refused_and_changes_nothing(
    features: np.ndarray, targets: np.ndarray, pair: tuple[int, int], what: str
) -> None:
    reference = Reference(config(), state_of(config()))
    before = reference.digest()
    with pytest.raises(DataError, match=what):
        reference.step(features.astype(int), targets.astype(int), *pair)
    assert reference.digest() == before


@pytest.mark.parametrize(
    ("loss", "low", "high"),
    [
        (Loss.SQUARED_ERROR, -(2**26), 2**26),
        (Loss.SIGMOID_SQUARED_ERROR, 0, 32768),
        (Loss.SIGMOID_BINARY_CROSS_ENTROPY, 0, 32768),
    ],
)
def test_target_limits_are_exact(loss: Loss, low: int, high: int) -> None:
    reference = Reference(config(loss), state_of(config(loss)))
    features = np.zeros((1, 5), int)
    for target in (low, high):
        reference.step(features, np.full((1, 3), target), *PAIR)
    for target in (low - 1, high + 1):
        with pytest.raises(DataError, match=f"outside {low} to {high}"):
            reference.step(features, np.full((1, 3), target), *PAIR)


def _set(path: str, value: object) -> Callable[[State], None]:
    def change(state: State) -> None:
        name, _, index = path.partition(" ")
        if index:
            getattr(state, name)[int(index)] = value
        else:
            setattr(state, name, value)

    return change


def _poke(name: str, layer: int, value: int) -> Callable[[State], None]:
    def change(state: State) -> None:
        getattr(state, name)[layer].flat[-1] = value

    return change


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (_poke("weights", 1, 2**14), "weights of layer 1 lies outside -16384 to 16383"),
        (_poke("weights", 0, -(2**14) - 1), "weights of layer 0"),
        (_poke("biases", 1, 2**28 + 1), "bias of layer 1"),
        (_poke("velocities", 0, -32768), "velocity of layer 0"),
        (_poke("bias_velocities", 0, 2**22 + 1), "bias_velocity of layer 0"),
        (_set("weight_exponent 0", 32), "weight_exponent of the state is 32"),
        (_set("weight_exponent 1", -33), "weight_exponent of the state is -33"),
        (_set("activation_exponent 0", 16), "activation_exponent of the state is 16"),
        (_set("activation_exponent 1", 1), "activation_exponent of the state is 1"),
        (_set("activation_exponent 1", -16), "activation_exponent of the state is -16"),
        (_set("low 0", 256), "low of the state is 256"),
        (_set("prng", 2**32), "prng and step"),
        (_set("step", -1), "prng and step"),
        (_set("velocities", []), "0 velocities, the model needs 2"),
        (_set("low", []), "0 low, the model needs 1"),
        (_set("weights 1", np.zeros((3, 5), np.int16)), r"needs int16 \(3, 4\)"),
        (_set("biases 0", np.zeros(4, np.int64)), r"needs int32 \(4,\)"),
    ],
)
def test_a_state_out_of_range_is_refused(change: Callable[[State], None], what: str) -> None:
    model = config(momentum=230)
    state = state_of(model)
    Reference(model, state)
    change(state)
    with pytest.raises(ModelError, match=what):
        Reference(model, state)


def test_a_model_outside_its_budgets_is_refused() -> None:
    model = config()
    wide = dataclasses.replace(model, update_bits=16)
    with pytest.raises(ModelError, match="update_bits"):
        Reference(wide, state_of(model))
