"""Initial states and learning-rate pairs against the formulas of NUMERICS, in exact fractions."""

import math
from fractions import Fraction

import numpy as np
import pytest
from fixgrad import quantize
from fixgrad.errors import ModelError
from fixgrad.model import ModelConfig
from fixgrad.protocol import Activation, InputFormat, Loss
from fixgrad.reference import Reference


def config(
    layers: tuple[int, ...] = (6, 5, 4, 3),
    activations: tuple[Activation, ...] = (Activation.RELU, Activation.TANH),
    momentum: int = 0,
) -> ModelConfig:
    return ModelConfig(
        layers=layers,
        activations=activations,
        loss=Loss.SOFTMAX_CROSS_ENTROPY,
        batch=4,
        input_format=InputFormat.U8,
        input_max=255,
        activation_bits=(8,) * len(activations),
        weight_bits=(),
        delta_bits=(),
        update_bits=0,
        momentum=momentum,
    ).with_budgets()


@pytest.mark.parametrize("bits", [7, 13, 14])
@pytest.mark.parametrize("headroom", [1.0, 4.0, 16.0])
def test_weight_exponent_is_the_smallest_that_leaves_the_headroom(
    bits: int, headroom: float
) -> None:
    for most in (1.0, 0.5, math.nextafter(0.5, 1), math.nextafter(0.5, 0), 0.7, 3.1, 1e-3):
        exponent = quantize.weight_exponent(np.array([[-most, most / 3]]), bits, headroom)
        needed = Fraction(headroom) * Fraction(most)
        assert needed <= Fraction(2) ** (bits + exponent)
        assert needed > Fraction(2) ** (bits + exponent - 1)


def test_zero_weights_take_the_unit_of_their_bits() -> None:
    assert quantize.weight_exponent(np.zeros((2, 2)), 13) == -13


@pytest.mark.parametrize("weight", [math.nan, math.inf, 1e308, 1e14, 1e-30])
def test_a_weight_out_of_range_is_refused(weight: float) -> None:
    with pytest.raises(ModelError):
        quantize.weight_exponent(np.array([[weight]]), 14)


@pytest.mark.parametrize("headroom", [0.0, -1.0, math.nan, math.inf])
def test_a_headroom_that_is_no_positive_number_is_refused(headroom: float) -> None:
    with pytest.raises(ModelError, match="headroom"):
        quantize.weight_exponent(np.ones((1, 1)), 14, headroom)


def test_weights_round_ties_to_even_and_saturate() -> None:
    weights = np.array([[0.5, 1.5, 2.5, -0.5, -1.5, 127.4, 300.0, -300.0]])
    assert quantize.quantize_weights(weights, 0, 7).tolist() == [[0, 2, 2, 0, -2, 127, 127, -127]]
    assert quantize.quantize_weights(weights / 8, -3, 7).tolist() == [
        [0, 2, 2, 0, -2, 127, 127, -127]
    ]


def test_biases_use_the_accumulator_unit_and_saturate() -> None:
    bias = np.array([1.0, -0.25, 1e9, -1e9])
    assert quantize.quantize_bias(bias, -16).tolist() == [65536, -16384, 2**28, -(2**28)]


def test_a_bias_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ModelError, match="bias"):
        quantize.quantize_bias(np.array([math.nan]), 0)


def test_hidden_exponents_follow_the_activation() -> None:
    assert quantize.hidden_exponents(config()) == [-4, -8]
    sigmoid = config((3, 2, 2), (Activation.SIGMOID,))
    assert quantize.hidden_exponents(sigmoid) == [-8]


def test_the_generator_starts_at_the_mixed_seed() -> None:
    """The seed is chosen so that the mixed word is MurmurHash3's published fmix32(1)."""
    seed = (1 - 0x9E3779B9) % 2**32
    model = config()
    state = quantize.initial_state(model, quantize.initial_weights(model.layers, 0), seed, -8)
    assert state.prng == 0x514E28B7


