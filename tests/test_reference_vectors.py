"""The reference against vector files that another implementation made."""

from pathlib import Path

import numpy as np
import pytest
from fixgrad.errors import DataError
from fixgrad.reference import Reference
from fixgrad.vectors import Case, load_case, packaged_vectors, vector_files

SHARED = Path(__file__).parents[1] / ".." / "shared" / "vectors" / "numerics"
PACKAGED = {path.name: path for path in packaged_vectors()}
CASES = {**{path.name: path for path in vector_files(SHARED)}, **PACKAGED}

needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="no shared vectors here")


@pytest.mark.parametrize("name", sorted(CASES))
def test_digest_and_loss_agree_after_every_step(name: str) -> None:
    case = load_case(CASES[name])
    reference = Reference(case.config, case.initial)
    assert reference.digest() == case.digest_before
    for step, batch in enumerate(case.batches()):
        result = reference.step(batch.features, batch.targets, batch.lr_mantissa, batch.lr_exponent)
        assert (reference.digest(), result.loss) == (case.digests[step], case.losses[step]), step
    assert (reference.wsat, reference.asat, reference.bsat) == case.counters
    _assert_final(reference, case)


def _assert_final(reference: Reference, case: Case) -> None:
    state, final = reference.state, case.final
    for (name, layer, got), (_, _, expected) in zip(state.tensors(), final.tensors(), strict=True):
        np.testing.assert_array_equal(got, expected, err_msg=f"{name} of layer {layer}")
    assert state.scalars()[:-2] == final.scalars()[:-2]
    assert state.step == final.step


@needs_shared
def test_packaged_files_are_the_shared_files() -> None:
    folder = next(iter(PACKAGED.values())).parent
    packaged = {path.name: path.read_bytes() for path in folder.glob("*.npz")}
    shared = {path.name: path.read_bytes() for path in SHARED.glob("*.npz")}
    own = {
        name: data for name, data in packaged.items() if not name.startswith(("sign_", "frozen_"))
    }
    assert shared == own


def test_every_loss_and_activation_and_option_has_a_packaged_case() -> None:
    configs = [load_case(path).config for path in PACKAGED.values()]
    assert {c.loss.value for c in configs} == {0, 1, 2, 3}
    assert {a.value for c in configs for a in c.activations} == {1, 2, 3, 4, 5}
    for option in ("momentum", "decay_every", "widen", "adaptive"):
        assert {bool(getattr(c, option)) for c in configs} == {False, True}, option
    assert {c.clip_exponent is None for c in configs} == {False, True}
    assert {c.input_format.value for c in configs} == {0, 1, 2}


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing.npz"):
        load_case(tmp_path / "nothing.npz")


def test_a_truncated_file_is_a_data_error(tmp_path: Path) -> None:
    whole = packaged_vectors()[0].read_bytes()
    for size in (0, 3, 100, len(whole) // 2, len(whole) - 1):
        path = tmp_path / "cut.npz"
        path.write_bytes(whole[:size])
        with pytest.raises(DataError, match="cut.npz"):
            load_case(path)


@pytest.mark.parametrize("missing", ["config", "x", "digest", "final_low", "bias_0"])
def test_a_missing_entry_is_a_data_error(tmp_path: Path, missing: str) -> None:
    arrays = dict(np.load(packaged_vectors()[0]))
    del arrays[missing]
    np.savez(tmp_path / "case.npz", **arrays)
    with pytest.raises(DataError, match=missing):
        load_case(tmp_path / "case.npz")


def test_a_step_without_samples_is_a_data_error(tmp_path: Path) -> None:
    arrays = dict(np.load(packaged_vectors()[0]))
    arrays["x"], arrays["y"] = arrays["x"][:-1], arrays["y"][:-1]
    np.savez(tmp_path / "case.npz", **arrays)
    with pytest.raises(DataError, match="samples where the steps need"):
        load_case(tmp_path / "case.npz")
