"""The link with faults: the shipping C against the shipping Python, one seed one run.

    .venv/bin/python tests/sim/campaign.py --seeds 200000 --jobs 2
    .venv/bin/python tests/sim/campaign.py --seed 4711

A run passes if every sample was applied once, in order and with its own bytes, if STATE was that of
the NumPy reference before and after every sample, and if the host ends with the reference's state.
Where the device keeps checkpoints, it must go on from the newest one after every start.
"""

from __future__ import annotations

import argparse
import collections
import math
import multiprocessing
import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
for _folder in (ROOT / "host", ROOT / "tests", ROOT / "tests" / "sim"):
    if str(_folder) not in sys.path:
        sys.path.insert(0, str(_folder))

from fixgrad import training  # noqa: E402
from fixgrad.delivery import Delivery, deliver, plain  # noqa: E402
from fixgrad.device import STRETCH_ROOM_BYTES, Device  # noqa: E402
from fixgrad.errors import LinkError  # noqa: E402
from fixgrad.framing import encode_frame  # noqa: E402
from fixgrad.planner import plan  # noqa: E402
from fixgrad.protocol import Message  # noqa: E402
from fixgrad.session import EXPIRIES_MAX, SessionLostError  # noqa: E402
from fixgrad.training import Checkpoint, EpochDone, Saved, Tally  # noqa: E402
from fixgrad.transport import BAUD_AT_START  # noqa: E402
from line import Faults, HostKilledError, Line  # noqa: E402
from scenarios import CONFIGS, EPOCHS, RUN_ID, SAMPLES, Scenario, scenario  # noqa: E402
from simulated_device import ARENA_BYTES, FLASHES, Flash, SimulatedDevice  # noqa: E402

WINDOWS = (270, 540, 810, 1080)
"""Room for 1 to 4 frames of the largest payload."""

QUESTIONS_BYTES = EXPIRIES_MAX * len(b"\0" + encode_frame(Message.READ, 1, 1, bytes(3)))
"""Questions after expiries are all that may come on top of a full window."""

OTHER_RUN_ID = 0xBAD
HOST_SESSIONS = 100
"""Hosts begin at sessions 1..100 and say HELLO at most so often: 201..255 are an earlier run's."""

STEPS_BETWEEN_SAVES = (1, 2, 3, 7, 20, 1000)

SAMPLES_BYTES_MAX = 5000
"""More than any region of the runs here."""

BAUDS = (BAUD_AT_START, 230_400, 1_000_000, 2_000_000, 3_000_000)
"""Speeds that hosts want and lines carry; the device does not know the last."""

SPEED_TURNS = 600
"""Turns in which a host finds out that the line does not carry the speed it wants."""

CUTS_MAX = 6
"""Power failures of the flash in a run at most: between two of them a save must end."""

HOSTS_MAX = 2000
LOST_LINK = ("stopped answering", "nothing answers", "is not fixgrad", "does not answer HELLO",
             "kept changing", "lost its state")  # fmt: skip


class ViolationError(AssertionError):
    """What may never happen, happened."""


@dataclass
class Totals:
    """What the runs of a campaign did."""

    counts: collections.Counter[str] = field(default_factory=collections.Counter)

    def add(self, **more: int) -> None:
        """Count."""
        self.counts.update(more)


def random_rates(rng: random.Random) -> dict[str, float]:
    """Return rates per byte: most kinds are absent, the others between rare and rough."""
    ranges = {
        "flip": (1e-5, 2e-3), "drop": (1e-5, 1e-3), "insert": (1e-5, 1e-3),
        "burst": (1e-5, 3e-4), "replay": (1e-5, 3e-4), "stale": (1e-4, 1e-3),
    }  # fmt: skip
    rates = {}
    for kind, (low, high) in ranges.items():
        if rng.random() < 0.35:
            rates[kind] = low * (high / low) ** rng.random()
    return rates


