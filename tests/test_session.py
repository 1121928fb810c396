"""The session's state machine in virtual time, against a model of the device."""

import random

import pytest
from fixgrad.errors import LinkError
from fixgrad.framing import Decoder, encode_frame
from fixgrad.protocol import SAVE_ACK_FIELDS, Message, Reason, Status, pack
from fixgrad.session import (
    EXPIRIES_MAX,
    TIMER_MAX_S,
    WINDOW_BYTES_MIN,
    NoAnswerError,
    Request,
    Session,
    SessionLostError,
)
from link_model import Link, ModelDevice, data_ack, data_requests, read_requests

STREAM = bytes(random.Random(7).randbytes(5000))


def open_link(window: int = 1000, **faults: object) -> Link:
    """Return a link after HELLO; faults begin afterwards."""
    link = Link(Session(41, 115200), ModelDevice())
    link.session.hello(99, link.now)
    link.run()
    link.session.window_bytes = window
    link.writes.clear()
    link.ring_most = 0
    for name, fault in faults.items():
        setattr(link, name, fault)
    return link


def lose(*numbers: int):  # type: ignore[no-untyped-def]
    """Return a fault that loses the writes of these numbers."""
    count = -1

    def fault(data: bytes) -> bytes:
        nonlocal count
        count += 1
        return b"" if count in numbers else data

    return fault


def frames_of(write: bytes) -> list[bytes]:
    """Return the encoded frames of a write."""
    return [part for part in write.split(b"\0") if part]


def test_hello_sends_a_delimiter_first_and_a_session_that_is_not_zero() -> None:
    session = Session(255, 115200)
    session.hello(5, 0.0)
    assert session.outgoing(0.0) == b"\0" + encode_frame(Message.HELLO, 1, 5)


def test_hello_takes_a_new_session_every_time() -> None:
    link = open_link()
    before = link.device.session
    link.session.hello(100, link.now)
    link.run()
    assert link.device.session == before + 1


def test_hello_ack_with_another_nonce_is_no_answer() -> None:
    session = Session(1, 115200)
    session.hello(5, 0.0)
    session.outgoing(0.0)
    assert session.receive(encode_frame(Message.HELLO_ACK, 2, 6, b"\1"), 0.0) == []
    assert not session.done


def test_undisturbed_stream_is_applied_once_without_repetition() -> None:
    link = open_link()
    link.session.begin(data_requests(STREAM, 100), link.now)
    answers = link.run()
    assert link.device.applied == STREAM
    assert answers[-1].pos == len(STREAM)
    assert link.session.stats.retransmitted_bytes == 0
    assert link.session.stats.frames == 50
    assert not link.session.needs_hello


def test_statistics_count_every_byte_sent_while_streaming() -> None:
    link = open_link()
    link.session.begin(data_requests(STREAM, 100), link.now)
    link.run()
    assert link.session.stats.wire_bytes == sum(map(len, link.writes))


def test_idle_time_is_that_in_which_nothing_is_outstanding() -> None:
    link = open_link(1000)
    link.session.begin(data_requests(STREAM[:1800], 100), link.now)
    link.send()
    link.now += 0.25
    link.work()
    link.deliver()
    link.now += 0.5
    link.send()
    link.now += 0.25
    link.work()
    link.deliver()
    link.now += 0.125
    link.send()
    link.now += 7
    link.session.hello(3, link.now)
    link.run()
    stats = link.session.stats
    assert (stats.streaming_s, stats.idle_s, stats.idle_share) == (1.125, 0.625, 0.625 / 1.125)


@pytest.mark.parametrize("window", [270, 300, 511, 1000, 4095])
def test_window_is_never_exceeded_however_slow_the_device(window: int) -> None:
    link = open_link(window)
    link.session.begin(data_requests(STREAM, 250), link.now)
    link.run(random.Random(window))
    assert link.device.applied == STREAM
    assert 250 < link.ring_most <= window


