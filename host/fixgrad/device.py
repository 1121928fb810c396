"""A device at the end of a port: what the messages of docs/PROTOCOL.md do, as methods."""

from __future__ import annotations

import contextlib
import secrets
import struct
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn, Protocol

import numpy as np
from numpy.typing import NDArray

from fixgrad import protocol
from fixgrad.boards import BOARDS
from fixgrad.errors import (
    DataError,
    DoesNotFitError,
    LinkError,
    ModelError,
    PortError,
    StoreError,
    UsageError,
    VersionError,
)
from fixgrad.framing import DELIMITER, payload_bytes_max
from fixgrad.model import ModelConfig, State, state_bytes
from fixgrad.parts import NO_EXPONENT, LayerSums, Reach, decode_sums, sums_bytes
from fixgrad.planner import plan
from fixgrad.protocol import Message, Phase, Region, Status
from fixgrad.session import (
    Answer,
    LinkStats,
    NoAnswerError,
    Request,
    Session,
    SessionLostError,
)
from fixgrad.stream import CachedStream
from fixgrad.transport import BAUD_AT_START, WAKING, Place, read_waiting

READ_STATE_TRIES = 10

LOAD_TRIES = 3
"""A line that repeats old bytes can overwrite a part of the state while it is loaded."""

TICKS_MASK = 0xFFFFFF
"""What counts of a profile's ticks."""

PARTIAL_FRAME_PAUSE_S = 0.004
"""Pause while the rest of an answer is on its way, about 46 bytes at 115200 baud: waking for every
byte would cost more."""

NO_DATASET = bytes(protocol.field_bytes(protocol.DATASET_FIELDS))
"""The region of a run whose samples travel as the model stores them, as often as needed."""

STRETCHES_BYTES_MAX = 255
"""Payload of a TRAIN_TO: every device takes it; it is sent again to ask how far training came."""

FLASH_UNIT_BYTES = 32
"""A part of a region for the flash ends at a multiple of it, or with the region."""

STRETCH_ROOM_BYTES = 4 + protocol.field_bytes(protocol.BATCH_FIELDS)
"""What must be free behind the model, or behind samples there: a TRAIN_TO of one stretch waits."""

_DATA_ACK = protocol.layout(protocol.DATA_ACK_FIELDS)
# Looked up once for all frames.
_DATA_ACK_TYPE, _OK = Message.DATA_ACK, Status.OK
_LOAD_ACK = protocol.layout(protocol.LOAD_ACK_FIELDS)
_READ = protocol.layout(protocol.READ_FIELDS)
_READ_ACK = protocol.layout(protocol.READ_ACK_FIELDS)
_PROFILE = protocol.layout(protocol.PROFILE_FIELDS)
_SAVE_ACK = protocol.layout(protocol.SAVE_ACK_FIELDS)
_EVAL_ACK = protocol.layout(protocol.EVAL_ACK_FIELDS)
_INFER_ACK = protocol.layout(protocol.INFER_ACK_FIELDS)
_SCALE_ACK = protocol.layout(protocol.SCALE_ACK_FIELDS)


@dataclass(frozen=True)
class DeviceInfo:
    """What HELLO_ACK tells.

    Attributes:
        board: PlatformIO board id.
        core: processor core.
        firmware: checksum of its sources; 0: it was built without.
        protocol, numerics: versions.
        boot_id: differs after every reset.
        run_id: the run it holds; 0 means none.
        next: position of the sample that it wants next.
        digest: of the trained state at the last completed step; 0 without a model.
        arena_bytes: memory for the model and its batch.
        payload_max: largest payload in bytes.
        window_bytes: encoded bytes that it buffers.
        samples_bytes: flash for a DATASET region with samples.
    """

    board: str
    core: str
    firmware: int
    protocol: int
    numerics: int
    boot_id: int
    run_id: int
    next: int
    digest: int
    arena_bytes: int
    payload_max: int
    window_bytes: int
    samples_bytes: int = 0


class Progress(NamedTuple):
    """What the device reports after applying samples.

    Attributes:
        next: position of the sample that it wants next.
        step: steps done.
        digest: of the trained state after that step.
        loss_sum: reported loss (NUMERICS section 4) summed over the steps since COMMIT.
        correct: training samples predicted right before their step, since COMMIT, modulo 2**32.
        wsat, asat, bsat: saturation counters (NUMERICS section 10) since COMMIT, modulo 2**32.
    """

    next: int
    step: int
    digest: int
    loss_sum: int
    correct: int
    wsat: int
    asat: int
    bsat: int


@dataclass(frozen=True)
class Evaluation:
    """Samples evaluated on the device.

    Attributes:
        count: samples.
        correct: predicted right.
        loss: reported loss (NUMERICS section 4) summed over them.
    """

    count: int
    correct: int
    loss: int


