"""Primitives of NUMERICS against their definitions in Python's unbounded integers."""

import math
import random

import numpy as np
import pytest
from fixgrad import functions as fn
from fixgrad.vectors import packaged_vectors

EDGES = sorted(
    {
        sign * (2**k + d)
        for k in range(32)
        for d in (-1, 0, 1)
        for sign in (-1, 1)
        if 2**k + d < 2**31
    }
)
SHIFTS = range(0, 70)
INT16 = np.arange(-32768, 32768)


def rn_definition(v: int, s: int) -> int:
    """v / 2**s rounded half up; 0 from 32 on."""
    return 0 if s >= 32 else (2 * v + 2**s) // 2 ** (s + 1)


def rs_definition(v: int, s: int, limit: int) -> int:
    if s >= 0:
        return max(-limit, min(limit, rn_definition(v, s)))
    k = min(-s, 31)
    return (limit if v > 0 else -limit) if abs(v) > limit >> k else v * 2**k


@pytest.mark.parametrize("s", range(32))
def test_rn_of_every_int16(s: int) -> None:
    expected = np.floor_divide(2 * INT16 + 2**s, 2 ** (s + 1))
    np.testing.assert_array_equal(fn.rn(INT16, s), expected)


@pytest.mark.parametrize("s", SHIFTS)
def test_rn_at_the_edges_of_32_bits(s: int) -> None:
    values = np.array(EDGES)
    expected = [rn_definition(v, s) for v in EDGES]
    assert fn.rn(values, s).tolist() == expected
    assert fn.rn(values, np.full(len(values), s)).tolist() == expected


@pytest.mark.parametrize("limit", [255, 32767, 2**20, 2**26, 2**28, 2**31 - 1])
def test_rs_at_the_edges_of_32_bits(limit: int) -> None:
    values = np.array(EDGES)
    shifts = np.arange(-70, 70)
    expected = [[rs_definition(v, int(s), limit) for v in EDGES] for s in shifts]
    assert fn.rs(values[None, :], shifts[:, None], limit).tolist() == expected
    assert [fn.rs(values, int(s), limit).tolist() for s in shifts] == expected


def test_blen_is_the_bit_length() -> None:
    values = [v for v in EDGES if v >= 0] + [2**32 - 1, 2**40, 2**52 + 1, 2**53 - 1]
    assert fn.blen(np.array(values)).tolist() == [v.bit_length() for v in values]


def test_norm_shifts_each_row_to_its_bits() -> None:
    generator = random.Random(1)
    for bits in (7, 13, 15):
        rows = [
            [generator.choice(EDGES) >> generator.randrange(31) for _ in range(5)]
            for _ in range(200)
        ]
        mantissa, shift, most = fn.norm(np.array(rows), bits)
        for index, row in enumerate(rows):
            sh = max(0, max(map(abs, row)).bit_length() - bits)
            m = [rs_definition(v, sh, 2**bits - 1) for v in row]
            assert (mantissa[index].tolist(), shift[index], most[index]) == (
                m,
                sh,
                max(map(abs, m)),
            )


@pytest.mark.parametrize(("word", "mixed"), [(0, 0), (1, 0x514E28B7), (0xFFFFFFFF, 0x81F16F39)])
def test_mix32_is_the_published_finaliser(word: int, mixed: int) -> None:
    """MurmurHash3_x86_32 of the empty string with the seed `word`."""
    assert fn.mix32_word(word) == mixed


def test_mix32_is_taken_modulo_32_bits() -> None:
    assert fn.mix32_word(2**32 + 1) == 0x514E28B7
    assert fn.mix32_word(-1) == 0x81F16F39


@pytest.mark.parametrize("state", [0, 1, 0x80000000, 0xFFFFFFFF])
def test_draws_are_the_generator_stepped_one_by_one(state: int) -> None:
    jump = fn.JumpAhead(1000)
    expected, s = [], state
    for _ in range(1000):
        s = (s * 1664525 + 1013904223) % 2**32
        expected.append(s)
    assert jump.draws(state, 1000).tolist() == expected
    assert jump.draws(state, 7).tolist() == expected[:7]


def test_tables_are_the_functions_rounded() -> None:
    assert fn.SIGMOID_TABLE.tolist() == [round(32768 / (1 + math.exp(-i / 16))) for i in range(129)]
    assert fn.EXP2_TABLE.tolist() == [65535] + [round(2 ** (16 - i / 64)) for i in range(1, 65)]
    assert fn.LOG2_TABLE.tolist() == [round(1024 * math.log2((64 + i) / 64)) for i in range(65)]


def test_sigmoid_and_tanh_equal_the_vectors() -> None:
    """The file's inputs reach beyond 16 bits; the functions saturate there."""
    vectors = np.load(packaged_vectors()[0].parent / "functions.npz")
    np.testing.assert_array_equal(fn.sigmoid(vectors["x"]), vectors["sigmoid_q15"])
    np.testing.assert_array_equal(fn.tanh(vectors["x"]), vectors["tanh_q15"])


def test_softmax_is_close_to_the_real_one() -> None:
    z = np.random.default_rng(2).integers(-(2**20), 2**20, (200, 10))
    p, _, _ = fn.softmax(z, -18)
    exact = np.exp((z - z.max(axis=1, keepdims=True)) / 2**18)
    exact /= exact.sum(axis=1, keepdims=True)
    assert np.abs(p / 32768 - exact).max() < 2e-3


@pytest.mark.parametrize("exponent", [-60, -42, -41, -30, -11, -10, -9, 0, 5, 40])
def test_softmax_of_extreme_logits_stays_in_range(exponent: int) -> None:
    top = 2**31 - 2
    z = np.array([[top, -top, 0], [0, 0, 0], [-top, -top, -top], [1, 0, -1]])
    p, u, total = fn.softmax(z, exponent)
    assert p.min() >= 0
    assert p.max() <= 32768
    assert u.min() >= 0
    assert (total >= 65535).all()
    assert p[1].tolist() == p[2].tolist() == [10923, 10923, 10923]


def test_softmax_of_distant_logits_is_one_class() -> None:
    p, _, _ = fn.softmax(np.array([[2**30, 0]]), -10)
    assert p.tolist() == [[32768, 0]]


def test_log2_is_within_two_thousandths_and_exact_at_powers_of_two() -> None:
    totals = np.unique(np.geomspace(1, 2**32 - 1, 5000).astype(np.int64))
    assert np.abs(fn.log2(totals) / 1024 - np.log2(totals)).max() < 2e-3
    powers = 2 ** np.arange(32, dtype=np.int64)
    assert fn.log2(powers).tolist() == [1024 * k for k in range(32)]
