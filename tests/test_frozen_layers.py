"""Frozen layers: they keep their parameters, the others train, and every implementation agrees."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from core_library import CoreModel
from fixgrad.cli import cli
from fixgrad.errors import ModelError
from fixgrad.float_model import FloatMLP
from fixgrad.quantize import real_parameters
from fixgrad.reference import Reference
from fixgrad.rundir import RunFolder
from random_models import RandomCase, random_case
from small_models import MOMENTUM, small_state

CASES = 300


def frozen_case(seed: int) -> RandomCase | None:
    """Return a random case with some layers frozen; None where it has a single layer."""
    case = random_case(seed)
    if case.config.layer_count == 1:
        return None
    frozen = 1 + seed % (case.config.layer_count - 1)
    return dataclasses.replace(case, config=dataclasses.replace(case.config, frozen=frozen))


def test_core_trains_to_the_bits_of_the_reference() -> None:
    tried = 0
    for seed in range(1, CASES + 1):
        case = frozen_case(seed)
        if case is None:
            continue
        core = CoreModel(case.config, arena_bytes=1 << 17)
        assert (core.status, core.load(case.state)) == (0, 0)
        reference = Reference(case.config, case.state)
        for batch in case.batches:
            rate = (batch.lr_mantissa, batch.lr_exponent)
            core.step(batch.features, batch.targets, *rate)
            reference.step(batch.features, batch.targets, *rate)
            counters = core.counters()
            assert (counters.wsat, counters.asat, counters.bsat) == (
                reference.wsat, reference.asat, reference.bsat
            ), seed  # fmt: skip
            assert core.digest() == reference.digest(), seed
        assert core.state().encode() == reference.state.encode(), seed
        tried += 1
    assert tried > CASES // 2


def test_frozen_layers_keep_everything_and_the_others_change() -> None:
    config = dataclasses.replace(MOMENTUM, frozen=1, decay_every=1, adaptive=False)
    before = small_state(config)
    reference = Reference(config, before)
    rng = np.random.default_rng(1)
    for _ in range(5):
        reference.step(
            rng.integers(0, 201, (4, 5)), rng.integers(0, 3, 4), 200, -12
        )
    after = reference.state
    for name in ("weights", "biases", "velocities", "bias_velocities"):
        frozen, trained = getattr(after, name)
        np.testing.assert_array_equal(frozen, getattr(before, name)[0])
        assert (trained != getattr(before, name)[1]).any()


def test_no_frozen_layer_is_what_was_before() -> None:
    assert MOMENTUM.encode() == dataclasses.replace(MOMENTUM, frozen=0).encode()
    one = dataclasses.replace(MOMENTUM, frozen=1).encode()
    differing = [i for i, (a, b) in enumerate(zip(MOMENTUM.encode(), one, strict=True)) if a != b]
    assert [(i, one[i] - MOMENTUM.encode()[i]) for i in differing] == [(3, 8)]


@pytest.mark.parametrize("frozen", [-1, 2, 40])
def test_model_without_a_trained_layer_is_refused(frozen: int) -> None:
    with pytest.raises(ModelError, match="frozen layers"):
        dataclasses.replace(MOMENTUM, frozen=frozen).check()


def test_float_counterpart_freezes_the_same_layers() -> None:
    config = dataclasses.replace(MOMENTUM, frozen=1, decay_every=1)
    start = real_parameters(small_state(config))
    model = FloatMLP.like(config, *start)
    model.step(np.ones((4, 5)), np.array([0, 1, 2, 0]), 0.1)
    assert [(w == s).all() for w, s in zip(model.weights, start[0], strict=True)] == [True, False]
    assert [(b == s).all() for b, s in zip(model.biases, start[1], strict=True)] == [True, False]


RUN = """
[data]
source = "iris"
[model]
layers = [4, 12, 3]
init = "file"
init_file = "weights.npz"
frozen_layers = 1
[training]
epochs = 2
adaptive = false
"""


def test_last_layer_of_an_imported_network_is_fine_tuned_alone(tmp_path: Path) -> None:
    run = tmp_path / "run.toml"
    run.write_text(RUN)
    net = Path(__file__).parent / "data" / "torch_iris.pt"
    for call in (
        ["import", str(net), str(run)],
        ["train", str(run), "--port", "qemu://disco_f100rb", "--out", str(tmp_path / "r")],
        ["validate", str(run), "--port", "sim://"],
    ):
        result = CliRunner().invoke(cli, call)
        assert result.exit_code == 0, result.stderr
    assert "0 differences" in result.stdout
    folder = RunFolder(tmp_path / "r")
    config = folder.config()
    initial, final = folder.initial(config), folder.final(config)
    np.testing.assert_array_equal(initial.weights[0], final.weights[0])
    np.testing.assert_array_equal(initial.biases[0], final.biases[0])
    assert (initial.weights[1] != final.weights[1]).any()
