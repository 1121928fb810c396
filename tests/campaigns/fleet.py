"""Fleets on digits: six boards of which one is killed and comes back, and very many at once.

    .venv/bin/python tests/campaigns/fleet.py

Two emulated boards of different cores, three of sim:// and one of sim:// behind a socket train on
shares of which half is sorted by class. The one behind the socket is killed at random moments and
comes back without its state, in two executions at other moments and with other delays: their
digests must be equal, and the accuracy within two points of one board that trains on everything for
as many epochs. Then many simulated boards. The exit code is 1 if anything differs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from held_port import held_port

ROOT = Path(__file__).parent.parent.parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "host")}
RUN = """
[data]
source = "digits"
[model]
layers = [64, 32, 10]
[training]
epochs = {epochs}
batch_size = 8
learning_rate = 0.1
"""
FLEET = """
run = "digits.toml"
rounds = {rounds}
local_epochs = {local_epochs}
skew = 0.5
deadline = 1000000
"""
BOARDS = """
[[board]]
name = "M4"
port = "qemu://olimex_p405"
[[board]]
name = "M0"
port = "qemu://bbcmicrobit"
[[board]]
name = "killed"
port = "socket://127.0.0.1:{port}"
[[board]]
name = "simulated"
port = "sim://"
count = 3
"""
MANY = """
[[board]]
port = "sim://"
count = {count}
"""
AWAY_S = 5


@dataclass(frozen=True)
class Plan:
    """What to do.

    Attributes:
        rounds: of each fleet.
        local_epochs: epochs in a round.
        kills: of the board behind the socket, in each execution.
        many: simulated boards at once.
        points: by which the accuracy may be below that of one board.
        seed: of the moments.
    """

    rounds: int
    local_epochs: int
    kills: int
    many: int
    points: float
    seed: int


def command(*arguments: str) -> list[str]:
    """Return a command line of this tree's fixgrad."""
    return [sys.executable, "-m", "fixgrad", *arguments]


def fixgrad(*arguments: str) -> Any:
    """Run a command of this tree; return its JSON."""
    done = subprocess.run(
        command(*arguments, "--json"), env=ENVIRONMENT, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


class Killed:
    """A simulated board behind a socket that is killed and brought back while a fleet trains."""

    def __init__(self, port: int, plan: Plan, execution: int, log: Path) -> None:
        """Start nothing.

        Args:
            port: to listen on.
            plan: has the number of kills.
            execution: another one has other moments and delays.
            log: rounds.jsonl of the fleet.
        """
        self.port = port
        self.kills = 0
        self._chance = random.Random(f"{plan.seed} {execution}")
        self._delay_s = 0.002 * execution
        self._rounds = sorted(self._chance.choices(range(plan.rounds), k=plan.kills))
        self._log = log
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._strike)

    def __enter__(self) -> Killed:
        """Begin."""
        self._start()
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop everything."""
        self._ended.set()
        self._thread.join()
        self._kill()

    def _start(self) -> None:
        self._process = subprocess.Popen(
            command("proxy", "--port", "sim://", "--listen", f"127.0.0.1:{self.port}", "--delay",
                    str(self._delay_s)),
            env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def _kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def _strike(self) -> None:
        """Kill in the rounds that were drawn, at any moment of them."""
        for wanted in self._rounds:
            while self._round() < wanted and not self._ended.wait(0.05):
                pass
            if self._ended.wait(self._chance.random()):
                return
            self._kill()
            self.kills += 1
            self._ended.wait(self._chance.uniform(0, AWAY_S))
            self._start()

    def _round(self) -> int:
        """Return how many rounds are done; -1 before the first begins."""
        return len(self._log.read_text("utf-8").splitlines()) if self._log.exists() else -1


def execute(plan: Plan, folder: Path, execution: int) -> tuple[list[str], float, int]:
    """Train the six boards; return the digests of the rounds, the test accuracy and the kills."""
    out, file = folder / f"out{execution}", folder / f"fleet{execution}.toml"
    log = out / "rounds.jsonl"
    with held_port() as port, Killed(port, plan, execution, log) as killed:
        head = FLEET.format(rounds=plan.rounds, local_epochs=plan.local_epochs)
        file.write_text(head + BOARDS.format(port=killed.port), "utf-8")
        told = fixgrad("fleet", str(file), "--out", str(out), "--workers", "1")
        kills = killed.kills
    rounds = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    assert all(len(line["took_part"]) == 6 for line in rounds), "a round missed a board"
    return [line["digest"] for line in rounds], told["accuracy"], kills


def central(plan: Plan, folder: Path) -> float:
    """Train one board on everything for as many epochs; return the test accuracy."""
    return float(fixgrad(
        "train", str(folder / "digits.toml"), "--port", "sim://", "--out", str(folder / "central")
    )["test_accuracy"])  # fmt: skip


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--local-epochs", type=int, default=2)
    parser.add_argument("--kills", type=int, default=3, help="in each execution")
    parser.add_argument("--many", type=int, default=1000, help="simulated boards at once")
    parser.add_argument("--points", type=float, default=2, help="of accuracy that may be lost")
    parser.add_argument("--seed", type=int, default=1)
    plan = Plan(**vars(parser.parse_args()))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = RUN.format(epochs=plan.rounds * plan.local_epochs)
        (folder / "digits.toml").write_text(run, "utf-8")
        one = central(plan, folder)
        digests, accuracies, kills = zip(*(execute(plan, folder, n) for n in (1, 2)), strict=True)
        print(
            f"6 boards, {plan.rounds} rounds of {plan.local_epochs} epochs: "
            f"{kills[0]} and {kills[1]} kills, digests {digests[0][-1]} and {digests[1][-1]}, "
            f"accuracy {100 * accuracies[0]:.2f} %, of one board {100 * one:.2f} %"
        )
        file = folder / "many.toml"
        head = FLEET.format(rounds=plan.rounds, local_epochs=plan.local_epochs)
        file.write_text(head + MANY.format(count=plan.many), "utf-8")
        began = time.monotonic()
        told = fixgrad("fleet", str(file), "--out", str(folder / "many"))
        print(
            f"{len(told['took_part'])} simulated boards, {told['round']} rounds: digest "
            f"{told['digest']}, accuracy {100 * told['accuracy']:.2f} %, "
            f"{time.monotonic() - began:.0f} s; seed {plan.seed}"
        )
    whole = told["round"] == plan.rounds and len(told["took_part"]) == plan.many
    same = digests[0] == digests[1] and min(kills) == plan.kills
    return int(not (whole and same and 100 * accuracies[0] >= 100 * one - plan.points))


if __name__ == "__main__":
    sys.exit(main())
