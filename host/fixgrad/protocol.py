"""The one table of the link: message types, regions, status codes, widths and limits.

`tools/generate_protocol.py` turns it into `firmware/core/protocol.h`. docs/PROTOCOL.md says what
the messages mean. All integers on the wire are little-endian.
"""

import enum
import json
import struct
import zlib
from typing import Final

PROTOCOL_VERSION: Final = 1
NUMERICS_VERSION: Final = 1

HEADER_BYTES: Final = 6
"""type u8, session u8, pos u32."""

TRAILER_BYTES: Final = 4
"""CRC-32 (zlib's) of everything before it."""


class Message(enum.IntEnum):
    """Message types; bit 7 marks device to host."""

    HELLO = 0x01
    LOAD = 0x02
    COMMIT = 0x03
    READ = 0x04
    DATA = 0x05
    EVAL = 0x06
    INFER = 0x07
    PART = 0x08
    TRAIN_TO = 0x09
    SAVE = 0x0A
    BAUD = 0x0B
    SCALE = 0x0C
    HELLO_ACK = 0x81
    LOAD_ACK = 0x82
    COMMIT_ACK = 0x83
    READ_ACK = 0x84
    DATA_ACK = 0x85
    EVAL_ACK = 0x86
    INFER_ACK = 0x87
    NO_SESSION = 0x88
    SAVE_ACK = 0x8A
    BAUD_ACK = 0x8B
    SCALE_ACK = 0x8C


class Region(enum.IntEnum):
    """What LOAD writes and READ reads."""

    MODEL = 0
    STATE = 1
    DATASET = 2
    PROFILE = 3
    """Read only, and only in images that profile."""
    REACH = 4
    """Read only, while a part of a batch is held."""
    GRADIENT = 5
    """Read only, once SCALE told the exponents of the whole batch."""


class Phase(enum.IntEnum):
    """Parts of a training step, of which region PROFILE tells the ticks."""

    NONE = 0
    PACK = 1
    """A sample checked and put into its row."""
    FORWARD = 2
    LOSS = 3
    """The last layer forward, its loss and its deltas."""
    BACKWARD = 4
    UPDATE = 5
    END = 6
    """Exponents adapted, the step counted."""
    DIGEST = 7
    """Not in the step: after it, where an acknowledgement tells it."""


NO_REGION: Final = 255
"""No region has this number: READ of it only asks for an answer."""


class Status(enum.IntEnum):
    """First byte of most answers. Every value but OK says why nothing was changed."""

    OK = 0
    CORRUPT = 1
    """A frame arrived damaged (an answer without a request; at most once until a good frame)."""
    BAD_MESSAGE = 2
    """Unknown type or region, or a payload of the wrong length."""
    BAD_MODEL = 3
    """The model breaks a range or budget of NUMERICS; detail = offset of the field in MODEL."""
    NO_MEMORY = 4
    """detail = bytes of arena the model needs."""
    BAD_OFFSET = 5
    """Offset and length do not lie inside the region, or no MODEL was loaded; or a piece of DATASET
    for the flash may not follow what stands there: detail = where the next one must begin."""
    BAD_STATE = 6
    """COMMIT: the CRC over MODEL and STATE differs, or a value is out of its range. EVAL, INFER and
    SAVE: a part of a batch is held. SCALE: none is."""
    BAD_SAMPLE = 7
    """A batch header, feature or target is out of range; samples before it were applied."""
    STORE_FAILED = 8
    """The board's flash does not keep what is written."""


class Reason(enum.IntEnum):
    """Why NO_SESSION was sent."""

    SESSION = 0
    RUN = 1


class Loss(enum.IntEnum):
    """Losses of NUMERICS section 4."""

    SOFTMAX_CROSS_ENTROPY = 0
    SQUARED_ERROR = 1
    SIGMOID_BINARY_CROSS_ENTROPY = 2
    SIGMOID_SQUARED_ERROR = 3


class Activation(enum.IntEnum):
    """Activations of NUMERICS section 3; LINEAR marks the last layer."""

    LINEAR = 0
    RELU = 1
    LEAKY = 2
    SIGMOID = 3
    TANH = 4
    SIGN = 5


class InputFormat(enum.IntEnum):
    """Storage and wire format of a feature."""

    U8 = 0
    I8 = 1
    I16 = 2


class ModelFlag(enum.IntFlag):
    """Options in the MODEL region; the bits from FROZEN on count the frozen layers."""

    ADAPTIVE = 1
    WIDEN = 2
    CLIP = 4
    FROZEN = 8


