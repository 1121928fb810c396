"""`fixgrad train`, `eval`, `predict`, `validate`, `selftest` and `demo` on the simulated device."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from fixgrad import datasets, session, training
from fixgrad.cli import cli
from fixgrad.device import Device
from fixgrad.digest import state_digest
from fixgrad.errors import LinkError, StoreError
from fixgrad.reference import Reference
from fixgrad.run import prepare
from fixgrad.rundir import RunFolder
from fixgrad.runfile import format_run, load_run, new_run
from fixgrad.session import SessionLostError

SIM = ("--port", "sim://")


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def fixgrad(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments), prog_name="fixgrad")


def refusal(exit_code: int, *arguments: str) -> str:
    """Return the line on stderr of a refused command that prints no result."""
    result = fixgrad(*arguments)
    assert (result.exit_code, result.stdout) == (exit_code, ""), result.output
    assert result.stderr.splitlines()[-1].startswith("fixgrad: ")
    return result.stderr.splitlines()[-1].removeprefix("fixgrad: ")


def write_run(name: str, source: str = "iris", **settings: object) -> Path:
    layers = {"iris": (4, 8, 3), "digits": (64, 32, 10)}[source]
    run = new_run(Path(name), source=source, layers=layers, settings={"epochs": 3, **settings})
    Path(name).write_text(format_run(run))
    return Path(name)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, dict[str, Any]]:
    """A run that was trained once, and what `train --json` said of it."""
    folder = tmp_path_factory.mktemp("trained")
    run = new_run(folder / "iris.toml", source="iris", layers=(4, 8, 3), settings={"epochs": 20})
    run.path.write_text(format_run(run))
    out = folder / "out"
    with pytest.MonkeyPatch.context() as patched:  # however busy the machine, nothing is sent again
        patched.setattr(session, "TIMER_BASE_S", 60.0)
        result = fixgrad("train", str(run.path), *SIM, "--out", str(out), "--json")
    assert result.exit_code == 0, result.stderr
    return RunFolder(out), json.loads(result.stdout)


def reference_state(folder: RunFolder) -> Reference:
    """Train the run of a folder in the reference."""
    prepared = prepare(folder.run())
    reference = Reference(prepared.config, prepared.initial)
    for step in range(prepared.schedule.steps):
        rows = prepared.schedule.step_indices(step)
        rate = prepared.schedule.learning_rate(step)
        reference.step(prepared.train.features[rows], prepared.train.targets[rows], *rate)
    return reference


# --- train ----------------------------------------------------------------------------------------


def test_report_tells_what_the_reference_finds(
    trained: tuple[RunFolder, dict[str, Any]],
) -> None:
    folder, report = trained
    reference, prepared = reference_state(folder), prepare(folder.run())
    assert report["digest"] == f"{reference.digest():08x}"
    assert report["steps"] == prepared.schedule.steps == 20 * 15
    right = reference.predict(prepared.test.features).ravel() == prepared.test.targets
    assert report["test_accuracy"] == right.mean()
    assert (report["test_samples"], report["parameters"]) == (30, 5 * 8 + 9 * 3)


def test_link_counts_every_sample_once(trained: tuple[RunFolder, dict[str, Any]]) -> None:
    _, report = trained
    link = report["link"]
    assert link["efficiency"] == round(link["payload_bytes"] / link["wire_bytes"], 4)
    assert link["round_trip_ms"] > 0
    assert link["frames"] > 0
    assert (link["retransmitted_bytes"], link["go_backs"]) == (0, 0)
    # 114 values stand in the features: a table of 128, 4 codes of 7 bits and a class each, once.
    assert link["cached"] is True
    assert link["payload_bytes"] == 10 + 128 * 2 + 120 * (4 + 1)
    assert link["wire_bytes"] > link["payload_bytes"]


def test_folder_holds_the_run_its_parameters_and_a_line_an_epoch(
    trained: tuple[RunFolder, dict[str, Any]],
) -> None:
    folder, report = trained
    config = folder.config()
    assert f"{state_digest(folder.final(config)):08x}" == report["digest"]
    assert folder.initial(config).encode() == prepare(folder.run()).initial.encode()
    metrics = folder.metrics()
    assert [line["epoch"] for line in metrics] == list(range(1, 21))
    assert metrics[-1]["digest"] == report["digest"]
    assert metrics[-1]["loss"] < metrics[0]["loss"]
    for name in ("initial.npz", "final.npz"):
        with np.load(folder.path / name, allow_pickle=False) as arrays:
            assert arrays["weights_0"].shape == (8, 4)


def test_text_report_stands_on_stdout_and_progress_on_stderr() -> None:
    result = fixgrad("train", str(write_run("a.toml")), *SIM)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith("test accuracy on posix: ")
    assert "45 steps, digest " in lines[1]
    assert lines[2] == "kept in runs/a"
    told, *epochs = result.stderr.splitlines()
    assert told == "the board keeps the 120 samples, 866 bytes: they are sent once"
    assert [line[:9] for line in epochs] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]
    assert "\x1b" not in result.output


def test_port_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIXGRAD_PORT", "sim://")
    assert fixgrad("train", str(write_run("a.toml"))).exit_code == 0


def test_default_folder_is_never_that_of_another_run() -> None:
    first = fixgrad("train", str(write_run("a.toml")), *SIM, "--json")
    again = fixgrad("train", str(write_run("a.toml")), *SIM, "--json")
    other = fixgrad("train", str(write_run("a.toml", seed=2)), *SIM, "--json")
    folders = [json.loads(result.stdout)["out"] for result in (first, again, other)]
    assert folders == ["runs/a", "runs/a", "runs/a-2"]


def test_out_folder_of_another_run_is_replaced_only_if_forced() -> None:
    run = str(write_run("a.toml"))
    assert fixgrad("train", run, *SIM, "--out", "out").exit_code == 0
    other = str(write_run("b.toml", seed=2))
    assert refusal(2, "train", other, *SIM, "--out", "out") == (
        "--out out holds another run; give another folder, or --force to replace it"
    )
    assert RunFolder(Path("out")).run().seed == 1
    assert fixgrad("train", other, *SIM, "--out", "out", "--force").exit_code == 0
    assert RunFolder(Path("out")).run().seed == 2


def test_out_that_is_a_file_is_refused() -> None:
    Path("out").write_text("")
    line = refusal(2, "train", str(write_run("a.toml")), *SIM, "--out", "out")
    assert line == "--out out is a file; give a folder"


@pytest.mark.parametrize(
    "arguments", [[], ["a.toml", "--resume", "b"], ["--resume", "a", "--out", "b"]]
)
def test_train_needs_either_a_run_file_or_a_folder(arguments: list[str]) -> None:
    result = fixgrad("train", *SIM, *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("Usage: fixgrad train")


@pytest.mark.parametrize("command", ["train", "validate", "plan"])
def test_missing_run_file_is_one_line(command: str) -> None:
    port = SIM if command != "plan" else ()
    assert refusal(3, command, "no.toml", *port) == (
        "no run file no.toml; `fixgrad new no.toml` writes one"
    )


@pytest.mark.parametrize("command", ["train", "validate", "plan"])
def test_mistake_in_the_run_file_names_key_and_line(command: str) -> None:
    path = write_run("a.toml")
    path.write_text(path.read_text().replace("epochs = 3", "epochs = -3"))
    line = next(n for n, text in enumerate(path.read_text().splitlines(), 1) if "= -3" in text)
    port = SIM if command != "plan" else ()
    assert refusal(3, command, "a.toml", *port) == (
        f"a.toml:{line}: epochs = -3: out of range; type a whole number from 1 to 1000000, e.g. "
        "epochs = 30"
    )


def test_model_that_does_not_fit_tells_bytes_and_what_would() -> None:
    file = str(write_run("a.toml", "digits"))
    assert refusal(6, "train", file, "--port", "sim://?arena=6000") == (
        "the model needs 6,732 bytes, posix has 6,000 bytes for it; batch_size = 4 or layers = "
        "[64, 27, 10] would fit"
    )
    assert not Path("runs").exists()


# --- interruptions --------------------------------------------------------------------------------


def break_at(
    monkeypatch: pytest.MonkeyPatch, answer: int, break_link: Callable[[Device], None]
) -> None:
    """Let something happen once, after so many answers of the device to training samples."""
    train, seen = Device.train, [0]

    def broken(device: Device, *arguments: Any, **options: Any) -> Any:
        for progress in train(device, *arguments, **options):
            yield progress
            seen[0] += 1
            if seen[0] == answer:
                break_link(device)

    monkeypatch.setattr(Device, "train", broken)


def stop_answering(device: Device) -> None:
    raise LinkError("the device on sim:// stopped answering")


def press_reset(device: Device) -> None:
    raise SessionLostError("the device was reset")


def press_control_c(device: Device) -> None:
    raise KeyboardInterrupt


def test_lost_link_keeps_the_checkpoint_and_says_how_to_continue(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = str(write_run("a.toml", "digits"))
    whole = json.loads(fixgrad("train", run, *SIM, "--out", "whole", "--json").stdout)
    with monkeypatch.context() as patch:
        answers = len_of_answers(patch, run) // 2
        break_at(patch, answers, stop_answering)
        assert refusal(8, "train", run, *SIM, "--out", "out") == (
            "the device on sim:// stopped answering; the last checkpoint is kept, continue with: "
            "fixgrad train --resume out --port sim://"
        )
    assert not (Path("out") / "final.npz").exists()
    resumed = fixgrad("train", "--resume", "out", *SIM, "--json")
    assert resumed.exit_code == 0, resumed.stderr
    assert json.loads(resumed.stdout)["digest"] == whole["digest"]
    lines = [(Path(f) / "metrics.jsonl").read_text() for f in ("out", "whole")]
    assert lines[0] == lines[1]


def len_of_answers(monkeypatch: pytest.MonkeyPatch, run: str) -> int:
    """Count the answers of a whole run."""
    counted = [0]
    train = Device.train

    def counting(device: Device, *arguments: Any, **options: Any) -> Any:
        for progress in train(device, *arguments, **options):
            counted[0] += 1
            yield progress

    with monkeypatch.context() as patch:
        patch.setattr(Device, "train", counting)
        assert fixgrad("train", run, *SIM, "--out", "counted").exit_code == 0
    return counted[0]


STREAM = ["--stream"]
KEPT: list[str] = []


def test_streamed_samples_are_packed_and_counted_in_every_epoch() -> None:
    run = str(write_run("a.toml", "digits"))
    kept = json.loads(fixgrad("train", run, *SIM, "--out", "kept", "--json").stdout)
    streamed = json.loads(fixgrad("train", run, *SIM, *STREAM, "--out", "out", "--json").stdout)
    assert kept["digest"] == streamed["digest"]
    assert streamed["link"]["cached"] is False
    assert streamed["link"]["payload_bytes"] == 3 * 1437 * (64 * 5 // 8 + 1)


@pytest.mark.parametrize(("way", "answer"), [(STREAM, 5), (KEPT, 2)])
def test_reset_of_the_device_is_told_and_changes_no_bit(
    monkeypatch: pytest.MonkeyPatch, way: list[str], answer: int
) -> None:
    run = str(write_run("a.toml", "digits"))
    whole = json.loads(fixgrad("train", run, *SIM, "--out", "whole", "--json").stdout)
    break_at(monkeypatch, answer, press_reset)
    result = fixgrad("train", run, *SIM, *way, "--out", "out", "--json")
    told = "the device had lost the session; going on"
    assert told in result.stderr
    assert json.loads(result.stdout)["digest"] == whole["digest"]


def end_process(device: Device) -> None:
    process = device._port._simulator._process
    process.kill()
    process.wait()


@pytest.mark.parametrize(("way", "answer", "sample"), [(STREAM, 5, 0), (KEPT, 2, 1437)])
def test_vanished_port_is_waited_for_and_changes_no_bit(
    monkeypatch: pytest.MonkeyPatch, way: list[str], answer: int, sample: int
) -> None:
    run = str(write_run("a.toml", "digits"))
    whole = json.loads(fixgrad("train", run, *SIM, "--out", "whole", "--json").stdout)
    break_at(monkeypatch, answer, end_process)
    result = fixgrad("train", run, *SIM, *way, "--out", "out", "--json")
    assert "vanished" in result.stderr and "waiting for it" in result.stderr
    assert f"back on sim://; going on from the last checkpoint, sample {sample}" in result.stderr
    assert json.loads(result.stdout)["digest"] == whole["digest"]


def reset_board(device: Device) -> None:
    device._port.reset_device()


@pytest.mark.parametrize("called", ["hello", "evaluate", "infer"])
@pytest.mark.parametrize(
    ("strike", "told"),
    [
        (reset_board, "the device had lost the session; loading the parameters again"),
        (end_process, "back on sim://; loading the parameters again"),
    ],
)
def test_board_that_is_lost_behind_the_last_step_is_measured_all_the_same(
    monkeypatch: pytest.MonkeyPatch, called: str, strike: Callable[[Device], None], told: str
) -> None:
    run = str(write_run("a.toml", "digits"))
    whole = json.loads(fixgrad("train", run, *SIM, "--out", "whole", "--json").stdout)
    work, conclude, left = getattr(Device, called), training._Trainer._conclude, []

    def concluding(trainer: Any) -> Any:
        left.append(called)
        yield from conclude(trainer)

    def struck(device: Device, *arguments: Any) -> Any:
        if left:
            left.clear()
            strike(device)
        return work(device, *arguments)

    monkeypatch.setattr(training._Trainer, "_conclude", concluding)
    monkeypatch.setattr(Device, called, struck)
    result = fixgrad("train", run, *SIM, "--out", "out", "--json")
    assert told in result.stderr
    report = json.loads(result.stdout)
    assert [report[key] for key in ("digest", "test_loss", "metrics")] == [
        whole[key] for key in ("digest", "test_loss", "metrics")
    ]


def test_board_that_stays_away_behind_the_last_step_is_told_with_the_next_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = str(write_run("a.toml", "digits"))
    evaluate = Device.evaluate

    def struck(device: Device, *arguments: Any) -> Any:
        end_process(device)
        return evaluate(device, *arguments)

    monkeypatch.setattr(Device, "evaluate", struck)
    line = refusal(7, "train", run, *SIM, "--out", "out", "--wait", "0")
    assert "the parameters are kept, measure them with: fixgrad eval out --port sim://" in line


def test_vanished_port_is_not_waited_for_longer_than_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = str(write_run("a.toml", "digits"))
    break_at(monkeypatch, 1, end_process)
    line = refusal(7, "train", run, *SIM, "--out", "out", "--wait", "0")
    assert "vanished" in line and "continue with: fixgrad train --resume out" in line


def test_second_control_c_keeps_the_last_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    break_at(monkeypatch, 1, press_control_c)
    assert refusal(130, "train", str(write_run("a.toml")), *SIM, "--out", "o u t") == (
        "stopped; the last checkpoint is kept, continue with: fixgrad train --resume 'o u t' "
        "--port sim://"
    )


def test_resuming_a_finished_run_measures_it_again(
    trained: tuple[RunFolder, dict[str, Any]],
) -> None:
    folder, report = trained
    result = fixgrad("train", "--resume", str(folder.path), *SIM, "--json")
    assert result.exit_code == 0, result.stderr
    again = json.loads(result.stdout)
    for key in ("digest", "steps", "test_accuracy", "train_loss", "train_accuracy"):
        assert again[key] == report[key]


def test_resume_of_a_folder_without_run_is_refused() -> None:
    Path("empty").mkdir()
    assert refusal(3, "train", "--resume", "no", *SIM) == (
        "no folder no; give the folder that `fixgrad train` wrote (its --out)"
    )
    assert refusal(3, "train", "--resume", "empty", *SIM) == (
        "empty holds no run (run.toml is missing); give the folder that `fixgrad train` wrote "
        "(its --out)"
    )


def test_run_does_not_need_its_source_any_more() -> None:
    Path("a.csv").write_text("".join(f"{n},{n % 3}\n" for n in range(40)))
    assert fixgrad("new", "a.toml", "--data", "a.csv", "--epochs", "1").exit_code == 0
    trained = fixgrad("train", "a.toml", *SIM, "--out", "out", "--json")
    Path("a.csv").unlink()
    for command in (["train", "--resume", "out"], ["eval", "out"]):
        result = fixgrad(*command, *SIM, "--json")
        assert result.exit_code == 0, result.stderr
        assert json.loads(result.stdout)["digest"] == json.loads(trained.stdout)["digest"]


def test_run_whose_settings_were_changed_is_not_continued() -> None:
    assert fixgrad("train", str(write_run("a.toml")), *SIM, "--out", "out").exit_code == 0
    path = Path("out/run.toml")
    path.write_text(path.read_text().replace("epochs = 3", "epochs = 4"))
    for command in (["train", "--resume", "out"], ["eval", "out"]):
        assert refusal(3, *command, *SIM) == (
            "out was begun with other settings or another version of fixgrad: its files no longer "
            "make the run that it names; train the run again"
        )


def test_disk_that_is_full_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    line = refusal(1, "train", str(write_run("a.toml")), *SIM, "--out", "out")
    assert line == "out/data.json: No space left on device"


# --- eval and predict -----------------------------------------------------------------------------


def test_eval_measures_what_training_reported(
    trained: tuple[RunFolder, dict[str, Any]],
) -> None:
    folder, report = trained
    result = fixgrad("eval", str(folder.path), *SIM, "--json")
    assert result.exit_code == 0, result.stderr
    measured = json.loads(result.stdout)
    for key in ("digest", "test_accuracy", "test_loss"):
        assert measured[key] == report[key]
    text = fixgrad("eval", str(folder.path), *SIM).stdout
    assert text.startswith(f"test accuracy on posix: {100 * report['test_accuracy']:.2f} % (")


def iris_rows(labelled: bool) -> tuple[str, list[str]]:
    """Return iris as CSV text, and its class names row by row."""
    dataset = datasets.load("iris")
    names = [dataset.class_names[int(k)] for k in dataset.samples.targets]
    rows = [",".join(map(str, row)) for row in dataset.samples.features]
    if labelled:
        rows = [f"{row},{name}" for row, name in zip(rows, names, strict=True)]
    return "\n".join(rows) + "\n", names


def test_predict_names_the_class_that_the_reference_predicts(
    trained: tuple[RunFolder, dict[str, Any]],
) -> None:
    folder, _ = trained
    Path("rows.csv").write_text(iris_rows(labelled=False)[0])
    result = fixgrad("predict", str(folder.path), "rows.csv", *SIM)
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    form = folder.form()
    inputs = form.scaling.apply(datasets.load("iris").samples.features, "iris")
    expected = reference_state(folder).predict(inputs).ravel()
    assert lines[0] == "prediction,confidence"
    assert [line.split(",")[0] for line in lines[1:]] == [form.class_names[k] for k in expected]
    assert all(1 / 3 <= float(line.split(",")[1]) <= 1 for line in lines[1:])


def test_predict_compares_with_the_label_column_if_there_is_one(
    trained: tuple[RunFolder, dict[str, Any]],
) -> None:
    folder, _ = trained
    text, names = iris_rows(labelled=True)
    Path("rows.csv").write_text(text)
    result = fixgrad("predict", str(folder.path), "rows.csv", *SIM, "--json")
    predictions = json.loads(result.stdout)["predictions"]
    right = sum(a == b for a, b in zip(predictions, names, strict=True))
    assert result.stderr == f"{right} of 150 rows have this label in rows.csv\n"


def test_a_deployed_net_predicts_after_a_power_on_without_being_sent(
    trained: tuple[RunFolder, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, report = trained
    port = ("--port", "sim://?flash=flash")
    Path("rows.csv").write_text(iris_rows(labelled=False)[0])
    sent = fixgrad("predict", str(folder.path), "rows.csv", *SIM).stdout
    result = fixgrad("deploy", str(folder.path), *port)
    assert (result.exit_code, result.stdout) == (
        0, f"board posix keeps digest {report['digest']}, checkpoint 1 of its flash\n"
    )  # fmt: skip
    monkeypatch.delattr(Device, "load")
    assert fixgrad("predict", str(folder.path), "rows.csv", *port).stdout == sent


def test_deploy_is_refused_where_there_is_no_flash(
    trained: tuple[RunFolder, dict[str, Any]],
) -> None:
    assert refusal(12, "deploy", str(trained[0].path), *SIM) == (
        "board posix keeps no checkpoint of this model: it is larger than the flash set aside for "
        "it, or there is none (fixgrad plan tells both; sim:// has it as sim://?flash=FILE), or "
        "the samples it is trained on lie in the flash: stream them"
    )


def test_flash_that_is_worn_out_at_the_end_costs_no_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The host hears of the first write and of the last; the folder has the end either way."""
    file = str(write_run("a.toml"))
    digest = json.loads(fixgrad("train", file, *SIM, "--out", "b", "--json").stdout)["digest"]
    save, saves = Device.save, []

    def worn_out(device: Device, position: int, every: int = 0) -> int:
        saves.append(every)
        if len(saves) > 1:
            raise StoreError("worn out")
        return save(device, position, every)

    monkeypatch.setattr(Device, "save", worn_out)
    port = ("--port", "sim://?flash=flash")
    line = refusal(12, "train", file, *port, "--save-every", "5", "--out", "a")
    assert (line, saves) == ("worn out", [5, 0])
    resumed = fixgrad("train", "--resume", "a", *SIM, "--json")
    assert json.loads(resumed.stdout)["digest"] == digest


