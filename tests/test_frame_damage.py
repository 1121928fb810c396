"""Campaign 6: nothing that one or two wrong bits, or one lost or added byte, make is accepted."""

from __future__ import annotations

import pytest
from frame_damage import accepted_changes, accepted_pairs, data_frame
from test_framing import triple_error_example


def test_every_single_bit_and_every_pair_of_a_short_frame_is_found() -> None:
    assert accepted_pairs(data_frame(13, 1)) == 0


@pytest.mark.parametrize("size", [66, 256, 785])
def test_pairs_of_wrong_bits_in_longer_frames_are_found(size: int) -> None:
    assert accepted_pairs(data_frame(size, size), draws=60_000, seed=size) == 0


@pytest.mark.parametrize("size", [0, 20, 260])
def test_cut_lost_and_added_bytes_are_found(size: int) -> None:
    assert accepted_changes(data_frame(size, 3 + size)) == 0


def test_damage_that_is_accepted_is_counted() -> None:
    """Two flips of the known triple error stand already; the third makes a valid frame."""
    right, wrong = triple_error_example()
    at = next(i for i, (a, b) in enumerate(zip(right, wrong, strict=True)) if a != b)
    bit = 8 * at + (right[at] ^ wrong[at]).bit_length() - 1
    two = wrong[:at] + right[at : at + 1] + wrong[at + 1 :]
    assert accepted_pairs(two, right=right, bits=range(bit, bit + 1)) == 1