# (field, width in bytes); negative widths are signed. In wire order.
MODEL_FIELDS: Final[tuple[tuple[str, int], ...]] = (
    ("numerics", 1),
    ("layer_count", 1),
    ("loss", 1),
    ("flags", 1),
    ("batch", 2),
    ("input_max", 2),
    ("input_format", 1),
    ("update_bits", 1),
    ("momentum", 1),
    ("velocity_bits", 1),
    ("clip_exponent", -1),
    ("decay_shift", 1),
    ("decay_every", 4),
    ("input_width", 2),
)
LAYER_FIELDS: Final[tuple[tuple[str, int], ...]] = (
    ("width", 2),
    ("activation", 1),
    ("activation_bits", 1),
    ("weight_bits", 1),
    ("delta_bits", 1),
)
BATCH_FIELDS: Final[tuple[tuple[str, int], ...]] = (
    ("size", 2),
    ("lr_mantissa", 2),
    ("lr_exponent", -1),
)
DATASET_FIELDS: Final[tuple[tuple[str, int], ...]] = (
    ("samples", 4),
    ("seed", 4),
    ("shuffle", 1),
    ("bits", 1),
)
"""Head of DATASET, followed by the table of features and the samples."""
HELLO_ACK_FIELDS: Final[tuple[tuple[str, int], ...]] = (
    ("protocol", 1),
    ("numerics", 1),
    ("firmware", 2),
    ("schema", 4),
    ("boot_id", 4),
    ("run_id", 4),
    ("next", 4),
    ("digest", 4),
    ("arena_bytes", 4),
    ("payload_max", 2),
    ("window_bytes", 2),
)
"""Followed by the board's and the core's name, each ending with a zero byte, then HELLO_ROOM."""
HELLO_ROOM_FIELDS: Final[tuple[tuple[str, int], ...]] = (("samples_bytes", 4),)
"""From boards that can keep samples in their flash: how many bytes of DATASET."""
DATA_ACK_FIELDS: Final[tuple[tuple[str, int], ...]] = (
    ("status", 1),
    ("step", 4),
    ("digest", 4),
    ("loss_sum", 8),
    ("correct", 4),
    ("wsat", 4),
    ("asat", 4),
    ("bsat", 4),
)
LOAD_ACK_FIELDS: Final[tuple[tuple[str, int], ...]] = (("region", 1), ("status", 1), ("detail", 4))
COMMIT_FIELDS: Final[tuple[tuple[str, int], ...]] = (("run_id", 4), ("next", 4), ("crc", 4))
COMMIT_ACK_FIELDS: Final[tuple[tuple[str, int], ...]] = (("status", 1),)
READ_FIELDS: Final[tuple[tuple[str, int], ...]] = (("region", 1), ("count", 2))
READ_ACK_FIELDS: Final[tuple[tuple[str, int], ...]] = (("region", 1), ("status", 1), ("next", 4))
"""Followed by the bytes; none unless status is OK."""
EVAL_ACK_FIELDS: Final[tuple[tuple[str, int], ...]] = (
    ("status", 1),
    ("count", 2),
    ("correct", 2),
    ("loss", 4),
)
INFER_ACK_FIELDS: Final[tuple[tuple[str, int], ...]] = (("status", 1), ("count", 2))
"""Followed by count x outputs: prediction i32 (see docs/PROTOCOL.md), then the logits i32."""
SAVE_FIELDS: Final[tuple[tuple[str, int], ...]] = (("every", 4),)
SAVE_ACK_FIELDS: Final[tuple[tuple[str, int], ...]] = (("status", 1), ("generation", 4))
BAUD_FIELDS: Final[tuple[tuple[str, int], ...]] = (("baud", 4),)
"""Of BAUD and of BAUD_ACK."""
PROFILE_FIELDS: Final[tuple[tuple[str, int], ...]] = (("ticks", 4),)
REACH_FIELDS: Final[tuple[tuple[str, int], ...]] = (("exponent", 4), ("amx_bits", 4))
"""Of each layer; the exponent is an i32."""
SCALE_FIELDS: Final[tuple[tuple[str, int], ...]] = (("exponent", 4),)
"""Of each layer, an i32."""
SCALE_ACK_FIELDS: Final[tuple[tuple[str, int], ...]] = (("status", 1),)
NO_SESSION_FIELDS: Final[tuple[tuple[str, int], ...]] = (("reason", 1),)

LIMITS: Final[dict[str, int]] = {
    "OUTPUTS_MAX": 64,
    "BIAS_MAX": 1 << 28,
    "TARGET_MAX": 1 << 26,
    "SIGMOID_TARGET_MAX": 32768,
    "BITS_MIN": 7,
    "WEIGHT_BITS_MAX": 14,
    "DELTA_BITS_MAX": 15,
    "LR_MANTISSA_MAX": 1 << 15,
    "LR_EXPONENT_MIN": -64,
    "LR_EXPONENT_MAX": 63,
    "WEIGHT_EXPONENT_MIN": -32,
    "WEIGHT_EXPONENT_MAX": 31,
    "ACTIVATION_EXPONENT_MIN": -15,
    "INPUT_EXPONENT_MAX": 15,
    "ACTIVATION_BITS_MIN": 4,
    "ACTIVATION_BITS_MAX": 15,
    "VELOCITY_BITS_MAX": 8,
    "DECAY_SHIFT_MAX": 16,
    "BAUD_AT_START": 115200,
    "WAKING_ZEROS": 32,
}

