"""The counter of cycles in images that profile, on a model of a core's counters."""

import subprocess
from pathlib import Path

import pytest
from core_library import CORE, TESTS_C, compile_program


@pytest.fixture(scope="module")
def ticks() -> Path:
    model = TESTS_C / "ticks"
    files = [model / "ticks.c", CORE.parent / "ports" / "cortexm" / "ticks.c"]
    flags = ("-O1", "-DPROFILE", "-include", str(model / "cortexm.h"), f"-I{CORE}")
    return compile_program("ticks", files, flags)


@pytest.mark.parametrize("core", ["cyccnt", "locked", "systick"])
def test_ticks_are_the_cycles_that_pass(ticks: Path, core: str) -> None:
    done = subprocess.run([ticks, core], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
