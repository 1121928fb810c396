"""The simulated board's kernels against plain C: equal bits for every compiler and vector width.

FIXGRAD_FIRST_CASE and FIXGRAD_KERNEL_CASES choose the seeds of the random shapes: 300 from 1
unless told otherwise.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import pytest
from core_library import CoreModel, has_compiler, library
from fixgrad.model import INPUT_DTYPES, ModelConfig, State
from fixgrad.protocol import Activation, InputFormat, Loss
from fixgrad.vectors import Batch, load_case, packaged_vectors
from random_models import RandomBatch, random_case, random_state

FIRST = int(os.environ.get("FIXGRAD_FIRST_CASE", "1"))
CASES = int(os.environ.get("FIXGRAD_KERNEL_CASES", "300"))
VARIANTS = [("gcc", 32), ("gcc", 16), ("clang", 32), ("clang", 0)]

Job = tuple[str, ModelConfig, State, list[RandomBatch] | list[Batch]]


def _random_jobs() -> Iterator[Job]:
    for seed in range(FIRST, FIRST + CASES):
        case = random_case(seed, steps=3)
        yield f"FIXGRAD_FIRST_CASE={seed}", case.config, case.state, case.batches


def _large_jobs() -> Iterator[Job]:
    """Yield more inputs and samples than are unpacked at a time, in every storage."""
    rng = np.random.default_rng(1)
    largest = 3
    for input_format in InputFormat:
        for inputs, batch in ((1100, 3), (257, 131)):
            config = ModelConfig(
                layers=(inputs, 37, 3),
                activations=(Activation.TANH,),
                loss=Loss.SOFTMAX_CROSS_ENTROPY,
                batch=batch,
                input_format=input_format,
                input_max=largest,
                activation_bits=(8,),
                weight_bits=(0, 0),
                delta_bits=(0, 0),
                update_bits=0,
            ).with_budgets()
            dtype = INPUT_DTYPES[input_format]
            features = rng.integers(0, largest + 1, (batch, inputs)).astype(dtype)
            step = RandomBatch(features, rng.integers(0, 3, batch).astype(np.int32), 200, -8)
            yield f"{input_format.name} {inputs}", config, random_state(rng, config), [step, step]


def _vector_jobs() -> Iterator[Job]:
    for path in packaged_vectors():
        case = load_case(path)
        yield path.stem, case.config, case.initial, list(case.batches())[:12]


def _outcomes(job: Job, flags: tuple[str, ...], compiler: str = "cc") -> list[tuple[int, ...]]:
    """Return after every step: digest, loss, counters, logits of the step's first sample."""
    _, config, state, batches = job
    core = CoreModel(config, library(compiler, flags))
    assert core.load(state) == 0
    outcomes = []
    for batch in batches:
        inferred = core.infer(batch.features[:1], batch.targets[:1])
        core.step(batch.features, batch.targets, batch.lr_mantissa, batch.lr_exponent)
        c = core.counters()
        outcomes.append((core.digest(), c.loss_sum, c.wsat, c.asat, c.bsat,
                         *inferred.logits[0].tolist()))  # fmt: skip
    return outcomes


def _compare(jobs: Iterator[Job], compiler: str, flags: tuple[str, ...]) -> None:
    if not has_compiler(compiler):
        pytest.skip(f"{compiler} is not installed")
    for job in jobs:
        assert _outcomes(job, flags, compiler) == _outcomes(job, ("-O3",)), job[0]


@pytest.mark.parametrize(("compiler", "width"), VARIANTS)
def test_vectors_give_the_bits_of_plain_c(compiler: str, width: int) -> None:
    _compare(_vector_jobs(), compiler, ("-O3", f"-DKERNELS_HOST={width}"))


@pytest.mark.parametrize(("compiler", "width"), VARIANTS)
def test_random_shapes_give_the_bits_of_plain_c(compiler: str, width: int) -> None:
    _compare(_random_jobs(), compiler, ("-O3", f"-DKERNELS_HOST={width}"))


@pytest.mark.parametrize(("compiler", "width"), VARIANTS)
def test_large_shapes_give_the_bits_of_plain_c(compiler: str, width: int) -> None:
    _compare(_large_jobs(), compiler, ("-O3", f"-DKERNELS_HOST={width}"))
