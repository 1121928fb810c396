"""What training shows while it runs: curves on a terminal, TensorBoard files, lines in a pipe."""

import os
import pty
import re
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from fixgrad.cli import cli
from fixgrad.cli.curves import beside, curve
from fixgrad.quantize import real_parameters
from fixgrad.rundir import RunFolder

RUN = '[data]\nsource = "iris"\n[model]\nlayers = [4, 8, 3]\n[training]\nepochs = 3\n'


@pytest.fixture
def run_file(tmp_path: Path) -> Path:
    path = tmp_path / "iris.toml"
    path.write_text(RUN)
    return path


def test_columns_are_as_high_as_their_values() -> None:
    assert curve("loss", [3.0, 2.0, 1.0], width=3, rows=2) == [
        "loss  1      ",
        "█▁  3        ",
        "██▁ 1        ",
    ]


def test_curve_fills_its_width() -> None:
    lines = curve("a", [0.0, 1.0], width=6, rows=1)
    assert lines[1].startswith("▁▁▁███")
    many = curve("a", list(range(1000)), width=6, rows=1)
    assert many[1][:6] == "▁▂▄▅▇█"


def test_flat_and_single_values_are_drawn() -> None:
    assert curve("a", [2.0, 2.0], width=2, rows=1)[1].startswith("▁▁ 2")
    assert curve("a", [2.0], width=2, rows=1)[1].startswith("▁▁ 2")


def test_drawings_stand_beside_each_other() -> None:
    left, right = curve("l", [1.0, 2.0]), curve("r", [2.0, 1.0])
    lines = beside(left, right).split("\n")
    assert len(lines) == len(left)
    assert all(len(line) <= 80 for line in lines)
    assert lines[0].split() == ["l", "2", "r", "1"]


def on_terminal(*arguments: str, root: Path) -> str:
    """Return what a command writes to a terminal."""
    main, other = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(root / "host"), "TERM": "xterm", "COLUMNS": "90"}
    process = subprocess.Popen(
        [sys.executable, "-m", "fixgrad", *arguments],
        stdin=other, stdout=other, stderr=other, env=environment,
    )  # fmt: skip
    os.close(other)
    seen = b""
    while True:
        try:
            part = os.read(main, 65536)
        except OSError:
            break
        if not part:
            break
        seen += part
    os.close(main)
    assert process.wait(60) == 0, seen.decode()
    return seen.decode()


def test_terminal_shows_curves_of_every_epoch(run_file: Path, root: Path) -> None:
    out = run_file.parent / "out"
    shown = on_terminal("train", str(run_file), "--port", "sim://", "--out", str(out), root=root)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    last = RunFolder(out).metrics()[-1]
    assert f"loss  {last['loss']:.4g}" in plain
    assert f"accuracy  {last['accuracy']:.4g}" in plain
    assert "█" in plain


def test_pipe_gets_lines_and_no_curves(run_file: Path) -> None:
    arguments = ["train", str(run_file), "--port", "sim://", "--out", str(run_file.parent / "o")]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0
    assert "\x1b" not in result.output
    assert not set("▁█") & set(result.output)


def events(folder: Path) -> list[Any]:
    """Return the events of the one file of a folder: records of length, CRC, bytes, CRC."""
    from tensorboardX.proto.event_pb2 import Event

    (path,) = folder.iterdir()
    data, found, at = path.read_bytes(), [], 0
    while at < len(data):
        (size,) = struct.unpack_from("<Q", data, at)
        event = Event()
        event.ParseFromString(data[at + 12 : at + 12 + size])
        found.append(event)
        at += 16 + size
    return found


def test_tensorboard_gets_every_epoch(run_file: Path) -> None:
    out, folder = run_file.parent / "out", run_file.parent / "events"
    result = CliRunner().invoke(
        cli,
        ["train", str(run_file), "--port", "sim://", "--out", str(out),
         "--tensorboard", str(folder)],
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    scalars: dict[str, dict[int, float]] = {}
    histograms: dict[str, Any] = {}
    for event in events(folder):
        for value in event.summary.value:
            if value.HasField("histo"):
                histograms[value.tag] = value.histo
            else:
                scalars.setdefault(value.tag, {})[event.step] = value.simple_value
    lines = RunFolder(out).metrics()
    for name in ("loss", "accuracy", "wsat"):
        kept = scalars[f"train/{name}"]
        assert kept == {line["epoch"]: pytest.approx(line[name]) for line in lines}
    config = RunFolder(out).config()
    weights = real_parameters(RunFolder(out).final(config))[0]
    last = histograms["weights/layer_0"]
    assert last.num == weights[0].size
    assert last.sum == pytest.approx(float(weights[0].sum()))
    assert last.max == pytest.approx(float(np.max(weights[0])))


def test_tensorboard_without_its_package_says_what_to_type(
    run_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    result = CliRunner().invoke(
        cli, ["train", str(run_file), "--port", "sim://", "--tensorboard", "events"]
    )
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1] == (
        "fixgrad: --tensorboard needs the package tensorboardX; type: "
        "pip install 'fixgrad[tensorboard]'"
    )
