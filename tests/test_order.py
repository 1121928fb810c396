"""The visiting order of NUMERICS section 8."""

import re

import numpy as np
import pytest
from fixgrad.order import permutation, place
from fixgrad.vectors import packaged_vectors

VECTORS = np.load(packaged_vectors()[0].parent / "order.npz")


def parameters(key: str) -> tuple[int, int, int]:
    samples, epoch, seed = (int(v) for v in re.findall(r"\d+", key))
    return samples, epoch, seed


@pytest.mark.parametrize("key", VECTORS.files)
def test_order_equals_the_vector(key: str) -> None:
    np.testing.assert_array_equal(permutation(*parameters(key)), VECTORS[key])


@pytest.mark.parametrize("key", VECTORS.files)
def test_single_places_equal_the_vector(key: str) -> None:
    samples = parameters(key)[0]
    places = range(0, samples, max(1, samples // 100))
    assert [place(*parameters(key), i) for i in places] == [int(VECTORS[key][i]) for i in places]


@pytest.mark.parametrize("samples", [*range(1, 70), 255, 256, 257, 1437, 4097])
def test_every_sample_is_visited_once(samples: int) -> None:
    for epoch in (0, 1, 1000):
        order = permutation(samples, epoch, seed=2**32 - 1)
        np.testing.assert_array_equal(np.sort(order), np.arange(samples))


def test_epochs_and_seeds_differ() -> None:
    orders = [permutation(100, e, s).tolist() for e in range(4) for s in range(4)]
    assert len({tuple(order) for order in orders}) == 16
