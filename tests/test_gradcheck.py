"""The gradient check: sound arithmetic passes, planted errors are found in their layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from fixgrad import float_model, gradcheck
from fixgrad.cli import cli
from fixgrad.cli.gradcheck import first_batch
from fixgrad.gradcheck import TensorCheck
from fixgrad.protocol import Activation
from fixgrad.reference import Reference
from fixgrad.run import PreparedRun, prepare
from fixgrad.runfile import parse_run
from reference_device import ReferenceDevice

ACTIVATIONS = ["relu", "leaky", "sigmoid", "tanh", "sign"]


def _prepared(
    activation: str = '"tanh"',
    source: str = "wine",
    layers: str = "[13, 12, 8, 3]",
    loss: str = "softmax_cross_entropy",
    training: str = "",
) -> PreparedRun:
    text = (
        f'[data]\nsource = "{source}"\n[model]\nlayers = {layers}\nactivation = {activation}\n'
        f'loss = "{loss}"\n[training]\n{training}\n'
    )
    return prepare(parse_run(text, Path("run.toml")))


def _check(prepared: PreparedRun, make: Any = Reference) -> list[TensorCheck]:
    return list(
        gradcheck.gradcheck(
            ReferenceDevice(make),
            prepared.config,
            prepared.initial,
            first_batch(prepared),  # type: ignore[arg-type]
        )
    )


def _faults(checks: list[TensorCheck]) -> dict[tuple[int, str], str]:
    return {(c.layer, c.tensor): c.fault for c in checks if c.fault}


@pytest.mark.parametrize("second", ACTIVATIONS)
@pytest.mark.parametrize("first", ACTIVATIONS)
def test_every_pair_of_activations_passes(first: str, second: str) -> None:
    checks = _check(_prepared(f'["{first}", "{second}"]'))
    assert len(checks) == 6
    assert not _faults(checks)
    for check in checks:
        below_sign = "sign" in (first, second)[check.layer :]
        assert (check.analytic is None) == below_sign


@pytest.mark.parametrize(
    ("source", "layers", "loss"),
    [
        ("diabetes", "[10, 16, 1]", "squared_error"),
        ("breast_cancer", "[30, 8, 1]", "sigmoid_binary_cross_entropy"),
        ("wine", "[13, 8, 3]", "sigmoid_squared_error"),
        ("iris", "[4, 3]", "squared_error"),
    ],
)
def test_every_loss_passes(source: str, layers: str, loss: str) -> None:
    activation = '"tanh"' if layers.count(",") > 1 else "[]"
    assert not _faults(_check(_prepared(activation, source, layers, loss)))


def test_options_of_the_update_do_not_disturb_the_check() -> None:
    training = "momentum = 0.9\nclip = -4\nweight_decay = 0.1\nwiden = true\nbatch_size = 1"
    assert not _faults(_check(_prepared(training=training)))


def test_four_bits_are_rounding_and_not_a_bug() -> None:
    prepared = _prepared('"sigmoid"')
    coarse = prepare(
        parse_run(
            '[data]\nsource = "wine"\n[model]\nlayers = [13, 12, 3]\nactivation = "sigmoid"\n'
            "activation_bits = 4\n",
            Path("run.toml"),
        )
    )
    fine, rough = _check(prepared), _check(coarse)
    assert not _faults(fine)
    assert not _faults(rough)
    assert max(c.distance for c in rough) > 4 * max(c.distance for c in fine)
    for check in rough:
        assert check.distance == pytest.approx(check.quantisation, abs=0.01)


class Flipped(Reference):
    """A hidden layer's error has the wrong sign on its way down."""

    def _derivative(self, index, a, e, ex):  # type: ignore[no-untyped-def]
        e, ex = super()._derivative(index, a, e, ex)
        return (-e if index == 1 else e), ex


def test_a_sign_error_of_the_device_alone_differs_from_the_reference() -> None:
    faults = _faults(_check(_prepared(), Flipped))
    assert (0, "weights") in faults
    assert "differ from the integer reference" in faults[0, "weights"]


def test_a_sign_error_that_the_reference_shares_is_found_in_its_layer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gradcheck, "Reference", Flipped)
    faults = _faults(_check(_prepared(), Flipped))
    assert faults == {
        (0, "weights"): "rounding does not explain the distance",
        (0, "bias"): "rounding does not explain the distance",
    }


def test_a_sign_error_that_all_formulas_share_is_found_by_central_differences(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class AllFlipped(Reference):
        def _derivative(self, index, a, e, ex):  # type: ignore[no-untyped-def]
            e, ex = super()._derivative(index, a, e, ex)
            return -e, ex

    right = float_model.derivative
    for module in (float_model, gradcheck):
        monkeypatch.setattr(module, "derivative", lambda kind, a: -right(kind, a))
    monkeypatch.setattr(gradcheck, "Reference", AllFlipped)
    faults = _faults(_check(_prepared(), AllFlipped))
    assert faults[1, "weights"] == "the formula is not the derivative of the loss"
    assert not any(layer == 2 for layer, _ in faults)


def test_the_sign_of_a_single_weight_is_found_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class OneFlipped(Reference):
        def step(self, *arguments):  # type: ignore[no-untyped-def]
            before = self.state.weights[1].copy()
            result = super().step(*arguments)
            self.state.weights[1][2, 3] = 2 * before[2, 3] - self.state.weights[1][2, 3]
            return result

    monkeypatch.setattr(gradcheck, "Reference", OneFlipped)
    bad = [c for c in _check(_prepared(), OneFlipped) if c.fault]
    assert [(c.layer, c.tensor, c.worst) for c in bad] == [(1, "weights", (2, 3))]


def test_a_slope_of_a_quarter_instead_of_an_eighth_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Steep(Reference):
        def _derivative(self, index, a, e, ex):  # type: ignore[no-untyped-def]
            if self.config.activations[index - 1] == Activation.LEAKY:
                return np.where(a > 0, e, e >> 2), ex
            return super()._derivative(index, a, e, ex)

    monkeypatch.setattr(gradcheck, "Reference", Steep)
    faults = _faults(_check(_prepared('"leaky"'), Steep))
    assert (1, "weights") in faults
    assert (2, "weights") not in faults


def test_the_command_checks_the_simulated_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("run.toml").write_text('[data]\nsource = "iris"\n[model]\nlayers = [4, 8, 3]\n')
    result = CliRunner().invoke(cli, ["gradcheck", "run.toml", "--port", "sim://"])
    assert result.exit_code == 0, result.output
    assert "gradients equal those of the integer reference" in result.stdout
    monkeypatch.setattr("fixgrad.gradcheck.Reference", Flipped)
    result = CliRunner().invoke(cli, ["gradcheck", "run.toml", "--port", "sim://"])
    assert result.exit_code == 11
    assert "weights of layer 0" in result.stderr
