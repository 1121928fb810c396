"""What a board answers: identity, versions, round trip, damage; no message changes its state."""

from __future__ import annotations

import errno
import secrets
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from fixgrad import doctor, protocol
from fixgrad.boards import BOARDS
from fixgrad.doctor import Fact, Finding, Kind, Report
from fixgrad.errors import BuildError, PortError
from fixgrad.framing import DELIMITER, Decoder, Frame, encode_frame, encoded_bytes_max
from fixgrad.protocol import Message, Status
from fixgrad.transport import BAUD_AT_START, WAKING, error_number, open_port

BAUDS = (
    230400, 250000, 460800, 500000, 921600, 1_000_000, 2_000_000, 57600, 38400, 19200, 9600,
)  # fmt: skip
"""Tried where a board that starts at another speed is silent."""
HELLO_TRIES = 8
SWEEP_TRIES = 2
ROUND_TRIPS = 20
PROBES = 150
PROBE_BYTES = 250
ANSWER_S = 0.5
"""Longest wait for an answer, on top of the time that its bytes take."""

SLOW_S = 0.02
BAD_SHARE = 0.5
STACK_BYTES_MIN = 40
"""What an interrupt needs on top of the deepest request."""

UNKNOWN_TYPE = 0x7F
"""No message has this type: a device answers BAD_MESSAGE, whatever it holds."""

BITS_PER_BYTE = 10

Open = Callable[[str, int], Any]


class Heard(NamedTuple):
    """What came after a message: all bytes, the valid frames, damaged ones, seconds waited."""

    data: bytes
    frames: list[Frame]
    damaged: int
    seconds: float


class Line:
    """An open port with one question and its answer at a time.

    Attributes:
        session: of every message.
        baud: speed of our end.
    """

    def __init__(self, port: Any, baud: int) -> None:
        """Take an open port with a short read timeout, and its speed."""
        self.session = secrets.randbelow(255) + 1
        self._port, self.baud = port, baud
        self._decoder = Decoder()

    def ask(self, type_: int, pos: int, payload: bytes = b"", lead: bytes = DELIMITER) -> Heard:
        """Send a message behind `lead`; wait for the first frame, or until none can be expected."""
        wire = lead + encode_frame(type_, self.session, pos, payload)
        limit = ANSWER_S + 2 * (len(wire) + PROBE_BYTES) * BITS_PER_BYTE / self.baud
        data, frames, before = b"", list[Frame](), self._decoder.damaged
        started = time.monotonic()
        self._port.write(wire)
        is_over = False
        while not (frames or is_over):
            # Asked before reading: what came while this process was held up is still taken.
            is_over = time.monotonic() - started >= limit
            received = self._port.read(1)
            if received:
                received += self._port.read(self._port.in_waiting)
            data += received
            frames = self._decoder.feed(received)
        return Heard(data, frames, self._decoder.damaged - before, time.monotonic() - started)

    def hello(self, tries: int) -> tuple[Frame | None, bytes]:
        """Say HELLO; return its answer, or None and what came instead.

        At the speed at start this wakes a board that an earlier host left at another one.
        """
        came = b""
        lead = WAKING if self.baud == BAUD_AT_START else DELIMITER
        for _ in range(tries):
            nonce = secrets.randbits(32)
            heard = self.ask(Message.HELLO, nonce, lead=lead)
            came += heard.data
            for frame in heard.frames:
                if frame.type == Message.HELLO_ACK and frame.pos == nonce:
                    return frame, came
        return None, came

    def set_speed(self, baud: int) -> bool:
        """Change our end's speed; False where the port has no such one."""
        try:
            self._port.baudrate = baud
            self._port.reset_input_buffer()
        except (OSError, ValueError):
            return False
        self.baud, self._decoder = baud, Decoder()
        return True


