"""Where the firmware's C sources are: beside a source tree, or inside an installed package."""

from __future__ import annotations

from pathlib import Path

from fixgrad.errors import BuildError


def firmware_dir() -> Path:
    """Return the folder that holds main.c, core/ and ports/.

    Raises:
        BuildError: the installation is incomplete.
    """
    package = Path(__file__).resolve().parent
    for folder in (package / "_firmware", package.parent.parent / "firmware"):
        if (folder / "main.c").is_file():
            return folder
    raise BuildError(
        f"the firmware's sources are missing beside {package}: install fixgrad again"
    )
