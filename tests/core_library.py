"""The C core as a shared library: built here with any compiler and flags, driven by ctypes."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from fixgrad.model import ModelConfig, State, state_bytes
from fixgrad.protocol import Status
from fixgrad.stream import Samples
from numpy.typing import NDArray

ROOT = Path(__file__).parent.parent
CORE = ROOT / "firmware" / "core"
TESTS_C = Path(__file__).parent / "c"
SOURCES = (
    "mlp_plan.c", "mlp_model.c", "mlp_state.c", "mlp_train.c", "mlp_forward.c", "mlp_backward.c",
    "mlp_update.c", "mlp_scale.c", "mlp_part.c", "kernels_plain.c", "kernels_host.c",
    "kernels_blocks.c", "kernels_dsp.c", "kernels_mla.c", "kernels_mul.c", "kernels_mve.c",
    "vector_mve.c", "activation.c", "norm.c", "fixed.c", "loss.c", "functions.c", "tables.c",
    "order.c",
)  # fmt: skip
WARNINGS = (
    "-std=c11", "-Wall", "-Wextra", "-Werror", "-Wshadow", "-Wconversion", "-Wcast-qual",
)  # fmt: skip


def build(output: str, main: str, compiler: str = "cc", flags: tuple[str, ...] = ("-O3",)) -> Path:
    """Compile the core with one file of tests/c; return the file, from build/ if it is there.

    Args:
        output: name of the result; a name that ends in .so makes a shared library.
        main: file of tests/c.
        compiler: C compiler to call.
        flags: optimisation and instrumentation.
    """
    shared = ("-shared", "-fPIC") if output.endswith(".so") else ()
    files = [TESTS_C / main, *(CORE / name for name in SOURCES)]
    return compile_program(output, files, (*flags, *shared), compiler)


def compile_program(
    output: str, files: list[Path], flags: tuple[str, ...], compiler: str = "cc"
) -> Path:
    """Compile C files that include our headers; return the file, from build/ if it is there.

    Args:
        output: name of the result.
        files: sources.
        flags: optimisation and instrumentation.
        compiler: C compiler to call.
    """
    command = [compiler, *WARNINGS, *flags, f"-I{CORE}", *map(str, files)]
    key = hashlib.sha256("\0".join(command).encode())
    headers = [*CORE.parent.rglob("*.h"), *TESTS_C.rglob("*.h")]
    for path in sorted({*CORE.glob("*.c"), *headers, *files}):
        key.update(path.read_bytes())
    folder = ROOT / "build" / "tests" / key.hexdigest()[:16]
    target = folder / output
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f"{os.getpid()}.{output}"
        subprocess.run([*command, "-o", str(temporary)], check=True)
        temporary.replace(target)
    return target


def has_compiler(name: str) -> bool:
    """Tell whether a compiler is installed."""
    return shutil.which(name) is not None


@functools.cache
def library(compiler: str = "cc", flags: tuple[str, ...] = ("-O3",)) -> ctypes.CDLL:
    """Return the loaded core."""
    core = ctypes.CDLL(str(build("core.so", "runner.c", compiler, flags)))
    for name in (
        "mlp_digest",
        "mlp_step_count",
        "mlp_state_bytes",
        "mlp_outputs",
        "mlp_predictions",
        "mlp_reach_words",
        "mlp_reach_word",
        "mlp_gradient_words",
        "mlp_gradient_word",
        "runner_ahead",
    ):
        getattr(core, name).restype = ctypes.c_uint32
    for name in ("runner_model_bytes", "mlp_feature_bytes", "mlp_target_bytes"):
        getattr(core, name).restype = ctypes.c_size_t
    core.mlp_counters.restype = ctypes.POINTER(Counters)
    return core


class Counters(ctypes.Structure):
    """mlp_counters_t."""

    _fields_ = [
        ("loss_sum", ctypes.c_uint64),
        ("correct", ctypes.c_uint32),
        ("wsat", ctypes.c_uint32),
        ("asat", ctypes.c_uint32),
        ("bsat", ctypes.c_uint32),
    ]


def address(array: NDArray[np.generic]) -> ctypes.c_void_p:
    """Return the address of a contiguous array."""
    assert array.flags.c_contiguous
    return ctypes.c_void_p(array.ctypes.data)


@dataclass(frozen=True)
class StepOutcome:
    """Reported loss and right predictions of one step."""

    loss: int
    correct: int


@dataclass(frozen=True)
class InferOutcome:
    """logits [N, outputs], predictions [N, predictions], losses [N], correct [N]."""

    logits: NDArray[np.int32]
    predictions: NDArray[np.int32]
    losses: NDArray[np.uint32]
    correct: NDArray[np.uint8]


class CoreModel:
    """One mlp_t with its arena; every method is the C function of that name.

    Attributes:
        status: what mlp_configure() answered.
        detail: its detail word.
    """

    def __init__(
        self,
        config: ModelConfig | bytes,
        core: ctypes.CDLL | None = None,
        arena_bytes: int = 1 << 22,
    ) -> None:
        """Configure a model in an arena filled with ones."""
        self.core = core or library()
        self.config = config if isinstance(config, ModelConfig) else None
        self._model = ctypes.create_string_buffer(self.core.runner_model_bytes())
        self._arena = np.full((arena_bytes + 7) // 8, -1, np.int64)
        self.arena_bytes = arena_bytes
        self.status, self.detail = self.configure(config)

    def configure(self, config: ModelConfig | bytes) -> tuple[Status, int]:
        """Lay the arena out for a model; its contents stay."""
        blob = config.encode() if isinstance(config, ModelConfig) else config
        detail = ctypes.c_uint32()
        status = self.core.mlp_configure(
            self._model,
            blob,
            ctypes.c_size_t(len(blob)),
            address(self._arena),
            ctypes.c_size_t(self.arena_bytes),
            ctypes.byref(detail),
        )
        return Status(status), detail.value

    def load(self, state: State) -> Status:
        """Write a whole state and start."""
        status = self.write(0, state.encode())
        return self.start() if status == Status.OK else status

    def write(self, offset: int, data: bytes) -> Status:
        """Write bytes of the STATE region."""
        return Status(
            self.core.mlp_state_write(self._model, offset, data, ctypes.c_size_t(len(data)))
        )

    def read(self, offset: int, count: int) -> tuple[Status, bytes]:
        """Read bytes of the STATE region."""
        buffer = ctypes.create_string_buffer(count)
        status = self.core.mlp_state_read(self._model, offset, buffer, ctypes.c_size_t(count))
        return Status(status), buffer.raw

    def start(self) -> Status:
        """Check the state and forget batch and counters."""
        return Status(self.core.mlp_start(self._model))

    @property
    def state_bytes(self) -> int:
        """Length of the STATE region."""
        return int(self.core.mlp_state_bytes(self._model))

    def state(self) -> State:
        """Return the state."""
        assert self.config is not None
        status, data = self.read(0, state_bytes(self.config))
        assert status == Status.OK
        return State.decode(self.config, data)

    def wire(self, features: NDArray[np.integer], targets: NDArray[np.integer]) -> bytes:
        """Return samples as they travel in DATA."""
        assert self.config is not None
        return Samples(features, targets.astype(np.int32)).wire(self.config).tobytes()

    def begin(self, size: int, lr_mantissa: int, lr_exponent: int) -> Status:
        """Announce a batch."""
        return Status(self.core.mlp_begin_batch(self._model, size, lr_mantissa, lr_exponent))

    def put(self, sample: bytes) -> Status:
        """Put one sample: features, then target."""
        features = self.core.mlp_feature_bytes(self._model)
        return Status(self.core.mlp_put_sample(self._model, sample[:features], sample[features:]))

    @property
    def batch_open(self) -> bool:
        """Whether samples of an announced batch are missing."""
        return bool(self.core.mlp_batch_open(self._model))

    def step(
        self,
        features: NDArray[np.integer],
        targets: NDArray[np.integer],
        lr_mantissa: int,
        lr_exponent: int,
    ) -> StepOutcome:
        """Train one batch."""
        before = self.counters()
        status = self.core.runner_step(
            self._model, self.wire(features, targets), len(features), lr_mantissa, lr_exponent
        )
        assert Status(status) == Status.OK, Status(status).name
        after = self.counters()
        return StepOutcome(
            after.loss_sum - before.loss_sum, (after.correct - before.correct) % 2**32
        )

    def put_part(self, sample: bytes) -> Status:
        """Put one sample of a part that will be held: features, then target."""
        features = self.core.mlp_feature_bytes(self._model)
        return Status(self.core.mlp_put_part(self._model, sample[:features], sample[features:]))

    @property
    def held(self) -> bool:
        """Whether a part is held."""
        return bool(self.core.mlp_part_held(self._model) & 1)

    def reach(self) -> list[int]:
        """Return the words of region REACH."""
        count = self.core.mlp_reach_words(self._model)
        return [self.core.mlp_reach_word(self._model, i) for i in range(count)]

    def scale(self, exponents: list[int]) -> Status:
        """Scale the deltas of a held part."""
        words = np.array(exponents, "<i4").tobytes()
        return Status(self.core.mlp_part_scale(self._model, words))

    def gradient(self) -> NDArray[np.int32]:
        """Return the words of region GRADIENT."""
        count = self.core.mlp_gradient_words(self._model)
        words = [self.core.mlp_gradient_word(self._model, i) for i in range(count)]
        return np.array(words, np.uint32).view(np.int32)

    def infer(self, features: NDArray[np.integer], targets: NDArray[np.integer]) -> InferOutcome:
        """Infer samples with their targets."""
        count = len(features)
        out = InferOutcome(
            np.zeros((count, self.core.mlp_outputs(self._model)), np.int32),
            np.zeros((count, self.core.mlp_predictions(self._model)), np.int32),
            np.zeros(count, np.uint32),
            np.zeros(count, np.uint8),
        )
        status = self.core.runner_infer(
            self._model,
            self.wire(features, targets),
            ctypes.c_size_t(count),
            address(out.logits),
            address(out.predictions),
            address(out.losses),
            address(out.correct),
        )
        assert Status(status) == Status.OK, Status(status).name
        return out

    def digest(self) -> int:
        """Return the digest."""
        return int(self.core.mlp_digest(self._model))

    @property
    def steps(self) -> int:
        """Steps done."""
        return int(self.core.mlp_step_count(self._model))

    def counters(self) -> Counters:
        """Return a copy of the counters."""
        live = self.core.mlp_counters(self._model).contents
        return Counters(live.loss_sum, live.correct, live.wsat, live.asat, live.bsat)