def test_window_is_filled() -> None:
    link = open_link(1000)
    link.session.begin(data_requests(STREAM, 100), link.now)
    sent = len(link.send())
    assert 1000 - 112 < sent <= 1000


@pytest.mark.parametrize("lost", range(6))
def test_window_holds_after_a_frame_was_lost(lost: int) -> None:
    link = open_link(600)
    link.session.begin(data_requests(STREAM, 100), link.now)
    damaged = False

    def fault(data: bytes) -> bytes:
        nonlocal damaged
        frames = data.split(b"\0")
        if damaged or len(link.writes) <= lost:
            return data
        damaged = True
        return b"\0".join(frames[1:])

    link.to_device = fault
    link.run(random.Random(lost))
    assert link.device.applied == STREAM
    assert link.ring_most <= 600


def test_requests_are_read_only_as_far_as_the_window_allows() -> None:
    link = open_link(500)
    taken = 0

    def requests():  # type: ignore[no-untyped-def]
        nonlocal taken
        for request in data_requests(STREAM, 100):
            taken += 1
            yield request

    link.session.begin(requests(), link.now)
    link.send()
    assert taken == 5


def test_lost_frame_is_repeated_at_the_first_answer_behind_it_and_once() -> None:
    link = open_link(1000)
    link.session.begin(data_requests(STREAM[:800], 100), link.now)
    first = link.session.outgoing(link.now)
    frames = frames_of(first)
    assert len(frames) == 8
    link.ring += b"\0".join(frames[:2] + frames[3:]) + b"\0"
    link.work()
    link.deliver()
    again = link.send()
    assert again == b"\0" + first[first.index(frames[2]) :]
    link.work()
    link.deliver()
    assert link.send() == b""
    assert link.device.applied == STREAM[:800]
    assert link.session.stats.go_backs == 1
    assert link.session.stats.expiries == 0


def test_damaged_frame_is_repeated_at_once() -> None:
    link = open_link(1000)
    link.session.begin(data_requests(STREAM[:100], 100), link.now)
    wire = bytearray(link.session.outgoing(link.now))
    wire[20] ^= 0x40
    link.ring += wire
    link.work()
    link.deliver()
    assert link.send().startswith(b"\0")
    link.work()
    link.deliver()
    assert link.device.applied == STREAM[:100]
    assert link.session.stats.go_backs == 1


def test_every_damaged_frame_is_repeated_at_once_when_there_was_progress() -> None:
    link = open_link(270)
    link.session.begin(data_requests(STREAM[:400], 100), link.now)
    for done in (0, 200):
        wire = bytearray(link.session.outgoing(link.now))
        wire[20] ^= 0x40
        link.ring += wire
        link.work()
        link.deliver()
        assert link.device.applied == STREAM[:done]
        assert link.send().startswith(b"\0")
        link.work()
        link.deliver()
    assert link.device.applied == STREAM[:400]
    assert (link.session.stats.go_backs, link.session.stats.expiries) == (2, 0)


def test_lost_acknowledgement_is_covered_by_the_next_one() -> None:
    link = open_link(1000)
    link.session.begin(data_requests(STREAM[:300], 100), link.now)
    link.send()
    link.work()
    link.backward[:] = link.backward[link.backward.index(0) + 1 :]
    answers = link.deliver()
    assert [answer.pos for answer in answers] == [200, 300]
    link.send()
    assert link.session.done
    assert link.session.stats.retransmitted_bytes == 0


def test_lost_last_acknowledgement_is_fetched_by_the_timer() -> None:
    link = open_link(to_host=lose(0))
    link.session.begin(data_requests(STREAM[:100], 100), link.now)
    assert [answer.pos for answer in link.run()] == [100]
    assert link.device.applied == STREAM[:100]
    assert link.session.stats.expiries == 1


def question(session: int, number: int) -> bytes:
    """Return a READ of region 255, which exists nowhere."""
    return b"\0" + encode_frame(Message.READ, session, number, b"\xff\0\0")