def examine_link(url: str, baud: int, open_: Open = open_port) -> Iterator[Report]:
    """Open a port and ask whatever answers.

    Args:
        url: the port.
        baud: bits per second that the board is asked for, once it answered at the speed at start.
        open_: opens it, as `open_port`.
    """
    try:
        port = open_(url, BAUD_AT_START)
    except BuildError as error:
        yield Finding(doctor.NOT_BUILT, str(error))
        return
    except PortError as error:
        yield Finding(_kind_of(error), str(error))
        return
    try:
        line = Line(port, BAUD_AT_START)
        answer, came = line.hello(HELLO_TRIES)
        if answer is None and baud != BAUD_AT_START and line.set_speed(baud):
            answer, more = line.hello(SWEEP_TRIES)
            came += more
        if answer is None:
            yield _stranger(url, baud, came, line)
            return
        findings = list(_versions(answer))
        yield from findings
        if any(isinstance(finding, Finding) for finding in findings):
            return
        values = protocol.unpack(protocol.HELLO_ACK_FIELDS, answer.payload)
        if line.baud != baud:
            carried = _change_speed(line, baud)
            yield carried
            if isinstance(carried, Finding):
                return
        yield from _round_trip(line)
        yield from _damage(line, values["payload_max"])
        yield from _stack(port)
    except OSError as error:
        yield Finding(doctor.NOT_OPENED, f"{url}: the port vanished: {error}")
        return
    finally:
        port.close()
    if "://" not in url:
        yield from _reset_by_opening(url, open_, values["boot_id"])


def _kind_of(error: PortError) -> Kind:
    kinds = {
        errno.ENOENT: doctor.NO_PORT,
        errno.ENODEV: doctor.NO_PORT,
        errno.ENXIO: doctor.NO_PORT,
        errno.EACCES: doctor.NO_PERMISSION,
        errno.EPERM: doctor.NO_PERMISSION,
        errno.EBUSY: doctor.HELD,
        errno.EAGAIN: doctor.HELD,
    }
    return kinds.get(error_number(error) or 0, doctor.NOT_OPENED)


def _stranger(url: str, baud: int, came: bytes, line: Line) -> Finding:
    """Say what is there where HELLO was not answered."""
    echoed = [frame for frame in Decoder().feed(came) if frame.type == Message.HELLO]
    if echoed:
        return Finding(doctor.ECHO, f"{url} sent HELLO back {len(echoed)} times")
    if "://" not in url:
        for other in BAUDS:
            if other in (BAUD_AT_START, baud) or not line.set_speed(other):
                continue
            if line.hello(SWEEP_TRIES)[0] is not None:
                return Finding(doctor.OTHER_SPEED, f"{url} answers at {other} baud, not {baud}")
    if came:
        head = came[:16].hex(" ")
        return Finding(doctor.FOREIGN, f"{url} sent {len(came)} bytes, beginning {head}")
    return Finding(doctor.SILENT, f"{url} sent nothing at {baud} baud")


def _change_speed(line: Line, baud: int) -> Report:
    """Ask the board for a speed, as training does, and see whether the line carries it."""
    request = protocol.pack(protocol.BAUD_FIELDS, baud=baud)
    for number in range(SWEEP_TRIES):
        answers = [f for f in line.ask(Message.BAUD, number, request).frames if f.pos == number]
        if any(f.type != Message.BAUD_ACK or f.payload != request for f in answers):
            return Fact("baud", line.baud, f"the board stays at {line.baud} baud: it has no {baud}")
        if answers:
            break
    if line.set_speed(baud) and line.hello(HELLO_TRIES)[0] is not None:
        return Fact("baud", baud, f"the line carries {baud} baud")
    line.set_speed(BAUD_AT_START)
    line.hello(HELLO_TRIES)
    return Finding(doctor.BAD_LINE, f"the board is not heard at {baud} baud")