def test_board_that_stands_at_the_end_needs_no_sample() -> None:
    file = str(write_run("a.toml"))
    run = ("--port", "sim://?flash=flash", "--save-every", "5")
    fixgrad("train", file, *run, "--out", "a")
    again = fixgrad("train", "--resume", "a", *run)
    assert "; no sample had to be sent: the board had them, or stood at the end" in again.stdout


def test_epoch_that_the_board_trained_alone_has_no_made_up_figures(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checkpoints: dict[int, bytes] = {}

    def remember(folder: RunFolder, config: Any, state: Any, position: int, *rest: Any) -> None:
        save(folder, config, state, position, *rest)
        checkpoints[position] = Path("a/checkpoint.npz").read_bytes()

    save = RunFolder.save_checkpoint
    monkeypatch.setattr(RunFolder, "save_checkpoint", remember)
    file = str(write_run("a.toml"))
    run = ("--port", "sim://?flash=flash", "--save-every", "5")
    fixgrad("train", file, *run, "--out", "a")
    Path("a/checkpoint.npz").write_bytes(checkpoints[2 * 120])
    again = fixgrad("train", "--resume", "a", *run)
    assert "epoch 3/3  no sample counted\n" in again.output
    lines = [json.loads(line) for line in Path("a/metrics.jsonl").read_text().splitlines()]
    assert [line["samples"] for line in lines] == [120, 120, 0]
    assert ["loss" in line and "accuracy" in line for line in lines] == [True, True, False]
    assert fixgrad("report", "a").exit_code == 0
    assert Path("a/report.html").read_text().count("<td>not counted</td>") == 1


def test_a_run_is_refused_at_its_start_where_the_board_has_no_flash_to_keep_it() -> None:
    line = refusal(12, "train", str(write_run("a.toml")), "--port", "qemu://disco_f100rb",
                   "--save-every", "5", "--out", "out")  # fmt: skip
    assert line == (
        "board disco_f100rb has no store, which --save-every and deploy need; take a board with "
        "one (fixgrad boards)"
    )
    assert RunFolder(Path("out")).metrics() == []


def test_predict_writes_a_file_when_told(trained: tuple[RunFolder, dict[str, Any]]) -> None:
    folder, _ = trained
    Path("rows.csv").write_text("5.1,3.5,1.4,0.2\n")
    result = fixgrad("predict", str(folder.path), "rows.csv", *SIM, "--output", "out.csv")
    assert (result.stdout, result.stderr) == ("", "wrote 1 predictions to out.csv\n")
    assert Path("out.csv").read_text().startswith("prediction,confidence\nsetosa,")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("1,2,3\n", "rows.csv: row 1 has 3 columns, but the model reads 4 features (4 columns, or "
                    "5 with the label)"),
        ("1,2,3,nan\n",
         "rows.csv: row 1, column 4: nan is not a finite number; fill it in or delete the row"),
        ("", "rows.csv is empty"),
    ],
)  # fmt: skip
def test_rows_that_cannot_be_predicted_are_one_line(
    trained: tuple[RunFolder, dict[str, Any]], text: str, line: str
) -> None:
    Path("rows.csv").write_text(text)
    assert refusal(4, "predict", str(trained[0].path), "rows.csv", *SIM) == line