def test_timer_asks_and_repeats_after_the_answer() -> None:
    link = open_link(1000)
    link.session.begin(data_requests(STREAM, 100), link.now)
    first = link.session.outgoing(link.now)
    timeout = link.session.timeout_s
    assert link.session.outgoing(link.now + 0.99 * timeout) == b""
    link.now += timeout
    assert link.send() == question(link.device.session, 1)
    assert link.send() == b""
    link.work()
    link.deliver()
    assert link.send() == b"\0" + first


def test_slow_device_is_asked_and_nothing_is_repeated() -> None:
    link = open_link(1000)
    link.session.begin(data_requests(STREAM[:500], 100), link.now)
    link.send()
    link.now += link.session.timeout_s
    link.run()
    assert link.device.applied == STREAM[:500]
    assert (link.session.stats.expiries, link.session.stats.retransmitted_bytes) == (1, 0)


@pytest.mark.parametrize("session", [0, 7])
def test_question_to_a_device_without_this_session_is_a_lost_session(session: int) -> None:
    link = open_link(1000, to_device=lose(0))
    link.session.begin(data_requests(STREAM, 100), link.now)
    link.send()
    link.device.session = session
    link.now += link.session.timeout_s
    with pytest.raises(SessionLostError, match="lost this session"):
        link.run()


QUESTION_BYTES = len(question(1, 1))


@pytest.mark.parametrize("window", [540, 700, 1080])
@pytest.mark.parametrize("seed", range(8))
def test_ring_never_overruns_when_wrong_bits_cut_frames_in_two(window: int, seed: int) -> None:
    """The first half is reported as damage while the second still fills the ring."""
    rng = random.Random(seed)

    def cut(data: bytes) -> bytes:
        out = bytearray(data)
        for at in range(len(out)):
            if rng.random() < 0.001:
                out[at] = 0
        return bytes(out)

    link = open_link(window, to_device=cut)
    link.session.begin(data_requests(STREAM, 200), link.now)
    answers, slow = 0, 0
    for _ in range(100_000):
        link.send()
        if link.session.done:
            break
        slow = slow or rng.choice([3, 40, 300])
        link.work(rng.randrange(slow))
        answers += len(link.deliver())
        slow = 0 if rng.random() < 0.05 else slow
        link.now += 1e-6 if link.ring else 0.01
    assert link.device.applied == STREAM
    assert link.ring_most <= window + link.session.stats.expiries * QUESTION_BYTES


def test_ring_never_overruns_when_what_was_answered_before_is_sent_again() -> None:
    """One answer covers all four frames, but three of their repetitions are still in the ring."""
    link = open_link(480, to_host=lose(0))
    link.session.begin(data_requests(STREAM, 100), link.now)
    link.send()
    link.work()
    link.now += link.session.timeout_s
    assert link.send() == question(link.device.session, 1)
    link.work()
    link.deliver()
    repeated = len(link.send())
    link.work(113)
    assert [answer.pos for answer in link.deliver()] == [400]
    link.send()
    assert repeated - 113 < len(link.ring) <= 480


@pytest.mark.parametrize("pause_s", [0.3, 1.0, 3.0])
def test_ring_never_overruns_while_a_device_computes_longer_than_the_timer(
    pause_s: float,
) -> None:
    link = open_link(1000)
    link.session.begin(data_requests(STREAM, 200), link.now)
    while not link.session.done:
        link.send()
        for _ in range(3):
            link.now += pause_s / 3
            link.send()
        link.work(250)
        link.deliver()
    assert link.device.applied == STREAM
    assert 0 < link.session.stats.expiries
    assert link.ring_most <= 1000 + EXPIRIES_MAX * QUESTION_BYTES


def timer_without_answers(window: int) -> float:
    """Return the timer of docs/PROTOCOL.md before an answer was timed."""
    return 2 * window * 10 / 115200 + 0.05


