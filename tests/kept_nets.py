"""Flash contents with a net in them, written as firmware/core/store.h and kept.h describe."""

from __future__ import annotations

import struct
import zlib

from fixgrad.model import ModelConfig, State

UNIT = 32
MAGIC = b"FGC1"
ERASED = b"\xff"


def payload(config: ModelConfig, state: State) -> bytes:
    """Return the payload of a checkpoint: sizes, STATE, MODEL, a DATASET head without samples."""
    parts = state.encode(), config.encode(), bytes(10)
    return struct.pack("<3I", *map(len, parts)) + b"".join(parts)


def record(content: bytes, generation: int = 1) -> bytes:
    """Return a complete record: header, payload with CRC, seal, all in whole units."""
    head = MAGIC + struct.pack("<4I", generation, 0x77, 0, len(content))
    head = head.ljust(UNIT - 4, b"\0")
    head += struct.pack("<I", zlib.crc32(head))
    body = content + struct.pack("<I", zlib.crc32(head + content))
    return head + body.ljust(-(-len(body) // UNIT) * UNIT, ERASED) + bytes(UNIT)
