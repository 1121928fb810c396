"""The kernels of every core against plain C: equal bits on emulated cores.

FIXGRAD_FIRST_CASE and FIXGRAD_KERNEL_CASES choose the seeds of the random shapes: 300 from 1
unless told otherwise.
"""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
from core_library import CoreModel
from fixgrad.model import ModelConfig, State
from fixgrad.protocol import Activation, InputFormat, Loss
from fixgrad.vectors import load_case, packaged_vectors
from random_models import random_case, random_state

from bench.machines import COMPILER, MACHINES, Step, build, encode_job, run

FIRST = int(os.environ.get("FIXGRAD_FIRST_CASE", "1"))
CASES = int(os.environ.get("FIXGRAD_KERNEL_CASES", "300"))
VECTOR_STEPS = 12
CORES = sorted(MACHINES)

pytestmark = pytest.mark.skipif(
    shutil.which(COMPILER) is None or shutil.which("qemu-system-arm") is None,
    reason=f"needs {COMPILER} and qemu-system-arm",
)

Job = tuple[ModelConfig, State, list[Step]]


def _expected(job: Job) -> list[list[int]]:
    """Return what replay.c prints: digest, loss, correct, wsat, asat, bsat, folded inference."""
    config, state, steps = job
    core = CoreModel(config)
    assert core.load(state) == 0
    lines = []
    for step in steps:
        inferred = core.infer(step.features[:1], step.targets[:1])
        fold = 0
        for value in [*inferred.logits[0].tolist(), int(inferred.losses[0])]:
            fold = (fold * 31 + value) % 2**32
        core.step(step.features, step.targets, step.lr_mantissa, step.lr_exponent)
        counters = core.counters()
        lines.append([
            core.digest(), counters.loss_sum % 2**32, counters.correct, counters.wsat,
            counters.asat, counters.bsat, fold,
        ])  # fmt: skip
    return lines


def _compare(core: str, jobs: list[Job], names: list[str]) -> None:
    machine = MACHINES[core]
    printed = iter(run(machine, build(machine, "replay.c"), [encode_job(*job) for job in jobs]))
    for name, job in zip(names, jobs, strict=True):
        for index, expected in enumerate(_expected(job)):
            assert [int(word) for word in next(printed)] == expected, f"{name}, step {index}"


@pytest.mark.parametrize("core", CORES)
def test_vectors_give_the_bits_of_plain_c(core: str) -> None:
    jobs, names = [], []
    for path in packaged_vectors():
        case = load_case(path)
        batches = list(case.batches())[:VECTOR_STEPS]
        steps = [
            Step(b.features, b.targets.astype(np.int32), b.lr_mantissa, b.lr_exponent)
            for b in batches
        ]
        jobs.append((case.config, case.initial, steps))
        names.append(path.stem)
    _compare(core, jobs, names)


@pytest.mark.parametrize("core", CORES)
def test_random_shapes_give_the_bits_of_plain_c(core: str) -> None:
    jobs, names = [], []
    for seed in range(FIRST, FIRST + CASES):
        case = random_case(seed, steps=3)
        steps = [Step(b.features, b.targets, b.lr_mantissa, b.lr_exponent) for b in case.batches]
        jobs.append((case.config, case.state, steps))
        names.append(
            f"FIXGRAD_FIRST_CASE={seed} FIXGRAD_KERNEL_CASES=1 "
            f"python -m pytest tests/test_kernels.py -k {core}"
        )
    _compare(core, jobs, names)


@pytest.mark.parametrize("core", CORES)
def test_rows_beyond_16_bit_offsets_give_the_bits_of_plain_c(core: str) -> None:
    jobs = []
    rng = np.random.default_rng(1)
    for layers in ((9500, 3), (2, 9400, 3)):
        config = ModelConfig(
            layers=layers,
            activations=(Activation.RELU,) * (len(layers) - 2),
            loss=Loss.SOFTMAX_CROSS_ENTROPY,
            batch=3,
            input_format=InputFormat.U8,
            input_max=15,
            activation_bits=(4,) * (len(layers) - 2),
            weight_bits=(0,) * (len(layers) - 1),
            delta_bits=(0,) * (len(layers) - 1),
            update_bits=0,
        ).with_budgets()
        features = rng.integers(0, 16, (3, layers[0])).astype(np.uint8)
        step = Step(features, rng.integers(0, 3, 3).astype(np.int32), 200, -9)
        jobs.append((config, random_state(rng, config), [step, step]))
    _compare(core, jobs, ["wide input", "wide hidden layer"])
