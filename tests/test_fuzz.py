"""Campaign 11 in short: `tests/fuzz/fuzz.py` runs the same targets for as long as one likes."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import fuzz
import link_library
import numpy as np
import pytest
from cobs import cobs
from fixgrad.errors import FixgradError
from fixgrad.framing import Decoder
from fixgrad.run import prepare
from fixgrad.rundir import RunFolder
from fixgrad.runfile import format_run, load_run, new_run
from fixgrad.training import Checkpoint, Tally
from fixgrad.vectors import load_case, packaged_vectors

SECONDS = 8
MUTATIONS = 150


@pytest.mark.skipif(not fuzz.has_fuzzer(), reason="libFuzzer comes with clang")
@pytest.mark.parametrize("target", fuzz.TARGETS)
def test_libfuzzer_finds_nothing(target: str) -> None:
    code, text = fuzz.run(target, SECONDS, seed=1)
    assert code == 0, text[-4000:]


@pytest.mark.parametrize("seed", range(4))
def test_host_and_device_decode_any_bytes_alike(seed: int) -> None:
    """The device's decoder, then the CRC as zlib computes it, against the host's decoder."""
    rng = random.Random(seed)
    for _ in range(400):
        stream = bytearray()
        for _ in range(rng.randrange(1, 6)):
            body = rng.randbytes(rng.choice([0, 3, 9, 10, 40, 300]))
            stream += link_library.encode(5, 1, 7, body)
        for _ in range(rng.randrange(4)):
            at = rng.randrange(len(stream))
            stream[at : at + rng.randrange(2)] = rng.randbytes(rng.randrange(3))
        stream += b"\0"
        decoder = Decoder()
        valid = decoder.feed(bytes(stream))
        frames = link_library.decode(bytes(stream))
        intact = [
            f for f in frames
            if f is not None and len(f) >= 10
            and link_library.crc32(f[:-4]) == int.from_bytes(f[-4:], "little")
        ]  # fmt: skip
        assert [(f.type, f.session, f.pos, f.payload) for f in valid] == [
            (f[0], f[1], int.from_bytes(f[2:6], "little"), f[6:-4]) for f in intact
        ]


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Return a file with some of its bytes changed, cut out, doubled or missing at the end."""
    out = bytearray(data)
    for _ in range(rng.randrange(1, 6)):
        at = rng.randrange(len(out) + 1)
        match rng.randrange(5):
            case 0:
                out[at : at + 1] = rng.randbytes(1)
            case 1:
                del out[at : at + rng.randrange(20)]
            case 2:
                out[at:at] = out[at : at + rng.randrange(40)]
            case 3:
                out[at:at] = rng.choice([b"nan", b"-1", b"1e999", b"\xff", b"\0", b'"', b"[", b","])
            case _:
                if rng.random() < 0.3:
                    del out[at:]
    return bytes(out)


def assert_only_known_errors(
    path: Path, load: Callable[[], object], seed: int, count: int = MUTATIONS
) -> None:
    """Load damaged copies of a file; anything but an error in one line is a defect."""
    rng = random.Random(seed)
    right = path.read_bytes()
    for number in range(count):
        wrong = mutated(right, rng)
        path.write_bytes(wrong)
        try:
            load()
        except (FixgradError, OSError):
            pass
        except Exception as error:
            kept = path.with_name(f"found-{number}{path.suffix}")
            kept.write_bytes(wrong)
            pytest.fail(f"{type(error).__name__}: {error}; the file is {kept}")
    path.write_bytes(right)


def test_damaged_run_files_are_errors_of_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text(format_run(new_run(path, source="iris", layers=(4, 8, 3), settings={})))
    assert_only_known_errors(path, lambda: load_run(path), 1, 400)


@pytest.mark.parametrize("name", ["data.json", "checkpoint.npz", "initial.npz", "metrics.jsonl"])
def test_damaged_files_of_a_run_folder_are_errors_of_one_line(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.toml"
    path.write_text(format_run(new_run(path, source="iris", layers=(4, 8, 3), settings={})))
    prepared = prepare(load_run(path))
    folder = RunFolder(tmp_path / "out")
    folder.create(prepared)
    point = Checkpoint(prepared.initial, 0, Tally())
    folder.save_checkpoint(prepared.config, point.state, 0, vars(point.tally))
    folder.append_metrics({"epoch": 1, "loss": 0.5, "accuracy": 0.5})

    def load() -> None:
        folder.form()
        folder.run_id()
        folder.checkpoint(prepared.config)
        folder.initial(prepared.config)
        folder.metrics()

    load()
    assert_only_known_errors(folder.path / name, load, 2)


def test_damaged_vectors_are_errors_of_one_line(tmp_path: Path) -> None:
    path = tmp_path / "case.npz"
    path.write_bytes(packaged_vectors()[0].read_bytes())
    assert_only_known_errors(path, lambda: load_case(path), 3)


@pytest.mark.parametrize("kind", ["csv", "npz"])
def test_damaged_data_sets_are_errors_of_one_line(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"data.{kind}"
    rng = np.random.default_rng(1)
    features, labels = rng.normal(size=(12, 3)), rng.integers(0, 2, 12)
    if kind == "csv":
        rows = [
            ",".join(f"{value:.3f}" for value in row) + f",{label}"
            for row, label in zip(features, labels, strict=True)
        ]
        path.write_text("a,b,c,label\n" + "\n".join(rows) + "\n")
    else:
        np.savez(path, X=features, y=labels)
    run_path = tmp_path / "a.toml"
    run = new_run(run_path, source=str(path), layers=(3, 4, 2), settings={})
    run_path.write_text(format_run(run))
    assert_only_known_errors(path, lambda: prepare(load_run(run_path)), 4)


def test_encoder_of_the_library_and_of_the_device_agree_on_any_body() -> None:
    rng = random.Random(9)
    for _ in range(300):
        payload = bytes(rng.choice([0, 0, 255, 1, 9]) for _ in range(rng.randrange(600)))
        wire = link_library.encode(4, 9, 77, payload)
        assert cobs.encode(cobs.decode(wire[:-1])) + b"\0" == wire
