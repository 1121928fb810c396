"""Parts of a batch on every kind of board: sums that add up to the reference's own step."""

from __future__ import annotations

import zlib
from dataclasses import replace

import numpy as np
import pytest
from fixgrad.device import Device
from fixgrad.errors import UsageError
from fixgrad.parts import LayerSums, Reach, add_sums
from fixgrad.reference import Part, Reference
from fixgrad.stream import ListedSchedule, Samples, SampleStream
from random_models import random_case
from small_models import SMALL, small_state

SEEDS = (0, 18, 19, 22)
"""Between them all activations and losses, momentum, widening and clipping; up to 59 samples."""


def same(a: list[LayerSums], b: list[LayerSums]) -> bool:
    return all(
        x.weights.tolist() == y.weights.tolist() and x.biases.tolist() == y.biases.tolist()
        for x, y in zip(a, b, strict=True)
    )


@pytest.mark.parametrize("url", ["sim://", "qemu://olimex_p405", "qemu://mps3_an547"])
def test_parts_on_a_board_give_the_reference_step(url: str) -> None:
    with Device.open(url) as device:
        for seed in SEEDS:
            case = random_case(seed, 1)
            (batch,) = case.batches
            rate = batch.lr_mantissa, batch.lr_exponent
            model, expected = (Reference(case.config, case.state) for _ in range(2))
            expected.step(batch.features, batch.targets, *rate)
            pieces = [
                Samples(batch.features[start:stop], batch.targets[start:stop])
                for start, stop in cut(len(batch.features))
            ]
            parts = [model.part(piece.features, piece.targets, *rate) for piece in pieces]
            exponents = model.exponents(Reach.of_batch([part.reach for part in parts]))
            reaches, sums = [], []
            for piece, part in zip(pieces, parts, strict=True):
                count = len(piece)
                config = replace(case.config, batch=count)
                stream = SampleStream(ListedSchedule([count], [rate]), piece.wire(config))
                device.load(config, case.state, zlib.crc32(f"{seed} {count}".encode()) or 1, 0)
                progress = device.hold(stream, 0, count)
                assert progress.digest == model.digest()
                reaches.append(agreed(part, device.reach(config, progress)))
                for _ in range(2):
                    device.scale(exponents, progress)
                sums.append(device.sums(config, progress))
                assert same(sums[-1], part.sums(exponents))
            model.apply(Reach.of_batch(reaches), add_sums(sums))
            assert model.digest() == expected.digest()


def agreed(part: Part, told: Reach) -> Reach:
    mine = part.reach
    assert (told.exponents, told.loss, told.correct) == (mine.exponents, mine.loss, mine.correct)
    assert told.saturated == mine.saturated
    assert [a.bit_length() for a in told.amx] == [a.bit_length() for a in mine.amx]
    return told


def cut(count: int) -> list[tuple[int, int]]:
    middle = count // 3
    return [(0, middle), (middle, count)] if middle else [(0, count)]


def test_board_without_room_for_parts_names_those_that_can() -> None:
    stream = SampleStream(ListedSchedule([1], [(200, -12)]), np.zeros((1, 6), np.uint8))
    with Device.open("qemu://disco_f100rb") as device:
        device.load(SMALL, small_state(SMALL), 1, 0)
        with pytest.raises(UsageError, match=r"^board disco_f100rb cannot .*can: olimex_p405, "):
            device.hold(stream, 0, 1)
