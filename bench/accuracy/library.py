"""C files compiled for this machine's processor and loaded by ctypes."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import subprocess
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "firmware" / "core"
FLAGS = ("-std=c11", "-O3", "-shared", "-fPIC")
NATIVE = "-march=native"


def build(
    name: str, files: tuple[Path, ...], inputs: tuple[Path, ...], flags: tuple[str, ...] = ()
) -> Path:
    """Compile a shared library, unless it is there already.

    Args:
        name: of the library.
        files: C files to compile.
        inputs: every file that the result depends on.
        flags: for the compiler, beside those of every library.

    Returns:
        The library, in build/bench/.
    """
    compiler = os.environ.get("CC", "cc")
    native = (NATIVE,) if _accepts(compiler, NATIVE) else ()
    command = [compiler, *FLAGS, *native, *flags, f"-I{CORE}", *map(str, files), "-lm"]
    target = ROOT / "build" / "bench" / f"{name}-{fingerprint(inputs, *command)}.so"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_suffix(f".{os.getpid()}")
        subprocess.run([*command, "-o", str(temporary)], check=True)
        temporary.replace(target)
    return target


def fingerprint(inputs: tuple[Path, ...], *more: str) -> str:
    """Return a hash of files and strings."""
    key = hashlib.sha256("\0".join(more).encode())
    for path in inputs:
        key.update(path.read_bytes())
    return key.hexdigest()[:16]


def address(array: NDArray[np.generic]) -> ctypes.c_void_p:
    """Return the address of a contiguous array."""
    if not array.flags.c_contiguous:
        raise ValueError("the array is not contiguous")
    return ctypes.c_void_p(array.ctypes.data)


@functools.cache
def _accepts(compiler: str, flag: str) -> bool:
    command = [compiler, flag, "-E", "-x", "c", os.devnull]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
