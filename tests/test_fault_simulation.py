"""Campaign 7: the shipping device and the shipping host on a line with faults, in virtual time.

`tests/sim/campaign.py` has the runs. Here also stand the cases that random faults do not reach:
each kills a bug that thousands of seeds let through.
"""

from __future__ import annotations

import random
import zlib

import campaign
import pytest
from campaign import Host, Totals, ViolationError, failure, run_seed
from cobs import cobs
from fixgrad.device import Device
from fixgrad.errors import ModelError
from fixgrad.framing import Decoder, Frame, decode_frame, encode_frame
from fixgrad.protocol import Message, Reason, Region, Status
from fixgrad.session import TIMER_MAX_S, SessionLostError
from line import Faults, HostKilledError, Line
from scenarios import EPOCHS, RUN_ID, SAMPLES, scenario, three_batches
from simulated_device import SimulatedDevice

BLOCKS, BLOCK_SEEDS = 20, 100
WIDE = 3


@pytest.mark.parametrize("block", range(BLOCKS))
def test_no_sample_is_lost_doubled_or_wrong_whatever_the_line_does(block: int) -> None:
    for seed in range(block * BLOCK_SEEDS, (block + 1) * BLOCK_SEEDS):
        try:
            run_seed(seed)
        except Exception as error:
            pytest.fail(failure(seed, error))


def quiet_line(window: int = 540, number: int = WIDE) -> Line:
    """Return a line without faults to a device that observes one scenario."""
    rng = random.Random(1)
    device = SimulatedDevice(window)
    device.expect(scenario(number).expectation)
    return Line(device, rng, window, Faults(rng, {}), Faults(rng, {}))


def host_on(line: Line, number: int = WIDE) -> Host:
    return Host(line, scenario(number), random.Random(2), Totals())


def frames_in(data: bytes) -> list[Frame]:
    return Decoder().feed(data)


def test_simulation_of_a_seed_is_repeatable() -> None:
    first, second = Totals(), Totals()
    for totals in (first, second):
        run_seed(1234, totals)
    assert first.counts == second.counts


def test_sample_that_differs_from_the_run_is_seen() -> None:
    line = quiet_line()

    def forge(data: bytes) -> bytes:
        out = b""
        for frame in frames_in(data):
            payload = frame.payload
            if frame.type == Message.DATA and frame.pos == 30:
                payload = payload[:-2] + bytes([payload[-2] ^ 1]) + payload[-1:]
            out += encode_frame(frame.type, frame.session, frame.pos, payload)
        return out

    line.on_frame = forge
    with pytest.raises(ViolationError):
        host_on(line).train_to_the_end()
    assert line.device.status().violations["wrong sample"] == (1, 30)
    assert "wrong state after" in line.device.status().violations


@pytest.mark.parametrize("survived", range(7))
def test_host_killed_while_it_loads_over_the_same_run_is_not_continued_half_loaded(
    survived: int,
) -> None:
    """LOAD clears the run id: STATE of this run spans six frames."""
    line = quiet_line()
    host = host_on(line)
    host.train_to_the_end()
    host.disk = campaign.Checkpoint(host.run.initial, 0, campaign.Tally())
    loads = 0

    def kill_after(data: bytes) -> bytes:
        nonlocal loads
        for frame in frames_in(data):
            loads += frame.type == Message.LOAD
            if loads > survived:
                line.on_frame = lambda data: data
                line.to_device += encode_frame(*frame)
                for _ in range(20):
                    line.turn()
                raise HostKilledError
        return data

    line.on_frame = kill_after
    host.adopt = False
    host.train_to_the_end()
    assert line.device.status().violations == {}
    assert host.disk.position == EPOCHS * SAMPLES


def test_state_that_was_altered_behind_the_crc_of_its_frames_is_not_committed() -> None:
    line = quiet_line()

    def forge(data: bytes) -> bytes:
        out = b""
        for frame in frames_in(data):
            payload = frame.payload
            if frame.type == Message.LOAD and payload[0] == Region.STATE and frame.pos == 0:
                payload = payload[:9] + bytes([payload[9] ^ 1]) + payload[10:]
            out += encode_frame(frame.type, frame.session, frame.pos, payload)
        return out

    line.on_frame = forge
    with pytest.raises(ModelError, match="refuses the state"):
        host_on(line).train_to_the_end()
    assert line.device.status().run_id == 0


