"""Time of one epoch over sim://, beside the core's own compute time for the same epoch.

    python -m bench.simulated_epoch --data mnist.npz

784-100-50-10, batch 16. The link carries every sample once, checks and acknowledges it; the core
alone gets the same bytes from memory. Both end with the same digest. They take turns, and the
median round counts.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import time
from collections.abc import Callable

from fixgrad.device import Device
from fixgrad.order import permutation
from fixgrad.quantize import initial_state
from fixgrad.stream import EpochSchedule, SampleStream

from bench.accuracy.core import Core
from bench.accuracy.tasks import MNIST, TASKS, prepare

SEED = 1
RUN_ID = 1
LIMIT = 10


def main() -> None:
    """Measure and print; fails if the digests differ."""
    options = _options()
    task = dataclasses.replace(TASKS[MNIST], epochs=1)
    prepared = prepare(task, options.data, SEED)
    config, samples = prepared.config, prepared.train
    state = initial_state(config, task.weights(SEED), SEED, prepared.exponent, task.headroom)
    wire = samples.wire(config)
    in_order = wire[permutation(len(wire), 0, SEED)]
    steps = -(-len(samples) // task.batch)
    pairs = task.pairs(0, steps)

    def core() -> tuple[float, int]:
        model = Core(config, state)
        return _timed(lambda: model.epoch(in_order, pairs)), model.digest()

    def link() -> tuple[float, int]:
        schedule = EpochSchedule(len(samples), task.batch, 1, SEED, True, pairs.__getitem__)
        stream = SampleStream(schedule, wire)
        with Device.open(options.port) as device:
            device.load(config, state, RUN_ID, 0)
            seconds = _timed(lambda: list(device.train(stream, 0, stream.end)))
            return seconds, device.hello().digest

    core_seconds, link_seconds = [], []
    for _ in range(options.rounds):
        seconds, expected = core()
        core_seconds.append(seconds)
        seconds, digest = link()
        link_seconds.append(seconds)
        if digest != expected:
            raise SystemExit(f"digests differ: core {expected:08x}, {options.port} {digest:08x}")
    alone, linked = statistics.median(core_seconds), statistics.median(link_seconds)
    print(f"{len(samples)} samples, digest {expected:08x}, median of {options.rounds}")
    print(f"core alone   {alone:7.2f} s")
    print(f"{options.port:<12} {linked:7.2f} s, {linked / alone:.1f} times (limit {LIMIT})")


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.simulated_epoch", description=__doc__)
    parser.add_argument("--data", required=True, help="MNIST: a .npz file or a folder of IDX files")
    parser.add_argument("--port", default="sim://")
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    main()
