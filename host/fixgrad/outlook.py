"""What a run takes on a board, before anything is built or sent: memory, instructions, line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fixgrad import costs
from fixgrad.boards import Board
from fixgrad.builds import flash_bytes
from fixgrad.delivery import Delivery, cacheable, choose, find_ways
from fixgrad.fitting import largest_batch
from fixgrad.loops import Part
from fixgrad.planner import Plan, checkpoint_bytes, checkpoint_bytes_max, plan
from fixgrad.protocol import Phase
from fixgrad.run import PreparedRun
from fixgrad.steptrace import trace_step
from fixgrad.traffic import EpochTraffic, epoch_traffic

INSTRUCTIONS_A_CYCLE = {"cortex-m7": 2, "cortex-m55": 2}
"""Most that a core can begin in a cycle; 1 where it is not named.

Cortex-M0, M0+, M3, M4 and M33 issue one instruction at a time, M7 two; M55 pairs of some short ones
(Arm's technical reference manuals). What a cycle really does is less: loads, taken branches,
wait states of the flash.
"""


@dataclass(frozen=True)
class Work:
    """Instructions on the core, without the link's.

    Attributes:
        parts: of the step that `fixgrad bench` counts, by phase and layer.
        steps: steps of an epoch.
    """

    parts: dict[Part, float]
    steps: int

    @property
    def step(self) -> int:
        """Instructions of a step."""
        return round(sum(n for (phase, _), n in self.parts.items() if phase != Phase.DIGEST))

    @property
    def digest(self) -> int:
        """Instructions of the digest that an acknowledgement may ask for after a step."""
        return round(self.parts[Phase.DIGEST, 0])

    def epoch(self, frames: int) -> int:
        """Return the instructions of an epoch whose samples come in so many frames."""
        return self.steps * self.step + min(self.steps, frames) * self.digest


@dataclass(frozen=True)
class Outlook:
    """One board and a run.

    Attributes:
        board: the board.
        layout: bytes of the model.
        largest_batch: the largest one that fits.
        image_bytes: flash of the image; None if it was not built yet.
        checkpoint_bytes: flash of a checkpoint, where the board keeps one.
        work: instructions; None for a core whose costs are not known.
        streamed: an epoch whose samples are sent; None where one sample fits no payload.
        cached: an epoch whose samples the board keeps; None where it cannot keep them.
        cacheable: samples of this kind that it can keep.
        cached_bytes: RAM of the run's samples, if it keeps them.
        baud: speed of the line, as far as the board can have it.
    """

    board: Board
    layout: Plan
    largest_batch: int
    image_bytes: int | None
    checkpoint_bytes: int
    work: Work | None
    streamed: EpochTraffic | None
    cached: EpochTraffic | None
    cacheable: int
    cached_bytes: int
    baud: int

    @property
    def fits(self) -> bool:
        """Whether the model fits the RAM that is for it."""
        return self.layout.arena_bytes <= self.board.arena_bytes

    @property
    def keeps_checkpoints(self) -> bool:
        """Whether a checkpoint fits the flash that the board sets aside for it."""
        return self.checkpoint_bytes <= checkpoint_bytes_max(self.board.store_bytes)

    @property
    def traffic(self) -> EpochTraffic | None:
        """The way that `fixgrad train` takes."""
        return self.cached or self.streamed

    def seconds(self, instructions: int) -> float:
        """Return the time that instructions take at least."""
        return least_seconds(self.board, instructions)

    def core_seconds(self, traffic: EpochTraffic) -> float | None:
        """Return the time that the core takes at least for an epoch."""
        if self.work is None:
            return None
        return self.seconds(self.work.epoch(traffic.samples.frames))

    @property
    def binds(self) -> str:
        """What is short, else what an epoch takes longest for."""
        if not self.fits:
            return "RAM"
        if (self.image_bytes or 0) > self.board.flash_bytes:
            return "flash"
        if self.traffic is None:
            return "payload"
        core = self.core_seconds(self.traffic)
        if core is None or self.traffic.seconds(self.baud) > core:
            return "serial line"
        return "core"


def least_seconds(board: Board, instructions: int) -> float:
    """Return the time that instructions take a board's core at least."""
    return instructions / (INSTRUCTIONS_A_CYCLE.get(board.core, 1) * board.clock_hz)


def outlooks(prepared: PreparedRun, boards: list[Board], baud: int) -> Iterator[Outlook]:
    """Yield what a run takes on boards.

    Args:
        prepared: the run.
        boards: which.
        baud: speed of the line that is asked for.
    """
    config, schedule = prepared.config, prepared.schedule
    layout, ways = plan(config), find_ways(prepared.train, config)
    trace = trace_step(config, prepared.initial, prepared.train, schedule)
    known: dict[tuple[object, ...], EpochTraffic | None] = {}
    for board in boards:
        parts = costs.predict(board.core, config, trace)
        ways_there = [
            choose(ways, config, schedule, board.arena_bytes, stream=stream)
            for stream in (True, False)
        ]
        streamed, cached = (_traffic(prepared, way, board, known) for way in ways_there)
        keeps = ways_there[1].cached
        yield Outlook(
            board=board,
            layout=layout,
            largest_batch=largest_batch(config, board.arena_bytes, len(prepared.train)),
            image_bytes=flash_bytes(board),
            checkpoint_bytes=checkpoint_bytes(config, ways_there[0].region),
            work=None if parts is None else Work(parts, schedule.steps_per_epoch),
            streamed=streamed,
            cached=cached if keeps else None,
            cacheable=cacheable(ways, config, board.arena_bytes),
            cached_bytes=len(ways_there[1].region) if keeps else 0,
            baud=board.line_baud(baud),
        )


def _traffic(
    prepared: PreparedRun,
    delivery: Delivery,
    board: Board,
    known: dict[tuple[object, ...], EpochTraffic | None],
) -> EpochTraffic | None:
    """Return an epoch's traffic, counted once for boards whose links are alike."""
    key = (board.payload_max, board.window_bytes, delivery.wire.shape, delivery.cached)
    if key not in known:
        known[key] = epoch_traffic(
            delivery, prepared.config, prepared.schedule, board.payload_max, board.window_bytes
        )
    return known[key]
