"""The shipping device as a library, observed by tests/sim/device.c."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
CORE = ROOT / "firmware" / "core"
TESTS_C = ROOT / "tests" / "c"
KINDS = (
    "wrong sample", "wrong state before", "wrong state after", "beyond the end", "guard broken",
    "wrong checkpoint", "flash misused",
)  # fmt: skip
ANSWERS_MAX = 1 << 20
ARENA_BYTES = 16384


class _Expected(ctypes.Structure):
    _fields_ = [
        ("run_id", ctypes.c_uint32),
        ("count", ctypes.c_uint32),
        ("rows", ctypes.c_void_p),
        ("row_bytes", ctypes.c_uint32),
        ("completed", ctypes.c_void_p),
        ("states", ctypes.c_void_p),
        ("state_bytes", ctypes.c_uint32),
    ]


@dataclass(frozen=True)
class Expectation:
    """What an independent model says of a run.

    Attributes:
        run_id: identity of the run.
        rows: uint8 [count, sample bytes], the sample of every position.
        completed: uint32 [count + 1], steps done before a position.
        states: uint8 [steps + 1, state bytes], STATE after so many steps.
    """

    run_id: int
    rows: NDArray[np.uint8]
    completed: NDArray[np.uint32]
    states: NDArray[np.uint8]


@dataclass(frozen=True)
class Flash:
    """Shape of the device's flash: sectors of one of its two banks, bytes programmed at once."""

    sector_bytes: int
    sectors: int
    unit: int


@dataclass(frozen=True)
class Status:
    """applied: samples of the observed run; violations: kind -> (count, first position)."""

    applied: int
    session: int
    run_id: int
    next: int
    is_training: bool
    violations: dict[str, tuple[int, int]]


FLASHES = (Flash(1024, 8, 4), Flash(2048, 4, 2), Flash(8192, 1, 32), Flash(16384, 1, 8))


def _made(name: str, command: list[str | Path], files: list[Path]) -> Path:
    """Return what a command makes of files, from build/ if it is there."""
    key = hashlib.sha256("\0".join(map(str, command)).encode())
    for path in files:
        key.update(path.read_bytes())
    target = ROOT / "build" / "tests" / key.hexdigest()[:16] / name
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_suffix(f".{os.getpid()}")
        subprocess.run([*map(str, command), "-o", str(temporary)], check=True)
        temporary.replace(target)
    return target


@functools.cache
def library(flags: tuple[str, ...] = ("-O2",)) -> ctypes.CDLL:
    """Compile and load the device; files that did not change are not compiled again."""
    sources = [
        *sorted(CORE.glob("*.c")), TESTS_C / "weak_flash.c", HERE / "device.c", HERE / "window.c",
    ]  # fmt: skip
    headers = sorted([*CORE.glob("*.h"), *HERE.glob("*.h"), *TESTS_C.glob("*.h")])
    compiler = [
        "cc", "-std=c11", "-Wall", "-Wextra", "-Werror", *flags, "-fPIC", f"-I{HERE}", f"-I{CORE}",
        f"-I{TESTS_C}",
    ]  # fmt: skip
    objects = [
        _made(f"{path.stem}.o", [*compiler, "-c", path], [path, *headers]) for path in sources
    ]
    wrapped = "-Wl,--wrap=mlp_put_sample,--wrap=store_save"
    target = _made("device.so", ["cc", *flags, "-shared", wrapped, *objects], objects)
    device = ctypes.CDLL(str(target))
    device.sim_receive.restype = ctypes.c_size_t
    return device


class SimulatedDevice:
    """One device; all share the library's memory, so only the last one booted lives.

    Attributes:
        power_failed: the power was lost: the device does nothing before `boot`.
    """

    def __init__(
        self, window_bytes: int, flags: tuple[str, ...] = ("-O2",), *,
        flash: Flash = FLASHES[0], flash_seed: int = 0,
    ) -> None:  # fmt: skip
        self._library = library(flags)
        self._library.sim_set_window(ctypes.c_uint16(window_bytes))
        self._answers = ctypes.create_string_buffer(ANSWERS_MAX)
        self._boots = 0
        self._kept: object = None
        self._losses = 0
        self.power_failed = False
        shape = (flash.sector_bytes, flash.sectors, flash.unit, flash_seed)
        self._library.sim_flash(*map(ctypes.c_uint32, shape))
        self.boot(0)

    def boot(self, fill: int) -> None:
        """Start, with another boot id and memory full of `fill`."""
        self._boots += 1
        self.power_failed = False
        self._library.sim_boot(ctypes.c_uint32(self._boots), ctypes.c_uint8(fill))

    def cut_power(self, operations: int) -> None:
        """Let the power fail at so many operations of the flash from now on; 0: never."""
        self._library.sim_cut_power(ctypes.c_uint32(operations))

    @property
    def power_losses(self) -> int:
        """How often it failed."""
        losses: int = self._library.sim_power_losses()
        return losses

    @property
    def saves(self) -> int:
        """How many checkpoints it kept in its flash."""
        saves: int = self._library.sim_saves()
        return saves

    @property
    def baud(self) -> int:
        """Speed of its line."""
        speed: int = self._library.sim_baud()
        return speed

    def _note_power(self) -> None:
        losses = self.power_losses
        self.power_failed = losses != self._losses
        self._losses = losses

    def expect(self, expectation: Expectation) -> None:
        """Observe a run from now on."""
        e = expectation
        self._kept = e
        self._library.sim_expect(
            ctypes.byref(
                _Expected(
                    e.run_id, len(e.rows), e.rows.ctypes.data, e.rows.shape[1],
                    e.completed.ctypes.data, e.states.ctypes.data, e.states.shape[1],
                )
            )
        )  # fmt: skip

    def receive(self, data: bytes) -> bytes:
        """Give received bytes; return the answers."""
        count = self._library.sim_receive(data, len(data), self._answers, ANSWERS_MAX)
        self._note_power()
        return ctypes.string_at(self._answers, count)

    def work(self, samples: int) -> tuple[int, bytes]:
        """Let it train up to so many samples of its own; return how many it did, and answers."""
        count = ctypes.c_size_t()
        done: int = self._library.sim_work(
            ctypes.c_uint32(samples), self._answers, ctypes.c_size_t(ANSWERS_MAX),
            ctypes.byref(count),
        )  # fmt: skip
        self._note_power()
        return done, ctypes.string_at(self._answers, count.value)

    @property
    def is_training(self) -> bool:
        """Whether samples of its own are left that TRAIN_TO asked for."""
        return self.status().is_training

    def status(self) -> Status:
        """Return what was observed."""
        words = (ctypes.c_uint32 * (5 + 2 * len(KINDS)))()
        self._library.sim_status(words)
        pairs = zip(words[5::2], words[6::2], strict=True)
        violations = {kind: pair for kind, pair in zip(KINDS, pairs, strict=True) if pair[0]}
        return Status(words[0], words[1], words[2], words[3], bool(words[4]), violations)
