"""Files in TOML: reading and parsing, with one line about whatever is wrong."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from fixgrad.errors import FixgradError


def read_text(path: Path, kind: str, missing: str, refusal: type[FixgradError]) -> str:
    """Return the text of a file.

    Args:
        path: the file.
        kind: what it should be, for messages: `run file`.
        missing: what to say if it is not there.
        refusal: kind of the errors.

    Raises:
        refusal: it is missing, cannot be read, or is not text.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        raise refusal(missing) from error
    except UnicodeDecodeError as error:
        raise refusal(f"{path} is not a text file in UTF-8; give a {kind}") from error
    except OSError as error:
        raise refusal(f"cannot read the {kind} {path}: {error.strerror}") from error


def parse(text: str, path: Path, kind: str, refusal: type[FixgradError]) -> dict[str, Any]:
    """Return the tables of a text.

    Args:
        text: TOML.
        path: where it stands, for messages.
        kind: what it should be, for messages: `run file`.
        refusal: kind of the errors.

    Raises:
        refusal: it is not TOML.
    """
    try:
        return tomllib.loads(text)
    except ValueError as error:  # a TOMLDecodeError, or an integer of thousands of digits
        raise refusal(_syntax_error(text, path, str(error))) from error
    except RecursionError as error:
        raise refusal(f"{path}: nested too deeply to be a {kind}") from error


def _syntax_error(text: str, path: Path, message: str) -> str:
    """Turn tomllib's message into file, line, the line itself, and what TOML wants."""
    match = re.search(r"^(.*?) \(at (?:line (\d+), column (\d+)|end of document)\)$", message)
    rows = text.splitlines()
    if match is None:
        return f"{path}: not TOML: {message}"
    number = int(match[2]) if match[2] else max(len(rows), 1)
    content = rows[number - 1].strip() if number <= len(rows) else ""
    what = match[1][0].lower() + match[1][1:]
    return (
        f"{path}:{number}: not TOML: {what}"
        + (f" in `{content}`" if content else "")
        + '; lines look like key = 1, key = "text" or key = [1, 2]'
    )
