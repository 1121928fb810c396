"""Write the tables of keys in docs/RUNFILE.md from `fixgrad.runkeys`; --check only compares."""

from __future__ import annotations

import sys
from pathlib import Path

from fixgrad.runkeys import KEYS, REQUIRED, SECTIONS, toml_value
from generated import write_or_check

PAGE = Path(__file__).parents[1] / "docs" / "RUNFILE.md"
BEGIN, END = "<!-- keys of {}: tools/generate_runfile.py -->", "<!-- end of keys -->"


def keys_table(section: str) -> str:
    """Return the keys of a section as a Markdown table."""
    rows = ["| key | default | meaning |", "|---|---|---|"]
    for key in KEYS:
        if key.section != section:
            continue
        default = "required" if key.default is REQUIRED else f"`{toml_value(key.default)}`"
        if key.default is None:
            default = f"none; e.g. `{key.example}`"
        comment = key.comment.replace("\n", " ").replace("|", "\\|")
        rows.append(f"| `{key.name}` | {default} | {comment} |")
    return "\n".join(rows)


def render(text: str) -> str:
    """Return the page with all its tables renewed."""
    for section in ("", *SECTIONS):
        begin = BEGIN.format(section or "the top")
        head, rest = text.split(begin)
        tail = rest.split(END, 1)[1]
        text = f"{head}{begin}\n{keys_table(section)}\n{END}{tail}"
    return text


if __name__ == "__main__":
    sys.exit(write_or_check(PAGE, render(PAGE.read_text("utf-8"))))
