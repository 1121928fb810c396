"""The inside of a run for commands that look at it: made again once, then kept in its folder."""

from __future__ import annotations

import contextlib

from fixgrad.cli.output import Meter
from fixgrad.errors import RunFileError
from fixgrad.health import Examined
from fixgrad.history import History, held_part, record
from fixgrad.rundir import RunFolder


def examine(folder: RunFolder) -> Examined:
    """Return a run and its history, as far as it is recorded.

    Raises:
        RunFileError: there is no run, or no epoch of it has ended.
    """
    prepared, recorded = folder.reopen(), folder.digests()
    if not recorded:
        raise RunFileError(
            f"{folder.path} records no epoch yet; finish the run: fixgrad train --resume "
            f"{folder.path} --port URL"
        )
    history = folder.history(prepared.run_id)
    if history is None or history.epochs != len(recorded):
        history = _made_again(folder, len(recorded))
        with contextlib.suppress(OSError):  # a folder that may not be written is read all the same
            folder.save_history(history, prepared.run_id)
    return Examined(prepared, history, recorded, held_part(prepared)[0])


def _made_again(folder: RunFolder, epochs: int) -> History:
    with Meter("computing the run again", epochs, "epochs") as meter:
        for event in record(folder.reopen(), epochs):
            if isinstance(event, History):
                return event
            meter.update(event, "")
    raise AssertionError("a record ended without a history")
