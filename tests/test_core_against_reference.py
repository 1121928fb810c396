"""The core against the NumPy reference on random models, states and batches: equal bits.

FIXGRAD_FIRST_CASE and FIXGRAD_CASES choose the seeds: 2,000 from 1 unless told otherwise.
"""

from __future__ import annotations

import os

import numpy as np
import pytest
from core_library import CoreModel
from fixgrad.reference import Reference
from random_models import RandomCase, random_case

FIRST = int(os.environ.get("FIXGRAD_FIRST_CASE", "1"))
CASES = int(os.environ.get("FIXGRAD_CASES", "2000"))
PARTS = min(8, CASES)


def _compare(case: RandomCase) -> None:
    core = CoreModel(case.config, arena_bytes=1 << 17)
    assert core.status == 0, core.status.name
    assert core.load(case.state) == 0
    reference = Reference(case.config, case.state)
    assert core.digest() == reference.digest(), "before the first step"
    for index, batch in enumerate(case.batches):
        where = f"step {index}"
        inferred = core.infer(batch.features, batch.targets)
        losses, right = reference.evaluate(batch.features, batch.targets)
        np.testing.assert_array_equal(inferred.logits, reference.logits(batch.features), where)
        np.testing.assert_array_equal(
            inferred.predictions, reference.predict(batch.features), where
        )
        np.testing.assert_array_equal(inferred.losses, losses, where)
        np.testing.assert_array_equal(inferred.correct, right, where)
        rate = (batch.lr_mantissa, batch.lr_exponent)
        outcome = core.step(batch.features, batch.targets, *rate)
        expected = reference.step(batch.features, batch.targets, *rate)
        counters = core.counters()
        assert (outcome.loss, outcome.correct) == (expected.loss, expected.correct), where
        assert (counters.wsat, counters.asat, counters.bsat) == (
            reference.wsat, reference.asat, reference.bsat
        ), where  # fmt: skip
        assert core.digest() == reference.digest(), where
    assert core.state().encode() == reference.state.encode()


@pytest.mark.parametrize("part", range(PARTS))
def test_random_models_train_to_equal_bits(part: int) -> None:
    for seed in range(FIRST + part, FIRST + CASES, PARTS):
        try:
            _compare(random_case(seed))
        except Exception as error:
            raise AssertionError(
                f"{error}\nrepeat: FIXGRAD_FIRST_CASE={seed} FIXGRAD_CASES=1 "
                "python -m pytest tests/test_core_against_reference.py"
            ) from error
