"""One batch on several boards: maxima, then sums, and the digest is that of one board."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from core_library import CoreModel
from fixgrad.errors import DataError
from fixgrad.model import ModelConfig, State
from fixgrad.parts import LayerSums, Reach, add_sums
from fixgrad.protocol import Status
from fixgrad.reference import Reference
from random_models import RandomBatch, RandomCase, random_case
from small_models import SMALL, small_state

CASES = 30
STEPS = 4
NONE = -(2**31)
LR = (200, -12)

Learned = tuple[Reach, Callable[[list[int]], list[LayerSums]]]
Learn = Callable[[ModelConfig, State, RandomBatch], Learned]


def case_of(seed: int) -> RandomCase:
    """Return a random case, with as many frozen layers as its seed says."""
    case = random_case(seed, STEPS)
    return replace(case, config=replace(case.config, frozen=seed % case.config.layer_count))


def parts_of(batch: RandomBatch, cuts: list[int]) -> list[RandomBatch]:
    pieces = zip(np.split(batch.features, cuts), np.split(batch.targets, cuts), strict=True)
    return [replace(batch, features=x, targets=y) for x, y in pieces]


def on_reference(config: ModelConfig, state: State, batch: RandomBatch) -> Learned:
    """Let a part of a batch be learned by the reference."""
    part = Reference(config, state).part(
        batch.features, batch.targets, batch.lr_mantissa, batch.lr_exponent
    )
    return part.reach, part.sums


def hold(board: CoreModel, batch: RandomBatch) -> None:
    size = len(batch.features)
    assert board.begin(size, batch.lr_mantissa, batch.lr_exponent) == Status.OK
    sample = len(board.wire(batch.features[:1], batch.targets[:1]))
    wire = board.wire(batch.features, batch.targets)
    for at in range(0, len(wire), sample):
        assert not board.held
        assert board.put_part(wire[at : at + sample]) == Status.OK
    assert board.held


def on_core(config: ModelConfig, state: State, batch: RandomBatch) -> Learned:
    """Let a part of a batch be learned by the core of a board with room for it alone."""
    board = CoreModel(replace(config, batch=len(batch.features)))
    assert board.load(state) == Status.OK
    digest = board.digest()
    hold(board, batch)
    words = np.array(board.reach(), np.uint32).view(np.int32).tolist()
    counters = board.counters()
    assert board.gradient().size == 0
    reach = Reach(
        tuple(None if e == NONE else e for e in words[::2]),
        tuple(2**bits - 1 for bits in words[1::2]),
        counters.loss_sum, counters.correct, counters.asat,
    )  # fmt: skip

    def sums(exponents: list[int]) -> list[LayerSums]:
        for _ in range(2):
            assert board.scale(exponents) == Status.OK
            assert board.reach() == [word % 2**32 for word in words]
        assert board.gradient().tolist() == board.gradient().tolist()
        assert board.digest() == digest
        return layers(config, board.gradient())

    return reach, sums


def layers(config: ModelConfig, words: np.ndarray) -> list[LayerSums]:
    """Cut the words of region GRADIENT."""
    result = []
    for k in range(config.frozen, config.layer_count):
        n_in, n_out = config.layers[k : k + 2]
        g, gb, words = np.split(words, [n_in * n_out, (n_in + 1) * n_out])
        result.append(LayerSums(g.reshape(n_out, n_in), gb))
    assert len(words) == 0
    return result


@pytest.mark.parametrize("learn", [on_reference, on_core])
@pytest.mark.parametrize("seed", range(CASES))
def test_parts_of_a_batch_give_the_digest_of_one_board(seed: int, learn: Learn) -> None:
    case = case_of(seed)
    one = Reference(case.config, case.state)
    board = CoreModel(case.config)
    assert board.load(case.state) == Status.OK
    several = Reference(case.config, case.state)
    rng = np.random.default_rng(seed)
    for batch in case.batches:
        count = len(batch.features)
        cuts = sorted(set(rng.integers(1, count, 2).tolist())) if count > 1 else []
        whole = (batch.features, batch.targets, batch.lr_mantissa, batch.lr_exponent)
        expected = one.step(*whole)
        board.step(*whole)
        parts = [learn(case.config, several.state, part) for part in parts_of(batch, cuts)]
        reach = Reach.of_batch([told for told, _ in parts])
        exponents = several.exponents(reach)
        several.apply(reach, add_sums([sums(exponents) for _, sums in parts]))
        assert (min(reach.loss, 2**32 - 1), reach.correct) == (expected.loss, expected.correct)
        assert several.digest() == one.digest() == board.digest()
        assert (several.wsat, several.asat, several.bsat) == (one.wsat, one.asat, one.bsat)


@pytest.fixture
def held() -> CoreModel:
    """A core that holds a part of two samples of SMALL."""
    board = CoreModel(SMALL)
    assert board.load(small_state(SMALL)) == Status.OK
    hold(board, BATCH)
    return board


BATCH = RandomBatch(
    np.arange(10, dtype=np.uint8).reshape(2, 5) * 20, np.array([0, 2], np.int32), *LR
)


def test_held_part_takes_no_sample_and_no_batch(held: CoreModel) -> None:
    sample = held.wire(BATCH.features[:1], BATCH.targets[:1])
    before = held.reach()
    assert held.begin(1, *LR) == Status.BAD_SAMPLE
    assert held.put(sample) == held.put_part(sample) == Status.BAD_SAMPLE
    assert held.held
    assert held.reach() == before


def test_start_ends_the_holding(held: CoreModel) -> None:
    assert held.start() == Status.OK
    assert not held.held
    assert held.counters().loss_sum == 0
    one = Reference(SMALL, small_state(SMALL))
    one.step(BATCH.features, BATCH.targets, *LR)
    held.step(BATCH.features, BATCH.targets, *LR)
    assert held.digest() == one.digest()


def test_exponent_that_no_batch_has_is_refused_and_scales_nothing(held: CoreModel) -> None:
    state = small_state(SMALL)
    units = [w - x for w, x in zip(state.weight_exponent, state.activation_exponent, strict=True)]
    good = [unit - 10 for unit in units]
    for layer in range(2):
        for wrong in (units[layer] - 25, units[layer], 2**31 - 1, -(2**31)):
            bad = [wrong if k == layer else e for k, e in enumerate(good)]
            assert held.scale(bad) == Status.BAD_STATE
            assert held.gradient().size == 0
    assert held.scale(good) == Status.OK
    assert held.gradient().size == SMALL.parameter_count


def test_sums_that_no_batch_has_are_refused() -> None:
    reference = Reference(SMALL, small_state(SMALL))
    part = reference.part(BATCH.features, BATCH.targets, *LR)
    sums = part.sums(reference.exponents(part.reach))
    digest = reference.digest()
    huge = replace(sums[0], biases=np.full(4, 2**30 + 1, np.int64))
    turned = replace(sums[0], weights=sums[0].weights.T)
    for wrong in (huge, turned):
        with pytest.raises(DataError, match="layer 0"):
            reference.apply(part.reach, [wrong, sums[1]])
    assert reference.digest() == digest
