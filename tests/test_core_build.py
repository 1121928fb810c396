"""How the core compiles: sanitizers, Cortex-M, no float, generated tables."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from core_library import CORE, ROOT, SOURCES, WARNINGS, CoreModel, build, has_compiler
from fixgrad.model import ModelConfig, State
from fixgrad.vectors import Batch, load_case, packaged_vectors
from random_models import RandomBatch, random_case

SANITIZERS = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
RANDOM_CASES = 400
ARM = "arm-none-eabi-gcc"
CORES = ("cortex-m0", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33")
# Helpers of libgcc that plain C may call: division (per output and per state chunk, never per
# weight) and count-leading-zeros (per row) where the core lacks the instruction.
ALLOWED_HELPERS = {
    "cortex-m0": {"__aeabi_uidiv", "__aeabi_uidivmod", "__clzsi2", "memset", "memcpy"},
}

# Frames, CRC, session and answers; and the checkpoints in flash.
LINK = ("link.c", "reply.c", "cobs.c", "crc32.c")
STORE = ("keep.c", "store.c")

# Functions that run once a model, a step or a sample.
DIVIDING = {"mlp_configure", "mlp_end_batch", "loss_evaluate", "mlp_gradient_word"}


def _job(config: ModelConfig, state: State, batches: Iterable[Batch | RandomBatch]) -> bytes:
    wire = CoreModel(config, arena_bytes=0).wire
    steps = [
        len(b.features).to_bytes(2, "little")
        + b.lr_mantissa.to_bytes(2, "little")
        + b.lr_exponent.to_bytes(1, "little", signed=True)
        + wire(b.features, b.targets)
        for b in batches
    ]
    parts = [config.encode(), state.encode()]
    sizes = [len(parts[0]), len(parts[1]), len(steps)]
    return b"".join([*(n.to_bytes(4, "little") for n in sizes), *parts, *steps])


def _replay(compiler: str, jobs: bytes, kernels: str = "KERNELS_DEFINITION") -> list[int]:
    """Return the digest after every step of every job."""
    if not has_compiler(compiler):
        pytest.skip(f"{compiler} is not installed")
    program = build("replay", "replay.c", compiler, (*SANITIZERS, f"-D{kernels}"))
    done = subprocess.run([program], input=jobs, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    return [int(line.split()[0]) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_vectors_are_clean_under_sanitizers(compiler: str) -> None:
    cases = [load_case(path) for path in packaged_vectors()]
    jobs = [_job(case.config, case.initial, case.batches()) for case in cases]
    expected = [digest for case in cases for digest in case.digests]
    assert _replay(compiler, b"".join(jobs)) == expected


@pytest.mark.parametrize(
    ("compiler", "kernels"),
    [
        ("gcc", "KERNELS_DEFINITION"),
        ("clang", "KERNELS_DEFINITION"),
        ("gcc", "KERNELS_HOST=32"),
        ("clang", "KERNELS_HOST=0"),
    ],
)
def test_random_extreme_states_are_clean_under_sanitizers(compiler: str, kernels: str) -> None:
    cases = [random_case(1_000_000 + index) for index in range(RANDOM_CASES)]
    jobs = [_job(case.config, case.state, case.batches) for case in cases]
    expected = []
    for case in cases:
        core = CoreModel(case.config, arena_bytes=1 << 17)
        core.load(case.state)
        for batch in case.batches:
            core.step(batch.features, batch.targets, batch.lr_mantissa, batch.lr_exponent)
            expected.append(core.digest())
    assert _replay(compiler, b"".join(jobs), kernels) == expected


def _compile_for_arm(
    core: str, folder: Path, names: Iterable[str] = SOURCES, *options: str
) -> list[Path]:
    if not has_compiler(ARM):
        pytest.skip(f"{ARM} is not installed")
    objects = []
    for name in names:
        target = folder / f"{name}.o"
        subprocess.run(
            [ARM, *WARNINGS, f"-mcpu={core}", "-mthumb", "-Os", "-ffunction-sections",
             *options, "-c", str(CORE / name), "-o", str(target)],
            check=True,
        )  # fmt: skip
        objects.append(target)
    return objects


@pytest.mark.parametrize("core", CORES)
def test_core_for_cortex_m_calls_no_float_or_64_bit_helper(core: str, tmp_path: Path) -> None:
    objects = _compile_for_arm(core, tmp_path)
    listing = subprocess.run(
        ["arm-none-eabi-nm", *map(str, objects)], check=True, capture_output=True, text=True
    ).stdout
    symbols = [line.split() for line in listing.splitlines()]
    defined = {s[2] for s in symbols if len(s) == 3}
    called = {s[1] for s in symbols if len(s) == 2 and s[0] == "U"} - defined
    assert called <= ALLOWED_HELPERS.get(core, {"memset", "memcpy"})


def _sizes(objects: list[Path]) -> tuple[int, int, int]:
    """Return the bytes of code with constants, of initialised and of other variables."""
    listing = subprocess.run(
        ["arm-none-eabi-size", "--totals", *map(str, objects)],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    code, data, bss = map(int, listing.splitlines()[-1].split()[:3])
    return code, data, bss


@pytest.mark.parametrize("core", CORES)
def test_core_for_cortex_m_has_no_variables(core: str, tmp_path: Path) -> None:
    assert _sizes(_compile_for_arm(core, tmp_path))[1:] == (0, 0)


@pytest.mark.parametrize(
    ("names", "ceiling"),
    [(LINK, 1_104), ((*LINK, "trainer.c"), 3_120), (STORE, 1_376)],
    ids=["link", "link with what its messages do", "store"],
)
def test_link_code_for_cortex_m3_stays_below_its_ceiling(
    names: tuple[str, ...], ceiling: int, tmp_path: Path
) -> None:
    store = ("-DPORT_STORE",) if names == STORE else ()
    port = f"-I{CORE.parent / 'ports/stm32f1'}"
    code, *variables = _sizes(_compile_for_arm("cortex-m3", tmp_path, names, port, *store))
    assert variables == [0, 0]
    assert 0 < code <= ceiling


def _callers(path: Path, helpers: str) -> set[str]:
    """Return the functions of an object that refer to a symbol of the run-time library."""
    listing = subprocess.run(
        ["arm-none-eabi-objdump", "-dr", str(path)], check=True, capture_output=True, text=True
    ).stdout
    callers, function = set(), ""
    for line in listing.splitlines():
        if label := re.match(r"[0-9a-f]+ <([^>]+)>:", line):
            function = label[1]
        elif re.search(rf"R_ARM_\w+\s+({helpers})$", line):
            callers.add(function.partition(".")[0])
    return callers


def test_m0_divides_once_a_sample_at_most(tmp_path: Path) -> None:
    objects = _compile_for_arm("cortex-m0", tmp_path)
    helpers = r"__(aeabi_\w*div\w*|aeabi_lmul|u?divsi3|u?modsi3)"
    callers = set().union(*(_callers(path, helpers) for path in objects))
    assert callers <= DIVIDING
    assert "mlp_end_batch" in callers, "the pattern finds calls"


def test_tables_are_the_generated_ones() -> None:
    script = ROOT / "tools" / "generate_tables.py"
    subprocess.run([sys.executable, str(script), "--check"], check=True)


def test_stale_tables_are_noticed(tmp_path: Path) -> None:
    tools, core = tmp_path / "tools", tmp_path / "firmware" / "core"
    tools.mkdir()
    core.mkdir(parents=True)
    for name in ("generate_tables.py", "generated.py"):
        (tools / name).write_text((ROOT / "tools" / name).read_text())
    text = (CORE / "tables.c").read_text()
    (core / "tables.c").write_text(text.replace("16896", "16897", 1))
    done = subprocess.run(
        [sys.executable, str(tools / "generate_tables.py"), "--check"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "stale" in done.stderr
