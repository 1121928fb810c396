"""Bare images for emulated cores: the firmware's core built with one file of bench/firmware.

An image finds its jobs in memory, where QEMU loads them, and prints through semihosting. Under
`-icount shift=N` an instruction takes 2**N ns of the machine's time, which its SysTick counts.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
from fixgrad.model import ModelConfig, State
from fixgrad.stream import Samples
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
CORE = ROOT / "firmware" / "core"
SOURCES = ROOT / "bench" / "firmware"
BUILD = ROOT / "build" / "bench"
COMPILER = "arm-none-eabi-gcc"
PRODUCT_FLAGS = (
    "-std=c11", "-Os", "-flto", "-fno-ipa-cp", "-ffunction-sections", "-fdata-sections", "-mthumb",
)  # fmt: skip
"""As PlatformIO builds the boards' images."""
SCALAR_FLAGS = (
    "-fno-move-loop-invariants", "-fno-tree-loop-optimize", "-fno-caller-saves",
    "-fno-partial-inlining",
)  # fmt: skip
"""The same for cores without vectors."""
VECTOR_FLAGS = {"cortex-m55": ("-mfloat-abi=softfp",)}
"""The compiler passes vectors in registers only where it may use the floating-point ones."""
LINK_PARTS = (
    "link.c", "reply.c", "trainer.c", "keep.c", "store.c", "cache.c", "cobs.c", "crc32.c",
    "profile.c",
)  # fmt: skip
"""Files of the core that no image needs without a link."""
LIBRARY = tuple(
    ROOT / "firmware" / "ports" / "cortexm" / name for name in ("memory.c", "divide.c")
)
"""memcpy and the like, as boards' images have them."""
_OWN_PARTS = (SOURCES / "runtime.c", SOURCES / "job.c", *LIBRARY)
TIMEOUT_S = 600


@dataclass(frozen=True)
class Machine:
    """A core and the emulated machine that runs it.

    Attributes:
        name: short name of the core.
        qemu: QEMU's machine.
        cpu: the compiler's name of the core.
        code, ram: start and length of the memory of the image.
        jobs: where the jobs are loaded.
        tick_ns: period of SysTick: instructions a tick under `-icount shift=0`.
    """

    name: str
    qemu: str
    cpu: str
    code: tuple[int, int]
    ram: tuple[int, int]
    jobs: int
    tick_ns: float


_MPS2 = ((0x0, 0x400000), (0x20000000, 0x400000), 0x21000000, 40.0)
MACHINES = {
    machine.name: machine
    for machine in (
        Machine("m0", "mps2-an385", "cortex-m0", *_MPS2),
        Machine("m3", "mps2-an385", "cortex-m3", *_MPS2),
        Machine("m4", "mps2-an386", "cortex-m4", *_MPS2),
        Machine("m7", "mps2-an500", "cortex-m7", *_MPS2[:2], 0x60000000, 40.0),
        Machine(
            "m33", "mps2-an505", "cortex-m33",
            (0x10000000, 0x400000), (0x38000000, 0x400000), 0x80000000, 50.0,
        ),
        Machine(
            "m55", "mps3-an547", "cortex-m55",
            (0x10000000, 0x80000), (0x21000000, 0x200000), 0x60000000, 31.25,
        ),
    )
}  # fmt: skip
"""The machines by name. The M0's code runs on the M3, whose instruction set contains it."""


@dataclass(frozen=True)
class Step:
    """One step of a job: features [b, n0], targets, learning-rate pair."""

    features: NDArray[np.integer]
    targets: NDArray[np.int32]
    lr_mantissa: int
    lr_exponent: int


def encode_job(config: ModelConfig, state: State, steps: Sequence[Step]) -> bytes:
    """Return a job as bench/firmware/job.h reads it."""
    parts = [config.encode(), state.encode()]
    sizes = [len(parts[0]), len(parts[1]), len(steps)]
    for step in steps:
        parts.append(len(step.features).to_bytes(2, "little"))
        parts.append(step.lr_mantissa.to_bytes(2, "little"))
        parts.append(step.lr_exponent.to_bytes(1, "little", signed=True))
        parts.append(Samples(step.features, step.targets).wire(config).tobytes())
    return b"".join([*(size.to_bytes(4, "little") for size in sizes), *parts])


def build(machine: Machine, main: str, flags: Sequence[str] = ()) -> Path:
    """Return the image of `main`, a file of bench/firmware, from build/bench if it is there."""
    core = [path for path in sorted(CORE.glob("*.[cS]")) if path.name not in LINK_PARTS]
    return build_files(machine, main, [SOURCES / main, *_OWN_PARTS, *core], flags)


