"""The file that holds the flash of a board that is a process."""

from __future__ import annotations

from pathlib import Path

from fixgrad.errors import PortError


def require_flash_file(path: Path) -> None:
    """Refuse a file that cannot be written, before a board is started that would end without it.

    Raises:
        PortError: with the reason.
    """
    existed = path.exists()
    try:
        with path.open("ab"):
            pass
        if not existed:
            path.unlink()
    except OSError as error:
        raise PortError(
            f"flash={path}: no file for the board's flash: {error.strerror}; name another"
        ) from error
