"""Fleets: the average against fractions, shares, deadlines, restarts, one digest for all."""

import json
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from distributed import Client
from fixgrad.cli import cli
from fixgrad.cluster import cluster
from fixgrad.digest import state_digest
from fixgrad.errors import LinkError, PortError, RunFileError
from fixgrad.fleet import driver
from fixgrad.fleet.average import average
from fixgrad.fleet.driver import run_fleet
from fixgrad.fleet.fleetfile import load_fleet
from fixgrad.fleet.member import Deadline
from fixgrad.fleet.rounds import KeptFleet, read_rounds
from fixgrad.fleet.shares import Job, cut, job
from fixgrad.model import ModelConfig, State
from fixgrad.protocol import Activation, InputFormat, Loss
from fixgrad.reference import Reference
from fixgrad.run import PreparedRun, prepare
from held_port import held_port
from small_runs import iris_run

ROOT = Path(__file__).parent.parent
CAMPAIGN = ROOT / "tests" / "campaigns" / "fleet.py"
GUARD_S = 900
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "host")}
KILLS_IN_THE_FIRST_ROUND = "27"
"""Moments drawn with it come before the fleet can end."""

VECTORS = json.loads((ROOT / "tests" / "average_vectors.json").read_text("utf-8"))
"""Made by tools/scalar_averages.py, in fractions."""

RUN = iris_run(batch_size=4, learning_rate=0.2)
SIMULATED = """
run = "iris.toml"
rounds = 4
skew = 0.5
[[board]]
port = "sim://"
count = 3
"""


def write(folder: Path, text: str = SIMULATED) -> Path:
    (folder / "iris.toml").write_text(RUN, encoding="utf-8")
    file = folder / "fleet.toml"
    file.write_text(text, encoding="utf-8")
    return file


def prepared(file: Path) -> PreparedRun:
    return prepare(load_fleet(file).run)


# The average


@pytest.mark.parametrize("case", VECTORS, ids=range(len(VECTORS)))
def test_average_is_what_fractions_give(case: dict[str, Any]) -> None:
    config = _config(case)
    states = [_state(case["sizes"], state) for state in case["states"]]
    mean, expected = average(config, states, case["counts"]), case["mean"]
    for name, tensors in (
        ("W", mean.weights), ("b", mean.biases),
        ("V", mean.velocities), ("Vb", mean.bias_velocities),
    ):  # fmt: skip
        assert [tensor.ravel().tolist() for tensor in tensors] == expected[name], name
    assert (mean.weight_exponent, mean.activation_exponent) == (expected["eW"], expected["eX"])
    assert (mean.prng, mean.step, mean.low) == (expected["S"], 0, [0])


def test_average_has_no_order() -> None:
    case = max(VECTORS, key=lambda case: len(case["states"]))
    config = _config(case)
    pairs = list(zip(case["states"], case["counts"], strict=True))
    digests = set()
    for seed in range(5):
        random.Random(seed).shuffle(pairs)
        states = [_state(case["sizes"], state) for state, _ in pairs]
        digests.add(state_digest(average(config, states, [count for _, count in pairs])))
    assert len(digests) == 1


def test_average_of_one_state_keeps_its_parameters() -> None:
    case = VECTORS[0]
    state = _state(case["sizes"], case["states"][0])
    mean = average(_config(case), [state], [7])
    assert all(map(np.array_equal, mean.weights, state.weights))
    assert all(map(np.array_equal, mean.biases, state.biases))


def _config(case: dict[str, Any]) -> ModelConfig:
    (inputs, _), (_, outputs) = case["sizes"]
    return ModelConfig(
        (inputs, 1, outputs), (Activation.RELU,), Loss.SQUARED_ERROR, 1, InputFormat.U8, 255, (8,),
        tuple(case["bits"]), (), 0, momentum=230,
    )  # fmt: skip


