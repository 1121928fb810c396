"""Campaign of resets and kills in its short form: three of each on a bad line, the same digest."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

CAMPAIGN = Path(__file__).parent / "campaigns" / "resets_and_kills.py"
GUARD_S = 900


def test_three_resets_and_three_kills_end_with_the_undisturbed_digest() -> None:
    result = subprocess.run(
        [sys.executable, str(CAMPAIGN), "--port", "sim://", "--epochs", "1", "--resets", "3",
         "--kills", "3"],
        capture_output=True, text=True, timeout=GUARD_S,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    struck = re.search(r"(\d+) resets, (\d+) kills", result.stdout)
    assert struck and int(struck[1]) >= 3 and int(struck[2]) >= 3, result.stdout