ENUMS: Final[dict[str, type[enum.IntEnum] | type[enum.IntFlag]]] = {
    "MSG": Message,
    "REGION": Region,
    "PHASE": Phase,
    "STATUS": Status,
    "REASON": Reason,
    "LOSS": Loss,
    "ACTIVATION": Activation,
    "INPUT": InputFormat,
    "MODEL_FLAG": ModelFlag,
}
STRUCTS: Final[dict[str, tuple[tuple[str, int], ...]]] = {
    "MODEL": MODEL_FIELDS,
    "LAYER": LAYER_FIELDS,
    "BATCH": BATCH_FIELDS,
    "DATASET": DATASET_FIELDS,
    "HELLO_ACK": HELLO_ACK_FIELDS,
    "HELLO_ROOM": HELLO_ROOM_FIELDS,
    "DATA_ACK": DATA_ACK_FIELDS,
    "LOAD_ACK": LOAD_ACK_FIELDS,
    "COMMIT": COMMIT_FIELDS,
    "COMMIT_ACK": COMMIT_ACK_FIELDS,
    "READ": READ_FIELDS,
    "READ_ACK": READ_ACK_FIELDS,
    "EVAL_ACK": EVAL_ACK_FIELDS,
    "INFER_ACK": INFER_ACK_FIELDS,
    "NO_SESSION": NO_SESSION_FIELDS,
    "PROFILE": PROFILE_FIELDS,
    "SAVE": SAVE_FIELDS,
    "SAVE_ACK": SAVE_ACK_FIELDS,
    "BAUD": BAUD_FIELDS,
    "REACH": REACH_FIELDS,
    "SCALE": SCALE_FIELDS,
    "SCALE_ACK": SCALE_ACK_FIELDS,
}


def field_bytes(fields: tuple[tuple[str, int], ...]) -> int:
    """Return the packed length in bytes of a field table."""
    return sum(abs(width) for _, width in fields)


def layout(fields: tuple[tuple[str, int], ...]) -> struct.Struct:
    """Return what packs and unpacks the values of a field table in their order: faster."""
    codes = {1: "B", 2: "H", 4: "I", 8: "Q", -1: "b"}
    return struct.Struct("<" + "".join(codes[width] for _, width in fields))


def pack(fields: tuple[tuple[str, int], ...], **values: int) -> bytes:
    """Pack named integers by a field table.

    Args:
        fields: one of the `*_FIELDS` tables.
        **values: one integer for every field.

    Returns:
        The bytes in wire order.

    Raises:
        OverflowError: a value does not fit its field.
        KeyError: a field has no value.
    """
    return b"".join(
        values[name].to_bytes(abs(width), "little", signed=width < 0) for name, width in fields
    )


def unpack(fields: tuple[tuple[str, int], ...], data: bytes) -> dict[str, int]:
    """Unpack the head of `data` by a field table; the inverse of `pack`.

    Raises:
        ValueError: `data` is shorter than the table.
    """
    if len(data) < field_bytes(fields):
        raise ValueError(f"{len(data)} bytes where {field_bytes(fields)} are needed")
    values, at = {}, 0
    for name, width in fields:
        values[name] = int.from_bytes(data[at : at + abs(width)], "little", signed=width < 0)
        at += abs(width)
    return values


def unpack_hello(payload: bytes) -> tuple[dict[str, int], str, str]:
    """Unpack a HELLO_ACK of this version of the protocol.

    Returns:
        HELLO_ACK and HELLO_ROOM, whose `samples_bytes` is 0 where the board does not tell it; the
        names of the board and of its core.

    Raises:
        ValueError: `payload` is none.
    """
    values = unpack(HELLO_ACK_FIELDS, payload)
    board, core, room = payload[field_bytes(HELLO_ACK_FIELDS) :].split(b"\0", 2)
    told = unpack(HELLO_ROOM_FIELDS, room) if room else {"samples_bytes": 0}
    return values | told, board.decode("ascii"), core.decode("ascii")


def schema_hash() -> int:
    """Return the CRC-32 of the canonical table: both sides were built from the same one."""
    table = {
        "version": PROTOCOL_VERSION,
        "numerics": NUMERICS_VERSION,
        "enums": {k: {m.name: int(m) for m in v} for k, v in ENUMS.items()},
        "structs": {k: list(v) for k, v in STRUCTS.items()},
        "limits": LIMITS,
    }
    return zlib.crc32(json.dumps(table, sort_keys=True, separators=(",", ":")).encode())
