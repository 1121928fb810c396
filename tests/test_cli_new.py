"""`fixgrad new`: a run file that can be trained at once, or one line that says why not."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from fixgrad.cli import cli
from fixgrad.run import prepare
from fixgrad.runfile import load_run


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def new(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["new", *arguments], prog_name="fixgrad")


def refusal(exit_code: int, *arguments: str) -> str:
    """Return the line on stderr of a refused command; nothing may have been written."""
    before = {path: path.read_bytes() for path in Path().iterdir() if path.is_file()}
    result = new(*arguments)
    assert (result.exit_code, result.stdout) == (exit_code, "")
    assert {path: path.read_bytes() for path in Path().iterdir() if path.is_file()} == before
    assert result.stderr.startswith("fixgrad: ")
    assert result.stderr.count("\n") == 1
    return result.stderr.removeprefix("fixgrad: ").rstrip("\n")


def test_new_without_options_is_digits() -> None:
    result = new("digits.toml")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        "wrote digits.toml: digits (1797 samples, 64 features, 10 classes), layers 64-32-10, "
        "2410 parameters\n"
        "next: fixgrad train digits.toml --port sim://\n"
    )
    assert prepare(load_run(Path("digits.toml"))).config.layers == (64, 32, 10)


def test_every_option_reaches_the_run_file() -> None:
    result = new(
        "a.toml", "--data", "wine", "--layers", "13-16-8-3", "--activation", "tanh", "--epochs",
        "7", "--batch-size", "5", "--learning-rate", "0.25", "--seed", "9",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    run = load_run(Path("a.toml"))
    assert (run.data.source, run.model.layers, run.seed) == ("wine", (13, 16, 8, 3), 9)
    assert run.model.activation == ("tanh", "tanh")
    training = run.training
    assert (training.epochs, training.batch_size, training.learning_rate) == (7, 5, 0.25)


def test_csv_is_found_from_where_the_command_runs_and_from_the_run_file() -> None:
    Path("data").mkdir()
    rows = "".join(f"{'ab'[n % 2]},{n},{n}\n" for n in range(30))
    Path("data/a.csv").write_text("kind,x,y\n" + rows)
    result = new("runs/a.toml", "--data", "data/a.csv", "--label", "kind")
    assert result.exit_code == 0, result.stderr
    run = load_run(Path("runs/a.toml"))
    assert run.data.source == "../data/a.csv"
    assert prepare(run).class_names == ("a", "b")
    assert run.model.layers == (2, 16, 2)


def test_label_place_and_labels_file_reach_the_run_file() -> None:
    Path("a.csv").write_text("".join(f"{n % 2},{n}\n" for n in range(30)))
    np.save("x.npy", np.eye(30))
    np.save("classes.npy", np.arange(30) % 3)
    assert new("csv.toml", "--data", "a.csv", "--label", "1").exit_code == 0
    assert new("npy.toml", "--data", "x.npy", "--labels", "classes.npy").exit_code == 0
    assert load_run(Path("csv.toml")).data.label == 1
    assert prepare(load_run(Path("npy.toml"))).class_names == ("0", "1", "2")


def test_existing_file_is_not_overwritten_unless_forced() -> None:
    Path("a.toml").write_text("mine")
    assert refusal(2, "a.toml") == (
        "a.toml exists; choose another name, or --force to overwrite it"
    )
    assert new("a.toml", "--force").exit_code == 0
    assert load_run(Path("a.toml")).data.source == "digits"


@pytest.mark.parametrize(
    ("exit_code", "arguments", "line"),
    [
        (4, ["--data", "digit"],
         "no data set or file 'digit'; did you mean 'digits'? (built in: digits, wine, iris, "
         "breast_cancer, diabetes; or a CSV, .npz, .npy or IDX file)"),
        (4, ["--layers", "60-32-10"],
         "--layers 60-32-10: digits has 64 features, but the first layer is 60 wide; type "
         "--layers 64-32-10"),
        (4, ["--layers", "64-32-9"],
         "--layers 64-32-9: digits has 10 classes, but the last layer has only 9 outputs; type "
         "--layers 64-32-10"),
        (3, ["--layers", "64"],
         "a.toml: layers = [64]: 1 widths; type at least the number of features and the number of "
         "classes, e.g. layers = [64, 32, 10]"),
        (3, ["--epochs", "0"],
         "a.toml: epochs = 0: out of range; type a whole number from 1 to 1000000, e.g. "
         "epochs = 30"),
        (3, ["--learning-rate", "nan"],
         "a.toml: learning_rate = nan: out of range; type a number above 0, e.g. "
         "learning_rate = 0.1"),
        (3, ["--batch-size", "5000"],
         "a.toml: batch_size = 5000: larger than the training part of 1437 samples; type 1437 or "
         "less"),
        (4, ["--data", "one.csv"],
         "one.csv: all 4 samples have the class 'a'; training needs at least two classes (is the "
         "label column right?)"),
        (4, ["--data", "nan.csv"],
         "nan.csv: row 2, column 1: nan is not a finite number; fill it in or delete the row"),
        (4, ["--data", "empty.csv"], "empty.csv is empty"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(exit_code: int, arguments: list[str], line: str) -> None:
    Path("one.csv").write_text("1,a\n2,a\n3,a\n4,a\n")
    Path("nan.csv").write_text("1,a\nnan,b\n")
    Path("empty.csv").write_text("")
    assert refusal(exit_code, "a.toml", *arguments) == line


@pytest.mark.parametrize("arguments", [["--layers", "64,32,10"], ["--epochs", "many"], []])
def test_malformed_option_is_a_usage_error(arguments: list[str]) -> None:
    result = new(*(["a.toml", *arguments] if arguments else []))
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("Usage: fixgrad new")
    assert not Path("a.toml").exists()


def test_file_that_cannot_be_written_is_one_line() -> None:
    Path("file").write_text("")
    result = new("file/a.toml")
    assert result.exit_code == 1
    assert result.stderr in (
        "fixgrad: file: File exists\n", "fixgrad: file/a.toml: Not a directory\n"
    )  # fmt: skip