def _versions(answer: Frame) -> Iterator[Report]:
    """Compare the versions; tell who answered and the memory for a model."""
    theirs = answer.payload[0] if answer.payload else 0
    if theirs != protocol.PROTOCOL_VERSION:
        yield Finding(
            doctor.OTHER_PROTOCOL, f"firmware {theirs}, fixgrad {protocol.PROTOCOL_VERSION}"
        )
        return
    try:
        values, board, core = protocol.unpack_hello(answer.payload)
    except ValueError as error:
        yield Finding(doctor.FOREIGN, f"malformed answer to HELLO: {error}")
        return
    if values["numerics"] != protocol.NUMERICS_VERSION:
        yield Finding(
            doctor.OTHER_NUMERICS,
            f"firmware {values['numerics']}, fixgrad {protocol.NUMERICS_VERSION}",
        )
    elif values["schema"] != protocol.schema_hash():
        yield Finding(
            doctor.OTHER_TABLE,
            f"firmware {values['schema']:08x}, fixgrad {protocol.schema_hash():08x}",
        )
    version = f"{values['firmware']:04x}"
    yield Fact("board", board, f"{board}, {core}, firmware {version}")
    yield Fact("core", core, f"protocol {theirs}, arithmetic {values['numerics']}")
    yield Fact("firmware", version, f"run {values['run_id']:08x}, at sample {values['next']}")
    known = BOARDS.get(board)
    of_ram = f" of {known.ram_bytes:,} bytes of RAM" if known else ""
    yield Fact(
        "arena_bytes", values["arena_bytes"], f"{values['arena_bytes']:,} bytes for a model{of_ram}"
    )
    yield Fact(
        "window_bytes",
        values["window_bytes"],
        f"payloads of {values['payload_max']:,} bytes, window of {values['window_bytes']:,}",
    )


def _round_trip(line: Line) -> Iterator[Report]:
    """Measure short exchanges: READ of no region changes nothing."""
    payload = protocol.pack(protocol.READ_FIELDS, region=protocol.NO_REGION, count=0)
    taken = []
    for number in range(ROUND_TRIPS):
        heard = line.ask(Message.READ, number, payload)
        if any(f.type == Message.READ_ACK and f.pos == number for f in heard.frames):
            taken.append(heard.seconds)
    if not taken:
        return
    middle = statistics.median(taken)
    text = f"median {1000 * middle:.1f} ms, longest {1000 * max(taken):.1f} ms"
    if middle > SLOW_S:
        yield Finding(doctor.SLOW, text)
    else:
        yield Fact("round_trip_ms", round(1000 * middle, 3), f"round trip {text}")


def _damage(line: Line, payload_max: int) -> Iterator[Report]:
    """Send messages of no known type and count which are answered and how."""
    size = min(PROBE_BYTES, payload_max)
    outward = inward = 0
    for number in range(PROBES):
        heard = line.ask(UNKNOWN_TYPE, number, secrets.token_bytes(size))
        statuses = [f.payload[0] for f in heard.frames if f.type == Message.DATA_ACK and f.payload]
        if Status.BAD_MESSAGE in statuses:
            continue
        if heard.damaged and not statuses:
            inward += 1
        else:
            outward += 1
    bits = PROBES * 8 * encoded_bytes_max(size)
    text = f"{outward + inward} of {PROBES} probes of {size} bytes failed"
    if not outward + inward:
        yield Fact("damaged_probes", 0, f"{text}; bit error rate below {1 / bits:.0e}")
        return
    detail = (
        f"{text}, {outward} damaged or lost on the way to the board, {inward} on the way back; "
        f"bit error rate about {(outward + inward) / bits:.0e}"
    )
    is_bad = outward + inward > BAD_SHARE * PROBES
    yield Finding(doctor.BAD_LINE if is_bad else doctor.NOISE, detail)


def _stack(port: Any) -> Iterator[Report]:
    """Tell how much of the stack was never used, where the port can look into the board."""
    if not hasattr(port, "unused_stack"):
        return
    unused, reserved = port.unused_stack()
    text = f"{unused} of {reserved} bytes of the stack were never used"
    if unused < STACK_BYTES_MIN:
        yield Finding(doctor.STACK, text)
    else:
        yield Fact("stack_unused_bytes", unused, text)


def _reset_by_opening(url: str, open_: Open, boot_id: int) -> Iterator[Report]:
    """Open the port again and see whether the board is the same boot."""
    try:
        port = open_(url, BAUD_AT_START)
    except PortError as error:
        yield Finding(_kind_of(error), f"opened a second time: {error}")
        return
    with port:
        answer, _ = Line(port, BAUD_AT_START).hello(HELLO_TRIES)
    if answer is None:
        yield Finding(doctor.RESETS_ON_OPEN, "after opening the port again nothing answered")
    elif protocol.unpack(protocol.HELLO_ACK_FIELDS, answer.payload)["boot_id"] != boot_id:
        yield Finding(doctor.RESETS_ON_OPEN, "the boot id changed when the port was opened again")
    else:
        yield Fact("resets_on_open", False, "opening the port does not reset the board")
