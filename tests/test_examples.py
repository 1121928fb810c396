"""The table in examples/README.md: every run file has a row, and a fast part of it is true."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
from fixgrad.device import Device
from fixgrad.run import prepare
from fixgrad.runfile import load_run

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
FAST = ("iris", "wine")


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    spec = importlib.util.spec_from_file_location("examples_bench", ROOT / "bench" / "examples.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _rows() -> dict[str, list[str]]:
    lines = (EXAMPLES / "README.md").read_text("utf-8").splitlines()
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in lines
        if line.startswith("| [")
    ]
    return {row[0][1:].split("]")[0]: row for row in rows}


def test_every_run_file_has_a_row() -> None:
    assert set(_rows()) == {path.stem for path in EXAMPLES.glob("*.toml")}


def test_every_row_is_within_the_spread_of_float() -> None:
    for name, row in _rows().items():
        mean, deviation = (float(v) for v in row[4].removesuffix(" %").split(" ± "))
        device = float(row[5].split(" ± ")[0])
        assert device >= mean - deviation - 0.005, name


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda p: p.stem)
def test_every_run_file_is_accepted(path: Path) -> None:
    run = load_run(path)
    if path.stem != "mnist":
        prepare(run)


@pytest.mark.parametrize("name", FAST)
def test_the_device_gives_what_the_table_says(bench: ModuleType, name: str) -> None:
    seeds = int(_rows()[name][3])
    with Device.open("sim://") as device:
        row = bench.run_example(device, load_run(EXAMPLES / f"{name}.toml"), seeds)
    assert row.integer_text == _rows()[name][5]
    assert row.within_spread


def test_xor_is_solved_by_three_seeds(bench: ModuleType) -> None:
    with Device.open("sim://") as device:
        row = bench.run_example(device, load_run(EXAMPLES / "xor.toml"), 3)
    assert row.integers == (100.0, 100.0, 100.0)
