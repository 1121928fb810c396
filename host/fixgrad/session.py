"""The host's side of docs/PROTOCOL.md as a state machine: bytes and time are arguments.

An *exchange* is a sequence of requests, sent through the window and answered in order. What went
wrong on the way is sent again from the first request without an answer (go-back-N).

A frame leaves the window only when the device must have taken all of it out of its ring:
- an answer to a request that was sent once shows it for everything sent before the request;
- any other answer shows it for one frame more, as each frame has one answer at most: what was sent
  again may have been answered the first time;
- a report of damage shows it only with the next answer: half of the frame may still be on its way;
- after an expiry of the timer nothing is known. A READ of no region asks; its answer shows it for
  everything sent before. Only these questions are sent where the window may be full.

The timer follows the answer times as RFC 6298 does, which count only for what was sent once (Karn).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from fixgrad.errors import LinkError
from fixgrad.framing import DELIMITER, Decoder, Frame, encode_frame
from fixgrad.protocol import NO_REGION, READ_FIELDS, Message, Reason, Region, Status, pack

WINDOW_BYTES_MIN = 270
"""Every device has this window; it holds before HELLO_ACK tells the real one."""

EXPIRIES_MAX = 6
"""The link counts as lost after so many expiries of the timer without an answer between them."""

FRUITLESS_MAX = 4 * EXPIRIES_MAX
"""So it does after so many without an answer to a request, though questions were answered."""

TIMER_BASE_S = 0.05
TIMER_MAX_S = 5.0
ANSWER_TIME_MAX_S = 10.0
BITS_PER_BYTE = 10

POLL_S = 1.0
"""Pause between two questions how far a TRAIN_TO has come."""

# Looking a member up in its enumeration takes longer than comparing it: here once for all frames.
_COMMIT, _DATA, _LOAD, _PART, _READ, _SAVE, _TRAIN_TO = (
    Message.COMMIT, Message.DATA, Message.LOAD, Message.PART, Message.READ, Message.SAVE,
    Message.TRAIN_TO,
)  # fmt: skip
_DATA_ACK, _READ_ACK, _NO_SESSION = Message.DATA_ACK, Message.READ_ACK, Message.NO_SESSION
_OK, _CORRUPT, _BAD_MESSAGE = Status.OK, Status.CORRUPT, Status.BAD_MESSAGE
_ONLY_OK = bytes([Status.OK])
_ONLY_CORRUPT = bytes([Status.CORRUPT])
_STREAMED = (_DATA, _PART)
_AT_POSITIONS = (_DATA, _PART, _TRAIN_TO)
"""A DATA_ACK with a position answers them."""
_DATASET = bytes([Region.DATASET])
_QUESTION = pack(READ_FIELDS, region=NO_REGION, count=0)


class SessionLostError(LinkError):
    """The device was reset or belongs to another session: say HELLO and see what it holds."""


class NoAnswerError(LinkError):
    """The timer expired too often."""


class Request(NamedTuple):
    """One message to the device.

    Attributes:
        type: message type.
        pos: position, offset, nonce or tag.
        payload: the payload.
        end: for DATA, PART and TRAIN_TO the position after its last sample.
    """

    type: Message
    pos: int
    payload: bytes = b""
    end: int = 0


class Answer(NamedTuple):
    """One message of the device that answers a request; a DATA_ACK may answer several."""

    type: int
    pos: int
    payload: bytes


class _AnswerTime:
    """Smoothed time of the answers and its variation, RFC 6298 section 2: a stall is forgotten."""

    def __init__(self) -> None:
        """Know nothing."""
        self._mean_s: float | None = None
        self._variation_s = 0.0

    @property
    def bound_s(self) -> float:
        """Seconds within which the next answer is expected; 0 before the first."""
        return 0.0 if self._mean_s is None else self._mean_s + 4 * self._variation_s

    def note(self, seconds: float) -> None:
        """Take the time of an answer to a request that was sent once."""
        seconds = min(seconds, ANSWER_TIME_MAX_S)
        if self._mean_s is None:
            self._mean_s, self._variation_s = seconds, seconds / 2
            return
        self._variation_s += (abs(self._mean_s - seconds) - self._variation_s) / 4
        self._mean_s += (seconds - self._mean_s) / 8


@dataclass
class LinkStats:
    """What the link did.

    Attributes:
        payload_bytes: features and targets that came to the device and were applied or cached.
        wire_bytes: all bytes sent in the frames that bring them or that say TRAIN_TO.
        retransmitted_bytes: those of them sent again, with the delimiters before them.
        frames: those frames, repetitions included.
        go_backs: times that the device asked for a repetition.
        expiries: times that the timer expired.
        answer_time_s: seconds between requests and their answers, summed over `answers`.
        answers: requests answered that were sent once.
        streaming_s: seconds from the first DATA of every exchange to its end.
        idle_s: those of them in which no frame was outstanding. The device was idle for at least so
            long; how long it waited for bytes of frames that were under way, only it knows.
    """

    payload_bytes: int = 0
    wire_bytes: int = 0
    retransmitted_bytes: int = 0
    frames: int = 0
    go_backs: int = 0
    expiries: int = 0
    answer_time_s: float = 0.0
    answers: int = 0
    streaming_s: float = 0.0
    idle_s: float = 0.0

    @property
    def idle_share(self) -> float:
        """Share of the streaming time in which no frame was outstanding, 0..1."""
        return self.idle_s / self.streaming_s if self.streaming_s else 0.0

    @property
    def round_trip_s(self) -> float:
        """Mean time between a request and its answer in seconds, waiting in the window included."""
        return self.answer_time_s / self.answers if self.answers else 0.0

    @property
    def efficiency(self) -> float:
        """Share of applied payload in the bytes sent while streaming, 0..1."""
        return self.payload_bytes / self.wire_bytes if self.wire_bytes else 0.0


class _Sent(NamedTuple):
    """Bytes in the window: `is_first` where the request was sent for the first time."""

    pending: _Pending
    size: int
    is_first: bool


@dataclass(slots=True, eq=False)
class _Pending:
    """A request without an answer."""

    request: Request
    encoded: bytes
    sent_at: float = 0.0
    times_sent: int = 0
    is_under_way: bool = False
    """The device told that it trains for this TRAIN_TO."""
    is_poll: bool = False
    """A TRAIN_TO that was sent again to hear how far it has come, and not heard of since."""


class Session:
    """One side of one link; whoever owns the port moves the bytes.

    Call `begin`, then until `done`: send what `outgoing` returns, pass what comes to `receive`.
    Both also do what the time demands, so either must be called at least every few milliseconds.

    Attributes:
        stats: counters over all exchanges.
        bytes_received: of the running exchange.
        frames_received: valid frames of the running exchange.
    """

    def __init__(self, identity: int, bits_per_second: int) -> None:
        """Take the first session number (1..255) and the speed of the line."""
        self.stats = LinkStats()
        self.bytes_received = 0
        self.frames_received = 0
        self._identity = identity
        self._bits_per_second = bits_per_second
        self._window_bytes = WINDOW_BYTES_MIN
        self._decoder = Decoder()
        self._source: Iterator[Request] = iter(())
        self._exhausted = True
        self._is_hello = False
        self._pending: deque[_Pending] = deque()
        self._cursor = 0
        self._in_flight: deque[_Sent] = deque()
        self._in_flight_bytes = 0
        self._ambiguous = False
        self._restart_pending = False
        self._lead = DELIMITER
        self._went_back = False
        self._urgent = False
        self._question_due = False
        self._question: _Pending | None = None
        self._questions = 0
        self._is_doubted = False
        self._backoff = 0
        self._expiries = 0
        self._fruitless = 0
        self._timer_start = 0.0
        self._answer_time = _AnswerTime()
        self._is_streaming = False
        self._measured_at = 0.0

    @property
    def window_bytes(self) -> int:
        """Encoded bytes that may be outstanding."""
        return self._window_bytes

    @window_bytes.setter
    def window_bytes(self, value: int) -> None:
        self._window_bytes = max(value, WINDOW_BYTES_MIN)

    @property
    def bits_per_second(self) -> int:
        """Speed of the line."""
        return self._bits_per_second

    @bits_per_second.setter
    def bits_per_second(self, value: int) -> None:
        self._bits_per_second = value

    @property
    def done(self) -> bool:
        """True when every request of the exchange is answered."""
        return self._exhausted and not self._pending

    @property
    def in_mid_frame(self) -> bool:
        """True when a part of an answer has come."""
        return self._decoder.in_mid_frame

    @property
    def needs_hello(self) -> bool:
        """True when late answers to an earlier exchange may still come.

        A new session separates them from the next exchange.
        """
        return self._ambiguous or not self.done

    @property
    def timeout_s(self) -> float:
        """Seconds after which the timer expires."""
        line = 2 * self._window_bytes * BITS_PER_BYTE / self._bits_per_second
        base = line + TIMER_BASE_S + self._answer_time.bound_s
        return min(base * (1 << self._backoff), max(base, TIMER_MAX_S))

    def reopen(self) -> None:
        """Forget everything under way: the line is another one now."""
        self._decoder = Decoder()
        self._in_flight.clear()
        self._in_flight_bytes = 0
        self._is_doubted = False
        self._ambiguous = True
        self._answer_time = _AnswerTime()
        self.window_bytes = WINDOW_BYTES_MIN

    def hello(self, nonce: int, now: float, lead: bytes = DELIMITER) -> None:
        """Begin an exchange of one HELLO with a new session number.

        Args:
            nonce: the answer echoes it.
            now: seconds.
            lead: zeros before the HELLO, and before its repetitions while the window has room.
        """
        self._identity = self._identity % 255 + 1
        self.begin([Request(Message.HELLO, nonce)], now)
        self._is_hello = True
        self._restart_pending = True
        self._lead = lead

    def begin(self, requests: Iterable[Request], now: float) -> None:
        """Begin an exchange; one that is not done is abandoned.

        Args:
            requests: read only as far as the window allows. All have the same type; the positions
                of DATA and of TRAIN_TO follow each other, others differ from each other.
            now: seconds.
        """
        self._source = iter(requests)
        self._exhausted = False
        self._lead = DELIMITER
        self._is_hello = False
        self._pending.clear()
        self._cursor = 0
        self._restart_pending = self._went_back = self._urgent = self._question_due = False
        self._question = None
        self._expiries = self._fruitless = self._backoff = 0
        self._timer_start = now
        self._is_streaming = False
        self.bytes_received = self.frames_received = 0

    def outgoing(self, now: float) -> bytes:
        """Return the bytes to send now.

        Raises:
            NoAnswerError: the timer expired too often.
        """
        self._measure(now)
        if self._pending and now - self._timer_start >= self._patience_s:
            if self._may_poll:
                self._poll(now)
            else:
                self._expire(now)
        if self._question_due:
            return self._ask(now)
        parts: list[bytes] = []
        while self._question is None and not (self._cursor and self._training):
            pending = self._next_pending()
            if pending is None:
                break
            data = self._restart_lead(pending) + pending.encoded
            is_full = self._in_flight and self._in_flight_bytes + len(data) > self._window_bytes
            if is_full and not self._urgent:
                if self._is_doubted and len(self._in_flight) == 1:
                    return self._ask(now)
                break
            self._urgent = False
            if not self._in_flight:
                self._timer_start = now
            parts.append(data)
            self._note_sent(pending, len(data), now)
        return b"".join(parts)

    def receive(self, data: bytes, now: float) -> list[Answer]:
        """Take received bytes; return the answers they complete, in the order of the requests.

        Of DATA_ACKs only those are returned that advance, or that report an error or how far
        TRAIN_TO has come.

        Raises:
            SessionLostError: the device has no session or another one, or has no run.
        """
        self._measure(now)
        self.bytes_received += len(data)
        answers = []
        for frame in self._decoder.feed(data):
            self.frames_received += 1
            answer = self._take(frame, now)
            if answer is not None:
                answers.append(answer)
        return answers

    def _measure(self, now: float) -> None:
        """Count the time since the last call."""
        if self._is_streaming:
            self.stats.streaming_s += now - self._measured_at
            if not self._in_flight:
                self.stats.idle_s += now - self._measured_at
        self._measured_at = now

    @property
    def _training(self) -> _Pending | None:
        """The TRAIN_TO that was sent and is not answered; there is one at a time."""
        first = self._pending[0] if self._pending else None
        if first is None or not first.times_sent or first.request.type != _TRAIN_TO:
            return None
        return first

    @property
    def _patience_s(self) -> float:
        """Seconds without an answer after which something is done."""
        training = self._training
        if training is not None and training.is_under_way:
            return max(self.timeout_s, POLL_S)
        return self.timeout_s

    @property
    def _may_poll(self) -> bool:
        return self._training is not None and not self._training.is_poll

    def _poll(self, now: float) -> None:
        """Send a TRAIN_TO again: where the device trains for it, it tells how far it is."""
        self._pending[0].is_poll = True
        self._cursor = 0
        self._timer_start = now

    def _next_pending(self) -> _Pending | None:
        if self._cursor < len(self._pending):
            return self._pending[self._cursor]
        if self._exhausted:
            return None
        request = next(self._source, None)
        if request is None:
            self._exhausted = True
            return None
        encoded = encode_frame(request.type, self._identity, request.pos, request.payload)
        self._pending.append(_Pending(request, encoded))
        return self._pending[-1]

    def _restart_lead(self, pending: _Pending) -> bytes:
        """Return the zeros before a frame; of a HELLO's own many only while the window has room."""
        if not self._restart_pending:
            return b""
        room = self._window_bytes - self._in_flight_bytes - len(pending.encoded)
        return self._lead if len(self._lead) <= room else DELIMITER

    def _note_sent(self, pending: _Pending, count: int, now: float) -> None:
        again = pending.times_sent > 0
        if _brings_samples(pending.request):
            self._is_streaming = True
            self.stats.frames += 1
            self.stats.wire_bytes += count
            self.stats.retransmitted_bytes += count if again and not pending.is_poll else 0
        self._ambiguous = self._ambiguous or again
        self._restart_pending = False
        pending.times_sent += 1
        pending.sent_at = now
        self._in_flight.append(_Sent(pending, count, not again))
        self._in_flight_bytes += count
        self._cursor += 1

    def _ask(self, now: float) -> bytes:
        """Return a question whose answer shows what has left the ring."""
        self._question_due = False
        self._questions += 1
        request = Request(_READ, self._questions, _QUESTION)
        encoded = encode_frame(request.type, self._identity, request.pos, request.payload)
        self._question = _Pending(request, encoded, now)
        data = DELIMITER + self._question.encoded
        if _brings_samples(self._pending[0].request):
            self.stats.wire_bytes += len(data)
        self._in_flight.append(_Sent(self._question, len(data), True))
        self._in_flight_bytes += len(data)
        return data

    def _expire(self, now: float) -> None:
        """Ask what became of what is in flight; a HELLO is its own question."""
        self._expiries += 1
        self._fruitless += 1
        self.stats.expiries += 1
        if self._expiries >= EXPIRIES_MAX or self._fruitless >= FRUITLESS_MAX:
            raise NoAnswerError(f"no answer to {self._fruitless} attempts")
        self._backoff += 1
        self._went_back = False
        self._timer_start = now
        if self._is_hello:
            self._urgent = True
            self._go_back(now)
        else:
            self._question_due = True

    def _go_back(self, now: float) -> None:
        self._cursor = 0
        self._restart_pending = True
        self._timer_start = now

    def _go_back_once(self, now: float) -> None:
        if not self._went_back and self._cursor > 0:
            self._went_back = True
            self.stats.go_backs += 1
            self._go_back(now)

    def _take(self, frame: Frame, now: float) -> Answer | None:
        if frame.type == _NO_SESSION:
            self._check_session(frame)
            return None
        if frame.session != self._identity:
            self._count_answer(is_whole=True)
            return None
        if frame.type == _READ_ACK and frame.payload[:1] == _QUESTION[:1]:
            self._take_boundary(frame, now)
            return None
        answered = self._answered_by(frame)
        if not (answered and self._advance(answered, now)):
            is_damage = frame.type == _DATA_ACK and frame.payload[:1] == _ONLY_CORRUPT
            self._count_answer(is_whole=not is_damage)
        if frame.type == _DATA_ACK:
            return self._take_data_ack(frame, answered > 0, now)
        if answered:
            return Answer(frame.type, frame.pos, frame.payload)
        if self._answers_later(frame):
            self._go_back_once(now)
        return None

    def _check_session(self, frame: Frame) -> None:
        """Raise unless the frame answers bytes that were older than this session."""
        # Without a session the device reports damage by this message too.
        self._count_answer(is_whole=frame.session != 0)
        reason = frame.payload[0] if frame.payload else Reason.SESSION
        if self._is_hello or (frame.session == self._identity and reason == Reason.SESSION):
            return
        if reason == Reason.RUN:
            raise SessionLostError("the device holds no run: it was reset or loaded anew")
        raise SessionLostError("the device lost this session: it was reset or another host spoke")

    def _take_boundary(self, frame: Frame, now: float) -> None:
        """Take the answer to a question: everything sent before it has left the ring."""
        asked = (
            i for i, (sent, _, _) in enumerate(self._in_flight, 1)
            if sent.request.payload == _QUESTION and sent.request.pos == frame.pos
        )  # fmt: skip
        count = next(asked, None)
        if count is None:
            self._count_answer(is_whole=True)
            return
        self._note_answer_time(now - self._in_flight[count - 1].pending.sent_at)
        self._credit(count)
        self._expiries = 0
        if self._question is not None:
            self._question = None
            self._go_back(now)

    def _take_data_ack(self, frame: Frame, advanced: bool, now: float) -> Answer | None:
        status = frame.payload[0] if frame.payload else _BAD_MESSAGE
        answer = Answer(frame.type, frame.pos, frame.payload)
        if status not in (_OK, _CORRUPT):
            return answer
        if status == _OK and not advanced and self._is_on_the_way(frame.pos):
            self._pending[0].is_under_way, self._pending[0].is_poll = True, False
            self._went_back = False
            self._expiries = self._fruitless = self._backoff = 0
            self._timer_start = now
            return answer
        if status == _CORRUPT or (not advanced and self._is_wanted(frame.pos)):
            self._go_back_once(now)
        return answer if advanced else None

    def _is_wanted(self, pos: int) -> bool:
        """Return whether the device wants the first pending DATA."""
        if not self._pending:
            return False
        request = self._pending[0].request
        return request.type in _STREAMED and request.pos == pos

    def _is_on_the_way(self, pos: int) -> bool:
        """Return whether a position lies before the end of the TRAIN_TO that was sent."""
        training = self._training
        return training is not None and training.request.pos <= pos < training.request.end

    def _answered_by(self, frame: Frame) -> int:
        """Return how many pending requests, from the first on, the frame answers."""
        if not self._pending or not self._pending[0].times_sent:
            return 0
        request = self._pending[0].request
        if frame.type != _answer_type(request):
            return 0
        if request.type == _COMMIT:
            return 1
        if request.type == _SAVE and frame.payload[:1] != _ONLY_OK:
            return 1  # with the device's position, which may be another one
        if request.type not in _AT_POSITIONS:
            return int(_echoes(frame, request))
        count = 0
        for pending in self._pending:
            if not pending.times_sent or pending.request.end > frame.pos:
                break
            count += 1
        last = self._pending[-1].request.end
        return count if frame.pos <= last else 0

    def _answers_later(self, frame: Frame) -> bool:
        """Return whether the frame answers a request behind the first: an answer was lost."""
        return any(
            frame.type == _answer_type(pending.request) and _echoes(frame, pending.request)
            for pending in self._pending
        )

    def _advance(self, count: int, now: float) -> bool:
        """Drop the first `count` pending requests: they are answered.

        Returns:
            Whether that took frames out of the window.
        """
        answered = [self._pending.popleft() for _ in range(count)]
        newest = answered[-1]
        self._cursor = max(0, self._cursor - count)
        if not self._pending:
            self._question = None  # about nothing any more; its answer may be lost
        shown = 0
        for i, sent in enumerate(self._in_flight, 1):
            if sent.is_first and sent.pending in answered:
                shown = i
                if sent.pending is newest:
                    break
        self._credit(shown)
        self._went_back = False
        self._expiries = self._fruitless = 0
        self._timer_start = now
        if newest.times_sent == 1 and newest.request.type != _TRAIN_TO:
            took = now - newest.sent_at
            self.stats.answer_time_s += took
            self.stats.answers += 1
            self._note_answer_time(took)
        if self._is_hello:
            self._ambiguous = False
        return shown > 0

    def _note_answer_time(self, seconds: float) -> None:
        self._answer_time.note(seconds)
        self._backoff = 0

    def _count_answer(self, is_whole: bool) -> None:
        """Take the frame of an answer that names none out of the window.

        Args:
            is_whole: all of the frame has left the ring; else that shows with the next answer.
        """
        self._credit(is_whole + self._is_doubted)
        self._is_doubted = not is_whole

    def _credit(self, count: int) -> None:
        """Take `count` frames out of the window."""
        while count > 0 and self._in_flight:
            count -= 1
            self._is_doubted = False
            self._in_flight_bytes -= self._in_flight.popleft().size


def _answer_type(request: Request) -> int:
    return _DATA_ACK if request.type in _AT_POSITIONS else request.type | 0x80


def _brings_samples(request: Request) -> bool:
    """Return whether a request belongs to the samples' way to the device."""
    loads = request.type == _LOAD and request.payload[:1] == _DATASET
    return loads or request.type in _AT_POSITIONS


def _echoes(frame: Frame, request: Request) -> bool:
    """Return whether an answer echoes the position of a request, and its region if it has one."""
    has_region = request.type in (_LOAD, _READ)
    return frame.pos == request.pos and (
        not has_region or frame.payload[:1] == request.payload[:1]
    )