def answer_after(link: Link, seconds: float) -> None:
    """Let the device answer what is sent now after a time."""
    link.send()
    link.now += seconds
    link.work()
    link.deliver()


def test_timer_follows_the_answer_times_as_in_rfc_6298() -> None:
    link = Link(Session(41, 115200), ModelDevice())
    line = timer_without_answers(270)
    assert link.session.timeout_s == pytest.approx(line)
    link.session.hello(99, link.now)
    answer_after(link, 0.125)
    # SRTT = 0.125, RTTVAR = 0.0625
    assert link.session.timeout_s == pytest.approx(line + 0.375)
    link.session.begin(data_requests(STREAM[:200], 200), link.now)
    answer_after(link, 0.0625)
    # RTTVAR = 3/4 * 0.0625 + 1/4 * 0.0625, SRTT = 7/8 * 0.125 + 1/8 * 0.0625
    assert link.session.timeout_s == pytest.approx(line + 0.1171875 + 4 * 0.0625)


def test_timer_forgets_a_stall() -> None:
    link = open_link(1000)
    link.session.begin(data_requests(STREAM[:100], 100), link.now)
    answer_after(link, 8.0)
    # SRTT = 8 / 8 after the answer to HELLO at once, RTTVAR = 8 / 4; both lose 1/8 an answer.
    line = timer_without_answers(1000)
    assert link.session.timeout_s == pytest.approx(line + 9)
    for count in range(1, 41):
        at = 100 * count
        link.session.begin(data_requests(STREAM[: at + 100], 100, at), link.now)
        answer_after(link, 0.0)
        assert link.session.timeout_s == pytest.approx(line + 9 * (7 / 8) ** count)


def test_timer_ignores_the_answer_to_a_request_that_was_sent_twice() -> None:
    link = Link(Session(41, 115200), ModelDevice(), lose(0))
    link.session.hello(99, link.now)
    answer_after(link, 0.0)
    link.now += 3.0
    answer_after(link, 4.0)
    assert link.session.done
    link.session.begin(data_requests(STREAM[:100], 100), link.now)
    assert link.session.timeout_s == pytest.approx(timer_without_answers(270))


@pytest.mark.parametrize("type_", [Message.DATA, Message.TRAIN_TO])
def test_answer_to_all_requests_ends_the_wait_for_a_question_that_was_lost(
    type_: Message,
) -> None:
    link = open_link(270)
    link.session.begin([Request(type_, 0, bytes(5), 10)], link.now)
    sent: set[int] = set()
    while Message.READ not in sent:
        sent |= {frame.type for frame in Decoder().feed(link.session.outgoing(link.now))}
        link.now += link.session.timeout_s + 1e-9
    link.now -= link.session.timeout_s / 2
    ack = encode_frame(Message.DATA_ACK, link.device.session, 10, data_ack(0))
    link.session.receive(ack, link.now)
    assert link.session.outgoing(link.now) == b""
    assert link.session.done


def test_late_answer_to_an_earlier_save_is_not_taken_for_that_of_a_later_one() -> None:
    link = open_link(270)
    link.session.begin([Request(Message.SAVE, 20, bytes(4))], link.now)
    link.session.outgoing(link.now)
    for position in (10, 20):
        assert not link.session.done
        saved = pack(SAVE_ACK_FIELDS, status=Status.OK, generation=1)
        ack = encode_frame(Message.SAVE_ACK, link.device.session, position, saved)
        link.session.receive(ack, link.now)
    assert link.session.done


def test_hellos_of_a_silent_device_fit_the_smallest_window_though_zeros_wake_it() -> None:
    session, now, sent = Session(41, 115200), 0.0, []
    session.hello(99, now, bytes(64))
    with pytest.raises(NoAnswerError):
        while True:
            sent.append(session.outgoing(now))
            now += session.timeout_s + 1e-9
    assert [len(data) for data in sent if data.startswith(bytes(64))] == [64 + 12] * 3
    assert len(sent) == EXPIRIES_MAX
    assert len(b"".join(sent)) <= WINDOW_BYTES_MIN