def test_eval_of_an_unfinished_run_says_how_to_finish_it() -> None:
    folder = RunFolder(Path("out"))
    folder.create(prepare(load_run(write_run("a.toml"))))
    assert refusal(3, "eval", "out", *SIM) == (
        "out holds no trained parameters yet (final.npz is missing); finish the run: fixgrad train "
        "--resume out --port URL"
    )


# --- validate, selftest, demo ---------------------------------------------------------------------


def test_validate_ends_with_the_line_of_the_proof() -> None:
    result = fixgrad("validate", str(write_run("a.toml")), *SIM)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines()[-1] == "bit-exact: 45 steps, 67 parameters, 0 differences"


def test_validate_of_some_steps_in_json() -> None:
    result = fixgrad("validate", str(write_run("a.toml")), *SIM, "--steps", "7", "--json")
    report = json.loads(result.stdout)
    assert (result.exit_code, report["steps"], report["differences"]) == (0, 7, 0)
    assert report["first_difference"] is None


@pytest.fixture
def wrong_bit_in_step_6(monkeypatch: pytest.MonkeyPatch) -> None:
    step = Reference.step

    def wrong(reference: Reference, *arguments: Any) -> Any:
        result = step(reference, *arguments)
        if reference.state.step == 6:
            reference.state.weights[0][2, 1] ^= 1
        return result

    monkeypatch.setattr(Reference, "step", wrong)


