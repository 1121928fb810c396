"""Frames of docs/PROTOCOL.md: bytes in, bytes out; knows no port and no clock."""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

from cobs import cobs  # type: ignore[import-untyped]

from fixgrad.protocol import HEADER_BYTES, TRAILER_BYTES

DELIMITER = b"\0"

FRAME_OVERHEAD_BYTES = HEADER_BYTES + TRAILER_BYTES

RECEIVED_MAX = 1 << 17
"""Bytes without a delimiter after which the decoder stops collecting: no frame is that long."""

_HEADER = struct.Struct("<BBI")
_TRAILER = struct.Struct("<I")


class Frame(NamedTuple):
    """A frame's fields.

    Attributes:
        type: message type, u8.
        session: session, u8.
        pos: position, offset, nonce or tag, u32.
        payload: the rest.
    """

    type: int
    session: int
    pos: int
    payload: bytes


def encode_frame(type_: int, session: int, pos: int, payload: bytes = b"") -> bytes:
    """Return the wire bytes of a frame, delimiter included.

    Raises:
        struct.error: a field does not fit its width.
    """
    body = _HEADER.pack(type_, session, pos) + payload
    encoded: bytes = cobs.encode(body + _TRAILER.pack(zlib.crc32(body)))
    return encoded + DELIMITER


def decode_frame(encoded: bytes) -> Frame | None:
    """Decode one frame without its delimiter; None if it is damaged."""
    try:
        frame: bytes = cobs.decode(encoded)
    except cobs.DecodeError:
        return None
    end = len(frame) - TRAILER_BYTES
    if end < HEADER_BYTES or _TRAILER.unpack_from(frame, end)[0] != zlib.crc32(frame[:end]):
        return None
    type_, session, pos = _HEADER.unpack_from(frame)
    return Frame(type_, session, pos, frame[HEADER_BYTES:end])


def encoded_bytes_max(payload_bytes: int) -> int:
    """Return the most wire bytes, delimiter included, that a payload of this length can take."""
    body = payload_bytes + FRAME_OVERHEAD_BYTES
    return body + -(-body // 254) + len(DELIMITER)


def payload_bytes_max(encoded_bytes: int) -> int:
    """Return the longest payload whose frame always fits `encoded_bytes` wire bytes."""
    body = encoded_bytes - len(DELIMITER)
    return body - -(-body // 255) - FRAME_OVERHEAD_BYTES


class Decoder:
    """Splits received bytes into frames, in any portions.

    Attributes:
        damaged: frames that were not valid so far.
    """

    def __init__(self) -> None:
        """Start without any bytes."""
        self.damaged = 0
        self._rest = b""

    @property
    def in_mid_frame(self) -> bool:
        """True when the last byte received was not the end of a frame."""
        return bool(self._rest)

    def feed(self, data: bytes) -> list[Frame]:
        """Take received bytes and return the valid frames they complete, in order."""
        *complete, rest = (self._rest + data).split(DELIMITER)
        self._rest = rest[-RECEIVED_MAX:]
        frames = []
        for encoded in complete:
            if not encoded:
                continue
            frame = decode_frame(encoded)
            if frame is None:
                self.damaged += 1
            else:
                frames.append(frame)
        return frames
