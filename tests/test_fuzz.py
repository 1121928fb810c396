"""Campaign 11: libFuzzer for 60 s a target, loaders in short; `tests/fuzz/fuzz.py` goes on."""

from __future__ import annotations

import random
from pathlib import Path

import fuzz
import link_library
import pytest
import python_targets
from cobs import cobs

SECONDS = 60
INPUTS = {"decoders": 1600, "run file": 400}


@pytest.mark.skipif(not fuzz.has_fuzzer(), reason="libFuzzer comes with clang")
@pytest.mark.parametrize("target", fuzz.TARGETS)
def test_libfuzzer_finds_nothing(target: str) -> None:
    code, text = fuzz.run(target, SECONDS, seed=1)
    assert code == 0, text[-4000:]


@pytest.mark.parametrize("name", python_targets.TARGETS)
def test_inputs_are_handled_alike_or_refused_in_one_line(name: str, tmp_path: Path) -> None:
    inputs = python_targets.TARGETS[name](tmp_path, 1)
    for _ in range(INPUTS.get(name, 150)):
        next(inputs)


def test_a_loader_that_fails_otherwise_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(path: Path) -> object:
        return path.read_text("utf-8", errors="replace").index("[model]")

    monkeypatch.setattr(python_targets, "load_run", broken)
    inputs = python_targets.TARGETS["run file"](tmp_path, 1)
    with pytest.raises(python_targets.FoundError, match="ValueError"):
        for _ in range(2000):
            next(inputs)


def test_encoder_of_the_library_and_of_the_device_agree_on_any_body() -> None:
    rng = random.Random(9)
    for _ in range(300):
        payload = bytes(rng.choice([0, 0, 255, 1, 9]) for _ in range(rng.randrange(600)))
        wire = link_library.encode(4, 9, 77, payload)
        assert cobs.encode(cobs.decode(wire[:-1])) + b"\0" == wire