def test_timer_is_not_doubled_any_more_after_an_answer() -> None:
    link = open_link(1000)
    before = link.session.timeout_s
    link.session.begin(data_requests(STREAM[:100], 100), link.now)
    link.session.outgoing(link.now)  # lost
    link.now += before + 1e-9
    link.send()
    assert link.session.timeout_s == pytest.approx(2 * before)
    link.work()
    link.deliver()
    assert link.session.timeout_s <= before


def test_timer_counts_an_answer_time_as_ten_seconds_at_most() -> None:
    link = Link(Session(41, 115200), ModelDevice())
    link.session.hello(99, link.now)
    answer_after(link, 3600.0)
    assert link.session.timeout_s == pytest.approx(timer_without_answers(270) + 10 + 4 * 5)


def test_timer_does_not_count_the_time_of_training() -> None:
    link = open_link(1000)
    before = link.session.timeout_s
    link.session.begin([Request(Message.TRAIN_TO, 0, b"\x0a\0\xc8\0\xf4", 10)], link.now)
    link.session.outgoing(link.now)
    answer = encode_frame(Message.DATA_ACK, link.device.session, 10, bytes([Status.OK, *range(40)]))
    link.session.receive(answer, link.now + 8.0)
    assert link.session.outgoing(link.now + 8.0) == b""
    assert link.session.done
    assert link.session.timeout_s == pytest.approx(before)


def test_training_without_an_answer_is_asked_for_again_before_anything_is_doubted() -> None:
    link = open_link(1000)
    link.session.begin([Request(Message.TRAIN_TO, 0, b"\x0a\0\xc8\0\xf4", 10)], link.now)
    first = link.session.outgoing(link.now)
    later = link.now + link.session.timeout_s
    assert link.session.outgoing(later) == first
    assert link.session.stats.expiries == 0


def test_timer_of_a_line_that_was_opened_again_knows_no_answers() -> None:
    link = open_link(1000)
    link.session.begin(data_requests(STREAM[:100], 100), link.now)
    answer_after(link, 8.0)
    link.session.reopen()
    assert link.session.timeout_s == pytest.approx(timer_without_answers(270))


def test_timer_doubles_up_to_its_limit_and_then_the_link_is_lost() -> None:
    link = open_link(4000, to_device=lambda data: b"")
    link.session.begin(data_requests(STREAM, 100), link.now)
    link.send()
    first = link.session.timeout_s
    waits = []
    with pytest.raises(NoAnswerError):
        while True:
            waits.append(link.session.timeout_s)
            link.now += link.session.timeout_s + 1e-9
            link.send()
    expected = [min(first * 2**k, TIMER_MAX_S) for k in range(EXPIRIES_MAX)]
    assert waits == pytest.approx(expected)
    assert issubclass(NoAnswerError, LinkError)


def test_expiries_are_counted_anew_after_an_answer() -> None:
    link = open_link(300)
    link.session.begin(data_requests(STREAM, 100), link.now)
    for _ in range(3 * EXPIRIES_MAX):
        link.session.outgoing(link.now)
        link.ring.clear()
        link.now += link.session.timeout_s + 1e-9
        for _ in ("question", "repetition"):
            link.send()
            link.work()
            link.deliver()
    assert link.session.stats.expiries == 3 * EXPIRIES_MAX


def test_repeated_acknowledgements_change_nothing() -> None:
    link = open_link(to_host=lambda data: data * 3)
    link.session.begin(data_requests(STREAM, 100), link.now)
    positions = [answer.pos for answer in link.run()]
    assert positions == list(range(100, len(STREAM) + 1, 100))
    assert link.device.applied == STREAM


