"""The commands of docs/TUTORIAL.md, run as they stand."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

TUTORIAL = Path(__file__).parent.parent / "docs" / "TUTORIAL.md"
BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def run(arguments: list[str], folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, timeout=900,
        env={**os.environ, "PYTHONPATH": str(TUTORIAL.parent.parent / "host")},
    )
    assert done.returncode == 0, f"{arguments}: {done.stderr}"
    return done.stdout


def test_tutorial(tmp_path: Path) -> None:
    printed = []
    for language, text in BLOCK.findall(TUTORIAL.read_text(encoding="utf-8")):
        if language == "python":
            run(["-c", text], tmp_path)
            continue
        for line in text.splitlines():
            program, *arguments = shlex.split(line)
            assert program == "fixgrad"
            printed.append(run(["-m", "fixgrad", *arguments], tmp_path))
    digests = re.findall(r"540 steps, digest ([0-9a-f]{8})", "".join(printed))
    assert len(digests) == 2 and digests[0] == digests[1]
    assert "bit-exact: 540 steps, 275 parameters, 0 differences" in "".join(printed)
    assert f"keeps digest {digests[0]}" in printed[-1]
