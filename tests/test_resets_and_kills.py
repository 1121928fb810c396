"""The campaign of resets and kills in short; `tests/campaigns/resets_and_kills.py` runs it deep."""

from __future__ import annotations

from pathlib import Path

from resets_and_kills import Plan, run


def test_digits_run_with_resets_and_kills_on_a_bad_line_ends_in_the_same_digest(
    tmp_path: Path,
) -> None:
    plan = Plan("sim://", 2, resets=3, kills=3, reset_bytes=50_000, bit_errors=1e-5, seed=2)
    struck, right, digests = run(plan, tmp_path)
    assert set(digests) == {right}
    assert struck.kills >= 3 and struck.resets >= 3
