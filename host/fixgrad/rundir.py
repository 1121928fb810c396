"""The folder of a run: resolved run file, names and scaling, parameters, metrics, checkpoint.

    run.toml         the run file, every default filled in
    data.json        names and scaling of features and targets, identity of the run and its samples
    samples.npz      the samples, quantised: training, validation and test part
    initial.npz      state before the first step
    final.npz        state after the last one
    checkpoint.npz   state, position and tally of the last checkpoint; decisions so far, best state
    metrics.jsonl    one JSON object an epoch
    result.json      what `fixgrad train` told at the end: test part, board, link
    history.npz      what the reference found inside the run (fixgrad.history), once it was asked

Parameters are integers: weights_l int16 [n_out, n_in] in units of 2**weight_exponent[l], bias_l
int32 [n_out] in units of 2**(weight_exponent[l] + activation_exponent[l]). Nothing is pickled.
Every file but metrics.jsonl is replaced in one piece, so a crash leaves the old or the new one.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fixgrad.datasets import Scaling
from fixgrad.errors import ModelError, RunFileError
from fixgrad.history import History
from fixgrad.model import ModelConfig, State, state_bytes
from fixgrad.run import DataForm, Parts, PreparedRun, assemble, build_config
from fixgrad.runfile import RunFile, format_run, load_run
from fixgrad.samplesfile import decode_parts, encode_parts, parts_sha256
from fixgrad.stopping import Course
from fixgrad.targets import TargetForm

_RUN, _DATA, _METRICS = "run.toml", "data.json", "metrics.jsonl"
_INITIAL, _FINAL, _CHECKPOINT = "initial.npz", "final.npz", "checkpoint.npz"
_SAMPLES, _HISTORY, _RESULT = "samples.npz", "history.npz", "result.json"
_TALLY = ("samples", "loss_sum", "correct", "wsat", "asat", "bsat")


@dataclass(frozen=True)
class SavedCheckpoint:
    """What checkpoint.npz holds.

    Attributes:
        state: the trained state.
        position: first sample that it has not seen.
        tally: counts of the epoch so far, by name.
        course: what the ends of epochs have decided.
        best: the state after the course's best epoch, if the run will end with it.
    """

    state: State
    position: int
    tally: Mapping[str, int]
    course: Course
    best: State | None


@dataclass(frozen=True)
class RunFolder:
    """A folder and the run inside it."""

    path: Path

    def holds_run(self) -> bool:
        """Tell whether a run was begun here."""
        return (self.path / _RUN).exists()

    def create(self, prepared: PreparedRun) -> None:
        """Begin a run: write everything that stands before its first step, forget the rest.

        Args:
            prepared: the run.

        Raises:
            OSError: the folder cannot be written.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        for name in (_FINAL, _CHECKPOINT, _METRICS, _HISTORY, _RESULT):
            (self.path / name).unlink(missing_ok=True)
        write_atomic(self.path / _DATA, _form_text(prepared).encode())
        write_atomic(self.path / _SAMPLES, encode_parts(prepared.parts))
        self._save_state(_INITIAL, prepared.config, prepared.initial)
        write_atomic(self.path / _RUN, format_run(prepared.run).encode())

    def run(self) -> RunFile:
        """Return the resolved run file.

        Raises:
            RunFileError: there is none, or it is damaged.
        """
        if not self.path.is_dir():
            raise RunFileError(
                f"no folder {self.path}; give the folder that `fixgrad train` wrote (its --out)"
            )
        if not self.holds_run():
            raise RunFileError(
                f"{self.path} holds no run ({_RUN} is missing); give the folder that "
                "`fixgrad train` wrote (its --out)"
            )
        return load_run(self.path / _RUN)

    def form(self) -> DataForm:
        """Return names and scaling.

        Raises:
            RunFileError: data.json is missing or damaged.
        """
        return self._data()[0]

    def run_id(self) -> int:
        """Return the identity of the run that was begun here.

        Raises:
            RunFileError: data.json is missing or damaged.
        """
        return self._data()[1]

    def data_sha256(self) -> str:
        """Return what identifies the samples of the run, in hexadecimal digits.

        Raises:
            RunFileError: data.json is missing or damaged.
        """
        return self._data()[2]

    def parts(self) -> Parts:
        """Return the samples of the run.

        Raises:
            RunFileError: they are missing, damaged or not those that the run was begun with.
        """
        path = self.path / _SAMPLES
        try:
            data = path.read_bytes()
        except OSError as error:
            raise RunFileError(f"cannot read {path}: {error.strerror}") from error
        parts = decode_parts(data)
        if parts is None or parts_sha256(parts) != self.data_sha256():
            raise self._damaged(_SAMPLES)
        return parts

    def reopen(self) -> PreparedRun:
        """Prepare the run of this folder again, from the folder alone.

        Raises:
            RunFileError: there is none, or a file of it is missing, damaged or was changed.
            ModelError: a limit of NUMERICS is broken.
        """
        run, form = self.run(), self.form()
        config = build_config(run, form.scaling)
        prepared = assemble(run, config, self.initial(config), self.parts(), form)
        if prepared.run_id != self.run_id():
            raise RunFileError(
                f"{self.path} was begun with other settings or another version of fixgrad: its "
                "files no longer make the run that it names; train the run again"
            )
        return prepared

    def _data(self) -> tuple[DataForm, int, str]:
        path = self.path / _DATA
        try:
            value = json.loads(path.read_text("utf-8"))
            form = DataForm(
                str(value["name"]),
                TargetForm.from_dict(value["target"]),
                tuple(str(name) for name in value["feature_names"]),
                Scaling.from_json(json.dumps(value["scaling"]), str(path)),
            )
            return form, int(value["run_id"]), str(value["sha256"])
        except OSError as error:
            raise RunFileError(f"cannot read {path}: {error.strerror}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise RunFileError(f"{path} is damaged; train the run again") from error

    def config(self) -> ModelConfig:
        """Return the model of the run.

        Raises:
            RunFileError: run.toml or data.json is missing or damaged.
            ModelError: a limit of NUMERICS is broken.
        """
        return build_config(self.run(), self.form().scaling)

    def save_final(self, config: ModelConfig, state: State) -> None:
        """Write the state after the last step."""
        self._save_state(_FINAL, config, state)

    def has_ended(self) -> bool:
        """Tell whether the run was trained to its end."""
        return (self.path / _FINAL).exists()

    def final(self, config: ModelConfig) -> State:
        """Return the state after the last step.

        Raises:
            RunFileError: the run has not ended, or the file does not belong to it.
        """
        if not self.has_ended():
            raise RunFileError(
                f"{self.path} holds no trained parameters yet ({_FINAL} is missing); finish the "
                f"run: fixgrad train --resume {self.path} --port URL"
            )
        return self._load_state(_FINAL, config)[0]

    def initial(self, config: ModelConfig) -> State:
        """Return the state before the first step.

        Raises:
            RunFileError: the file is missing or does not belong to the run.
        """
        return self._load_state(_INITIAL, config)[0]

    def save_checkpoint(
        self,
        config: ModelConfig,
        state: State,
        position: int,
        tally: Mapping[str, int],
        course: Course | None = None,
        best: State | None = None,
    ) -> None:
        """Replace the checkpoint.

        Args:
            config: the model.
            state: the trained state, at a batch boundary.
            position: first sample that it has not seen.
            tally: counts of the epoch so far: samples, loss_sum, correct, wsat, asat, bsat.
            course: what the ends of epochs have decided.
            best: the state after the course's best epoch, if the run will end with it.
        """
        counts = np.array([tally[name] for name in _TALLY], dtype=np.uint64)
        self._save_state(
            _CHECKPOINT,
            config,
            state,
            position=np.uint32(position),
            tally=counts,
            course=np.frombuffer((course or Course()).to_json().encode(), np.uint8),
            best=np.frombuffer(b"" if best is None else best.encode(), np.uint8),
        )

    def checkpoint(self, config: ModelConfig) -> SavedCheckpoint | None:
        """Return the last checkpoint, or None before the first.

        Raises:
            RunFileError: it is damaged or belongs to another run.
        """
        if not (self.path / _CHECKPOINT).exists():
            return None
        state, arrays = self._load_state(_CHECKPOINT, config)
        try:
            counts = [int(value) for value in arrays["tally"]]
            tally = dict(zip(_TALLY, counts, strict=True))
            course = Course.from_json(
                arrays["course"].tobytes().decode(), str(self.path / _CHECKPOINT)
            )
            encoded = arrays["best"].tobytes()
            best = State.decode(config, encoded) if encoded else None
            return SavedCheckpoint(state, int(arrays["position"]), tally, course, best)
        except (KeyError, ValueError, TypeError, ModelError) as error:
            raise self._damaged(_CHECKPOINT) from error

    def latest(self, config: ModelConfig) -> State:
        """Return the state after the last step, or that of the last checkpoint.

        Raises:
            RunFileError: there is none, or it is damaged.
        """
        if self.has_ended():
            return self.final(config)
        saved = self.checkpoint(config)
        if saved is None:
            raise RunFileError(f"{self.path} has no checkpoint; train the run again")
        return saved.state

    def append_metrics(self, values: Mapping[str, object]) -> None:
        """Add one line to metrics.jsonl."""
        with (self.path / _METRICS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def metrics(self) -> list[dict[str, Any]]:
        """Return the lines of metrics.jsonl; a line that a crash cut off is left out."""
        try:
            text = (self.path / _METRICS).read_text("utf-8", errors="replace")
        except FileNotFoundError:
            return []
        lines: list[dict[str, Any]] = []
        for line in text.splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                break
            if not isinstance(entry, dict) or not isinstance(entry.get("epoch"), int):
                break
            lines.append(entry)
        return lines

    def digests(self) -> list[int]:
        """Return the device's digest after every recorded epoch, the first one first.

        Raises:
            RunFileError: metrics.jsonl is damaged.
        """
        lines = self.metrics()
        try:
            if [line["epoch"] for line in lines] != list(range(1, len(lines) + 1)):
                raise self._damaged(_METRICS)
            return [int(str(line["digest"]), 16) for line in lines]
        except (KeyError, ValueError) as error:
            raise self._damaged(_METRICS) from error

    def save_result(self, values: Mapping[str, object]) -> None:
        """Keep what was told at the end of the run."""
        write_atomic(self.path / _RESULT, json.dumps(values, indent=1).encode())

    def result(self) -> dict[str, Any] | None:
        """Return what was told at the end of the run; None where it has not ended.

        Raises:
            RunFileError: the file is damaged.
        """
        path = self.path / _RESULT
        if not path.exists():
            return None
        try:
            value = json.loads(path.read_text("utf-8"))
            value["link"], value["board"], value["port"], value["seconds"]
        except (ValueError, KeyError, TypeError) as error:
            raise self._damaged(_RESULT) from error
        return dict(value)

    def history(self, run_id: int) -> History | None:
        """Return the history that was kept; None if there is none of this run."""
        try:
            return History.decode((self.path / _HISTORY).read_bytes(), run_id)
        except OSError:
            return None

    def save_history(self, history: History, run_id: int) -> None:
        """Keep what the reference found inside the run of an identity."""
        write_atomic(self.path / _HISTORY, history.encode(run_id))

    def keep_metrics(self, epochs: int) -> None:
        """Keep the lines of the first epochs only: what a resumed run has not yet to repeat."""
        kept = [line for line in self.metrics() if line.get("epoch", 0) <= epochs]
        text = "".join(json.dumps(line) + "\n" for line in kept)
        write_atomic(self.path / _METRICS, text.encode())

    def _save_state(
        self, name: str, config: ModelConfig, state: State, **more: object
    ) -> None:
        arrays: dict[str, Any] = {"model": np.frombuffer(config.encode(), np.uint8)}
        for tensor, layer, values in state.tensors():
            arrays[f"{tensor}_{layer}"] = values
        arrays["weight_exponent"] = np.array(state.weight_exponent, np.int32)
        arrays["activation_exponent"] = np.array(state.activation_exponent, np.int32)
        arrays["low"] = np.array(state.low, np.int32)
        arrays["prng"], arrays["step"] = np.uint32(state.prng), np.uint32(state.step)
        buffer = io.BytesIO()
        np.savez(buffer, **arrays, **more)  # type: ignore[arg-type]
        write_atomic(self.path / name, buffer.getvalue())

    def _load_state(
        self, name: str, config: ModelConfig
    ) -> tuple[State, dict[str, NDArray[np.generic]]]:
        path = self.path / name
        try:
            data = path.read_bytes()
        except OSError as error:
            raise RunFileError(f"cannot read {path}: {error.strerror}") from error
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as archive:
                arrays = {key: archive[key] for key in archive.files}
            if arrays["model"].tobytes() != config.encode():
                raise RunFileError(
                    f"{path} belongs to another model than {self.path / _RUN}; train the run again"
                )
            return _state(config, arrays), arrays
        except RunFileError:
            raise
        except Exception as error:  # damaged files raise whatever zip and npy parsing happen to hit
            raise self._damaged(name) from error

    def _damaged(self, name: str) -> RunFileError:
        return RunFileError(f"{self.path / name} is damaged; train the run again")


def write_atomic(path: Path, data: bytes) -> None:
    """Replace a file in one piece: temporary file, fsync, rename, fsync of the folder.

    Raises:
        OSError: the folder cannot be written; the old file is untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make a rename durable, where folders can be opened (not on Windows)."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _form_text(prepared: PreparedRun) -> str:
    form = prepared.form
    return json.dumps(
        {
            "run_id": prepared.run_id,
            "sha256": parts_sha256(prepared.parts),
            "name": form.name,
            "target": form.target.to_dict(),
            "feature_names": form.feature_names,
            "scaling": json.loads(form.scaling.to_json()),
        },
        indent=1,
    )


def _state(config: ModelConfig, arrays: Mapping[str, NDArray[np.generic]]) -> State:
    """Build a state of arrays; shapes and dtypes must be exactly those of the model."""
    blank = State.decode(config, bytes(state_bytes(config)))
    tensors: dict[str, list[NDArray[Any]]] = {
        "weights": [], "bias": [], "velocity": [], "bias_velocity": []
    }
    for tensor, layer, values in blank.tensors():
        array = arrays[f"{tensor}_{layer}"]
        if array.shape != values.shape or array.dtype != values.dtype:
            raise ValueError(f"{tensor}_{layer} has the shape {array.shape}")
        tensors[tensor].append(array)

    def integers(name: str, count: int) -> list[int]:
        values = [int(value) for value in np.atleast_1d(arrays[name])]
        if len(values) != count:
            raise ValueError(f"{name} has {len(values)} entries")
        return values

    return dataclasses.replace(
        blank,
        weights=tensors["weights"],
        biases=tensors["bias"],
        velocities=tensors["velocity"],
        bias_velocities=tensors["bias_velocity"],
        weight_exponent=integers("weight_exponent", config.layer_count),
        activation_exponent=integers("activation_exponent", config.layer_count),
        low=integers("low", config.layer_count - 1),
        prng=integers("prng", 1)[0],
        step=integers("step", 1)[0],
    )