def connect(line: Line, baud: int, random_bits: Callable[[int], int]) -> Device:
    """Open the line as a port, at the speed at start, and return the device."""

    def reopen() -> tuple[Line, str]:
        line.baudrate = BAUD_AT_START
        return line, "sim"

    reopen()
    return Device(
        line, "sim", baud=baud, clock=line.clock, pause=line.pause, random_bits=random_bits,
        reopen=reopen,
    )  # fmt: skip


class Host:
    """A user who types `train`, and `train --resume` whenever that ended without a result."""

    def __init__(
        self, line: Line, run: Scenario, rng: random.Random, totals: Totals,
        delivery: Delivery | None = None, save_every: int = 0, baud: int = BAUD_AT_START,
    ) -> None:  # fmt: skip
        self.line, self.run, self.rng, self.totals = line, run, rng, totals
        self.delivery, self.save_every, self.baud = delivery, save_every, baud
        self.disk = Checkpoint(run.initial, 0, Tally())
        self.adopt = False
        self.expiries = 0

    def open(self) -> Device:
        """Return a new session on the line."""
        line = self.line

        def bits(count: int) -> int:
            drawn = self.rng.getrandbits(count)
            return drawn % HOST_SESSIONS if count == 8 else drawn

        device = connect(line, self.baud, bits)
        self.totals.add(speed_changes=device.baud != BAUD_AT_START)
        return device

    def train_to_the_end(self) -> None:
        """Start hosts until one reaches the end of the run."""
        for _ in range(HOSTS_MAX):
            device = None
            try:
                device = self.open()
                self._train(device)
                return
            except HostKilledError:
                self.totals.add(kills=1)
            except LinkError as error:
                if not isinstance(error, SessionLostError) and not any(
                    text in str(error) for text in LOST_LINK
                ):
                    raise
                self.totals.add(lost_links=1)
            finally:
                if device is not None:
                    self._count(device)
            self.line.close()
            self.adopt = True
        raise ViolationError(f"no end after {HOSTS_MAX} hosts")

    def _train(self, device: Device) -> None:
        run = self.run
        events = training.train(
            device, run.config, RUN_ID, run.samples, run.schedule, self.disk,
            delivery=self.delivery, adopt=self.adopt, save_every=self.save_every,
        )  # fmt: skip
        for event in events:
            if not isinstance(event, EpochDone | Saved):
                continue
            point = event.checkpoint
            if isinstance(event, Saved):
                self.totals.add(checkpoints_inside_epochs=1)
            elif point.position != event.epoch * run.schedule.samples:
                raise ViolationError(f"epoch {event.epoch} ends at position {point.position}")
            if point.state.encode() != run.state_at(point.position):
                raise ViolationError(f"the state read at position {point.position} is wrong")
            self.disk = point

    def _count(self, device: Device) -> None:
        stats = device.stats
        self.expiries += stats.expiries
        self.totals.add(
            frames=stats.frames, wire_bytes=stats.wire_bytes, payload_bytes=stats.payload_bytes,
            go_backs=stats.go_backs, expiries=stats.expiries,
        )  # fmt: skip


def stale_frames(run: Scenario) -> list[bytes]:
    """Return DATA of an earlier run: other samples at the positions of this one."""
    rows = run.expectation.rows[::-1]
    frames = []
    rng = random.Random(3)
    for position in range(0, len(rows), 2):
        header = (run.config.batch).to_bytes(2, "little") + b"\x80\x00\xf4"
        starts = run.schedule.step_start(run.schedule.step_of(position)) == position
        payload = (header if starts else b"") + rows[position].tobytes()
        frames.append(encode_frame(Message.DATA, rng.randrange(201, 256), position, payload))
    return frames


@dataclass(frozen=True)
class Room:
    """Memory of a device: for the model and what lies behind it, and flash for samples."""

    arena_bytes: int = ARENA_BYTES
    samples_bytes: int = 0

    def holds(self, run: Scenario) -> bool:
        """Return whether the model of a run fits, with a TRAIN_TO behind it."""
        return plan(run.config).arena_bytes + STRETCH_ROOM_BYTES <= self.arena_bytes