def test_acknowledgement_beyond_what_was_sent_is_ignored() -> None:
    link = open_link(300)
    link.session.begin(data_requests(STREAM, 100), link.now)
    link.send()
    frame = encode_frame(Message.DATA_ACK, link.device.session, 4000, data_ack(Status.OK))
    assert link.session.receive(frame, link.now) == []


def test_answers_of_another_session_are_ignored() -> None:
    link = open_link()
    link.session.begin(data_requests(STREAM[:100], 100), link.now)
    link.send()
    stale = encode_frame(Message.DATA_ACK, link.device.session - 1, 100, data_ack(Status.OK))
    assert link.session.receive(stale, link.now) == []
    assert not link.session.done


def test_damaged_answers_are_ignored() -> None:
    link = open_link()
    link.session.begin(data_requests(STREAM[:100], 100), link.now)
    link.send()
    link.work()
    damaged = bytearray(link.backward)
    damaged[10] ^= 1
    assert link.session.receive(bytes(damaged), link.now) == []


def test_error_status_is_handed_over_with_its_position() -> None:
    link = open_link()
    link.session.begin(data_requests(STREAM[:100], 100), link.now)
    link.send()
    frame = encode_frame(Message.DATA_ACK, link.device.session, 40, data_ack(Status.BAD_SAMPLE))
    (answer,) = link.session.receive(frame, link.now)
    assert (answer.pos, answer.payload[0]) == (40, Status.BAD_SAMPLE)
    assert not link.session.done, "the frame was applied in part"


def test_device_reset_in_mid_stream_is_a_lost_session() -> None:
    link = open_link()
    link.session.begin(data_requests(STREAM, 100), link.now)
    link.send()
    link.device = ModelDevice()
    with pytest.raises(SessionLostError, match="reset"):
        link.run()


def test_device_without_a_run_is_a_lost_session() -> None:
    link = open_link()
    link.device.has_run = False
    link.session.begin(data_requests(STREAM, 100), link.now)
    with pytest.raises(SessionLostError, match="no run"):
        link.run()


def test_answer_to_a_frame_older_than_the_session_is_ignored() -> None:
    link = open_link()
    link.session.begin(data_requests(STREAM, 100), link.now)
    link.ring += encode_frame(Message.DATA, link.device.session - 1, 0, b"old")
    link.run()
    assert link.device.applied == STREAM


def test_hello_ignores_that_the_device_had_no_session() -> None:
    link = Link(Session(1, 115200), ModelDevice())
    link.ring += b"\x55garbage\0"
    link.session.hello(5, link.now)
    assert [answer.type for answer in link.run()] == [Message.HELLO_ACK]


def test_reads_are_answered_in_order_through_the_window() -> None:
    link = open_link(300)
    link.session.begin(read_requests(256, 16), link.now)
    answers = link.run()
    assert b"".join(answer.payload[1:] for answer in answers) == link.device.memory
    assert link.ring_most <= 300


def test_lost_read_answer_is_fetched_again_when_a_later_one_comes() -> None:
    link = open_link(1000)
    link.session.begin(read_requests(256, 16), link.now)
    link.send()
    link.work()
    first_two = [i for i, byte in enumerate(link.backward) if byte == 0][:2]
    del link.backward[first_two[0] + 1 : first_two[1] + 1]
    answers = link.run()
    assert b"".join(answer.payload[1:] for answer in answers) == link.device.memory
    assert link.session.stats.expiries == 0


def test_damage_report_repeats_requests_of_any_kind() -> None:
    link = open_link(1000)
    link.session.begin(read_requests(64, 16), link.now)
    wire = bytearray(link.session.outgoing(link.now))
    wire[3] ^= 0x08
    link.ring += wire
    answers = link.run()
    assert b"".join(answer.payload[1:] for answer in answers) == link.device.memory[:64]
    assert link.session.stats.expiries == 0