def _state(sizes: list[tuple[int, int]], state: dict[str, Any]) -> State:
    def shaped(name: str, dtype: type) -> list[Any]:
        return [
            np.array(values, dtype).reshape((o, i) if name in "WV" else (o,))
            for values, (i, o) in zip(state[name], sizes, strict=True)
        ]

    return State(
        shaped("W", np.int16), shaped("b", np.int32), shaped("V", np.int16), shaped("Vb", np.int32),
        list(state["eW"]), list(state["eX"]), [3], state["S"], 5,
    )  # fmt: skip


# The shares


@pytest.mark.parametrize("skew", [0, 0.5, 1])
def test_shares_cover_the_samples_in_proportion(tmp_path: Path, skew: float) -> None:
    text = SIMULATED.replace("skew = 0.5", f"skew = {skew}") + 'share = 2\n[[board]]\nport = "x"\n'
    file = write(tmp_path, text)
    run = prepared(file)
    shares = cut(load_fleet(file), run)
    assert sorted(np.concatenate(shares).tolist()) == list(range(len(run.train)))
    sizes = [len(share) for share in shares]
    assert sizes == pytest.approx([120 * weight / 7 for weight in (2, 2, 2, 1)], abs=3)
    kinds = [len(np.unique(run.train.targets[share])) for share in shares]
    assert kinds == ([3, 3, 3, 3] if skew < 1 else kinds) and (skew < 1 or min(kinds) < 3)


def test_every_board_needs_a_sample(tmp_path: Path) -> None:
    file = write(tmp_path, SIMULATED.replace("count = 3", "count = 121"))
    with pytest.raises(RunFileError, match="121 boards, but 120 training samples"):
        cut(load_fleet(file), prepared(file))


# Rounds


def expected_digests(file: Path, members: list[list[int]]) -> list[str]:
    """Train by the reference which boards took part in each round; return the digests."""
    fleet, run = load_fleet(file), prepared(file)
    shares, state, digests = cut(fleet, run), run.initial, []
    for index, present in enumerate(members):
        states = []
        for member in present:
            work = job(fleet, run, state, member, index, shares[member])
            reference = Reference(work.config, work.state)
            for step in range(work.schedule.steps):
                places = work.schedule.step_indices(step)
                reference.step(
                    work.samples.features[places], work.samples.targets[places],
                    *work.schedule.learning_rate(step),
                )  # fmt: skip
            states.append(reference.state)
        state = average(run.config, states, [len(shares[member]) for member in present])
        digests.append(f"{state_digest(state):08x}")
    return digests


def logged(folder: Path) -> list[str]:
    return [line["digest"] for line in read_rounds(folder)]


def test_simulated_fleet_is_what_the_reference_gives(tmp_path: Path) -> None:
    """And a fleet that is stopped after every round, by other workers, is the same."""
    file = write(tmp_path)
    fleet, run = load_fleet(file), prepared(file)
    expected = expected_digests(file, [[0, 1, 2]] * 4)
    with cluster(None, 2) as client:
        run_fleet(fleet, run, tmp_path / "whole", client)
        assert logged(tmp_path / "whole") == expected

        def stop(done: object) -> None:
            raise KeyboardInterrupt

        for _ in range(4):
            with pytest.raises(KeyboardInterrupt):
                run_fleet(fleet, run, tmp_path / "parts", client, stop)
        run_fleet(fleet, run, tmp_path / "parts", client, stop)
    assert logged(tmp_path / "parts") == expected


def test_round_whose_state_was_not_written_is_repeated(tmp_path: Path) -> None:
    file = write(tmp_path)
    fleet, run = load_fleet(file), prepared(file)
    with cluster(None, 1) as client:
        run_fleet(fleet, run, tmp_path / "out", client)
        expected = logged(tmp_path / "out")
        log = tmp_path / "out" / "rounds.jsonl"
        longer = SIMULATED.replace("rounds = 4", "rounds = 5")
        write(tmp_path, longer)
        log.write_text(log.read_text("utf-8") + log.read_text("utf-8").splitlines()[0] + "\n")
        run_fleet(load_fleet(file), run, tmp_path / "out", client)
    assert logged(tmp_path / "out")[:4] == expected
    assert logged(tmp_path / "out") == expected_digests(file, [[0, 1, 2]] * 5)


