"""Bytes of the link as text: one line a message, for people."""

from __future__ import annotations

from fixgrad import protocol
from fixgrad.framing import DELIMITER, Frame, decode_frame
from fixgrad.protocol import Message, Reason, Region, Status

TO_DEVICE, TO_HOST = "→", "←"

_FIELDS: dict[int, tuple[tuple[str, int], ...]] = {
    Message.LOAD: (("region", 1),),
    Message.COMMIT: protocol.COMMIT_FIELDS,
    Message.READ: protocol.READ_FIELDS,
    Message.SAVE: protocol.SAVE_FIELDS,
    Message.BAUD: protocol.BAUD_FIELDS,
    Message.HELLO_ACK: protocol.HELLO_ACK_FIELDS,
    Message.LOAD_ACK: protocol.LOAD_ACK_FIELDS,
    Message.COMMIT_ACK: protocol.COMMIT_ACK_FIELDS,
    Message.READ_ACK: protocol.READ_ACK_FIELDS,
    Message.DATA_ACK: protocol.DATA_ACK_FIELDS,
    Message.EVAL_ACK: protocol.EVAL_ACK_FIELDS,
    Message.INFER_ACK: protocol.INFER_ACK_FIELDS,
    Message.SAVE_ACK: protocol.SAVE_ACK_FIELDS,
    Message.BAUD_ACK: protocol.BAUD_FIELDS,
    Message.SCALE_ACK: protocol.SCALE_ACK_FIELDS,
    Message.NO_SESSION: protocol.NO_SESSION_FIELDS,
}
_HEXADECIMAL = {"schema", "boot_id", "run_id", "digest", "crc"}
_NAMES = {"status": Status, "region": Region, "reason": Reason}


class Tracer:
    """Turns the bytes of one direction into lines, in any portions."""

    def __init__(self, arrow: str) -> None:
        """Take what stands before every message, `TO_DEVICE` or `TO_HOST`."""
        self._arrow = arrow
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        """Take bytes; return a line for every frame that they complete, damaged ones included."""
        *complete, rest = (self._rest + data).split(DELIMITER)
        self._rest = rest
        return [f"{self._arrow} {describe_encoded(part)}" for part in complete if part]


def describe_encoded(encoded: bytes) -> str:
    """Describe one frame as it travels, without its delimiter."""
    frame = decode_frame(encoded)
    if frame is None:
        head = encoded[:16].hex(" ")
        more = " …" if len(encoded) > 16 else ""
        return f"damaged, {len(encoded)} bytes: {head}{more}"
    return describe(frame)


def describe(frame: Frame) -> str:
    """Describe a frame: its message, session, position and fields."""
    try:
        name = Message(frame.type).name
    except ValueError:
        name = f"type 0x{frame.type:02x}"
    parts = [name, f"session {frame.session}", f"pos {frame.pos}"]
    fields = _FIELDS.get(frame.type, ())
    length = protocol.field_bytes(fields)
    if len(frame.payload) < length:
        parts.append(f"payload too short: {frame.payload.hex(' ')}")
    else:
        values = protocol.unpack(fields, frame.payload)
        parts += [_field(field, value) for field, value in values.items()]
        if frame.type == Message.TRAIN_TO:
            parts.append(_stretches(frame.payload))
        elif frame.type == Message.HELLO_ACK:
            parts.append(_names(frame.payload))
        elif len(frame.payload) > length:
            parts.append(f"{len(frame.payload) - length} bytes")
    return ", ".join(parts)


def _stretches(payload: bytes) -> str:
    """Describe the records of TRAIN_TO."""
    size = protocol.field_bytes(protocol.BATCH_FIELDS)
    if len(payload) % size:
        return f"{len(payload)} bytes, no whole records"
    records = [
        protocol.unpack(protocol.BATCH_FIELDS, payload[at:])
        for at in range(0, len(payload), size)
    ]
    return ", ".join(
        f"{r['size']} samples at {r['lr_mantissa']}·2^{r['lr_exponent']}" for r in records
    )


def _names(payload: bytes) -> str:
    """Describe what stands behind the fields of HELLO_ACK."""
    try:
        values, board, core = protocol.unpack_hello(payload)
    except ValueError:
        return f"{len(payload) - protocol.field_bytes(protocol.HELLO_ACK_FIELDS)} bytes"
    return f"board {board}, core {core}, samples_bytes {values['samples_bytes']}"


def _field(name: str, value: int) -> str:
    if name in _HEXADECIMAL:
        return f"{name} {value:08x}"
    names = _NAMES.get(name)
    if names is not None and value in names._value2member_map_:
        return f"{name} {names(value).name}"
    return f"{name} {value}"
