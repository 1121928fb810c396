"""Campaign 6: damage to one frame, and whether the device's decoder and CRC accept any of it.

.venv/bin/python tests/sim/frame_damage.py --pairs 20000000
"""

from __future__ import annotations

import argparse
import ctypes
import random
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
for _folder in (ROOT / "host", ROOT / "tests"):
    if str(_folder) not in sys.path:
        sys.path.insert(0, str(_folder))

import link_library  # noqa: E402
from cobs import cobs  # noqa: E402
from fixgrad.framing import decode_frame, encode_frame  # noqa: E402
from fixgrad.protocol import Message  # noqa: E402


def data_frame(payload_bytes: int, seed: int) -> bytes:
    """Return the wire bytes of a DATA frame; a third of its payload is zero."""
    rng = random.Random(seed)
    payload = bytes(rng.choice([0, rng.randrange(256), 255]) for _ in range(payload_bytes))
    return encode_frame(Message.DATA, rng.randrange(1, 256), rng.randrange(60000), payload)


def accepted_pairs(
    wire: bytes,
    *,
    right: bytes | None = None,
    bits: range | None = None,
    draws: int = 0,
    seed: int = 1,
) -> int:
    """Return how many damaged copies of a frame the device accepts.

    Args:
        wire: the encoded frame.
        right: the frame as it was sent, encoded; `wire` itself by default.
        bits: the first flipped bit lies in this range; all by default.
        draws: random pairs of flipped bits; 0: every single bit and every pair.
        seed: of the draws.
    """
    frame: bytes = cobs.decode((right or wire)[:-1])
    bits = bits or range(8 * len(wire))
    library = link_library.library()
    library.harness_flip_pairs.restype = ctypes.c_uint64
    buffer = ctypes.create_string_buffer(wire, len(wire))
    return int(
        library.harness_flip_pairs(
            buffer, ctypes.c_size_t(len(wire)), frame, ctypes.c_size_t(len(frame)),
            ctypes.c_size_t(bits.start), ctypes.c_size_t(bits.stop), ctypes.c_uint64(draws),
            ctypes.c_uint64(seed),
        )
    )  # fmt: skip


def one_byte_changes(wire: bytes) -> Iterator[bytes]:
    """Yield the frame cut off after every byte, and with every byte deleted, doubled or added."""
    for at in range(len(wire)):
        yield wire[:at] + b"\0"
        yield wire[:at] + wire[at + 1 :]
        for byte in (0, 1, wire[at], 0xFF):
            yield wire[:at] + bytes([byte]) + wire[at:]


def accepted_changes(wire: bytes) -> int:
    """Return how many of `one_byte_changes` the device or the host takes for another frame."""
    right = cobs.decode(wire[:-1])
    count = 0
    for damaged in one_byte_changes(wire):
        for frame in link_library.decode(damaged + b"\0"):
            intact = (
                frame is not None
                and len(frame) >= 10
                and (link_library.crc32(frame[:-4]) == int.from_bytes(frame[-4:], "little"))
            )
            count += intact and frame != right
        for part in damaged.split(b"\0"):
            count += decode_frame(part) not in (None, decode_frame(wire[:-1]))
    return count


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pairs", type=int, default=20_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    sizes = (13, 66, 256, 785)
    worst = 0
    for number, size in enumerate(sizes):
        wire = data_frame(size, options.seed + number)
        bad = accepted_pairs(wire, draws=options.pairs // len(sizes), seed=options.seed)
        print(f"{len(wire)} bytes: {options.pairs // len(sizes):,} pairs, {bad} accepted")
        worst = max(worst, bad)
    return 1 if worst else 0


if __name__ == "__main__":
    sys.exit(main())