def test_state_that_was_overwritten_while_it_was_loaded_is_loaded_again() -> None:
    line = quiet_line()
    host = host_on(line)

    def overwrite_once(data: bytes) -> bytes:
        for frame in frames_in(data):
            if frame.type == Message.COMMIT:
                line.on_frame = lambda data: data
                payload = bytes([Region.STATE]) + bytes(2)
                return encode_frame(Message.LOAD, frame.session, 0, payload) + data
        return data

    line.on_frame = overwrite_once
    host.train_to_the_end()
    assert line.device.status().violations == {}
    assert host.disk.position == EPOCHS * SAMPLES


def collision(frame: bytes, mask: int) -> bytes:
    """Return the frame with other bytes inside whose CRC-32 agrees in the bits of a mask."""
    rng = random.Random(5)
    body, crc = frame[:-4], int.from_bytes(frame[-4:], "little")
    while True:
        other = bytearray(body)
        for _ in range(3):
            other[6 + rng.randrange(len(body) - 6)] ^= 1 << rng.randrange(8)
        if other != body and (zlib.crc32(other) ^ crc) & mask == 0:
            return bytes(other) + frame[-4:]


@pytest.mark.parametrize("mask", [0xFFFF, 0xFFFF0000])
def test_every_bit_of_the_crc_counts(mask: int) -> None:
    line = quiet_line()
    device = Device(line, "sim", clock=line.clock, pause=line.pause)
    session = line.device.status().session
    body = bytes([Message.LOAD, session]) + bytes(4) + bytes([Region.MODEL]) + bytes(range(1, 40))
    forged = collision(body + zlib.crc32(body).to_bytes(4, "little"), mask)
    assert decode_frame(cobs.encode(forged)) is None
    (answer,) = frames_in(line.device.receive(cobs.encode(forged) + b"\0"))
    assert (answer.type, answer.payload[0]) == (Message.DATA_ACK, Status.CORRUPT)
    assert device.stats.frames == 0


def test_bytes_of_an_earlier_run_meet_another_session() -> None:
    """A whole valid frame of the wanted position, from a buffer that kept it since another run."""
    line = quiet_line()
    host = host_on(line)
    device = host.open()
    device.load(host.run.config, host.run.initial, RUN_ID, 0)
    session = line.device.status().session
    row = host.run.expectation.rows[0][::-1].tobytes()
    payload = b"\3\0\x80\0\xf4" + row
    for other in {1, session - 1, session + 1, session ^ 0x80, 255} - {session, 0}:
        (answer,) = frames_in(line.device.receive(encode_frame(Message.DATA, other, 0, payload)))
        assert (answer.type, answer.payload) == (Message.NO_SESSION, bytes([Reason.SESSION]))
    assert line.device.status().next == 0
    assert line.device.status().violations == {}


def test_reset_behind_a_repeated_hello_is_noticed() -> None:
    """A line that repeats old bytes says HELLO for the host, to a device that has forgotten all."""
    line = quiet_line()
    host = host_on(line)
    device = host.open()
    device.load(host.run.config, host.run.initial, RUN_ID, 0)

    def reset_once(data: bytes) -> bytes:
        if frames_in(data)[0].type == Message.READ:
            line.press_reset()
            line.on_frame = lambda data: data
            line.to_device += encode_frame(Message.HELLO, frames_in(data)[0].session, 1)
        return data

    line.on_frame = reset_once
    with pytest.raises(SessionLostError, match="reset"):
        device.read_state(host.run.config)


def test_run_whose_board_is_reset_before_the_last_save_is_kept_to_its_end() -> None:
    line = quiet_line()
    host = host_on(line)
    host.save_every = 1000

    def reset_before_the_end_is_kept(data: bytes) -> bytes:
        for frame in frames_in(data):
            if frame.type == Message.SAVE and frame.pos == EPOCHS * SAMPLES:
                line.on_frame = lambda data: data
                line.press_reset()
                return b""
        return data

    line.on_frame = reset_before_the_end_is_kept
    host.train_to_the_end()
    assert line.resets == 1
    campaign.check_kept(line.device, RUN_ID)


