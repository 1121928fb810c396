"""IDX files, the format of MNIST: magic (0, 0, type, rank), sizes and data in big-endian.

Source: http://yann.lecun.com/exdb/mnist/ (section FILE FORMATS).
"""

from __future__ import annotations

from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fixgrad.errors import DataError

_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def is_idx(data: bytes) -> bool:
    """Tell whether bytes begin like an IDX file."""
    return len(data) >= 4 and data[:2] == b"\0\0" and data[2] in _DTYPES


def parse_idx(path: Path, data: bytes) -> NDArray[np.generic]:
    """Read one IDX array.

    Args:
        path: the file, for messages.
        data: its bytes, unpacked.

    Raises:
        DataError: the magic is wrong or the length differs from the sizes in the header.
    """
    if not is_idx(data):
        start = data[:4].hex(" ")
        raise DataError(f"{path} is not an IDX file: it begins with {start or 'nothing'}")
    rank = data[3]
    head = 4 + 4 * rank
    sizes = [int.from_bytes(data[at : at + 4], "big") for at in range(4, head, 4)]
    dtype = np.dtype(_DTYPES[data[2]])
    needed = head + prod(sizes) * dtype.itemsize
    if rank == 0 or len(data) != needed:
        shape = " x ".join(map(str, sizes)) or "none"
        raise DataError(
            f"{path}: an IDX file of {shape} values has {needed} bytes, this one has {len(data)}; "
            "it is cut off or damaged"
        )
    return np.frombuffer(data, dtype, prod(sizes), head).reshape(sizes)
