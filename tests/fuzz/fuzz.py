"""Campaign 11: libFuzzer on the device's receive path, with AddressSanitizer and UBSan; and more.

    .venv/bin/python tests/fuzz/fuzz.py
    .venv/bin/python tests/fuzz/fuzz.py bytes --seconds 3600

Those of `python_targets` compare the decoders and damage every kind of file. With libFuzzer:
`bytes` (any bytes), `frames` (whole frames with a valid CRC, to reach what lies behind it),
`flash` (a start with any bytes in the flash), `record` (a start with a checkpoint whose CRCs are
valid, then frames) and `decode` (decoder and encoder). tests/fuzz/corpus holds inputs to begin
with; what a target finds lies in build/fuzz.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import python_targets

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
CORE = ROOT / "firmware" / "core"
BUILD = ROOT / "build" / "fuzz"
DEVICE = (*sorted(CORE.glob("*.c")), HERE / "ram_flash.c")
TARGETS = {
    "bytes": ("receive.c", (), DEVICE),
    "frames": ("receive.c", ("-DFUZZ_FRAMES",), DEVICE),
    "flash": ("receive.c", ("-DFUZZ_FLASH",), DEVICE),
    "record": ("receive.c", ("-DFUZZ_FRAMES", "-DFUZZ_RECORD"), DEVICE),
    "decode": ("decode.c", (), (CORE / "cobs.c",)),
}
FLAGS = (
    "-std=c11", "-g", "-O1", "-Wall", "-Wextra", "-Werror", "-fsanitize=fuzzer,address,undefined",
    "-fno-sanitize-recover=all",
)  # fmt: skip
INPUT_BYTES_MAX = 4000


def has_fuzzer() -> bool:
    """Tell whether clang is installed."""
    return shutil.which("clang") is not None


def build(target: str) -> Path:
    """Compile a target; return the program."""
    main, more, sources = TARGETS[target]
    program = BUILD / target
    program.parent.mkdir(parents=True, exist_ok=True)
    command = ["clang", *FLAGS, *more, f"-I{HERE}", f"-I{CORE}", str(HERE / main)]
    subprocess.run([*command, *map(str, sources), "-o", str(program)], check=True)
    return program


def run(target: str, seconds: int, seed: int) -> tuple[int, str]:
    """Fuzz one target.

    Returns:
        The exit code, 0 without a finding, and what libFuzzer printed.
    """
    program = build(target)
    grown = BUILD / f"{target}.corpus"
    grown.mkdir(exist_ok=True)
    command = [
        str(program), str(grown), str(HERE / "corpus" / target), f"-max_total_time={seconds}",
        f"-max_len={INPUT_BYTES_MAX}", f"-seed={seed}", f"-artifact_prefix={BUILD}/{target}-",
        "-timeout=120", "-print_final_stats=1",
    ]  # fmt: skip
    result = subprocess.run(command, capture_output=True, text=True, errors="replace")
    return result.returncode, result.stderr


def run_python(target: str, seconds: int, seed: int) -> tuple[int, str]:
    """Give inputs to one of `python_targets`; return how many, and what was found."""
    end, count = time.monotonic() + seconds, 0
    with tempfile.TemporaryDirectory() as folder:
        inputs = python_targets.TARGETS[target](Path(folder), seed)
        try:
            while time.monotonic() < end:
                next(inputs)
                count += 1
        except python_targets.FoundError as error:
            return count, str(error)
    return count, ""


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("targets", nargs="*", help="some of them; default all")
    parser.add_argument("--seconds", type=int, default=60, help="a target")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    worst = 0
    for target in options.targets or [*TARGETS, *python_targets.TARGETS]:
        if target in python_targets.TARGETS:
            count, found = run_python(target, options.seconds, options.seed)
            print(f"{target}: {count} inputs, {found or 'nothing found'}", flush=True)
            worst = max(worst, bool(found))
            continue
        code, text = run(target, options.seconds, options.seed)
        executed = [line for line in text.splitlines() if "number_of_executed_units" in line]
        count = int(executed[0].split()[-1]) if executed else 0
        print(f"{target}: {count} inputs, exit code {code}", flush=True)
        if code:
            print(text[-6000:])
        worst = max(worst, code)
    return worst


if __name__ == "__main__":
    sys.exit(main())
