"""The link alone: streaming beside a raw push of bytes, and the host's work for a frame.

    python -m bench.link
    python -m bench.link --ports sim:// qemu://olimex_p405

A port's UART is first pushed full of zeros (empty frames, which the board throws away) until a
HELLO behind them is answered; then samples are streamed to a net that has next to nothing to
compute, and to 64-32-10. `CPU` is the time of this process for one frame, reading and writing
included (the last line: without, in stretches so short that some run alone on their core); on a
slow line most of it is waking up to look at the clock. Every run follows a push of
as many bytes, and `of raw` is the median of their ratios: other programs slow down both. The rates
are the best of all rounds and need a core to spare for the emulator.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass

import numpy as np
from fixgrad.device import Device
from fixgrad.errors import LinkError
from fixgrad.framing import encode_frame
from fixgrad.model import ModelConfig
from fixgrad.planner import plan
from fixgrad.protocol import (
    DATA_ACK_FIELDS,
    Activation,
    InputFormat,
    Loss,
    Message,
    field_bytes,
)
from fixgrad.quantize import initial_state, initial_weights
from fixgrad.session import LinkStats, Request, Session
from fixgrad.stream import EpochSchedule, Samples, SampleStream
from fixgrad.transport import BAUD_AT_START

PORTS = ("sim://", "qemu://olimex_p405", "qemu://mps2_an386", "qemu://disco_f100rb")
BATCH = 8
SEED = 1
RUN_ID = 1
RATE = (200, -12)


@dataclass(frozen=True)
class Streamed:
    """One run: seconds, seconds of this process' CPU, counters of the link."""

    seconds: float
    cpu_seconds: float
    stats: LinkStats

    @property
    def bytes_per_second(self) -> float:
        """Bytes on the wire towards the board in a second."""
        return self.stats.wire_bytes / self.seconds


def net(layers: tuple[int, ...]) -> ModelConfig:
    """Return a net with u8 features and softmax."""
    hidden = len(layers) - 2
    return ModelConfig(
        layers=layers,
        activations=(Activation.RELU,) * hidden,
        loss=Loss.SOFTMAX_CROSS_ENTROPY,
        batch=BATCH,
        input_format=InputFormat.U8,
        input_max=16,
        activation_bits=(8,) * hidden,
        weight_bits=(),
        delta_bits=(),
        update_bits=0,
    ).with_budgets()


def push_raw(device: Device, count: int) -> float:
    """Push zeros through the port's UART until a HELLO behind them is answered; return seconds."""
    zeros = bytes(4096)
    started = time.perf_counter()
    for _ in range(0, count, len(zeros)):
        device._port.write(zeros)
    while True:
        try:
            device.hello()
            break
        except LinkError:
            continue  # the zeros before it are still on their way
    return time.perf_counter() - started


def stream(device: Device, config: ModelConfig, count: int) -> Streamed:
    """Load a net and stream so many bytes of samples."""
    random = np.random.default_rng(SEED)
    width = config.layers[0]
    rows = min(2000, max(BATCH, count // (width + 1)))
    epochs = max(1, count // ((width + 1) * rows))
    features = random.integers(0, config.input_max + 1, (rows, width)).astype(np.uint8)
    samples = Samples(features, random.integers(0, config.outputs, rows).astype(np.int32))
    schedule = EpochSchedule(rows, config.batch, epochs, SEED, False, lambda step: RATE)
    state = initial_state(config, initial_weights(config.layers, SEED), SEED, -4)
    device.load(config, state, RUN_ID, 0)
    payloads = SampleStream(schedule, samples.wire(config))
    device._session.stats = LinkStats()
    started, worked = time.perf_counter(), time.process_time()
    for _ in device.train(payloads, 0, payloads.end):
        pass
    seconds, cpu = time.perf_counter() - started, time.process_time() - worked
    return Streamed(seconds, cpu, device.stats)


def session_seconds(stretches: int = 2000, frames: int = 20) -> float:
    """Return CPU seconds of framing and the window for one frame of 785 bytes and its answer."""
    session = Session(1, BAUD_AT_START)
    payload = bytes(at * 7 % 256 for at in range(785))
    total = stretches * frames
    session.window_bytes = 2 * len(payload)
    session.begin((Request(Message.DATA, at, payload, at + 1) for at in range(total)), 0.0)
    empty = bytes(field_bytes(DATA_ACK_FIELDS))
    best = float("inf")
    for first in range(0, total, frames):
        answers = [
            encode_frame(Message.DATA_ACK, 1, at + 1, empty) for at in range(first, first + frames)
        ]
        started = time.thread_time()
        for answer in answers:
            session.outgoing(0.0)
            session.receive(answer, 0.0)
        best = min(best, time.thread_time() - started)
    if not session.done:
        raise AssertionError("frames are left without an answer")
    return best / frames


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--ports", nargs="+", default=PORTS)
    parser.add_argument("--bytes", type=int, default=300_000, help="a run on an emulated board")
    parser.add_argument("--rounds", type=int, default=5, help="pushes and runs of every net")
    options = parser.parse_args()
    print("| port | net | raw kB/s | streamed kB/s | of raw | payload | round trip ms | "
          "nothing outstanding | CPU µs a frame |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|")
    for port in options.ports:
        count = options.bytes if port.startswith("qemu") else 30 * options.bytes
        with Device.open(port) as device:
            for layers in ((784, 2), (64, 2), (64, 32, 10)):
                config = net(layers)
                if layers[0] + 6 > device.info.payload_max:
                    continue
                if plan(config).arena_bytes > device.info.arena_bytes:
                    continue
                pairs = [
                    (count / push_raw(device, count), stream(device, config, count))
                    for _ in range(options.rounds)
                ]
                raw = max(rate for rate, _ in pairs)
                of_raw = statistics.median(run.bytes_per_second / rate for rate, run in pairs)
                runs = [run for _, run in pairs]
                best = max(runs, key=lambda run: run.bytes_per_second)
                cpu = min(run.cpu_seconds / run.stats.frames for run in runs)
                stats = best.stats
                print(
                    f"| {port} | {'-'.join(map(str, layers))} | {raw / 1e3:.1f} | "
                    f"{best.bytes_per_second / 1e3:.1f} | "
                    f"{100 * of_raw:.0f} % | "
                    f"{100 * stats.efficiency:.1f} % | {1e3 * stats.round_trip_s:.1f} | "
                    f"{100 * stats.idle_share:.1f} % | {1e6 * cpu:.0f} |",
                    flush=True,
                )
    print(f"framing and window of a frame of 785 bytes alone: {1e6 * session_seconds():.0f} µs")


if __name__ == "__main__":
    main()
