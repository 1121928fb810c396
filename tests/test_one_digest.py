"""One run, one digest: every port, compiler and optimisation ends with the same weights."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PORTS

COMPILED = [f"sim://?cc={cc}&opt={opt}" for cc in ("gcc", "clang") for opt in ("O0", "O3")]


def fixgrad(*arguments: str) -> str:
    command = [sys.executable, "-m", "fixgrad", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def run_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run") / "digits.toml"
    fixgrad(
        "new", str(path), "--data", "digits", "--layers", "64-32-10", "--epochs", "1",
        "--batch-size", "8", "--learning-rate", "0.2", "--seed", "3",
    )  # fmt: skip
    return path


@pytest.fixture(scope="module")
def reference_digest(run_file: Path) -> str:
    """Digest of the NumPy reference after the run."""
    from fixgrad.reference import Reference
    from fixgrad.run import prepare
    from fixgrad.runfile import load_run

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


@pytest.mark.parametrize("port", [*PORTS, *COMPILED])
def test_train_ends_with_the_reference_digest(
    port: str, run_file: Path, reference_digest: str, tmp_path: Path
) -> None:
    out = fixgrad("train", str(run_file), "--port", port, "--out", str(tmp_path / "out"), "--json")
    report = json.loads(out)
    assert report["digest"] == reference_digest
    assert report["steps"] == 180
    # 17 values stand in the features: a table of 32, 64 codes of 5 bits and a class each.
    head = 10 + 32 if report["link"]["cached"] else 0
    assert report["link"]["payload_bytes"] == head + 1437 * (40 + 1)
