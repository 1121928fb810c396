"""One run, one digest: every port, compiler and optimisation ends with the same weights."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import DIFFERENT, PORTS
from fixgrad.reference import Reference
from fixgrad.run import prepare
from fixgrad.runfile import load_run

# Boards whose core or memory differs from those of PORTS.
OTHER_BOARDS = [f"qemu://{name}" for name in DIFFERENT if f"qemu://{name}" not in PORTS]
COMPILED = [f"sim://?cc={cc}&opt={opt}" for cc in ("gcc", "clang") for opt in ("O0", "O3")]


def fixgrad(*arguments: str) -> str:
    command = [sys.executable, "-m", "fixgrad", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def reference_digest(run_file: Path) -> str:
    """Return the digest of the NumPy reference after a run."""
    run = prepare(load_run(run_file))
    reference = Reference(run.config, run.initial)
    for step in range(run.schedule.steps):
        indices = run.schedule.step_indices(step)
        reference.step(
            run.train.features[indices],
            run.train.targets[indices],
            *run.schedule.learning_rate(step),
        )
    return f"{reference.digest():08x}"


def trained(run_file: Path, port: str, out: Path) -> dict[str, Any]:
    """Return what `fixgrad train --json` reports."""
    text = fixgrad("train", str(run_file), "--port", port, "--out", str(out), "--json")
    report: dict[str, Any] = json.loads(text)
    return report


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run file and the reference's digest after it."""
    path = tmp_path_factory.mktemp("run") / "digits.toml"
    fixgrad(
        "new", str(path), "--data", "digits", "--layers", "64-32-10", "--epochs", "1",
        "--batch-size", "8", "--learning-rate", "0.2", "--seed", "3",
    )  # fmt: skip
    return path, reference_digest(path)


@pytest.fixture(scope="module")
def wine(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A short run of three layers and its reference's digest; odd sizes leave no block whole."""
    path = tmp_path_factory.mktemp("run") / "wine.toml"
    fixgrad(
        "new", str(path), "--data", "wine", "--layers", "13-31-9-3", "--epochs", "4",
        "--batch-size", "15", "--learning-rate", "0.2", "--seed", "3",
    )  # fmt: skip
    return path, reference_digest(path)


@pytest.mark.parametrize("port", [*PORTS, *COMPILED])
def test_train_ends_with_the_reference_digest(
    port: str, digits: tuple[Path, str], tmp_path: Path
) -> None:
    run_file, digest = digits
    report = trained(run_file, port, tmp_path / "out")
    assert report["digest"] == digest
    assert report["steps"] == 180
    # 17 values stand in the features: a table of 32, 64 codes of 5 bits and a class each; the
    # smallest board has no room for the table.
    head = 10 + 32 if report["link"]["cached"] else 0
    features = 64 if port == "qemu://disco_f100rb" else 40
    assert report["link"]["payload_bytes"] == head + 1437 * (features + 1)


@pytest.mark.parametrize("port", OTHER_BOARDS)
def test_short_run_ends_with_the_reference_digest_on_every_core(
    port: str, wine: tuple[Path, str], tmp_path: Path
) -> None:
    run_file, digest = wine
    report = trained(run_file, port, tmp_path / "out")
    assert report["digest"] == digest
    assert report["steps"] == 4 * 10
