"""Copies of folders of the source tree."""

import shutil
from pathlib import Path


def copy_sources(folder: Path, target: Path) -> None:
    """Copy a folder without what Python and other tests write into it meanwhile."""
    shutil.copytree(folder, target, ignore=shutil.ignore_patterns("__pycache__"))
