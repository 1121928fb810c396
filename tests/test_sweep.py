"""Sweeps: what is asked is trained, nothing finished is lost or repeated, the best net fits."""

import contextlib
import json
import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner
from distributed import Client
from fixgrad.board import Board
from fixgrad.boards import BOARDS
from fixgrad.cli import cli
from fixgrad.cluster import cluster
from fixgrad.errors import FixgradError, RunFileError, UsageError
from fixgrad.run import prepare
from fixgrad.runfile import format_run, load_run
from fixgrad.sweep.driver import run_sweep
from fixgrad.sweep.records import Records
from fixgrad.sweep.sweepfile import Range, load_sweep
from fixgrad.sweep.trial import Outcome
from small_runs import iris_run

CAMPAIGN = Path(__file__).parent / "campaigns" / "sweep.py"
GUARD_S = 900
"""What takes so long has gone wrong."""

TRAINED = 96
"""Samples of Iris that a sweep trains on: the others decide and test."""

SWEEP = """
run = "iris.toml"
trials = {trials}
board = "disco_f100rb"
objectives = ["accuracy", "ram"]
sampler = "random"
[space]
"model.hidden" = ["4", "12", "500", "8-8"]
"training.learning_rate" = {{low = 0.02, high = 0.5, log = true}}
"training.batch_size" = {{low = 4, high = 16, step = 4}}
"""