@pytest.mark.parametrize("other", [0, 2])
def test_answer_of_another_region_at_the_same_offset_is_no_answer(other: int) -> None:
    link = open_link()
    link.session.begin(read_requests(16, 16), link.now)
    link.send()
    ack = bytes([other, Status.OK, 0, 0, 0, 0]) + bytes(16)
    frame = encode_frame(Message.READ_ACK, link.device.session, 0, ack)
    assert link.session.receive(frame, link.now) == []
    assert not link.session.done


def test_commit_is_answered_by_any_position() -> None:
    link = open_link()
    link.session.begin([Request(Message.COMMIT, 0, bytes(12))], link.now)
    link.session.outgoing(link.now)
    frame = encode_frame(Message.COMMIT_ACK, link.device.session, 4711, b"\0")
    assert [answer.pos for answer in link.session.receive(frame, link.now)] == [4711]


def test_late_answers_are_possible_after_a_repetition_until_hello() -> None:
    link = open_link(to_host=lose(0))
    link.session.begin(read_requests(16, 16), link.now)
    link.run()
    assert link.session.needs_hello
    link.session.hello(7, link.now)
    link.run()
    assert not link.session.needs_hello


def test_late_answers_are_possible_after_an_abandoned_exchange() -> None:
    link = open_link()
    link.session.begin(data_requests(STREAM, 100), link.now)
    link.send()
    assert link.session.needs_hello


def test_frames_of_an_abandoned_exchange_still_count_in_the_window() -> None:
    link = open_link(1000)
    link.session.begin(data_requests(STREAM, 88), link.now)
    assert len(link.send()) == 1000
    link.session.hello(7, link.now)
    assert link.send() == b""
    link.work(300)
    link.deliver()
    assert link.send() != b""
    link.run()
    assert link.ring_most <= 1000


def faulty(rng: random.Random, rate: float):  # type: ignore[no-untyped-def]
    """Return a line that flips, drops, inserts and repeats bytes."""

    def fault(data: bytes) -> bytes:
        out = bytearray()
        for byte in data:
            draw = rng.random() / rate
            if draw < 1:
                out.append(byte ^ 1 << rng.randrange(8))
            elif draw < 2:
                continue
            elif draw < 3:
                out += bytes([rng.randrange(256), byte])
            else:
                out.append(byte)
        if rng.random() < 20 * rate and len(out) > 20:
            start = rng.randrange(len(out))
            out += out[start : start + rng.randrange(200)]
        return bytes(out)

    return fault


@pytest.mark.parametrize("rate", [1e-4, 4e-4])
@pytest.mark.parametrize("seed", range(25))
def test_faulty_line_changes_nothing_that_is_applied(seed: int, rate: float) -> None:
    rng = random.Random(1000 * seed + 1)
    size = rng.randrange(20, 230)
    link = open_link(
        rng.choice([300, 511, 1000, 4095]),
        to_device=faulty(rng, rate),
        to_host=faulty(rng, rate),
    )
    link.session.begin(data_requests(STREAM, size), link.now)
    positions = [answer.pos for answer in link.run(rng)]
    assert bytes(link.device.applied) == STREAM
    assert positions == sorted(set(positions))
    assert positions[-1] == len(STREAM)


@pytest.mark.parametrize("seed", range(15))
def test_faulty_line_changes_nothing_that_is_read(seed: int) -> None:
    rng = random.Random(2000 + seed)
    link = open_link(511, to_device=faulty(rng, 4e-4), to_host=faulty(rng, 4e-4))
    link.session.begin(read_requests(256, 8), link.now)
    answers = link.run(rng)
    assert b"".join(answer.payload[1:] for answer in answers) == link.device.memory


def test_reason_of_no_session_is_told_apart() -> None:
    link = open_link()
    link.session.begin(data_requests(STREAM, 100), link.now)
    link.send()
    frame = encode_frame(Message.NO_SESSION, 0, 2, bytes([Reason.SESSION]))
    with pytest.raises(SessionLostError, match="lost this session"):
        link.session.receive(frame, link.now)
