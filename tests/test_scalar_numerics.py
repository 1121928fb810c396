"""The scalar implementation of docs/NUMERICS.md: it gives what the shared vectors expect."""

import importlib.util
import json
from types import ModuleType

import numpy as np
import pytest
from fixgrad.model import ModelConfig
from fixgrad.protocol import Activation, InputFormat, Loss
from fixgrad.reference import Reference
from fixgrad.vectors import load_case, packaged_vectors
from random_models import random_case

QUICK = (
    "cancer_sigmoid_bce",
    "growing_exponent_momentum_widen",
    "odd_shapes_five_layers",
    "shrinking_exponent_momentum",
    "six_bit_sigmoid_multilabel",
    "xor_sigmoid",
)


@pytest.fixture(scope="module")
def scalar(request: pytest.FixtureRequest) -> ModuleType:
    path = request.config.rootpath / "tools" / "scalar_numerics.py"
    spec = importlib.util.spec_from_file_location("scalar_numerics", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "path", [p for p in packaged_vectors() if p.stem in QUICK], ids=lambda p: p.stem
)
def test_it_agrees_with_vectors_of_another_implementation(scalar: ModuleType, path) -> None:  # type: ignore[no-untyped-def]
    assert scalar.check(path) == ""


def test_the_vectors_it_wrote_are_what_it_makes(scalar: ModuleType) -> None:
    paths = {path.stem: path for path in packaged_vectors()}
    for name, (config, arrays) in scalar.cases().items():
        case = load_case(paths[name])
        assert Activation.SIGN in case.config.activations or case.config.frozen
        with np.load(paths[name]) as file:
            assert json.loads(file["config"].tobytes()) == config
            for key, value in arrays.items():
                np.testing.assert_array_equal(file[key], value, err_msg=key)
        assert scalar.check(paths[name]) == ""


def test_the_sign_vectors_reach_closed_and_open_gates(scalar: ModuleType) -> None:
    name = "sign_softmax"
    config, arrays = scalar.cases()[name]
    model = scalar.Scalar(config, arrays)
    gates = [model.forward(x.tolist(), [0] * 3)[1][1] for x in arrays["x"].astype(int)]
    assert 0.1 < np.mean(gates) < 0.9


def test_a_sign_unit_at_zero_is_positive_and_passes_the_gradient() -> None:
    config = ModelConfig(
        (1, 1, 2),
        (Activation.SIGN,),
        Loss.SOFTMAX_CROSS_ENTROPY,
        1,
        InputFormat.U8,
        255,
        (8,),
        (),
        (),
        0,
    ).with_budgets()
    state = random_case(1).state
    state.weights = [np.zeros((1, 1), np.int16), np.array([[100], [0]], np.int16)]
    state.biases = [np.zeros(1, np.int32), np.zeros(2, np.int32)]
    state.velocities, state.bias_velocities = [], []
    state.weight_exponent, state.activation_exponent, state.low = [-10, -10], [-8, -7], [0]
    model = Reference(config, state)
    # a = 2**7 in units of 2**-7 is 1; times the weight 100.
    assert model.logits(np.array([[0]], np.uint8)).tolist() == [[12800, 0]]
    model.step(np.array([[255]], np.uint8), np.array([1], np.int32), 255, -8)
    assert model.state.weights[0][0, 0] != 0
