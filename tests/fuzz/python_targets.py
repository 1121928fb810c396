"""Targets of campaign 11 in Python: the host's decoder beside the device's, and every file loader.

Each yields without end; every turn is one input. An input that a loader neither reads nor refuses
with an error of one line raises `FoundError`, which names the file.
"""

from __future__ import annotations

import gzip
import random
import struct
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
from fixgrad.framing import Decoder, encode_frame  # noqa: E402
from fixgrad.importing import read_network  # noqa: E402
from fixgrad.initial import read_hidden_exponents, read_parameters  # noqa: E402
from fixgrad.protocol import Message  # noqa: E402
from fixgrad.run import prepare  # noqa: E402
from fixgrad.rundir import RunFolder  # noqa: E402
from fixgrad.runfile import format_run, load_run, new_run  # noqa: E402
from fixgrad.sweep.sweepfile import load_sweep  # noqa: E402
from fixgrad.tracing import describe_encoded  # noqa: E402
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
        run.save_result({"link": {}, "board": "sim", "port": "sim://", "seconds": 1.5})

        def load() -> None:
            run.form()
            run.run_id()
            run.checkpoint(prepared.config)
            run.initial(prepared.config)
            run.metrics()
            run.digests()
            run.parts()
            run.result()

        yield from _damage(run.path / name, load, seed)

    return target


def vector(folder: Path, seed: int) -> Iterator[None]:
    """Damage vectors."""
    path = folder / "case.npz"
    path.write_bytes(packaged_vectors()[0].read_bytes())
    yield from _damage(path, lambda: load_case(path), seed)


def _table(path: Path, rng: np.random.Generator) -> None:
    features, labels = rng.normal(size=(12, 3)), rng.integers(0, 2, 12)
    rows = [
        ",".join(f"{value:.3f}" for value in row) + f",{label}"
        for row, label in zip(features, labels, strict=True)
    ]
    text = "a,b,c,label\n" + "\n".join(rows) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


def _arrays(path: Path, rng: np.random.Generator) -> None:
    features, labels = rng.integers(0, 256, (12, 3), np.uint8), rng.integers(0, 2, 12, np.uint8)
    name = path.name.replace("images-idx3", "labels-idx1").replace("features", "labels")
    if path.suffix == ".npz":
        np.savez(path, X=features, y=labels)
    elif path.suffix == ".npy":
        np.save(path, features)
        np.save(path.with_name(name), labels)
    else:
        path.write_bytes(b"\0\0\x08\x03" + struct.pack(">III", 12, 1, 3) + features.tobytes())
        path.with_name(name).write_bytes(b"\0\0\x08\x01" + struct.pack(">I", 12) + labels.tobytes())


def _data_set(name: str, make: Callable[[Path, np.random.Generator], None]) -> Target:
    def target(folder: Path, seed: int) -> Iterator[None]:
        path = folder / name
        make(path, np.random.default_rng(1))
        run_path = folder / "a.toml"
        run = new_run(run_path, source=str(path), layers=(3, 4, 2), settings={})
        run_path.write_text(format_run(run))
        yield from _damage(path, lambda: prepare(load_run(run_path)), seed)

    return target


def _network(name: str) -> Target:
    def target(folder: Path, seed: int) -> Iterator[None]:
        path = folder / name
        if path.suffix == ".npz":
            np.savez(path, weights_0=np.ones((3, 4)), bias_0=np.ones(3))
        else:
            path.write_bytes((ROOT / "tests" / "data" / name).read_bytes())
        yield from _damage(path, lambda: read_network(path), seed)

    return target


def weights(folder: Path, seed: int) -> Iterator[None]:
    """Damage files of first weights."""
    path = folder / "weights.npz"
    np.savez(
        path, weights_0=np.ones((3, 4)), bias_0=np.ones(3), weights_1=np.ones((2, 3)),
        bias_1=np.ones(2), hidden_exponents=np.array([-3]),
    )  # fmt: skip

    def load() -> None:
        read_parameters(path, (4, 3, 2))
        read_hidden_exponents(path)

    yield from _damage(path, load, seed)


def sweep(folder: Path, seed: int) -> Iterator[None]:
    """Damage sweep files."""
    run, path = _iris(folder), folder / "sweep.toml"
    path.write_text(
        f'run = "{run.name}"\ntrials = 4\nboard = "disco_f100rb"\nobjectives = ["accuracy"]\n'
        'sampler = "random"\n[space]\n"training.batch_size" = [4, 8]\n'
        '"training.learning_rate" = {low = 0.01, high = 0.5, log = true}\n'
    )
    yield from _damage(path, lambda: load_sweep(path), seed)


def recording(folder: Path, seed: int) -> Iterator[None]:
    """Describe frames with any header and payload, and damaged ones, in one line each."""
    rng = random.Random(seed)
    while True:
        payload = rng.randbytes(rng.choice([0, 1, 4, 5, 29, 60, 300]))
        header = rng.choice([*Message, rng.getrandbits(8)]), rng.getrandbits(8), rng.getrandbits(32)
        encoded = encode_frame(*header, payload)[:-1]
        for part in (encoded, mutated(encoded, rng)):
            try:
                line = describe_encoded(part)
            except Exception as error:
                raise FoundError(f"{type(error).__name__}: {error}: {part.hex()}") from error
            if not line.isprintable():
                raise FoundError(f"not one printable line: {part.hex()}")
        yield


TARGETS: dict[str, Target] = {
    "decoders": decoders,
    "run file": run_file,
    **{
        name: _folder_file(name)
        for name in (
            "samples.npz", "data.json", "checkpoint.npz", "initial.npz", "metrics.jsonl",
            "result.json",
        )
    },
    "vector": vector,
    "csv": _data_set("data.csv", _table),
    "csv.gz": _data_set("data.csv.gz", _table),
    "npz": _data_set("data.npz", _arrays),
    "npy": _data_set("features.npy", _arrays),
    "idx": _data_set("train-images-idx3-ubyte", _arrays),
    "weights": weights,
    "network.npz": _network("network.npz"),
    "network.pt": _network("torch_iris.pt"),
    "network.onnx": _network("torch_iris.onnx"),
    "sweep file": sweep,
    "recording": recording,
}  # fmt: skip
