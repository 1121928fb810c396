"""Frames: Python's codec and the device's against published vectors and against each other."""

import random
import zlib

import link_library
import pytest
from cobs import cobs
from fixgrad.framing import (
    Decoder,
    Frame,
    decode_frame,
    encode_frame,
    encoded_bytes_max,
    payload_bytes_max,
)

# Cheshire and Baker, "Consistent Overhead Byte Stuffing", and the table of the same examples in
# Wikipedia's article on it; all are without the delimiter.
COBS_VECTORS = [
    ("00", "0101"),
    ("0000", "010101"),
    ("001100", "01021101"),
    ("11220033", "0311220233"),
    ("11223344", "0511223344"),
    ("11000000", "0211010101"),
    (bytes(range(1, 255)).hex(), "ff" + bytes(range(1, 255)).hex()),
    (bytes(range(0, 255)).hex(), "01ff" + bytes(range(1, 255)).hex()),
    (bytes(range(1, 256)).hex(), "ff" + bytes(range(1, 255)).hex() + "02ff"),
    (bytes([*range(2, 256), 0]).hex(), "ff" + bytes(range(2, 256)).hex() + "0101"),
    (bytes([*range(3, 256), 0, 1]).hex(), "fe" + bytes(range(3, 256)).hex() + "0201"),
]


@pytest.mark.parametrize(("plain", "encoded"), COBS_VECTORS)
def test_device_decodes_published_cobs_examples(plain: str, encoded: str) -> None:
    assert link_library.decode(bytes.fromhex(encoded) + b"\0") == [bytes.fromhex(plain)]


def test_crc_has_the_published_check_value() -> None:
    # Catalogue of parametrised CRC algorithms, CRC-32/ISO-HDLC: check = 0xCBF43926.
    assert link_library.crc32(b"123456789") == 0xCBF43926


def test_crc_continues_like_zlibs() -> None:
    data = bytes(random.Random(1).randbytes(1000))
    assert link_library.crc32(data[300:], link_library.crc32(data[:300])) == zlib.crc32(data)


def payload_of(length: int, zeros: float, rng: random.Random) -> bytes:
    return bytes(0 if rng.random() < zeros else rng.randrange(1, 256) for _ in range(length))


@pytest.mark.parametrize("zeros", [0.0, 0.01, 0.3, 1.0])
def test_device_encodes_frames_byte_for_byte_like_the_cobs_library(zeros: float) -> None:
    rng = random.Random(2)
    for length in [*range(12), *range(240, 260), *range(495, 512), 1024]:
        payload = payload_of(length, zeros, rng)
        body = bytes([0x84, 9]) + (77).to_bytes(4, "little") + payload
        expected = cobs.encode(body + zlib.crc32(body).to_bytes(4, "little")) + b"\0"
        assert link_library.encode(0x84, 9, 77, payload) == expected
        assert encode_frame(0x84, 9, 77, payload) == expected


def test_decoder_returns_what_was_encoded_in_any_portions() -> None:
    rng = random.Random(3)
    frames = [
        Frame(
            rng.randrange(256),
            rng.randrange(256),
            rng.randrange(2**32),
            payload_of(rng.randrange(1100), 0.1, rng),
        )
        for _ in range(50)
    ]
    stream = b"".join(encode_frame(*frame) for frame in frames)
    decoder, received = Decoder(), []
    while stream:
        portion = rng.randrange(1, 400)
        received += decoder.feed(stream[:portion])
        stream = stream[portion:]
    assert received == frames
    assert decoder.damaged == 0


def test_empty_frames_are_ignored() -> None:
    decoder = Decoder()
    assert decoder.feed(b"\0\0\0") == []
    assert decoder.damaged == 0
    assert link_library.decode(b"\0\0\0") == []


def test_half_a_frame_dies_alone_at_a_delimiter() -> None:
    good = encode_frame(5, 1, 2, b"payload")
    decoder = Decoder()
    assert decoder.feed(good[:6] + b"\0" + good) == [Frame(5, 1, 2, b"payload")]
    assert decoder.damaged == 1


def test_endless_noise_takes_bounded_memory_and_the_next_frame_is_found() -> None:
    decoder = Decoder()
    for _ in range(100):
        decoder.feed(b"\x55" * 10000)
    assert decoder.feed(b"\0" + encode_frame(1, 2, 3)) == [Frame(1, 2, 3, b"")]
    assert len(decoder._rest) == 0