@pytest.mark.parametrize("method", quantize.INITIALISATIONS)
@pytest.mark.parametrize("momentum", [0, 230])
def test_an_initial_state_is_accepted_by_the_reference(method: str, momentum: int) -> None:
    model = config(momentum=momentum)
    weights = quantize.initial_weights(model.layers, 7, method)
    state = quantize.initial_state(model, weights, 7, -8)
    reference = Reference(model, state)
    assert reference.digest() == Reference(model, state.copy()).digest()
    back, _ = quantize.real_parameters(state)
    for got, wanted, exponent in zip(back, weights, state.weight_exponent, strict=True):
        assert np.abs(got - wanted).max() <= 2.0**exponent / 2


def test_imported_biases_are_kept() -> None:
    model = config()
    weights = quantize.initial_weights(model.layers, 7)
    biases = [np.linspace(-1, 1, n) for n in model.layers[1:]]
    state = quantize.initial_state(model, weights, 7, -8, biases=biases)
    _, back = quantize.real_parameters(state)
    for got, wanted in zip(back, biases, strict=True):
        assert np.abs(got - wanted).max() < 2.0**-10


def test_other_shapes_are_refused() -> None:
    model = config()
    weights = quantize.initial_weights((6, 5, 4, 2), 7)
    with pytest.raises(ModelError, match="shapes"):
        quantize.initial_state(model, weights, 7, -8)


def test_an_input_exponent_out_of_range_is_refused() -> None:
    model = config()
    weights = quantize.initial_weights(model.layers, 7)
    with pytest.raises(ModelError, match="input_exponent"):
        quantize.initial_state(model, weights, 7, -16)


@pytest.mark.parametrize(
    ("method", "deviation"),
    [
        ("he", math.sqrt(2 / 400)),
        ("lecun", math.sqrt(1 / 400)),
        ("glorot", math.sqrt(2 / 700)),
        ("uniform", math.sqrt(1 / 1200)),
    ],
)
def test_initial_weights_have_the_variance_of_their_method(method: str, deviation: float) -> None:
    weights = quantize.initial_weights((400, 300), 3, method)[0]
    assert weights.shape == (300, 400)
    assert abs(weights.std() / deviation - 1) < 0.02
    assert abs(weights.mean()) < deviation * 0.02


def test_initial_weights_depend_on_the_seed_only() -> None:
    first, again = (quantize.initial_weights((5, 4, 3), 1) for _ in range(2))
    other = quantize.initial_weights((5, 4, 3), 2)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_an_unknown_initialisation_is_refused_by_name() -> None:
    with pytest.raises(ModelError, match="'xavier'.*glorot"):
        quantize.initial_weights((2, 2), 1, "xavier")


@pytest.mark.parametrize("batch", [1, 3, 16, 1437])
def test_learning_rate_pair_is_the_rate_in_eight_bits(batch: int) -> None:
    for rate in (1.0, 0.125, 0.1, 0.003, 4.0, 2.0**-11, 255.9, 1e-9):
        mantissa, exponent = quantize.learning_rate_pair(rate, batch)
        assert 128 <= mantissa <= 256
        wanted = Fraction(rate / batch)
        assert Fraction(2) ** (exponent + 7) <= wanted < Fraction(2) ** (exponent + 8)
        assert abs(Fraction(mantissa) * Fraction(2) ** exponent - wanted) <= (
            Fraction(2) ** (exponent - 1)
        )


def test_powers_of_two_have_the_mantissa_128() -> None:
    assert quantize.learning_rate_pair(0.125, 16) == (128, -14)


@pytest.mark.parametrize("rate", [0.0, -0.1, math.nan, math.inf, 1e-30, 1e30])
def test_a_learning_rate_out_of_range_is_refused(rate: float) -> None:
    with pytest.raises(ModelError, match="learning rate"):
        quantize.learning_rate_pair(rate, 16)