def random_room(run: Scenario, flash: Flash, rng: random.Random) -> Room:
    """Return plenty of RAM; or hardly more than the model needs, and flash for the samples."""
    if rng.random() < 0.7:
        return Room()
    least = plan(run.config).arena_bytes + STRETCH_ROOM_BYTES
    sectors = -(-SAMPLES_BYTES_MAX // flash.sector_bytes)
    return Room(least + rng.randrange(100), sectors * flash.sector_bytes)


def random_delivery(run: Scenario, rng: random.Random, room: Room) -> Delivery:
    """Return one of the ways of a run's samples."""
    if rng.random() < 0.3:
        return plain(run.samples, run.config)
    stream = rng.random() < 0.3
    return deliver(
        run.samples, run.config, run.schedule, room.arena_bytes, flash_bytes=room.samples_bytes,
        stream=stream,
    )  # fmt: skip


def power_cuts(rng: random.Random) -> Iterator[int]:
    """Yield at which operation of the flash after a start the power fails: a few times."""
    for _ in range(rng.randrange(CUTS_MAX + 1)):
        yield int(10 ** rng.uniform(0, 4))


def check_kept(device: SimulatedDevice, run_id: int) -> None:
    """Switch the device off and on: it must have the end of the run."""
    device.boot(0)
    status = device.status()
    if (status.run_id, status.next) != (run_id, EPOCHS * SAMPLES):
        raise ViolationError(f"the device kept run {status.run_id:x} at position {status.next}")


def occupy(line: Line, rng: random.Random, save_every: int, baud: int, room: Room) -> None:
    """Let an earlier host begin another run on the device and vanish, its bytes still under way."""
    other = scenario(rng.randrange(len(CONFIGS)))
    if not room.holds(other):
        return
    delivery = random_delivery(other, rng, room)
    device = connect(line, baud, lambda n: 200)
    events = training.train(
        device, other.config, OTHER_RUN_ID, other.samples, other.schedule,
        Checkpoint(other.initial, 0, Tally()), delivery=delivery,
        save_every=0 if delivery.in_flash else save_every,
    )  # fmt: skip
    for _ in range(rng.randrange(1, 4)):
        next(events, None)


def run_seed(seed: int, totals: Totals | None = None) -> None:
    """Simulate one run.

    Raises:
        AssertionError: what may never happen.
    """
    totals = totals if totals is not None else Totals()
    rng = random.Random(seed)
    run = scenario(rng.randrange(len(CONFIGS)))
    window = rng.choice(WINDOWS)
    keeping = random.Random(f"checkpoints on the device {seed}")
    save_every, other_every = (
        keeping.choice(STEPS_BETWEEN_SAVES) if keeping.random() < 0.3 else 0 for _ in range(2)
    )
    flash = keeping.choice(FLASHES)
    room = random_room(run, flash, random.Random(f"samples in the flash {seed}"))
    device = SimulatedDevice(
        window, flash=flash, flash_seed=seed, arena_bytes=room.arena_bytes,
        samples_sectors=room.samples_bytes // flash.sector_bytes,
    )  # fmt: skip
    quiet = Faults(rng, {})
    line = Line(device, rng, window + QUESTIONS_BYTES, quiet, quiet)
    speeds = random.Random(f"speed of the line {seed}")
    baud, other_baud = (
        speeds.choice(BAUDS) if speeds.random() < 0.3 else BAUD_AT_START for _ in range(2)
    )
    line.carries = speeds.choice(BAUDS)
    if rng.random() < 0.3:
        occupy(line, rng, other_every, other_baud, room)
    delivery = random_delivery(run, rng, room)
    if delivery.in_flash:
        save_every = 0
    device.expect(replace(run.expectation, run_id=delivery.identity(RUN_ID)))
    old = stale_frames(run)
    rates = random_rates(rng)
    line.forward = Faults(rng, rates, lambda: rng.choice(old))
    line.backward = Faults(rng, {k: r for k, r in random_rates(rng).items() if k != "stale"})
    if rng.random() < 0.4:
        # Between two resets a load and a batch must have room, or no run can end; a data set, in
        # frames of full length, with the frames that are lost.
        dataset_bytes = len(delivery.region) * math.exp(WINDOWS[0] * sum(rates.values()))
        batch_bytes = run.expectation.states.shape[1] + run.samples_bytes // 4 + dataset_bytes
        line.reset_rate = min(10 ** rng.uniform(-4.5, -3.0), 1 / batch_bytes / 2)
    if rng.random() < 0.4:
        line.kill_rate = 10 ** rng.uniform(-3.5, -1.8)
    if baud > line.carries:
        line.kill_rate = min(line.kill_rate, 1 / SPEED_TURNS)  # or no run can end
    line.power = power_cuts(keeping)
    device.cut_power(next(line.power, 0))
    occupied_overflow = line.overflow
    host = Host(line, run, rng, totals, delivery, save_every, baud)
    host.train_to_the_end()
    if save_every:
        check_kept(device, delivery.identity(RUN_ID))
    status = device.status()
    if status.violations:
        raise ViolationError(f"(count, first position): {status.violations}")
    if host.disk.position != EPOCHS * SAMPLES:
        raise ViolationError(f"the run ends at position {host.disk.position}")
    if status.applied < EPOCHS * SAMPLES:
        raise ViolationError(f"{status.applied} samples were applied")
    repeated = (set(rates) - {"flip", "drop", "burst"}) or "replay" in line.backward.rates
    if line.overflow > occupied_overflow and not (repeated or line.garbled or line.kills):
        raise ViolationError(f"{line.overflow} bytes overran the ring of a line that adds none")
    if not (rates or line.backward.rates or line.kills or line.resets or host.expiries):
        if status.applied != EPOCHS * SAMPLES:
            raise ViolationError("samples were applied again without any fault")
    totals.add(
        seeds=1, cached_seeds=delivery.cached, flash_seeds=delivery.in_flash,
        applied=status.applied, resets=line.resets,
        overflow=line.overflow, saves=device.saves, power_cuts=device.power_losses,
        **{f"{kind}s": count for kind, count in line.forward.counts.items()},
    )  # fmt: skip
    totals.add(**{f"{kind}s": count for kind, count in line.backward.counts.items()})


def run_block(first_and_count: tuple[int, int]) -> tuple[Totals, list[str]]:
    """Simulate consecutive seeds; return totals and one line for every failure."""
    first, count = first_and_count
    totals, failures = Totals(), []
    for seed in range(first, first + count):
        try:
            run_seed(seed, totals)
        except Exception as error:
            failures.append(failure(seed, error))
    return totals, failures


def failure(seed: int, error: BaseException) -> str:
    """Say what failed and how to see it again."""
    return (
        f"seed {seed}: {type(error).__name__}: {error}; repeat with: "
        f".venv/bin/python tests/sim/campaign.py --seed {seed}"
    )


def run_many(blocks: Iterable[tuple[int, int]], jobs: int) -> tuple[Totals, list[str]]:
    """Simulate blocks of seeds in several processes."""
    totals, failures = Totals(), []
    with multiprocessing.Pool(jobs) as pool:
        for more, failed in pool.imap_unordered(run_block, blocks):
            totals.counts.update(more.counts)
            failures += failed
            for text in failed:
                print(text, flush=True)
    return totals, failures


def summary(counts: Mapping[str, int]) -> str:
    """Return the counts as one line."""
    return ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items()))


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=2000, help="number of seeds")
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--seed", type=int, help="this seed alone, with a traceback")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--until-failure", action="store_true", help="stop at the first failure")
    options = parser.parse_args()
    started = time.monotonic()
    if options.seed is not None:
        run_seed(options.seed)
        print(f"seed {options.seed}: passed")
        return 0
    if options.until_failure:
        for seed in range(options.first, options.first + options.seeds):
            run_seed(seed)
        return 0
    size = 50
    end = options.first + options.seeds
    blocks = [(at, min(size, end - at)) for at in range(options.first, end, size)]
    totals, failures = run_many(blocks, options.jobs)
    print(summary(totals.counts))
    print(f"{len(failures)} of {options.seeds} seeds failed, {time.monotonic() - started:.0f} s")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
