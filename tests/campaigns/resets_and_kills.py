"""A digits run through `fixgrad proxy` while resets are pressed and the host is killed at random.

    .venv/bin/python tests/campaigns/resets_and_kills.py --port qemu://olimex_p405

Every run must end with the digest of the undisturbed one. A run that ends before enough resets and
kills struck is followed by another. Prints what happened; the exit code is 1 if a digest differs.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
HOSTS_MAX = 2000
AWAY = (7, 8)
"""Exit codes of a host that found no board."""

LISTENING = re.compile(r"connect with --port (\S+),")
PRESSED = re.compile(r"reset \d+ pressed")


@dataclass(frozen=True)
class Plan:
    """What to do.

    Attributes:
        port: the board, sim:// or qemu://.
        epochs: of the digits run.
        resets, kills: how many must strike at least.
        reset_bytes: mean bytes to the board until its reset is pressed.
        bit_errors: probability of a wrong bit.
        seed: of everything random.
    """

    port: str
    epochs: int
    resets: int
    kills: int
    reset_bytes: int
    bit_errors: float
    seed: int


@dataclass
class Struck:
    """What struck so far.

    Attributes:
        runs: that ended.
        kills: of the host.
        resets: of the board.
        away: hosts that found no board, and ended with one line.
    """

    runs: int = 0
    kills: int = 0
    away: int = 0
    resets: int = 0


def command(*arguments: str) -> list[str]:
    """Return a command line of this tree's fixgrad."""
    return [sys.executable, "-m", "fixgrad", *arguments]


def environment() -> dict[str, str]:
    """Return the environment in which it finds its modules."""
    return {**os.environ, "PYTHONPATH": str(ROOT / "host")}


@contextlib.contextmanager
def proxy(plan: Plan, struck: Struck) -> Iterator[str]:
    """Put the board behind the proxy; give the URL, count the resets."""
    process = subprocess.Popen(
        command(
            "proxy", "--port", plan.port, "--listen", "localhost:0", "--seed", str(plan.seed),
            "--bit-errors", str(plan.bit_errors), "--reset", str(plan.reset_bytes),
        ),
        env=environment(), text=True, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stderr is not None
    found = LISTENING.search(process.stderr.readline())
    assert found, "the proxy does not listen"

    def count(lines: Iterator[str]) -> None:
        for line in lines:
            struck.resets += bool(PRESSED.match(line))

    counter = threading.Thread(target=count, args=(process.stderr,), daemon=True)
    counter.start()
    try:
        yield found[1]
    finally:
        process.kill()
        process.wait()
        counter.join()


def train(
    folder: Path, port: str, *arguments: str, kill_after_s: float | None
) -> tuple[int, str]:
    """Run `fixgrad train`; return its exit code, negative for a signal, and its JSON."""
    process = subprocess.Popen(
        command("train", *arguments, "--port", port, "--json"),
        cwd=folder, env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        out, told = process.communicate(timeout=kill_after_s)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        out, told = process.communicate()
    if process.returncode not in (0, *AWAY, -signal.SIGKILL):
        raise AssertionError(f"fixgrad train left with {process.returncode}: {told}")
    return process.returncode, out


def disturbed_digest(plan: Plan, folder: Path, url: str, scale_s: float, struck: Struck) -> str:
    """Train with kills until the run ends; return its digest.

    Args:
        plan: what to do.
        folder: where `digits.toml` stands; the run goes into its folder `out`.
        url: the proxy.
        scale_s: a host that is killed lives at most so long.
        struck: counts the kills.
    """
    rng = random.Random(f"{plan.seed} {struck.runs} kills")
    arguments: tuple[str, ...] = ("digits.toml", "--out", "out", "--force")
    for _ in range(HOSTS_MAX):
        is_due = struck.kills < plan.kills
        code, result = train(
            folder, url, *arguments, kill_after_s=rng.uniform(0, scale_s) if is_due else None
        )
        if code == 0:
            struck.runs += 1
            return str(json.loads(result)["digest"])
        struck.kills += code == -signal.SIGKILL
        struck.away += code in AWAY
        if (folder / "out" / "run.toml").exists():
            arguments = ("--resume", "out")
    raise AssertionError(f"no end after {HOSTS_MAX} hosts")


def run(plan: Plan, folder: Path) -> tuple[Struck, str, list[str]]:
    """Do the plan.

    Returns:
        What struck, the digest of the undisturbed run, and those of the disturbed ones.
    """
    subprocess.run(
        command(
            "new", "digits.toml", "--data", "digits", "--layers", "64-32-10",
            "--epochs", str(plan.epochs), "--batch-size", "8",
        ),
        cwd=folder, env=environment(), check=True, capture_output=True,
    )  # fmt: skip
    started = time.monotonic()
    _, whole = train(folder, plan.port, "digits.toml", "--out", "whole", kill_after_s=None)
    scale_s = 0.8 * (time.monotonic() - started)
    right = str(json.loads(whole)["digest"])
    struck, digests = Struck(), []
    with proxy(plan, struck) as url:
        while not digests or struck.kills < plan.kills or struck.resets < plan.resets:
            digests.append(disturbed_digest(plan, folder, url, scale_s, struck))
            if digests[-1] != right:
                break
            if struck.kills < plan.kills:  # the host may have become faster than it was alone
                scale_s *= 0.7
    return struck, right, digests


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--port", default="qemu://olimex_p405", help="sim:// or qemu://BOARD")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--resets", type=int, default=50)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--reset-bytes", type=int, default=60_000, help="mean bytes until a reset")
    parser.add_argument("--bit-errors", type=float, default=1e-5)
    parser.add_argument("--seed", type=int, default=1)
    plan = Plan(**vars(parser.parse_args()))
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        struck, right, digests = run(plan, Path(folder))
    print(f"undisturbed {right}; disturbed {' '.join(digests)}")
    print(
        f"{plan.port}: {struck.runs} runs of {plan.epochs} epochs, {struck.resets} resets, "
        f"{struck.kills} kills, {struck.away} hosts that found no board, bit error rate "
        f"{plan.bit_errors:g}, seed {plan.seed}, {time.monotonic() - started:.0f} s"
    )
    return int(set(digests) != {right})


if __name__ == "__main__":
    sys.exit(main())