def test_frame_shorter_than_header_and_crc_is_damaged() -> None:
    body = b"\x01\x02\x03\x04\x05"
    assert decode_frame(cobs.encode(body + zlib.crc32(body).to_bytes(4, "little"))) is None


def test_every_single_bit_error_of_a_frame_is_found() -> None:
    good = encode_frame(5, 7, 9, payload_of(60, 0.25, random.Random(4)))
    for bit in range(8 * len(good)):
        wire = bytearray(good)
        wire[bit // 8] ^= 1 << bit % 8
        assert Decoder().feed(bytes(wire) + b"\0") == []


def reference_decode(stream: bytes, capacity: int) -> list[bytes | None]:
    """Decode with the cobs library; the incomplete end of the stream is not a frame."""
    frames: list[bytes | None] = []
    for encoded in stream.split(b"\0")[:-1]:
        if not encoded:
            continue
        try:
            frame = cobs.decode(encoded)
        except cobs.DecodeError:
            frames.append(None)
            continue
        frames.append(frame if len(frame) <= capacity else None)
    return frames


@pytest.mark.parametrize("seed", range(20))
def test_device_and_library_decode_damaged_streams_alike(seed: int) -> None:
    rng = random.Random(seed)
    stream = bytearray()
    for _ in range(60):
        stream += encode_frame(5, 1, 2, payload_of(rng.randrange(600), rng.random(), rng))
    for _ in range(rng.randrange(200)):
        at = rng.randrange(len(stream))
        fault = rng.randrange(3)
        if fault == 0:
            stream[at] ^= 1 << rng.randrange(8)
        elif fault == 1:
            del stream[at : at + rng.randrange(1, 5)]
        else:
            stream[at:at] = rng.randbytes(rng.randrange(1, 5))
    data = bytes(stream)
    assert link_library.decode(data, capacity=500) == reference_decode(data, 500)


@pytest.mark.parametrize("seed", range(5))
def test_device_and_library_decode_noise_alike(seed: int) -> None:
    rng = random.Random(100 + seed)
    data = payload_of(20000, 0.02, rng) + b"\0"
    assert link_library.decode(data, capacity=300) == reference_decode(data, 300)


def triple_error_example() -> tuple[bytes, bytes]:
    """Return a frame and the same with three flipped bits on the wire.

    The payload is 785 bytes of a xorshift generator; the flips were found by search.
    """
    state, mask = 88172645463325252, 2**64 - 1

    def draw() -> int:
        nonlocal state
        state ^= (state << 13) & mask
        state ^= state >> 7
        state ^= (state << 17) & mask
        return state

    payload = bytes(((draw() >> 20) & 255) if draw() % 4 else 0 for _ in range(785))
    good = encode_frame(5, 7, 0x209, payload)
    wire = bytearray(good)
    for at, flip in ((307, 0x10), (468, 0x08), (575, 0x08)):
        wire[at] ^= flip
    return good, bytes(wire)


def test_known_triple_bit_error_passes_the_crc_on_both_sides() -> None:
    good, wire = triple_error_example()
    (frame,) = Decoder().feed(good)
    (wrong,) = Decoder().feed(wire)
    assert (wrong.type, wrong.session, wrong.pos) == (frame.type, frame.session, frame.pos)
    assert len(wrong.payload) == len(frame.payload)
    assert wrong.payload != frame.payload
    (device,) = link_library.decode(wire)
    assert device is not None
    assert device[6:-4] == wrong.payload


@pytest.mark.parametrize("length", [0, 1, 243, 244, 245, 256, 498, 785, 1024])
def test_longest_encoding_is_that_of_a_payload_without_zeros(length: int) -> None:
    payload = b"\xff" * length
    pos = next(p for p in range(0x01010101, 0x01020000) if 0 not in _crc_bytes(p, payload))
    assert len(encode_frame(1, 2, pos, payload)) == encoded_bytes_max(length)


def _crc_bytes(pos: int, payload: bytes) -> bytes:
    return zlib.crc32(b"\1\2" + pos.to_bytes(4, "little") + payload).to_bytes(4, "little")


@pytest.mark.parametrize("room", [20, 255, 256, 269, 270, 511, 512, 2047, 4095])
def test_payload_bound_is_the_largest_that_always_fits(room: int) -> None:
    payload = payload_bytes_max(room)
    assert encoded_bytes_max(payload) <= room < encoded_bytes_max(payload + 1)