class Proxy:
    """A board behind a TCP port that can be taken away and brought back, without its state."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "fixgrad", "proxy", "--port", "sim://"]
        self.process = subprocess.Popen(
            [*command, "--listen", f"127.0.0.1:{self.port}"], env=ENVIRONMENT,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def kill(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with held_port() as port:
        made = Proxy(port)
        yield made
        made.kill()


def behind(proxy: Proxy, deadline: int) -> str:
    text = SIMULATED.replace("skew", f"deadline = {deadline}\nskew")
    return text + f'[[board]]\nname = "far"\nport = "socket://127.0.0.1:{proxy.port}"\n'


def test_board_that_comes_back_in_time_changes_nothing(tmp_path: Path, proxy: Proxy) -> None:
    file = write(tmp_path, behind(proxy, 300))
    proxy.start()

    def restart(done: object) -> None:
        proxy.kill()
        proxy.start()

    with cluster(None, 1) as client:
        run_fleet(load_fleet(file), prepared(file), tmp_path / "out", client, restart)
    assert logged(tmp_path / "out") == expected_digests(file, [[0, 1, 2, 3]] * 4)


def test_six_boards_of_which_one_is_killed_end_with_one_digest() -> None:
    """The campaign in short: two executions of two rounds, a kill in each, two emulated cores."""
    done = subprocess.run(
        [sys.executable, str(CAMPAIGN), "--rounds", "2", "--local-epochs", "1", "--kills", "1",
         "--many", "12", "--points", "30", "--seed", KILLS_IN_THE_FIRST_ROUND],
        capture_output=True, text=True, timeout=GUARD_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 and 1 kills" in done.stdout and "12 simulated boards, 2 rounds" in done.stdout


def test_round_goes_on_without_a_board_that_is_away(
    tmp_path: Path, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log says who took part; with that, the digests are the reference's."""
    file = write(tmp_path, behind(proxy, 200).replace("rounds = 4", "rounds = 3"))
    rounds = []
    train_simulated = driver._simulated

    def until_over(client: Client, jobs: list[Job], deadline: Deadline) -> dict[int, State]:
        """Let the first round end when the simulated boards have."""
        states = train_simulated(client, jobs, deadline)
        if not rounds:
            deadline._until = 0.0
        return states

    monkeypatch.setattr(driver, "_simulated", until_over)

    def arrive(done: object) -> None:
        rounds.append(done)
        if len(rounds) == 1:
            write(tmp_path, behind(proxy, 300).replace("rounds = 4", "rounds = 3"))
            raise KeyboardInterrupt

    with cluster(None, 1) as client:
        with pytest.raises(KeyboardInterrupt):
            run_fleet(load_fleet(file), prepared(file), tmp_path / "out", client, arrive)
        proxy.start()
        run_fleet(load_fleet(file), prepared(file), tmp_path / "out", client)
    lines = read_rounds(tmp_path / "out")
    assert [line["missed"] for line in lines] == [["far"], [], []]
    assert list(lines[1]["took_part"]) == ["board1.1", "board1.2", "board1.3", "far"]
    members = [[0, 1, 2], [0, 1, 2, 3], [0, 1, 2, 3]]
    assert logged(tmp_path / "out") == expected_digests(file, members)


def test_round_without_any_board_ends_the_command(tmp_path: Path, proxy: Proxy) -> None:
    text = behind(proxy, 1)
    text = text.replace('[[board]]\nport = "sim://"\ncount = 3\n', "")
    with pytest.raises(LinkError, match="no board took part in round 1 within 1 s"):
        file = write(tmp_path, text)
        run_fleet(load_fleet(file), prepared(file), tmp_path / "out", None)


