"""`fixgrad selftest` on every port that needs no hardware: what fits passes, bit for bit."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from fixgrad.boards import BOARDS
from fixgrad.cli import cli
from fixgrad.planner import plan
from fixgrad.vectors import load_case, packaged_vectors, vector_files

SHARED = Path(__file__).parents[1] / ".." / "shared" / "vectors" / "numerics"


def _selftest(port: str, *more: str) -> dict[str, object]:
    result = CliRunner().invoke(cli, ["selftest", "--port", port, "--json", *more])
    assert result.exit_code == 0, result.output
    report: dict[str, object] = json.loads(result.stdout)
    return report


def _fitting(port: str, paths: list[Path]) -> int:
    board = BOARDS.get(port.removeprefix("qemu://"))
    if board is None:
        return len(paths)
    return sum(plan(load_case(path).config).arena_bytes <= board.arena_bytes for path in paths)


def test_every_packaged_vector_that_fits_passes(port: str) -> None:
    paths = packaged_vectors()
    report = _selftest(port)
    fitting = _fitting(port, paths)
    assert fitting > 0
    assert (report["passed"], report["failed"]) == (fitting, 0)
    assert report["does_not_fit"] == len(paths) - fitting


@pytest.mark.skipif(not SHARED.is_dir(), reason="no shared vectors here")
@pytest.mark.parametrize("all_fit", ["sim://", "qemu://mps2_an386", "qemu://olimex_p405"])
def test_no_shared_vector_is_too_large_for_the_larger_boards(all_fit: str) -> None:
    paths = vector_files(SHARED)
    assert len(paths) >= 20
    assert _fitting(all_fit, paths) == len(paths)


@pytest.mark.skipif(not SHARED.is_dir(), reason="no shared vectors here")
def test_every_shared_vector_passes_by_its_folder() -> None:
    report = _selftest("sim://", "--vectors", str(SHARED))
    assert report["passed"] == len(vector_files(SHARED))
    assert (report["failed"], report["does_not_fit"]) == (0, 0)
