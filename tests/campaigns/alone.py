"""A micro:bit in QEMU is reset at random while it trains digits, and then predicts without a host.

    .venv/bin/python tests/campaigns/alone.py

`fixgrad train --save-every` trains 64-32-10 while the board's reset is pressed at random moments,
run after run until enough resets struck. Every run must end with the digest that sim:// gives.
Then `fixgrad deploy`, a reset, and the flash goes to the example without link and trainer, which
must predict every test sample as the reference does. The exit code is 1 if anything differs.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import serial
from fixgrad.device import Device
from fixgrad.errors import LinkError
from fixgrad.proxy import forward
from fixgrad.reference import Reference
from fixgrad.run import prepare
from fixgrad.rundir import RunFolder
from fixgrad.runfile import load_run
from fixgrad.transport import open_port
from fixgrad.urlhandlers.protocol_qemu import Serial

ROOT = Path(__file__).parent.parent.parent
BOARD = "bbcmicrobit"
ANSWER_S = 60
HOSTS_MAX = 100


@dataclass(frozen=True)
class Plan:
    """What to do.

    Attributes:
        epochs: of every run.
        save_every: steps between two checkpoints of the board.
        resets: how many must strike at least.
        reset_s: mean seconds between two.
        seed: of their moments.
    """

    epochs: int
    save_every: int
    resets: int
    reset_s: float
    seed: int


@dataclass(frozen=True)
class Outcome:
    """What happened: `digests` of the disturbed runs, `resets` in them, right answers `of` all."""

    undisturbed: str
    digests: list[str]
    resets: int
    kept: str
    equal: int
    of: int


def fixgrad(folder: Path, *arguments: str, gives_up: tuple[int, ...] = ()) -> str:
    """Run a command of this tree in a folder; return its stdout, nothing if it gave up."""
    done = subprocess.run(
        [sys.executable, "-m", "fixgrad", *arguments], cwd=folder, text=True, capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "host")}, check=False,
    )  # fmt: skip
    assert done.returncode in (0, *gives_up), done.stderr
    return done.stdout


def train(folder: Path, plan: Plan, out: str, port: str) -> str:
    """Train the run; return its digest. A reset while it measures ends the command: go on."""
    start: tuple[str, ...] = ("digits.toml", "--out", out)
    for _ in range(HOSTS_MAX):
        report = fixgrad(
            folder, "train", *start, "--port", port, "--save-every", str(plan.save_every), "--json",
            gives_up=(LinkError.exit_code,),
        )  # fmt: skip
        if report:
            return str(json.loads(report)["digest"])
        if (folder / out).is_dir():
            start = ("--resume", out)
    raise AssertionError(f"no end after {HOSTS_MAX} hosts")


@contextlib.contextmanager
def served(line: Serial) -> Iterator[str]:
    """Put an open port behind a socket for one client after the other; give its URL."""
    ended = threading.Event()

    def serve() -> None:
        while not ended.is_set():
            with contextlib.suppress(TimeoutError):
                client, _ = server.accept()
                with client:
                    forward(client, line, bytes, bytes, ended.is_set)

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"socket://127.0.0.1:{server.getsockname()[1]}"
        finally:
            ended.set()
            thread.join()


@contextlib.contextmanager
def pressed(
    line: Serial, plan: Plan, rng: random.Random, strikes: list[float]
) -> Iterator[None]:
    """Press the board's reset at random moments until enough struck; notes them."""
    ended = threading.Event()

    def press() -> None:
        while len(strikes) < plan.resets and not ended.wait(rng.expovariate(1 / plan.reset_s)):
            line.reset_device()
            strikes.append(time.monotonic())

    thread = threading.Thread(target=press)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def answers(flash: Path, features: list[list[int]]) -> list[int]:
    """Return the predictions of the example for features, from the flash of this file alone."""
    url = f"qemu://{BOARD}?flash={flash}&standalone"
    with serial.serial_for_url(url, timeout=ANSWER_S) as port:
        assert port.read_until(b"\n").startswith(b"64 features ")
        found = []
        for row in features:
            port.write((" ".join(map(str, row)) + "\n").encode())
            found.append(int(port.read_until(b"\n")))
    return found


def run(plan: Plan, folder: Path) -> Outcome:
    """Do the plan."""
    fixgrad(
        folder, "new", "digits.toml", "--data", "digits", "--layers", "64-32-10", "--epochs",
        str(plan.epochs), "--batch-size", "8",
    )  # fmt: skip
    undisturbed = train(folder, plan, "whole", "sim://?flash=sim.flash")
    rng, out = random.Random(plan.seed), ""
    strikes: list[float] = []
    digests: list[str] = []
    flash = folder / "flash"
    line = open_port(f"qemu://{BOARD}", 115200)
    assert isinstance(line, Serial)
    with line, served(line) as url:
        while len(strikes) < plan.resets and set(digests) <= {undisturbed}:
            out = f"out{len(digests)}"
            with pressed(line, plan, rng, strikes):
                digests.append(train(folder, plan, out, url))
        fixgrad(folder, "deploy", out, "--port", url)
        line.reset_device()
        with Device.open(url) as device:
            kept = f"{device.info.digest:08x}"
        flash.write_bytes(line.store())
    trained = RunFolder(folder / out)
    config, prepared = trained.config(), prepare(load_run(folder / "digits.toml"))
    expected = Reference(config, trained.final(config)).predict(prepared.test.features).ravel()
    found = answers(flash, prepared.test.features.tolist())
    equal = sum(a == b for a, b in zip(found, expected.tolist(), strict=True))
    return Outcome(undisturbed, digests, len(strikes), kept, equal, len(found))


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--save-every", type=int, default=20, help="steps between checkpoints")
    parser.add_argument("--resets", type=int, default=100)
    parser.add_argument("--reset-s", type=float, default=1.0, help="mean seconds between resets")
    parser.add_argument("--seed", type=int, default=1)
    plan = Plan(**vars(parser.parse_args()))
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        result = run(plan, Path(folder))
    print(
        f"undisturbed {result.undisturbed}; disturbed {' '.join(result.digests)}; after deploy "
        f"and reset {result.kept}"
    )
    print(
        f"{BOARD}: {len(result.digests)} runs of {plan.epochs} epochs, {result.resets} resets, "
        f"a checkpoint every {plan.save_every} steps, seed {plan.seed}, "
        f"{time.monotonic() - started:.0f} s"
    )
    print(f"alone: {result.equal} of {result.of} test samples predicted as by the reference")
    same = set(result.digests) == {result.undisturbed} == {result.kept}
    return int(not same or result.equal != result.of)


if __name__ == "__main__":
    sys.exit(main())