def test_command_tells_rounds_and_result(tmp_path: Path) -> None:
    file = write(tmp_path)
    arguments = ["fleet", str(file), "--out", str(tmp_path / "out"), "--workers", "1", "--json"]
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["digest"] == expected_digests(file, [[0, 1, 2]] * 4)[-1]
    assert told["took_part"] == {"board1.1": 39, "board1.2": 40, "board1.3": 41}
    assert done.stderr.count("3 boards") == 4
    measured = CliRunner().invoke(
        cli, ["eval", str(tmp_path / "out"), "--port", "sim://", "--json"]
    )
    assert measured.exit_code == 0, measured.output
    assert json.loads(measured.stdout)["test_accuracy"] == pytest.approx(told["accuracy"])


def test_fleet_needs_no_optuna() -> None:
    code = "import sys, fixgrad.cluster, fixgrad.fleet.driver; assert 'optuna' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, check=True, timeout=GUARD_S)


def test_folder_of_another_fleet_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    (out / "fleet.json").write_text("{}", encoding="utf-8")
    done = CliRunner().invoke(cli, ["fleet", str(file), "--out", str(out), "--workers", "1"])
    assert done.exit_code == RunFileError.exit_code
    assert "holds another fleet than" in done.stderr


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("rounds = 4", "", "rounds: missing; type e.g. rounds = 20"),
        ("rounds = 4", "rounds = 0", "rounds: 0 is not a whole number from 1 to 1000000000"),
        ("skew = 0.5", "board = [1]", "board: not a table; type [[board]] on its own line"),
        ("count = 3", "count = 200000", "count: 200000 is not a whole number from 1 to 100000"),
        ("count = 3", "name = [1]", "board 1: name [1] is not a text"),
        ("skew = 0.5", "skew = 2", "skew: 2 is not a number from 0 to 1"),
        ("skew", "skwe", "skwe: unknown; known are run, rounds"),
        ('port = "sim://"', "", "board 1: port is missing"),
        ('"sim://"', '"/dev/ttyACM0"', "board 1: count is for sim://; /dev/ttyACM0 is one board"),
        ('run = "iris.toml"', "", "run: missing"),
        ("count = 3", 'count = 3\n[[board]]\nname = "board1.1"\nport = "x"', "board1.1 stands"),
        ("rounds = 4", f"rounds = {'[' * 5000}", "nested too deeply to be a fleet file"),
    ],
)
def test_fleet_files_are_checked(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = SIMULATED.replace(old, new)
    if "on its own line" in message:
        text = text[: text.index("[[board]]")]
    with pytest.raises(RunFileError) as error:
        load_fleet(write(tmp_path, text))
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("port", ["qemu://nope", "qemu://disco_f100rb?flash=x", "sim://?ram=8"])
def test_port_that_can_never_open_is_refused_before_the_first_round(
    tmp_path: Path, port: str
) -> None:
    with pytest.raises(PortError, match=re.escape(port)):
        load_fleet(write(tmp_path, SIMULATED.replace("sim://", port).replace("count = 3", "")))


@pytest.mark.parametrize("damage", [None, "{", "[]", "{}", '{"digest": 1}'])
def test_damaged_log_is_told(tmp_path: Path, damage: str | None) -> None:
    file = write(tmp_path)
    fleet, run, out = load_fleet(file), prepared(file), tmp_path / "out"
    KeptFleet(out, fleet, run).open()
    if damage is None:
        (out / "rounds.jsonl").unlink()
    else:
        (out / "rounds.jsonl").write_text(damage + "\n", encoding="utf-8")
    with pytest.raises(RunFileError, match="rounds.jsonl is missing or damaged; start the fleet"):
        KeptFleet(out, fleet, run).open()


def test_folder_is_no_fleet_file(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["fleet", str(tmp_path)])
    assert done.exit_code == RunFileError.exit_code
    assert done.stderr == f"fixgrad: cannot read the fleet file {tmp_path}: Is a directory\n"
