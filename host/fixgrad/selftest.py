"""Run vector files on a device: digests after every step that an independent program expects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from fixgrad.device import Device
from fixgrad.planner import plan
from fixgrad.protocol import BATCH_FIELDS, field_bytes
from fixgrad.stream import ListedSchedule, SampleStream
from fixgrad.vectors import load_case

BATCH_HEADER_BYTES = field_bytes(BATCH_FIELDS)
_RUN_ID = 0x5E1F7E57


class Outcome(Enum):
    """How a case ended."""

    PASSED = "passed"
    FAILED = "failed"
    DOES_NOT_FIT = "does not fit"


@dataclass(frozen=True)
class CaseResult:
    """One vector file on the device.

    Attributes:
        name: the case.
        outcome: how it ended.
        steps: steps whose digest and loss were equal.
        arena_bytes: what the model needs.
        detail: one line; empty when passed.
    """

    name: str
    outcome: Outcome
    steps: int
    arena_bytes: int
    detail: str


def selftest(device: Device, paths: Iterable[Path]) -> Iterator[CaseResult]:
    """Run vector files on the device, one result a file.

    Args:
        device: the device; whatever it holds is replaced.
        paths: vector files.

    Raises:
        DataError: a file is not a vector file.
        LinkError: the device stopped answering.
    """
    for path in paths:
        yield _run_case(device, path)


def _run_case(device: Device, path: Path) -> CaseResult:
    case = load_case(path)
    needed, available = plan(case.config).arena_bytes, device.info.arena_bytes
    if needed > available:
        detail = f"needs {needed} B, the board has {available} B"
        return CaseResult(case.name, Outcome.DOES_NOT_FIT, 0, needed, detail)
    schedule = ListedSchedule(case.samples_per_step, case.learning_rates)
    stream = SampleStream(schedule, case.samples.wire(case.config), split_steps=True)
    message, longest = stream.sample_bytes + BATCH_HEADER_BYTES, device.info.payload_max
    if message > longest:
        detail = f"a sample takes {message} B on the wire, the board accepts {longest} B"
        return CaseResult(case.name, Outcome.DOES_NOT_FIT, 0, needed, detail)

    def failed(steps: int, what: str, got: int, expected: int) -> CaseResult:
        detail = f"{what} is {got:#010x}, expected {expected:#010x}"
        return CaseResult(case.name, Outcome.FAILED, steps, needed, detail)

    device.load(case.config, case.initial, _RUN_ID, 0)
    before = device.hello().digest
    if before != case.digest_before:
        return failed(0, "digest before the first step", before, case.digest_before)
    step, loss_sum = 0, 0
    for progress in device.train(stream, 0, stream.end):
        if progress.step == step:
            continue
        last = progress.step - 1
        if progress.digest != case.digests[last]:
            return failed(
                step, f"digest after step {last + 1}", progress.digest, case.digests[last]
            )
        loss, expected = progress.loss_sum - loss_sum, sum(case.losses[step : progress.step])
        if loss != expected:
            return failed(step, f"loss of step {progress.step}", loss, expected)
        step, loss_sum = progress.step, progress.loss_sum
        counters = (progress.wsat, progress.asat, progress.bsat)
    for name, got, expected in zip(("wsat", "asat", "bsat"), counters, case.counters, strict=True):
        if got != expected:
            return failed(step, name, got, expected)
    return CaseResult(case.name, Outcome.PASSED, step, needed, "")