def test_save_for_a_device_at_another_position_is_refused_at_once() -> None:
    line = quiet_line()
    device = host_on(line).open()
    device.load(scenario(WIDE).config, scenario(WIDE).initial, RUN_ID, 0)
    started = line.now
    with pytest.raises(SessionLostError, match="position 0, not 3"):
        device.save(3)
    assert line.now - started < TIMER_MAX_S
    assert device.stats.expiries == line.device.saves == 0


def test_next_run_is_not_kept_unless_it_asks() -> None:
    line = quiet_line()
    host = host_on(line)
    host.save_every = 1
    host.train_to_the_end()
    kept = line.device.saves
    assert kept > EPOCHS
    Host(line, three_batches(), random.Random(3), Totals()).train_to_the_end()
    assert line.device.saves == kept


def test_board_that_was_reset_is_told_again_to_keep_the_run() -> None:
    run = three_batches()
    line = quiet_line()
    line.reset_after = three_batch_session(None).taken * 2 // 3
    Host(line, run, random.Random(2), Totals(), save_every=1).train_to_the_end()
    assert line.resets == 1
    # The start before the reset, the first position after it, and every step from there.
    assert line.device.saves >= 2 + run.schedule.steps - 1


def test_power_that_fails_at_any_operation_of_the_first_save_leaves_a_run_that_ends() -> None:
    """Beginning, middle and end of erasing and programming; what is kept is compared at starts."""
    run = three_batches()
    for operation in range(1, 500):
        line = quiet_line()
        line.device.expect(run.expectation)
        line.power = iter([0])
        line.device.cut_power(operation)
        Host(line, run, random.Random(2), Totals(), save_every=2).train_to_the_end()
        line.device.cut_power(0)
        line.device.boot(0)
        status = line.device.status()
        assert status.violations == {}, f"operation {operation}"
        assert (status.run_id, status.next) == (RUN_ID, run.schedule.samples)
        if line.device.power_losses == 0:
            break
    else:
        pytest.fail("saves never end")
    assert operation > 3 * 8


def test_damage_is_told_once_until_a_good_frame_came() -> None:
    line = quiet_line()
    line.device.receive(b"\0" + encode_frame(Message.HELLO, 7, 1))
    damaged = b"\5damaged\0"
    first, second = (line.device.receive(2 * damaged) for _ in range(2))
    assert [f.payload[0] for f in frames_in(first)] == [Status.CORRUPT]
    assert second == b""
    line.device.receive(encode_frame(Message.HELLO, 8, 2))
    assert [f.payload[0] for f in frames_in(line.device.receive(damaged))] == [Status.CORRUPT]


def test_samples_for_a_device_without_a_run_are_refused_at_once() -> None:
    line = quiet_line()
    line.device.receive(b"\0" + encode_frame(Message.HELLO, 7, 1))
    (answer,) = frames_in(line.device.receive(encode_frame(Message.DATA, 7, 0, b"x")))
    assert (answer.type, answer.payload) == (Message.NO_SESSION, bytes([Reason.RUN]))


def test_another_run_is_not_taken_for_the_one_that_the_device_holds() -> None:
    line = quiet_line()
    host = host_on(line)
    host.open().load(host.run.config, host.run.initial, RUN_ID, 0)
    payload = (RUN_ID + 1).to_bytes(4, "little") + bytes(8)
    session = line.device.status().session
    (answer,) = frames_in(line.device.receive(encode_frame(Message.COMMIT, session, 0, payload)))
    assert (answer.type, answer.payload) == (Message.COMMIT_ACK, bytes([Status.BAD_STATE]))
    assert line.device.status().run_id == RUN_ID


def three_batch_session(reset_after: int | None) -> Line:
    """Run three batches from HELLO to the state read back, with one reset."""
    run = three_batches()
    line = quiet_line()
    line.device.expect(run.expectation)
    line.reset_after = reset_after
    host = Host(line, run, random.Random(2), Totals())
    host.train_to_the_end()
    assert host.disk.position == run.schedule.samples
    assert line.device.status().violations == {}
    return line


def test_reset_after_any_byte_of_three_batches_ends_in_the_same_state() -> None:
    """Campaign 8; the host compares the state read back with the reference's."""
    undisturbed = three_batch_session(None)
    assert undisturbed.device.status().applied == three_batches().schedule.samples
    for byte in range(undisturbed.taken + 1):
        line = three_batch_session(byte)
        assert line.resets == 1 or byte == undisturbed.taken, f"reset after byte {byte}"
