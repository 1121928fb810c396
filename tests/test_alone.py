"""Campaign of resets on a micro:bit that keeps its run and then predicts alone, in short."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

CAMPAIGN = Path(__file__).parent / "campaigns" / "alone.py"
GUARD_S = 1200


def test_a_board_reset_thrice_ends_with_the_same_digest_and_predicts_alone() -> None:
    result = subprocess.run(
        [sys.executable, str(CAMPAIGN), "--epochs", "1", "--resets", "3", "--reset-s", "3"],
        capture_output=True, text=True, timeout=GUARD_S,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    struck = re.search(r"(\d+) resets", result.stdout)
    assert struck and int(struck[1]) >= 3, result.stdout
    assert "alone: 360 of 360 test samples" in result.stdout
