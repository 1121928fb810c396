"""One board's part of a step, on a board that holds nothing that counts between two steps."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fixgrad.device import Device, Progress
from fixgrad.fitting import largest_batch, require_bytes
from fixgrad.fleet.fleetfile import Member
from fixgrad.fleet.member import BoardAtPort
from fixgrad.model import ModelConfig, State
from fixgrad.parts import LayerSums, Reach
from fixgrad.stream import ListedSchedule, SampleStream


@dataclass(frozen=True)
class BatchStep:
    """What every part of a step begins from.

    Attributes:
        config: the model, with the whole batch.
        state: before the step.
        wire: uint8 [b, sample bytes], the samples of the batch.
        rate: (mantissa, exponent) of lr/B.
        position: of the batch's first sample in the run.
        run_id: identity of the run.
    """

    config: ModelConfig
    state: State
    wire: NDArray[np.uint8]
    rate: tuple[int, int]
    position: int
    run_id: int


class _PartStream:
    """PART payloads: one announced batch that begins at a position of the run."""

    def __init__(self, step: BatchStep, piece: range) -> None:
        rows = step.wire[piece.start : piece.stop]
        self._stream = SampleStream(ListedSchedule([len(piece)], [step.rate]), rows)
        self._begin = step.position + piece.start
        self.sample_bytes = self._stream.sample_bytes

    def payload(self, position: int, limit: int) -> tuple[bytes, int]:
        return self._stream.payload(position - self._begin, limit)


class PartBoard:
    """A board that learns pieces of batches.

    Attributes:
        name: of the board.
        capacity: samples that it has room for; known once it was opened.
    """

    def __init__(self, member: Member, config: ModelConfig) -> None:
        """Open nothing yet."""
        self.name = member.name
        self.share = member.share
        self.capacity = 0
        self._board = BoardAtPort(member)
        self._config = config
        self._held: tuple[int, range, ModelConfig, Progress] | None = None

    def open(self) -> None:
        """Open the port.

        Raises:
            PortError: it is not there.
            LinkError: nothing answers.
            DoesNotFitError: not even one sample fits.
        """
        info = self._board.open().info
        require_bytes(dataclasses.replace(self._config, batch=1), info.board, info.arena_bytes)
        self.capacity = largest_batch(self._config, info.arena_bytes, self._config.batch)

    def close(self) -> None:
        """Close the port."""
        self._held = None
        self._board.close()

    def reach(self, step: BatchStep, piece: range) -> Reach:
        """Let the board learn a piece, at most `capacity` samples; return what it tells first.

        Raises:
            UsageError: the board cannot share batches.
            LinkError: it stopped answering, or was reset.
        """
        device, config, progress = self._hold(step, piece)
        return device.reach(config, progress)

    def sums(self, step: BatchStep, piece: range, exponents: Sequence[int]) -> list[LayerSums]:
        """Return the sums of a piece per trained layer; the board may have to learn it again.

        Args:
            step: the step.
            piece: places of its samples in the batch.
            exponents: E per layer, of the whole batch.

        Raises:
            UsageError: the board cannot share batches.
            LinkError: it stopped answering, or was reset.
        """
        device, config, progress = self._hold(step, piece)
        device.scale(exponents, progress)
        return device.sums(config, progress)

    def _hold(self, step: BatchStep, piece: range) -> tuple[Device, ModelConfig, Progress]:
        device = self._board.open()
        if self._held is None or self._held[:2] != (step.position, piece):
            self._held = None
            config = dataclasses.replace(step.config, batch=len(piece))
            begin = step.position + piece.start
            name = f"{step.run_id} {step.state.step} {piece.start} {piece.stop}".encode()
            device.load(config, step.state, zlib.crc32(name) or 1, begin)
            stream = _PartStream(step, piece)
            progress = device.hold(stream, begin, begin + len(piece))
            self._held = step.position, piece, config, progress
        return device, *self._held[2:]
