"""One batch on several boards: two exchanges of maxima and whole sums give one board's digest."""

from typing import Any

import numpy as np
import pytest
from fixgrad import functions as fn
from fixgrad import reference
from fixgrad.limits import checked_features
from fixgrad.model import ModelConfig, State
from fixgrad.reference import Reference
from random_models import random_case

CASES = 40
STEPS = 6


class Part:
    """A board with a part of the batch: it tells maxima and sums, never samples."""

    def __init__(self, config: ModelConfig, state: State, x: Any, y: Any, rate: Any) -> None:
        self.board = Reference(config, state)
        self.mantissa, self.exponent = rate
        self.forward = self.board._forward(x)
        error, exponent, losses = self.board._error(self.forward.logits, y)
        self.deltas = self.board._backward(self.forward, error, exponent)
        self.loss = int(losses.sum())
        self.correct = int(np.count_nonzero(self.board._correct(self.forward.logits, y)))

    def wanted(self, layer: int) -> int | None:
        """The largest exponent that its samples want (NUMERICS section 6, item 1)."""
        delta = self.deltas[layer]
        bits = [
            int(e) + int(m * self.mantissa).bit_length() + self.exponent
            for e, m in zip(delta.exponent, delta.most, strict=True) if m > 0
        ]  # fmt: skip
        return max(bits, default=None)

    def sums(self, layer: int, trained: int, common: int) -> tuple[Any, Any]:
        """Its summands of G and of the bias gradient, for an exponent that all share."""
        delta = self.deltas[trained]
        scaled = fn.rs(
            delta.mantissa * self.mantissa, (common - (delta.exponent + self.exponent))[:, None],
            2**self.board.config.update_bits - 1,
        )  # fmt: skip
        return scaled.T @ self.forward.activations[layer], scaled.sum(axis=0)


def split_step(
    model: Reference, batch: Any, cuts: list[int], patch: pytest.MonkeyPatch
) -> tuple[int, int]:
    """Train a step on parts of a batch; return loss and correct."""
    config, state = model.config, model.state
    y = batch.targets.astype(np.int64)
    parts = [
        Part(config, state, x, t, (batch.lr_mantissa, batch.lr_exponent))
        for x, t in zip(
            np.split(checked_features(config, batch.features), cuts),
            np.split(y, cuts), strict=True,
        )
    ]  # fmt: skip
    fraction = config.velocity_bits if config.momentum else 0
    saturated = 0
    for layer in range(config.frozen, config.layer_count):
        trained = layer - config.frozen
        e_w, e_x = state.weight_exponent[layer], state.activation_exponent[layer]
        told = [part.wanted(trained) for part in parts]
        wanted = [exponent - config.update_bits for exponent in told if exponent is not None]
        common = min(max([e_w - e_x - 24, *wanted]), e_w - e_x - 1 - fraction)
        shift = e_w - e_x - common
        gradients, biases = zip(*(p.sums(layer, trained, common) for p in parts), strict=True)
        assert all(np.abs(g).max() < 2**31 for g in gradients)
        total = sum(gradients)
        patch.setattr(reference, "_float_product", lambda *_, total=total: total)
        nothing = np.zeros((1, 1), np.int64)
        clamped, _, _ = model._update_weights(layer, nothing, nothing, shift)
        patch.undo()
        model.bsat += model._update_bias(layer, sum(biases), shift + 2 * e_x)
        saturated += clamped
        if config.widen and clamped and e_w < 31:
            model._widen(layer)
    model._end_batch([max(amx) for amx in zip(*(p.forward.amx for p in parts), strict=True)])
    model.wsat += saturated
    model.asat += sum(sum(p.forward.saturated) for p in parts)
    return sum(p.loss for p in parts), sum(p.correct for p in parts)


@pytest.mark.parametrize("seed", range(CASES))
def test_parts_of_a_batch_give_the_digest_of_one_board(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = random_case(seed, STEPS)
    one = Reference(case.config, case.state)
    several = Reference(case.config, case.state)
    rng = np.random.default_rng(seed)
    for batch in case.batches:
        count = len(batch.features)
        cuts = sorted(set(rng.integers(1, count, 2).tolist())) if count > 1 else []
        whole = one.step(batch.features, batch.targets, batch.lr_mantissa, batch.lr_exponent)
        loss, correct = split_step(several, batch, cuts, monkeypatch)
        assert (min(loss, 2**32 - 1), correct) == (whole.loss, whole.correct)
        assert several.digest() == one.digest()
        assert (several.wsat, several.asat, several.bsat) == (one.wsat, one.asat, one.bsat)
