"""Targets of campaign 11 in Python: the host's decoder beside the device's, and every file loader.

Each yields without end; every turn is one input. An input that a loader neither reads nor refuses
with an error of one line raises `FoundError`, which names the file.
"""

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
for _folder in (ROOT / "host", ROOT / "tests"):
    if str(_folder) not in sys.path:
        sys.path.insert(0, str(_folder))

import link_library  # noqa: E402
import numpy as np  # noqa: E402
from fixgrad.errors import FixgradError  # noqa: E402
from fixgrad.framing import Decoder  # noqa: E402
from fixgrad.run import prepare  # noqa: E402
from fixgrad.rundir import RunFolder  # noqa: E402
from fixgrad.runfile import format_run, load_run, new_run  # noqa: E402
from fixgrad.training import Checkpoint, Tally  # noqa: E402
from fixgrad.vectors import load_case, packaged_vectors  # noqa: E402

Target = Callable[[Path, int], Iterator[None]]


class FoundError(AssertionError):
    """An input that is handled wrongly."""


def decoders(folder: Path, seed: int) -> Iterator[None]:
    """Compare the device's decoder, then the CRC as zlib computes it, with the host's."""
    rng = random.Random(seed)
    while True:
        stream = bytearray()
        for _ in range(rng.randrange(1, 6)):
            body = rng.randbytes(rng.choice([0, 3, 9, 10, 40, 300]))
            stream += link_library.encode(5, 1, 7, body)
        for _ in range(rng.randrange(4)):
            at = rng.randrange(len(stream))
            stream[at : at + rng.randrange(2)] = rng.randbytes(rng.randrange(3))
        stream += b"\0"
        by_host = [(f.type, f.session, f.pos, f.payload) for f in Decoder().feed(bytes(stream))]
        by_device = [
            (f[0], f[1], int.from_bytes(f[2:6], "little"), f[6:-4])
            for f in link_library.decode(bytes(stream))
            if f is not None and len(f) >= 10
            and link_library.crc32(f[:-4]) == int.from_bytes(f[-4:], "little")
        ]  # fmt: skip
        if by_host != by_device:
            raise FoundError(f"the decoders differ on {stream.hex()}")
        yield


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


def _damage(path: Path, load: Callable[[], object], seed: int) -> Iterator[None]:
    """Load damaged copies of a file; the right one must load."""
    rng = random.Random(seed)
    right = path.read_bytes()
    load()
    while True:
        wrong = mutated(right, rng)
        path.write_bytes(wrong)
        try:
            load()
        except (FixgradError, OSError):
            pass
        except Exception as error:
            kept = Path(tempfile.gettempdir()) / f"found-{path.name}"
            kept.write_bytes(wrong)
            raise FoundError(f"{type(error).__name__}: {error}; the file is {kept}") from error
        yield


def _iris(folder: Path) -> Path:
    path = folder / "a.toml"
    path.write_text(format_run(new_run(path, source="iris", layers=(4, 8, 3), settings={})))
    return path


def run_file(folder: Path, seed: int) -> Iterator[None]:
    """Damage run files."""
    path = _iris(folder)
    yield from _damage(path, lambda: load_run(path), seed)


def _folder_file(name: str) -> Target:
    def target(folder: Path, seed: int) -> Iterator[None]:
        prepared = prepare(load_run(_iris(folder)))
        run = RunFolder(folder / "out")
        run.create(prepared)
        point = Checkpoint(prepared.initial, 0, Tally())
        run.save_checkpoint(prepared.config, point.state, 0, vars(point.tally))
        run.append_metrics({"epoch": 1, "loss": 0.5, "accuracy": 0.5, "digest": "0123abcd"})

        def load() -> None:
            run.form()
            run.run_id()
            run.checkpoint(prepared.config)
            run.initial(prepared.config)
            run.metrics()
            run.digests()
            run.parts()

        yield from _damage(run.path / name, load, seed)

    return target


def vector(folder: Path, seed: int) -> Iterator[None]:
    """Damage vectors."""
    path = folder / "case.npz"
    path.write_bytes(packaged_vectors()[0].read_bytes())
    yield from _damage(path, lambda: load_case(path), seed)


def _data_set(kind: str) -> Target:
    def target(folder: Path, seed: int) -> Iterator[None]:
        path = folder / f"data.{kind}"
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
        run_path = folder / "a.toml"
        run = new_run(run_path, source=str(path), layers=(3, 4, 2), settings={})
        run_path.write_text(format_run(run))
        yield from _damage(path, lambda: prepare(load_run(run_path)), seed)

    return target


TARGETS: dict[str, Target] = {
    "decoders": decoders,
    "run file": run_file,
    **{
        name: _folder_file(name)
        for name in ("samples.npz", "data.json", "checkpoint.npz", "initial.npz", "metrics.jsonl")
    },
    "vector": vector,
    "csv": _data_set("csv"),
    "npz": _data_set("npz"),
}
