"""`fixgrad decode`: recorded bytes of the link as messages."""

from __future__ import annotations

from pathlib import Path

import click

from fixgrad.cli.options import PATH, json_option
from fixgrad.cli.output import note, print_json, print_line
from fixgrad.errors import UsageError
from fixgrad.framing import DELIMITER
from fixgrad.tracing import describe_encoded


@click.command(short_help="Print recorded bytes of the link as messages.")
@click.argument("recording", type=PATH)
@json_option
def decode(recording: Path, as_json: bool) -> None:
    """Print RECORDING, bytes of one direction as they travelled, a line a message."""
    try:
        data = recording.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {recording}: {error.strerror}") from error
    parts = [part for part in data.split(DELIMITER) if part]
    texts = [describe_encoded(part) for part in parts]
    if as_json:
        print_json({"messages": texts})
        return
    if not texts:
        note(f"{recording} holds no message")
    for number, text in enumerate(texts, 1):
        print_line(f"{number:6} {text}")
