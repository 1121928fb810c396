"""The device's codec as a shared library, driven by ctypes."""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path

from core_library import CORE, compile_program

HARNESS = Path(__file__).parent / "sim" / "link_harness.c"
SOURCES = [CORE / "cobs.c", CORE / "crc32.c", CORE / "reply.c", HARNESS]
FLAGS = ("-O1", "-shared", "-fPIC", "-fsanitize=undefined", "-fno-sanitize-recover=all")
DAMAGED = 0xFFFFFFFF


@functools.cache
def library() -> ctypes.CDLL:
    """Compile and load the codec."""
    codec = ctypes.CDLL(str(compile_program("link.so", SOURCES, FLAGS)))
    codec.harness_decode.restype = codec.harness_encode.restype = ctypes.c_size_t
    codec.crc32_update.restype = ctypes.c_uint32
    return codec


def crc32(data: bytes, crc: int = 0) -> int:
    """Continue a CRC with crc32_update()."""
    return int(library().crc32_update(ctypes.c_uint32(crc), data, ctypes.c_size_t(len(data))))


def decode(stream: bytes, capacity: int = 4096) -> list[bytes | None]:
    """Return what cobs_decode() makes of a stream: frames, None where one is damaged."""
    out = ctypes.create_string_buffer(5 * len(stream) + 8)
    count = library().harness_decode(
        stream, ctypes.c_size_t(len(stream)), ctypes.c_uint16(capacity), out
    )
    frames: list[bytes | None] = []
    at = 0
    while at < count:
        length = int.from_bytes(out.raw[at : at + 4], "little")
        at += 4
        if length == DAMAGED:
            frames.append(None)
        else:
            frames.append(out.raw[at : at + length])
            at += length
    return frames


def encode(type_: int, session: int, pos: int, payload: bytes) -> bytes:
    """Return the wire bytes of an answer."""
    out = ctypes.create_string_buffer(2 * len(payload) + 64)
    count = library().harness_encode(
        ctypes.c_uint8(type_),
        ctypes.c_uint8(session),
        ctypes.c_uint32(pos),
        payload,
        ctypes.c_size_t(len(payload)),
        out,
    )
    return out.raw[:count]