class Inference(NamedTuple):
    """Outputs of the device.

    Attributes:
        predictions: int32 [N, predictions]: class; or 0/1 per output; or Q16 per output.
        logits: int32 [N, outputs], accumulators of the last layer.
    """

    predictions: NDArray[np.int32]
    logits: NDArray[np.int32]


class Stream(Protocol):
    """Where DATA payloads come from; `fixgrad.stream.SampleStream` is one."""

    @property
    def sample_bytes(self) -> int:
        """Bytes of one sample's features and target."""

    def payload(self, position: int, limit: int) -> tuple[bytes, int]:
        """Return the payload from a position on, and its whole samples; at most `limit` bytes."""


def payload_limit(payload_max: int, window_bytes: int) -> int:
    """Return the payload that lets two frames travel at a time, if the window has room."""
    return min(payload_max, payload_bytes_max(window_bytes // 2))


def stretches_limit(limit: int) -> int:
    """Return the payload of a TRAIN_TO: there is room for its repetition beside it."""
    return min(STRETCHES_BYTES_MAX, limit)


def load_chunk(limit: int) -> int:
    """Return how many bytes of a region go into one frame."""
    return (limit - 1) // 2 * 2


def read_chunk(payload_max: int) -> int:
    """Return how many bytes of a region one answer tells: whole words."""
    return (payload_max - _READ_ACK.size) // 4 * 4


def flash_chunk(payload_max: int, window_bytes: int) -> int:
    """Return how many bytes of a region for the flash go into one frame, alone on the line."""
    most = min(payload_max, payload_bytes_max(window_bytes))
    return (most - 1) // FLASH_UNIT_BYTES * FLASH_UNIT_BYTES


def goes_to_flash(config: ModelConfig, region: bytes, arena_bytes: int, flash_bytes: int) -> bool:
    """Return whether a device puts a DATASET region into its flash.

    Args:
        config: the model.
        region: the region.
        arena_bytes: memory for the model and what lies behind it.
        flash_bytes: flash for samples.
    """
    has_samples = protocol.unpack(protocol.DATASET_FIELDS, region)["samples"] > 0
    end = plan(config).arena_bytes + len(region)
    fits = end + STRETCH_ROOM_BYTES <= arena_bytes
    return has_samples and not fits and len(region) <= flash_bytes


def cut_payload(
    stream: Stream, position: int, samples: int, limit: int, most: int
) -> tuple[bytes, int]:
    """Return the DATA payload from a position on, and how many samples it holds.

    Args:
        stream: the samples.
        position: of the first.
        samples: at most so many.
        limit: bytes that are wanted at most.
        most: bytes that the device takes, for a sample that is larger than `limit`.

    Returns:
        The payload and its samples; 0 samples where `most` is too small for one.
    """
    payload, count = stream.payload(position, limit)
    if count == 0:
        payload, count = stream.payload(position, most)
    while count > samples:
        shorter = len(payload) - (count - samples) * stream.sample_bytes
        payload, count = stream.payload(position, shorter)
    return payload, count


class Device:
    """A device that answered HELLO. Not for use from several threads."""

    def __init__(
        self,
        port: Any,
        url: str,
        *,
        baud: int = BAUD_AT_START,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], object] = time.sleep,
        random_bits: Callable[[int], int] = secrets.randbits,
        reopen: Callable[[], tuple[Any, str]] | None = None,
    ) -> None:
        """Take an open pyserial port with a short read timeout, and say HELLO.

        Args:
            port: the port; `close` closes it.
            url: its name in messages.
            baud: speed of the line in bits per second, as far as the board knows it.
            clock: seconds, never going back.
            pause: waits for so many seconds.
            random_bits: returns so many bits, others in every process: sessions must differ.
            reopen: opens the port again, for `reopen`; returns it and its name.

        Raises:
            LinkError: nothing answers, or not fixgrad.
            VersionError: the device speaks another version.
        """
        self.url = url
        self._port = port
        self._clock = clock
        self._pause = pause
        self._random_bits = random_bits
        self._reopen = reopen
        self._session = Session(random_bits(8) % 255 + 1, BAUD_AT_START)
        self._wanted_baud = baud
        self._port_has_speed = reopen is not None or baud != BAUD_AT_START
        self._tag = 0
        self._held: tuple[int, int | None] = (0, None)
        self.info: DeviceInfo
        self._greet()

    @classmethod
    def open(cls, url: str, *, baud: int = BAUD_AT_START) -> Device:
        """Open a port and say HELLO.

        Args:
            url: a device name, or a URL that pyserial or fixgrad handles.
            baud: speed of the line in bits per second, as far as the board knows it.

        Raises:
            PortError: the port cannot be opened.
            BuildError: the firmware behind the port could not be built.
            LinkError: nothing answers, or not fixgrad.
            VersionError: the device speaks another version.
        """
        place = Place(url)
        port = place.open()
        try:
            return cls(port, url, baud=baud, reopen=lambda: (place.open(), place.url))
        except BaseException:
            port.close()
            raise

    def __enter__(self) -> Device:
        """Return the device."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close the port."""
        self.close()

    def close(self) -> None:
        """Close the port."""
        self._port.close()

    def reopen(self) -> DeviceInfo:
        """Close the port, open it wherever it is now, and say HELLO.

        Raises:
            PortError: the port is not there.
            LinkError: nothing answers, or not fixgrad.
            VersionError: the device speaks another version.
        """
        if self._reopen is None:
            raise PortError(f"{self.url}: the port was opened elsewhere")
        with contextlib.suppress(OSError):
            self._port.close()
        self._port, self.url = self._reopen()
        self._greet()
        return self.info

    @property
    def baud(self) -> int:
        """Speed of the line in bits per second."""
        return self._session.bits_per_second

    @property
    def stats(self) -> LinkStats:
        """Counters of the link since it was opened."""
        return self._session.stats

    def hello(self) -> DeviceInfo:
        """Begin a new session; the device's state and position stay as they are.

        Returns:
            What the device holds now; `info` is the same.

        Raises:
            LinkError: nothing answers, or not fixgrad.
            VersionError: the device speaks another version.
        """
        self._hello(DELIMITER)
        return self.info

    def _hello(self, lead: bytes) -> None:
        self._identify(lead)
        self._held = self.info.boot_id, self.info.run_id

    def _greet(self) -> None:
        """Say HELLO at the speed at start, then go to the wanted one where the board knows it.

        A board that answers only at the wanted speed, because its firmware was built so, is met
        there. One that takes the speed but is not heard at it is woken: the line does not carry it.
        """
        wanted = self._wanted_baud
        if wanted == BAUD_AT_START:
            self._hello_at_start()
            return
        try:
            self._hello_at_start()
        except LinkError:
            self._set_baud(wanted)
            self.hello()
            return
        try:
            self._change_baud(wanted)
        except LinkError:
            self._hello_at_start()

    def _hello_at_start(self) -> None:
        """Wake the board and say HELLO; the line is at the speed that a board has at start."""
        self._session.reopen()
        if self._port_has_speed:
            self._set_baud(BAUD_AT_START)
        self._hello(WAKING if self._port_has_speed else DELIMITER)

    def _change_baud(self, baud: int) -> None:
        """Let both sides change the speed, and say HELLO; the speed stays if the board refuses.

        Raises:
            LinkError: the device is not heard any more.
        """
        request = protocol.pack(protocol.BAUD_FIELDS, baud=baud)
        answer = next(self._exchange([Request(Message.BAUD, self._random_bits(32), request)]))
        if answer.type == Message.BAUD_ACK and answer.payload == request:
            self._set_baud(baud)
            self.hello()

    def _set_baud(self, baud: int) -> None:
        with self._translated_errors():
            if self._port.baudrate != baud:
                self._port.baudrate = baud
        self._session.bits_per_second = baud

    def _identify(self, lead: bytes = DELIMITER) -> None:
        """Begin a new session and note what the device tells; `lead` precedes every HELLO."""
        session = self._session
        session.hello(self._random_bits(32), self._clock(), lead)
        try:
            answer = list(self._drive())[-1]
        except NoAnswerError as error:
            raise LinkError(self._silence()) from error
        self.info = self._read_hello(answer.payload)
        session.window_bytes = self.info.window_bytes

    def load(
        self,
        config: ModelConfig,
        state: State,
        run_id: int,
        position: int,
        dataset: bytes = NO_DATASET,
    ) -> None:
        """Replace what the device holds by a run at a position.

        Args:
            config: the model.
            state: its state after the samples before `position`.
            run_id: identity of the run, not 0.
            position: position of the next sample; it begins a batch.
            dataset: the DATASET region (`fixgrad.delivery`).

        Raises:
            DoesNotFitError: the device has too little memory.
            ModelError: the device refuses the model or the state.
            StoreError: the device's flash does not keep the samples.
            LinkError: the device stopped answering.
        """
        for _ in range(LOAD_TRIES):
            if self._try_load(config, state.encode(), dataset, run_id, position):
                return
        raise ModelError(f"{self.url}: the device refuses the state: a value is out of range")

    def _try_load(
        self, config: ModelConfig, data: bytes, dataset: bytes, run_id: int, position: int
    ) -> bool:
        """Load; return False where what arrived is not what was sent."""
        self.hello()
        info, model = self.info, config.encode()
        self._held = self.info.boot_id, None
        self._load_model(model)
        if goes_to_flash(config, dataset, info.arena_bytes, info.samples_bytes):
            self._load_into_flash(dataset)
        else:
            self._load_dataset(dataset)
        self._load_bytes(Region.STATE, data, 0)
        commit = protocol.pack(
            protocol.COMMIT_FIELDS,
            run_id=run_id,
            next=position,
            crc=zlib.crc32(dataset, zlib.crc32(data, zlib.crc32(model))),
        )
        (answer,) = self._exchange([Request(Message.COMMIT, 0, commit)])
        self._require_type(answer, Message.COMMIT_ACK)
        self._require_same_boot(answer.payload[0])
        if answer.payload[0] == Status.BAD_STATE:
            return False
        self._require_ok(answer.payload[0], "the run")
        self._held = self.info.boot_id, run_id
        return True

    def read_state(self, config: ModelConfig) -> tuple[State, int]:
        """Return the device's state and the position of the sample that it wants next.

        Args:
            config: the model that it holds.

        Raises:
            SessionLostError: the device was reset, or holds another run.
            ModelError: it holds none, or one of another size.
            LinkError: the device stopped answering.
        """
        size = state_bytes(config)
        for _ in range(READ_STATE_TRIES):
            # A new session: no answer to an earlier reading, however late, can be mistaken.
            self._renew()
            data, positions = self._read_region(Region.STATE, 0, size)
            if len(positions) == 1:
                return State.decode(config, data), positions.pop()
        raise LinkError(f"{self.url}: the state kept changing while it was read")

    def save(self, position: int, every: int = 0) -> int:
        """Let the board keep the run in its flash, from where it goes on after a power-on.

        Args:
            position: what the device wants next; it begins a batch.
            every: steps after which the board keeps it again by itself; 0: never.

        Returns:
            Generation of the checkpoint: a higher one than that of any before.

        Raises:
            StoreError: the board has no store, the run is too large for it, or it is worn out.
            SessionLostError: the device was reset, or holds another run or position.
            LinkError: the device stopped answering.
        """
        request = protocol.pack(protocol.SAVE_FIELDS, every=every)
        # A refusal by DATA_ACK does not end the exchange: the next one begins with a new session.
        answer = next(self._exchange([Request(Message.SAVE, position, request)]))
        if answer.type == Message.DATA_ACK and answer.payload[0] == Status.BAD_MESSAGE:
            raise StoreError(
                f"board {self.info.board} has no store, which --save-every and deploy need; take "
                "a board with one (fixgrad boards)"
            )
        status, generation = self._unpack(_SAVE_ACK, answer, Message.SAVE_ACK)
        if status == Status.NO_MEMORY:
            raise StoreError(
                f"board {self.info.board} keeps no checkpoint of this model: it is larger than the "
                "flash set aside for it, or there is none (fixgrad plan tells both; sim:// has it "
                "as sim://?flash=FILE), or the samples it is trained on lie in the flash: stream "
                "them"
            )
        if status == Status.STORE_FAILED:
            raise StoreError(
                f"{self._flash_failure()}; take another board, or its protection off with the chip "
                "maker's tool"
            )
        self._require_same_boot(status)
        if status == Status.BAD_OFFSET and self.info.next != position:
            raise SessionLostError(f"the device is at position {self.info.next}, not {position}")
        self._require_ok(status, "keeping a checkpoint")
        return int(generation)

    def profile(self, phase: Phase, layer: int) -> int | None:
        """Return the ticks that a part of a step took since it was selected; 0 selects it.

        Args:
            phase: of the part.
            layer: of the part.

        Returns:
            Ticks of the core's clock, modulo 2**24; None if the image does not profile.

        Raises:
            LinkError: the device stopped answering.
        """
        request = _READ.pack(Region.PROFILE, _PROFILE.size)
        (answer,) = self._exchange([Request(Message.READ, phase << 8 | layer, request)])
        _, status, _ = self._unpack(_READ_ACK, answer, Message.READ_ACK)
        if status == Status.BAD_MESSAGE:
            return None
        self._require_ok(status, "telling ticks")
        ticks: int = _PROFILE.unpack_from(answer.payload, _READ_ACK.size)[0]
        return ticks & TICKS_MASK

    def train(
        self,
        stream: Stream | CachedStream,
        start: int,
        stop: int,
        *,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Iterator[Progress]:
        """Train the samples from `start` up to `stop`, `start` being what the device wants next.

        Args:
            stream: the run.
            start: first position.
            stop: position after the last sample.
            should_stop: asked before every payload and, where the device has the samples, after
                every report; True ends the training after those under way.

        Yields:
            One report for every answer that moves the device's position.

        Raises:
            SessionLostError: the device was reset, or holds no run any more.
            DataError: the device refuses a sample.
            DoesNotFitError: a sample is larger than the device's payloads.
            LinkError: the device stopped answering.
        """
        if isinstance(stream, CachedStream):
            yield from self._train_cached(stream, start, stop, should_stop)
            return

        position = start
        requests = self._sample_requests(Message.DATA, stream, start, stop, should_stop)
        for answer in self._exchange(requests):
            progress = self._progress(answer)
            if progress.next > position:
                self.stats.payload_bytes += (progress.next - position) * stream.sample_bytes
                position = progress.next
            yield progress

    def _sample_requests(
        self, type_: Message, stream: Stream, start: int, stop: int, should_stop: Callable[[], bool]
    ) -> Iterator[Request]:
        at, limit = start, self._payload_limit()
        while at < stop and not should_stop():
            payload, count = self._cut_payload(stream, at, stop - at, limit)
            yield Request(type_, at, payload, at + count)
            at += count

    def hold(self, stream: Stream, start: int, stop: int) -> Progress:
        """Let the device learn a part of a batch and hold it: it takes no step (PART).

        Args:
            stream: its first sample announces as many as there are up to `stop`.
            start: first position, which the device wants next.
            stop: position after the last sample.

        Returns:
            What the device reports of the part: the state is as it was, the counters are the
            part's if it was loaded for it.

        Raises:
            UsageError: the board's firmware cannot.
            SessionLostError: the device was reset, or holds no run any more.
            DataError: the device refuses a sample.
            DoesNotFitError: a sample is larger than the device's payloads.
            LinkError: the device stopped answering.
        """
        requests = self._sample_requests(Message.PART, stream, start, stop, lambda: False)
        progress = None
        for answer in self._exchange(requests):
            if answer.type == Message.DATA_ACK and answer.payload[0] == Status.BAD_MESSAGE:
                able = ", ".join(name for name, board in BOARDS.items() if board.shares_batches)
                raise UsageError(
                    f"board {self.info.board} cannot share a batch: its firmware has no room for "
                    f"it; sim:// and these can: {able}"
                )
            progress = self._progress(answer)
        if progress is None or progress.next != stop:
            raise LinkError(f"{self.url}: the device did not take the samples up to {stop}")
        self.stats.payload_bytes += (stop - start) * stream.sample_bytes
        return progress

    def reach(self, config: ModelConfig, progress: Progress) -> Reach:
        """Return what a held part tells before its sums.

        Args:
            config: the model.
            progress: what `hold` returned.

        Raises:
            SessionLostError: the device was reset, or holds no part any more.
            LinkError: the device stopped answering.
        """
        size = config.layer_count * protocol.field_bytes(protocol.REACH_FIELDS)
        words = np.frombuffer(self._read_held(Region.REACH, size, progress), "<i4").reshape(-1, 2)
        return Reach(
            tuple(int(e) if e != NO_EXPONENT else None for e in words[:, 0]),
            tuple((1 << int(bits)) - 1 for bits in words[:, 1] & 31),
            progress.loss_sum,
            progress.correct,
            progress.asat,
        )

    def scale(self, exponents: Sequence[int], progress: Progress) -> None:
        """Tell a device that holds a part the exponents that all parts share; again is harmless.

        Args:
            exponents: E per layer (NUMERICS section 6, item 1); those of frozen ones do not count.
            progress: what `hold` returned.

        Raises:
            SessionLostError: the device was reset, or holds no part any more.
            LinkError: the device stopped answering.
        """
        payload = np.array(exponents, "<i4").tobytes()
        answer = next(self._exchange([Request(Message.SCALE, progress.next, payload)]))
        (status,) = self._unpack(_SCALE_ACK, answer, Message.SCALE_ACK)
        self._require_same_boot(status)
        self._require_ok(status, "the exponents of the batch")

    def sums(self, config: ModelConfig, progress: Progress) -> list[LayerSums]:
        """Return the sums of a held part after `scale`, of every layer that is trained.

        Args:
            config: the model.
            progress: what `hold` returned.

        Raises:
            SessionLostError: the device was reset, or holds no part any more.
            LinkError: the device stopped answering.
        """
        data = self._read_held(Region.GRADIENT, sums_bytes(config), progress)
        return decode_sums(config, data)

    def _read_held(self, region: Region, size: int, progress: Progress) -> bytes:
        """Read a region of a held part; the position that comes with it must be the part's."""
        data, positions = self._read_region(region, 0, size)
        if positions != {progress.next}:
            raise SessionLostError(f"the device is at {positions}, not at {progress.next}")
        return data

    def _train_cached(
        self, stream: CachedStream, start: int, stop: int, should_stop: Callable[[], bool]
    ) -> Iterator[Progress]:
        def requests() -> Iterator[Request]:
            at = start
            while at < stop and not should_stop():
                payload, count = stream.payload(at, stop, limit)
                yield Request(Message.TRAIN_TO, at, payload, at + count)
                at += count

        limit = stretches_limit(self._payload_limit())
        position = start
        for answer in self._exchange(requests()):
            progress = self._progress(answer)
            if progress.next <= position:
                continue
            position = progress.next
            yield progress
            if position < stop and should_stop():
                yield self._halt()
                return

    def _halt(self) -> Progress:
        """End a TRAIN_TO before its end; return how far it came."""
        self._renew()
        return self.progress()

    def progress(self) -> Progress:
        """Return what the device reports of the run that it told by HELLO; no sample is sent.

        Raises:
            SessionLostError: the device was reset, or holds no run any more.
            LinkError: the device stopped answering.
        """
        at = self.info.next
        (answer,) = self._exchange([Request(Message.DATA, at, b"", at)])
        return self._progress(answer)

    def _progress(self, answer: Answer) -> Progress:
        """Return what a DATA_ACK tells, unless it is a refusal."""
        status, *counters = self._unpack(_DATA_ACK, answer, _DATA_ACK_TYPE)
        if status == _OK:
            return Progress(answer.pos, *counters)
        if status == Status.BAD_SAMPLE:
            raise DataError(
                f"{self.url}: the device refuses the sample at position {answer.pos}: "
                "a feature, a target or its batch is out of range"
            )
        if status != Status.CORRUPT:
            self._require_ok(status, f"the samples from position {answer.pos} on")
        return Progress(answer.pos, *counters)

    def evaluate(self, wire: NDArray[np.uint8]) -> Evaluation:
        """Evaluate samples with the trained state.

        Args:
            wire: uint8 [N, feature_bytes + target_bytes] (`Samples.wire`).

        Raises:
            DataError: the device refuses a sample.
            DoesNotFitError: a sample is larger than the device's payloads.
            LinkError: the device stopped answering, or holds no run.
        """
        correct = loss = 0
        for at, answer in self._in_rows(Message.EVAL, wire, self._rows_per_frame(wire)):
            status, count, right, bits = self._unpack(_EVAL_ACK, answer, Message.EVAL_ACK)
            self._require_sample(status, at + count)
            correct += right
            loss += bits
        return Evaluation(len(wire), correct, loss)

    def infer(self, config: ModelConfig, wire: NDArray[np.uint8]) -> Inference:
        """Return predictions and logits of samples.

        Args:
            config: the model that the device holds.
            wire: uint8 [N, feature_bytes] (`Samples.feature_wire`).

        Raises:
            DataError: the device refuses a sample.
            DoesNotFitError: a sample or its answer is larger than the device's payloads.
            LinkError: the device stopped answering, or holds no run.
        """
        width = config.predictions + config.outputs
        answer_rows = (self.info.payload_max - _INFER_ACK.size) // (4 * width)
        rows = min(self._rows_per_frame(wire), answer_rows)
        if rows == 0:
            raise DoesNotFitError(
                f"{self.url}: the answer for one sample, {4 * width} bytes, is larger than the "
                f"{self.info.payload_max} bytes of the device's payloads"
            )
        results = []
        for at, answer in self._in_rows(Message.INFER, wire, rows):
            status, count = self._unpack(_INFER_ACK, answer, Message.INFER_ACK)
            self._require_sample(status, at + count)
            values = np.frombuffer(answer.payload, "<i4", offset=_INFER_ACK.size)
            results.append(values.reshape(count, width))
        table = np.concatenate(results) if results else np.empty((0, width), "<i4")
        table = table.astype(np.int32)
        return Inference(table[:, : config.predictions], table[:, config.predictions :])

    def _load_model(self, model: bytes) -> None:
        if 1 + len(model) > self.info.payload_max:
            raise DoesNotFitError(
                f"{self.url}: the description of the model, {len(model)} bytes, is larger than "
                f"the device's payloads of {self.info.payload_max} bytes; use fewer layers"
            )
        request = Request(Message.LOAD, 0, bytes([Region.MODEL]) + model)
        (answer,) = self._exchange([request])
        _, status, detail = self._unpack(_LOAD_ACK, answer, Message.LOAD_ACK)
        if status == Status.NO_MEMORY:
            self._refuse_memory("the model", detail)
        if status == Status.BAD_MODEL:
            raise ModelError(
                f"{self.url}: the device refuses the model: the field at byte {detail} of MODEL "
                "is out of range"
            )
        self._require_ok(status, "the model")

    def _load_dataset(self, region: bytes) -> None:
        """Load the first part, which says how long the region is, then the rest."""
        first = self._load_chunk()
        self._load_bytes(Region.DATASET, region[:first], 0)
        self._load_bytes(Region.DATASET, region, first)
        if protocol.unpack(protocol.DATASET_FIELDS, region)["samples"]:
            self.stats.payload_bytes += len(region)

    def _load_into_flash(self, region: bytes) -> None:
        """Load part by part: nothing may be on the line while the board writes its flash.

        The board says where to go on if a part differs from what it has there; from the start if
        repeated bytes have taken the head from it.
        """
        chunk = flash_chunk(self.info.payload_max, self.info.window_bytes)
        at = returns = 0
        while at < len(region):
            part = region[at : at + chunk]
            request = Request(Message.LOAD, at, bytes([Region.DATASET]) + part)
            (answer,) = self._exchange([request])
            _, status, detail = self._unpack(_LOAD_ACK, answer, Message.LOAD_ACK)
            is_elsewhere = status in (Status.BAD_OFFSET, Status.NO_MEMORY)
            if is_elsewhere and at > 0 and returns < LOAD_TRIES:
                at = detail if status == Status.BAD_OFFSET and detail < at else 0
                returns += 1
                continue
            self._require_same_boot(status)
            if status == Status.STORE_FAILED:
                raise StoreError(self._flash_failure())
            self._require_ok(status, f"samples for its flash from byte {at} on")
            at += len(part)
        self.stats.payload_bytes += len(region)

    def _flash_failure(self) -> str:
        cause = "it is worn out or protected"
        if self.url.startswith("qemu://"):
            cause = "QEMU has none but the micro:bit's"
        return f"board {self.info.board} could not write its flash: {cause}"

    def _load_bytes(self, region: Region, data: bytes, start: int) -> None:
        """Load the bytes of a region from `start` on."""
        chunk = self._load_chunk()
        requests = (
            Request(Message.LOAD, at, bytes([region]) + data[at : at + chunk])
            for at in range(start, len(data), chunk)
        )
        for answer in self._exchange(requests):
            _, status, detail = self._unpack(_LOAD_ACK, answer, Message.LOAD_ACK)
            self._require_same_boot(status)
            if status == Status.NO_MEMORY:
                self._refuse_memory("the model with its samples", detail)
            self._require_ok(status, f"bytes of {region.name} from {answer.pos} on")

    def _load_chunk(self) -> int:
        """Return how many bytes of a region go into one frame."""
        return load_chunk(self._payload_limit())

    def _refuse_memory(self, what: str, needed: int) -> NoReturn:
        raise DoesNotFitError(
            f"{what} needs {needed} bytes, board {self.info.board} has "
            f"{self.info.arena_bytes}; use a smaller batch or narrower layers"
        )

    def _read_region(self, region: Region, start: int, count: int) -> tuple[bytes, set[int]]:
        """Return bytes of a region, and every value of `next` that came with them."""
        chunk = read_chunk(self.info.payload_max)
        stop = start + count
        requests = (
            Request(Message.READ, at, _READ.pack(region, min(chunk, stop - at)))
            for at in range(start, stop, chunk)
        )
        parts, positions = [], set()
        for answer in self._exchange(requests):
            _, status, position = self._unpack(_READ_ACK, answer, Message.READ_ACK)
            self._require_same_boot(status)
            if status == Status.BAD_OFFSET:
                raise ModelError(
                    f"{self.url}: the device holds no model, or not this one: "
                    f"it has no byte {answer.pos} of {region.name}"
                )
            self._require_ok(status, f"reading {region.name}")
            parts.append(answer.payload[_READ_ACK.size :])
            positions.add(position)
        data = b"".join(parts)
        if len(data) != count:
            raise LinkError(f"{self.url}: {len(data)} bytes of {region.name} came, not {count}")
        return data, positions

    def _payload_limit(self) -> int:
        return payload_limit(self.info.payload_max, self.info.window_bytes)

    def _cut_payload(
        self, stream: Stream, position: int, samples: int, limit: int
    ) -> tuple[bytes, int]:
        """Return the payload from `position` on with at most `samples` samples."""
        most = self.info.payload_max
        payload, count = cut_payload(stream, position, samples, limit, most)
        if count == 0:
            self._refuse_size(stream.sample_bytes + protocol.field_bytes(protocol.BATCH_FIELDS))
        return payload, count

    def _rows_per_frame(self, wire: NDArray[np.uint8]) -> int:
        row_bytes = int(wire.shape[1])
        if row_bytes > self.info.payload_max:
            self._refuse_size(row_bytes)
        return max(1, self._payload_limit() // row_bytes)

    def _refuse_size(self, sample_bytes: int) -> NoReturn:
        raise DoesNotFitError(
            f"one sample takes {sample_bytes} bytes on the wire, board {self.info.board} accepts "
            f"{self.info.payload_max} at a time; use fewer features"
        )

    def _in_rows(
        self, type_: Message, wire: NDArray[np.uint8], rows: int
    ) -> Iterator[tuple[int, Answer]]:
        """Send rows in as many messages as needed; yield (first row, answer)."""
        first_tag = self._tag
        starts = range(0, len(wire), rows)
        self._tag = (self._tag + len(starts)) & 0xFFFFFFFF
        requests = (
            Request(type_, (first_tag + i) & 0xFFFFFFFF, wire[at : at + rows].tobytes())
            for i, at in enumerate(starts)
        )
        yield from zip(starts, self._exchange(requests), strict=True)

    def _exchange(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """Send requests; yield their answers as they come."""
        if self._session.needs_hello:
            self._renew()
        self._session.begin(requests, self._clock())
        try:
            yield from self._drive()
        except NoAnswerError as error:
            raise NoAnswerError(f"the device on {self.url} stopped answering ({error})") from error

    def _renew(self) -> None:
        """Begin a new session with a device that must still hold what it held.

        Raises:
            SessionLostError: it was reset, or holds another run.
        """
        boot_id, run_id = self._held
        self._identify()
        if self.info.boot_id != boot_id:
            raise SessionLostError("the device was reset")
        if run_id is not None and self.info.run_id != run_id:
            raise SessionLostError("the device holds another run: another host spoke")

    def _drive(self) -> Iterator[Answer]:
        """Move bytes until the running exchange is done."""
        session, port, clock = self._session, self._port, self._clock
        answers: list[Answer] = []
        with self._translated_errors():
            while True:
                data = session.outgoing(clock())
                if data:
                    port.write(data)
                yield from answers
                if session.done:
                    return
                received = port.read(1)
                if received:
                    received += read_waiting(port)
                answers = session.receive(received, clock()) if received else []
                if session.in_mid_frame:
                    self._pause(PARTIAL_FRAME_PAUSE_S)

    @contextlib.contextmanager
    def _translated_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise PortError(f"{self.url}: the port vanished: {error}") from error

    def _silence(self) -> str:
        """Say what came instead of an answer to HELLO."""
        if self._session.bytes_received == 0:
            return (
                f"nothing answers on {self.url}: is the board powered and flashed with fixgrad, "
                "and is this its port?"
            )
        if self._session.frames_received == 0:
            return (
                f"what answers on {self.url} is not fixgrad "
                f"({self._session.bytes_received} bytes without a valid frame): another program's "
                "port, another firmware or another baud rate"
            )
        return f"the device on {self.url} sends frames but does not answer HELLO"

    def _read_hello(self, payload: bytes) -> DeviceInfo:
        version = payload[0] if payload else 0
        if version != protocol.PROTOCOL_VERSION:
            self._refuse_version("protocol", version, protocol.PROTOCOL_VERSION)
        try:
            values, board, core = protocol.unpack_hello(payload)
        except ValueError as error:
            raise LinkError(f"{self.url}: malformed answer to HELLO: {error}") from error
        if values["numerics"] != protocol.NUMERICS_VERSION:
            self._refuse_version("numerics", values["numerics"], protocol.NUMERICS_VERSION)
        if values["schema"] != protocol.schema_hash():
            raise VersionError(
                f"the device on {self.url} was built from message table {values['schema']:08x}, "
                f"this fixgrad has {protocol.schema_hash():08x}: flash the firmware of this version"
            )
        return DeviceInfo(
            board=board,
            core=core,
            firmware=values["firmware"],
            protocol=version,
            numerics=values["numerics"],
            boot_id=values["boot_id"],
            run_id=values["run_id"],
            next=values["next"],
            digest=values["digest"],
            arena_bytes=values["arena_bytes"],
            payload_max=values["payload_max"],
            window_bytes=values["window_bytes"],
            samples_bytes=values["samples_bytes"],
        )

    def _refuse_version(self, what: str, theirs: int, ours: int) -> NoReturn:
        raise VersionError(
            f"the device on {self.url} speaks {what} version {theirs}, this fixgrad {ours}: "
            "flash the firmware of this version, or use the fixgrad of the device's"
        )

    def _require_type(self, answer: Answer, expected: Message) -> None:
        if answer.type != expected:
            status = answer.payload[0] if answer.payload else 0
            raise LinkError(
                f"{self.url}: the device refuses a message ({expected.name} expected, status "
                f"{_status_name(status)} came)"
            )

    def _unpack(self, layout: struct.Struct, answer: Answer, expected: Message) -> tuple[int, ...]:
        """Return the fields at the head of an answer of the expected type."""
        self._require_type(answer, expected)
        try:
            return layout.unpack_from(answer.payload)
        except struct.error as error:
            raise LinkError(f"{self.url}: malformed {expected.name}: {error}") from error

    def _require_ok(self, status: int, what: str) -> None:
        if status != Status.OK:
            raise LinkError(f"{self.url}: the device refuses {what}: {_status_name(status)}")

    def _require_same_boot(self, status: int) -> None:
        """Tell a refusal by a device that was reset, and got a repeated HELLO, from others.

        Raises:
            SessionLostError: it was reset.
        """
        if status != Status.OK:
            self._renew()

    def _require_sample(self, status: int, index: int) -> None:
        if status == Status.BAD_SAMPLE:
            raise DataError(
                f"{self.url}: the device refuses sample {index}: a value is out of range"
            )
        self._require_ok(status, f"the samples from {index} on")


def _status_name(status: int) -> str:
    try:
        return Status(status).name
    except ValueError:
        return str(status)
