"""A generated file that is checked in: written, or with `--check` only compared."""

import sys
from pathlib import Path


def write_or_check(path: Path, text: str) -> int:
    """Write `text` to `path`, or compare the two; return the exit code."""
    if "--check" not in sys.argv[1:]:
        path.write_text(text, "utf-8")
        return 0
    if path.read_text("utf-8") == text:
        return 0
    print(f"{path.name} is stale: run python {sys.argv[0]}", file=sys.stderr)
    return 1