def write(folder: Path, *, trials: int = 8, epochs: int = 2, text: str = SWEEP) -> Path:
    (folder / "iris.toml").write_text(iris_run(epochs=epochs, batch_size=8), "utf-8")
    file = folder / "search.toml"
    file.write_text(text.format(trials=trials), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """Two workers of this machine."""
    with cluster(None, 2) as client:
        yield client


@pytest.fixture(scope="module")
def swept(client: Client, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished sweep; its file lies beside it."""
    folder = tmp_path_factory.mktemp("sweep")
    run_sweep(load_sweep(write(folder)), folder / "out", client)
    return folder / "out"


def test_trials_are_what_was_asked(swept: Path) -> None:
    outcomes = Records.open(swept).outcomes()
    assert [outcome.number for outcome in outcomes] == list(range(8))
    for outcome in outcomes:
        if outcome.values["model.hidden"] == "500":
            assert outcome.status == "too large" and "accuracy" not in outcome.figures
        else:
            assert outcome.status == "complete"
            hidden = [int(width) for width in outcome.values["model.hidden"].split("-")]
            assert outcome.detail["layers"] == [4, *hidden, 3]
            assert 0.02 <= outcome.values["training.learning_rate"] <= 0.5
            assert outcome.values["training.batch_size"] in (4, 8, 12, 16)
    assert {outcome.status for outcome in outcomes} == {"complete", "too large"}


def test_a_trial_is_the_run_that_its_run_file_makes(swept: Path, tmp_path: Path) -> None:
    """Trained again from the written file, the best trial ends in the digest it was kept with."""
    outcome = Records.open(swept).best(BOARDS["disco_f100rb"])
    target = tmp_path / "best.toml"
    arguments = ["sweep", "best", str(swept), "--out", str(target), "--board"]
    for board, port in (("nrf52_dk", "URL"), ("disco_f100rb", "qemu://disco_f100rb")):
        done = CliRunner().invoke(cli, [*arguments, board])
        assert done.exit_code == 0, done.output
        assert done.stderr == f"next: fixgrad train {target} --port {port}\n"
    prepared = prepare(load_run(target))
    with Board("sim://") as board:
        assert f"{board.train(prepared).digest:08x}" == outcome.detail["digest"]


def test_front_is_what_nothing_beats(swept: Path) -> None:
    records = Records.open(swept)
    front = records.front()
    complete = [o for o in records.outcomes() if o.status == "complete"]
    for outcome in complete:
        better = [
            o for o in complete
            if o.figures["accuracy"] >= outcome.figures["accuracy"]
            and o.figures["ram"] <= outcome.figures["ram"]
            and (o.figures["accuracy"], o.figures["ram"])
            != (outcome.figures["accuracy"], outcome.figures["ram"])
        ]  # fmt: skip
        assert (outcome in front) == (not better)


def test_command_continues_and_writes_table_and_page(swept: Path, tmp_path: Path) -> None:
    """The finished trials stay; one more is run because the file asks for one more."""
    swept = Path(shutil.copytree(swept, tmp_path / "out"))
    file = write(tmp_path, trials=9)
    before = {path.name: path.stat().st_mtime_ns for path in (swept / "trials").glob("*.json")}
    arguments = ["sweep", str(file), "--out", str(swept), "--workers", "1", "--json"]
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["trials"] == 9 and told["new"] == 1
    after = {path.name: path.stat().st_mtime_ns for path in (swept / "trials").glob("*.json")}
    assert before.items() < after.items()
    table = pd.read_parquet(swept / "trials.parquet")
    assert list(table["number"]) == list(range(9))
    assert len(pd.read_csv(swept / "trials.csv")) == 9
    page = (swept / "front.html").read_text(encoding="utf-8")
    assert "<svg" in page and "http-equiv" not in page and 'src="' not in page
    for number in (row["number"] for row in told["front"]):
        assert f"<td>{number}</td>" in page


def test_killed_driver_loses_nothing_and_the_best_net_trains_on_the_board() -> None:
    """The campaign in short: one kill of the driver, twelve trials."""
    done = subprocess.run(
        [sys.executable, str(CAMPAIGN), "--trials", "12", "--epochs", "2", "--kills", "1"],
        capture_output=True, text=True, timeout=GUARD_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("12 trials") and "1 kills of the driver" in done.stdout
    assert "best on disco_f100rb" in done.stdout


def test_scheduler_and_workers_of_their_own(tmp_path: Path) -> None:
    """The same sweep on a Dask scheduler that was started apart gives the same trials."""
    dask = [sys.executable, "-m", "dask"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent / "host")}
    address_file = tmp_path / "scheduler.json"
    tail = ["--scheduler-file", str(address_file)]
    processes: list[subprocess.Popen[bytes]] = []

    def start(*command: str) -> None:
        processes.append(
            subprocess.Popen(
                [*dask, *command, "--no-dashboard"], env=environment, stderr=subprocess.DEVNULL,
                cwd=tmp_path,
            )
        )  # fmt: skip

    try:
        start("scheduler", "--port", "0", "--interface", "lo", *tail)
        address = None
        while address is None:
            assert processes[0].poll() is None
            time.sleep(0.05)
            with contextlib.suppress(OSError, ValueError):  # not there, or not all of it
                address = json.loads(address_file.read_text(encoding="utf-8"))["address"]
        start("worker", address, "--nworkers", "1", "--nthreads", "1")
        out = tmp_path / "out"
        arguments = ["sweep", str(write(tmp_path, trials=3)), "--out", str(out)]
        done = CliRunner().invoke(cli, [*arguments, "--scheduler", address, "--json"])
        assert done.exit_code == 0, done.output
        assert json.loads(done.stdout)["trials"] == 3
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait()


def costs(
    client: Client, folder: Path, board: str, objectives: str, space: str
) -> list[Outcome]:
    """Run a sweep of 4 short trials."""
    text = f"""
run = "iris.toml"
trials = 4
board = "{board}"
objectives = {objectives}
sampler = "random"
[space]
{space}
"""
    file = write(folder, text=text.replace("{", "{{").replace("}", "}}"))
    return run_sweep(load_sweep(file), folder / "out", client)


def test_costs_are_what_plan_tells(client: Client, tmp_path: Path) -> None:
    """Of the run file that `best` writes, on that board."""
    space = """
"model.hidden" = ["3", "7-5", "12"]
"training.batch_size" = [4, 8]
"""
    objectives = '["accuracy", "ram", "instructions", "time", "flash"]'
    outcomes = costs(client, tmp_path, "bbcmicrobit", objectives, space)
    records = Records.open(tmp_path / "out")
    assert len({outcome.figures["instructions"] for outcome in outcomes}) > 1
    for outcome in outcomes:
        target = tmp_path / "chosen.toml"
        target.write_text(format_run(records.run(outcome)), encoding="utf-8")
        arguments = ["plan", str(target), "--board", "bbcmicrobit", "--json"]
        told = json.loads(CliRunner().invoke(cli, arguments).stdout)
        board = told["boards"][0]
        assert outcome.figures["ram"] == told["ram_bytes"]
        assert outcome.figures["flash"] == board["checkpoint_bytes"]
        assert outcome.figures["instructions"] == board["instructions"]["step"]
        assert outcome.figures["time"] == board["instructions"]["step_seconds_at_least"]


def test_word_lengths_schedules_and_seeds_are_searched(client: Client, tmp_path: Path) -> None:
    space = """
seed = { low = 1, high = 9 }
"model.headroom" = ["auto", 2, 4]
"model.activation_bits" = { low = 4, high = 8 }
"model.activation" = ["relu", "sigmoid"]
"training.schedule" = ["cosine", "exponential"]
"training.momentum" = [0.0, 0.9]
"""
    outcomes = costs(client, tmp_path, "disco_f100rb", '["accuracy", "ram"]', space)
    records = Records.open(tmp_path / "out")
    assert {outcome.status for outcome in outcomes} == {"complete"}
    records.write_tables()
    table = pd.read_parquet(tmp_path / "out" / "trials.parquet")
    for outcome, headroom in zip(outcomes, table["model.headroom"], strict=True):
        assert headroom == str(outcome.values["model.headroom"])
    for outcome in outcomes:
        values, run = outcome.values, records.run(outcome)
        assert run.seed == values["seed"]
        assert run.model.activation_bits in (values["model.activation_bits"],
                                             (values["model.activation_bits"],))  # fmt: skip
        assert run.model.headroom == values["model.headroom"]
        assert run.training.schedule == values["training.schedule"]
        assert run.training.momentum == values["training.momentum"]


def test_search_leaves_nets_that_do_not_fit(client: Client, tmp_path: Path) -> None:
    """After its random beginning, TPE hardly asks for the three quarters that are too large."""
    text = SWEEP.replace('"random"', '"tpe"').replace(
        '["4", "12", "500", "8-8"]', '["8", "400", "500", "600"]'
    )
    sweep = load_sweep(write(tmp_path, trials=40, epochs=1, text=text))
    outcomes = run_sweep(sweep, tmp_path / "out", client)
    too_large = [outcome.status == "too large" for outcome in outcomes]
    assert all(not outcome.seconds for outcome in outcomes if outcome.status == "too large")
    assert sum(too_large[15:]) < 12


def test_pruner_stops_bad_runs(client: Client, tmp_path: Path) -> None:
    text = (
        SWEEP.replace('["accuracy", "ram"]', '["loss"]\npruner = "median"')
        .replace('"500", ', "")
        .replace("low = 0.02, high = 0.5, log = true", "low = 0.0001, high = 0.5, log = true")
    )
    sweep = load_sweep(write(tmp_path, trials=14, epochs=60, text=text))
    outcomes = run_sweep(sweep, tmp_path / "out", client)
    pruned = [outcome for outcome in outcomes if outcome.status == "pruned"]
    assert pruned
    for outcome in pruned:
        every = 60 * math.ceil(TRAINED / outcome.values["training.batch_size"])
        assert outcome.detail["steps"] < every


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("trials =", "trails =", "trails: unknown; known are run, trials, board"),
        ('run = "iris.toml"', 'run = "none.toml"', "no run file"),
        ("trials = {trials}", "trials = 0", "trials: 0 is not a whole number from 1 to 1000000000"),
        ('"iris.toml"', '"a\\u0000b"', "run: 'a\\x00b' is no path of a file: embedded null byte"),
        ('"disco_f100rb"', "[]", "board: [] is unknown; `fixgrad boards` lists them"),
        ('"ram"]', '["ram"]]', "objectives: ['ram'] is unknown; known are accuracy, loss, ram"),
        ('"500", ', '"5x", ', '"model.hidden": \'5x\' is no list of widths; type e.g. "32-16"'),
        ('"500", ', "true, ", '"model.hidden": True is no list of widths; type e.g. "32-16"'),
        ('["4", "12", "500", "8-8"]', "{low = 4.5, high = 8}}", '"model.hidden" is neither a list'),
        ("step = 4", "step = 0", '"training.batch_size" is neither a list'),
        ("step = 4", "step = 0.5", '"training.batch_size" is neither a list'),
        ("log = true", 'log = "yes"', '"training.learning_rate" is neither a list'),
        ("high = 0.5", "high = inf", '"training.learning_rate" is neither a list'),
        ('"disco_f100rb"', '"disco"', "board: 'disco' is unknown; `fixgrad boards` lists them"),
        ('"ram"]', '"flash"]', "flash is what a checkpoint takes, disco_f100rb keeps none"),
        ('"ram"]', '"speed"]', "objectives: 'speed' is unknown; known are accuracy, loss, ram"),
        ('"model.hidden"', '"model.width"', '"model.width" is no key of a run file'),
        ("high = 0.5", "high = 0.01", '"training.learning_rate" is neither a list'),
        ('"random"', '"random"\npruner = "median"', "pruner: needs accuracy or loss"),
        ('board = "disco_f100rb"', "", "board: missing, but instructions, time and flash need one"),
        ("trials = {trials}", f"trials = {'[' * 5000}", "nested too deeply to be a sweep file"),
    ],
)
def test_sweep_files_are_checked(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = SWEEP.replace(old, new)
    if "instructions" in message and not new:
        text = text.replace('"ram"]', '"time"]')
    with pytest.raises(RunFileError) as error:
        load_sweep(write(tmp_path, text=text.replace("= {low", "= {{low").replace("{{{{", "{{")))
    assert message in str(error.value) and "\n" not in str(error.value)


def test_folder_of_another_sweep_is_refused(swept: Path, tmp_path: Path) -> None:
    other = write(tmp_path, text=SWEEP.replace('"8-8"', '"9"'))
    done = CliRunner().invoke(cli, ["sweep", str(other), "--out", str(swept)])
    assert done.exit_code == RunFileError.exit_code
    assert "holds a sweep of other settings" in done.stderr


def test_run_file_without_a_validation_part_gets_one(client: Client, tmp_path: Path) -> None:
    """As `fixgrad new` writes it: with every default, validation_fraction = 0 among them."""
    file = write(tmp_path, trials=2, text=SWEEP.replace('"500", ', ""))
    whole = tmp_path / "iris.toml"
    whole.write_text(format_run(load_run(whole)), encoding="utf-8")
    assert load_run(whole).data.validation_fraction == 0
    outcomes = run_sweep(load_sweep(file), tmp_path / "out", client)
    assert [outcome.status for outcome in outcomes] == ["complete", "complete"]
    run = Records.open(tmp_path / "out").run(outcomes[0])
    assert run.data.validation_fraction == 0.2


def test_sweep_without_a_complete_trial_says_why(tmp_path: Path) -> None:
    text = SWEEP.replace("{{low = 4, high = 16, step = 4}}", "[-1]")
    file = write(tmp_path, trials=2, text=text.replace('"500", ', ""))
    arguments = ["sweep", str(file), "--out", str(tmp_path / "out"), "--workers", "1"]
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 0, done.output
    assert "2 of 2 trials were refused, such as trial 0: " in done.stderr
    assert "batch_size = -1: out of range" in done.stderr
    assert done.stdout.startswith("2 trials, 0 on the front; kept in ")
    assert "2 refused" in (tmp_path / "out" / "front.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("sweep.json", "{}", "sweep.json is damaged; start the sweep again in another --out"),
        ("sweep.json", "[]", "sweep.json is damaged; start the sweep again in another --out"),
        ("journal", "{", "journal is damaged; start the sweep again in another --out"),
        ("trials/000000.json", '{"number": 0, "values": 1, "status": "complete", "figures": {}, '
         '"detail": {}, "seconds": {}}', "000000.json is damaged; delete it and start the sweep"),
    ],
)  # fmt: skip
def test_damaged_folder_is_told(
    client: Client, swept: Path, tmp_path: Path, name: str, damage: str, message: str
) -> None:
    folder = tmp_path / "out"
    shutil.copytree(swept, folder)
    (folder / name).write_text(damage + "\n", encoding="utf-8")
    with pytest.raises(FixgradError) as error:
        run_sweep(load_sweep(write(swept.parent, trials=9)), folder, client)
    assert message in str(error.value)


def test_missing_extra_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.delitem(sys.modules, "fixgrad.sweep.driver")
    done = CliRunner().invoke(cli, ["sweep", str(write(tmp_path))])
    assert done.exit_code == UsageError.exit_code
    assert "sweeps need the package optuna, which is not installed: pip install" in done.stderr


def test_no_net_fits(tmp_path: Path) -> None:
    sweep = load_sweep(write(tmp_path))
    records = Records.begin(tmp_path / "out", sweep)
    values = {"model.hidden": "4"}
    Outcome(0, values, "complete", {"accuracy": 1.0, "ram": 7000}, {}, {}).write(records.folder)
    done = CliRunner().invoke(
        cli, ["sweep", "best", str(records.folder), "--board", "disco_f100rb"]
    )
    assert done.exit_code == 6
    assert "which has 6,736 B for models: the smallest of 1 needs 7,000 B" in done.stderr


def test_ranges_are_read_as_written(tmp_path: Path) -> None:
    space = load_sweep(write(tmp_path)).space
    assert space["training.learning_rate"] == Range(0.02, 0.5, None, True, False)
    assert space["training.batch_size"] == Range(4, 16, 4, False, True)
