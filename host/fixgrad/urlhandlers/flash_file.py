"""The file that holds the flash of a board that is a process."""

from __future__ import annotations

from pathlib import Path

from fixgrad.errors import PortError


def require_flash_file(path: Path, flash_bytes: int) -> None:
    """Refuse a file that cannot be written, or that holds something else, before a board has it.

    Args:
        path: the file; it need not exist.
        flash_bytes: what it holds once the board has written it.

    Raises:
        PortError: with the reason.
    """
    existed = path.exists()
    try:
        with path.open("ab") as file:
            found = file.tell()
        if not existed:
            path.unlink()
    except OSError as error:
        raise PortError(
            f"flash={path}: no file for the board's flash: {error.strerror}; name another"
        ) from error
    if found not in (0, flash_bytes):
        raise PortError(
            f"flash={path}: {found:,} bytes, but this board's flash has {flash_bytes:,}: another "
            "file, or another board's; name another"
        )
