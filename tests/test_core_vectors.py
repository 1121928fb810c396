"""The core on the vectors of NUMERICS, made by an implementation that shares no code with it."""

from pathlib import Path

import numpy as np
import pytest
from core_library import ROOT, CoreModel, address, has_compiler, library
from fixgrad.vectors import load_case, packaged_vectors, vector_files

SHARED = ROOT.parent / "shared" / "vectors" / "numerics"
FOLDERS = [p for p in (ROOT / "host" / "fixgrad" / "vectors", SHARED) if p.is_dir()]
CASES = {path.name: path for path in [*packaged_vectors(), *vector_files(SHARED)]}
BUILDS = [
    (compiler, level) for compiler in ("gcc", "clang") for level in ("-O0", "-O2", "-O3", "-Os")
]


def _replay(path: Path, compiler: str, level: str) -> None:
    case = load_case(path)
    core = library(compiler, (level,))
    model = CoreModel(case.config, core)
    assert model.load(case.initial) == 0
    assert model.digest() == case.digest_before
    for index, batch in enumerate(case.batches()):
        outcome = model.step(batch.features, batch.targets, batch.lr_mantissa, batch.lr_exponent)
        assert (outcome.loss, model.digest()) == (case.losses[index], case.digests[index]), (
            f"step {index}"
        )
    counters = model.counters()
    assert (counters.wsat, counters.asat, counters.bsat) == case.counters
    state = model.state()
    assert state.step == model.steps == case.steps
    state.prng = case.final.prng
    assert state.encode() == case.final.encode()


@pytest.mark.parametrize("name", CASES)
def test_every_step_has_the_digest_and_loss_of_the_vector(name: str) -> None:
    _replay(CASES[name], "cc", "-O3")


@pytest.mark.parametrize(("compiler", "level"), BUILDS, ids=lambda v: str(v).lstrip("-"))
def test_every_compiler_and_level_gives_the_same_bits(compiler: str, level: str) -> None:
    if not has_compiler(compiler):
        pytest.skip(f"{compiler} is not installed")
    for path in CASES.values():
        _replay(path, compiler, level)


@pytest.mark.parametrize("function", ["sigmoid", "tanh"])
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda p: p.name)
def test_functions_equal_the_vector(folder: Path, function: str) -> None:
    with np.load(folder / "functions.npz") as file:
        x = np.ascontiguousarray(file["x"], np.int32)
        expected = file[f"{function}_q15"]
    out = np.zeros_like(x)
    library()[f"runner_{function}"](address(x), x.size, address(out))
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda p: p.name)
def test_order_equals_the_vector(folder: Path) -> None:
    with np.load(folder / "order.npz") as file:
        for key in file.files:
            samples, epoch, seed = (int(part.lstrip("nepochsd")) for part in key.split("_"))
            out = np.zeros(samples, np.uint32)
            library().runner_order(samples, epoch, seed, address(out))
            np.testing.assert_array_equal(out, file[key], err_msg=key)
