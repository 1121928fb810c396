"""Every "yes" of docs/COMPARISON.md is a command that runs, as it stands there."""

import csv
import re
import shlex
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from fixgrad.cli import cli
from sklearn.datasets import load_iris

PAGE = Path(__file__).parent.parent / "docs" / "COMPARISON.md"
DATA = Path(__file__).parent / "data"
TUNED = """
[data]
source = "iris.csv"
[model]
layers = [4, 12, 3]
init = "file"
init_file = "weights.npz"
frozen_layers = 1
[training]
epochs = 1
learning_rate = 0.02
"""


def rows() -> list[list[str]]:
    """Return the cells of the table's rows."""
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line[:1] == "|"]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def commands() -> list[list[str]]:
    """Return the arguments of the command behind every yes of fixgrad."""
    found = []
    for row in rows():
        if row[1].startswith("yes"):
            named = re.match(r"yes: `fixgrad ([^`]+)`", row[1])
            assert named, f"{row[0]}: no command"
            found.append(shlex.split(named[1]))
    return found


def test_every_row_answers_for_every_tool() -> None:
    assert len(rows()) > 20
    for row in rows():
        assert len(row) == 6 and all(row), row
        assert re.match("yes: |no\\b", row[1]), row[1]


def test_every_source_is_named_and_used() -> None:
    text = PAGE.read_text(encoding="utf-8")
    listed = set(re.findall(r"^(\d)\. ", text, re.MULTILINE))
    assert set(re.findall(r"\d", "".join(re.findall(r"\[[\d, ]+\]", text)))) == listed


def test_every_yes_is_a_command_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    iris = load_iris()
    with Path("iris.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow([*iris.feature_names, "species"])
        table.writerows(
            [*row, iris.target_names[k]] for row, k in zip(iris.data, iris.target, strict=True)
        )
    shutil.copy(DATA / "torch_iris.pt", "net.pt")
    Path("tuned.toml").write_text(TUNED)
    for arguments in commands():
        result = CliRunner().invoke(cli, arguments, prog_name="fixgrad")
        assert result.exit_code == 0, f"{arguments}: {result.output}"
        if arguments[0] == "new":  # the file says twenty epochs; two are as good for this
            text = Path("iris.toml").read_text()
            Path("iris.toml").write_text(re.sub(r"\nepochs = \d+", "\nepochs = 2", text))
            assert "epochs = 2" in Path("iris.toml").read_text()