@pytest.mark.usefixtures("wrong_bit_in_step_6")
def test_validate_finds_the_first_differing_integer() -> None:
    line = refusal(11, "validate", str(write_run("a.toml")), *SIM)
    assert line.startswith("first difference at step 6, weights of layer 0[2, 1]: device ")
    assert line.endswith("(1 values differ)")


@pytest.mark.usefixtures("wrong_bit_in_step_6")
def test_difference_in_json_leaves_with_its_exit_code() -> None:
    result = fixgrad("validate", str(write_run("a.toml")), *SIM, "--json")
    found = json.loads(result.stdout)["first_difference"]
    assert result.exit_code == 11
    assert (found["step"], found["tensor"], found["element"]) == (6, "weights", [2, 1])
    assert abs(found["device"] - found["reference"]) == 1


def test_selftest_passes_the_packaged_vectors() -> None:
    result = fixgrad("selftest", *SIM, "--json")
    report = json.loads(result.stdout)
    assert result.exit_code == 0
    assert (report["passed"], report["failed"]) == (len(report["cases"]), 0)
    assert len(report["cases"]) >= 20


def test_selftest_of_a_wrong_vector_names_it(root: Path) -> None:
    Path("vectors").mkdir()
    good = root / "host" / "fixgrad" / "vectors" / "xor_sigmoid.npz"
    arrays = dict(np.load(good, allow_pickle=False))
    arrays["digest"][3] ^= 1
    np.savez("vectors/wrong.npz", **arrays)
    result = fixgrad("selftest", *SIM, "--vectors", "vectors")
    assert result.exit_code == 11
    assert result.stderr.startswith("fixgrad: 1 of 1 cases failed on posix; the first is ")
    assert "digest after step 4 is 0x" in result.stderr


def test_selftest_without_vectors_is_refused() -> None:
    Path("empty").mkdir()
    assert refusal(4, "selftest", *SIM, "--vectors", "empty") == (
        "--vectors empty holds no vector files (.npz)"
    )
    assert refusal(4, "selftest", *SIM, "--vectors", "no") == (
        "--vectors no is not a folder; give one with vector files (.npz)"
    )


def test_demo_trains_beyond_95_percent_and_proves_it() -> None:
    result = fixgrad("demo", *SIM)
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert float(lines[1].removeprefix("test accuracy on the device: ").split()[0]) >= 95
    assert lines[2] == "kept in runs/demo; look at it with: fixgrad report runs/demo --open"
    assert lines[-1] == "bit-exact: 1800 steps, 2410 parameters, 0 differences"
    kept = RunFolder(Path("runs/demo")).result()
    assert kept is not None
    assert (kept["board"], kept["digest"]) == ("posix", lines[3].split()[1].rstrip(","))