def build_files(
    machine: Machine, name: str, files: Sequence[Path], flags: Sequence[str] = ()
) -> Path:
    """Return the image of C files.

    Args:
        machine: what it is for.
        name: its name.
        files: what it is built of.
        flags: for the compiler; macros (-D) reach only files that mention them or profile.h.
    """
    objects = [_compiled(machine, path, flags) for path in files]
    script = _linker_script(machine)
    key = hashlib.sha256(script.encode() + (SOURCES / "image.ld").read_bytes())
    key.update("".join(path.name for path in objects).encode())
    target = BUILD / f"{key.hexdigest()[:16]}.{machine.name}.{Path(name).stem}.elf"
    if not target.exists():
        with tempfile.NamedTemporaryFile("w", dir=BUILD, suffix=".ld") as file:
            file.write(script)
            file.flush()
            linked = map_of(target).with_suffix(f".{os.getpid()}.map")
            command = [
                *_compiler(machine, flags), "-nostartfiles", "--specs=nano.specs",
                "-Wl,--gc-sections", "-Wl,--no-warn-rwx-segments", f"-T{file.name}",
                f"-Wl,-Map={linked}",
                *map(str, objects), "-lm",
            ]  # fmt: skip
            _make([*command, "-o"], target, {linked: map_of(target)})
    return target


def map_of(image: Path) -> Path:
    """Return where the linker wrote what stands where in an image."""
    return image.with_suffix(".map")


def source_of(linked: str) -> str:
    """Return the name of the C file, or the library, of an object that a map names."""
    path = Path(linked.partition("(")[0])
    return path.stem if path.suffix == ".a" else path.name.split(".")[-2]


def _compiler(machine: Machine, flags: Sequence[str]) -> list[str]:
    abi = () if any(f.startswith("-mfloat-abi") for f in flags) else VECTOR_FLAGS.get(machine.cpu)
    scalar = () if machine.cpu in VECTOR_FLAGS else SCALAR_FLAGS
    return [COMPILER, *PRODUCT_FLAGS, *scalar, f"-mcpu={machine.cpu}", *(abi or ()), *flags]


def _compiled(machine: Machine, source: Path, flags: Sequence[str]) -> Path:
    """Return the object of a source, which several images share."""
    text = source.read_text()
    kept = [f for f in flags if not f.startswith("-D") or f[2:] in text or "profile.h" in text]
    command = [*_compiler(machine, kept), f"-I{CORE}", f"-I{SOURCES}", "-c", str(source)]
    key = hashlib.sha256("\0".join(command).encode() + text.encode())
    for path in sorted([*CORE.glob("*.h"), *SOURCES.glob("*.h")]):
        key.update(path.read_bytes())
    target = BUILD / f"{key.hexdigest()[:16]}.{machine.name}.{source.stem}.o"
    if not target.exists():
        BUILD.mkdir(parents=True, exist_ok=True)
        _make([*command, "-o"], target)
    return target


def _make(
    command: list[str], target: Path, others: Mapping[Path, Path] = MappingProxyType({})
) -> None:
    """Run a command that makes `target`, which appears whole or not at all.

    Args:
        command: without the name of what it makes.
        target: what it makes.
        others: what it makes beside it, and where that goes.
    """
    temporary = target.with_suffix(f".{os.getpid()}")
    subprocess.run([*command, str(temporary)], check=True)
    for made, place in others.items():
        made.replace(place)
    temporary.replace(target)


def _linker_script(machine: Machine) -> str:
    (code, code_bytes), (ram, ram_bytes) = machine.code, machine.ram
    return (
        "MEMORY {\n"
        f"  CODE (rx) : ORIGIN = {code:#x}, LENGTH = {code_bytes:#x}\n"
        f"  RAM (rwx) : ORIGIN = {ram:#x}, LENGTH = {ram_bytes:#x}\n"
        "}\n"
        f"runtime_job = {machine.jobs:#x};\n"
        f"INCLUDE {SOURCES / 'image.ld'}\n"
    )


def run(
    machine: Machine,
    image: Path,
    jobs: Iterable[bytes],
    shift: int = 0,
    options: Sequence[str] = (),
) -> list[list[str]]:
    """Return the words of every line that an image prints.

    Args:
        machine: what runs it.
        image: its ELF file.
        jobs: loaded one behind the other.
        shift: an instruction takes 2**shift ns.
        options: more of QEMU's.

    Raises:
        RuntimeError: the image faulted or refused a job.
    """
    with tempfile.NamedTemporaryFile() as blob:
        blob.write(b"".join([*jobs, bytes(4)]))
        blob.flush()
        done = subprocess.run(
            [
                "qemu-system-arm", "-M", machine.qemu, "-kernel", str(image),
                "-nodefaults", "-display", "none", "-icount", f"shift={shift}",
                *options, "-semihosting-config", "enable=on,target=native",
                "-device", f"loader,file={blob.name},addr={machine.jobs:#x},force-raw=on",
            ],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT_S,
            check=False,
        )  # fmt: skip
    # Semihosting writes to standard error, between QEMU's own warnings.
    lines = [
        line.split()
        for line in done.stderr.splitlines()
        if not line.startswith("qemu-system-arm: warning")
    ]
    if done.returncode != 0:
        raise RuntimeError(f"{image.name} on {machine.qemu}: {done.returncode}, {lines[-3:]}")
    return lines
