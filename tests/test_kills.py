"""Campaign 9: the host killed at every file operation of a checkpoint, and by SIGKILL in a run."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fixgrad import rundir
from fixgrad.run import PreparedRun, prepare
from fixgrad.rundir import RunFolder
from fixgrad.runfile import format_run, load_run, new_run
from fixgrad.training import Tally

KILLED = 77
EPOCHS = 12
NO_TALLY = dataclasses.asdict(Tally())


def write_run(folder: Path) -> Path:
    path = folder / "a.toml"
    run = new_run(path, source="iris", layers=(4, 8, 3), settings={"epochs": EPOCHS})
    path.write_text(format_run(run))
    return path


class Killer:
    """Ends the process at one of the file operations that `rundir` does, without any clean-up."""

    def __init__(self, at: int) -> None:
        self.count, self.at = 0, at

    def tick(self) -> bool:
        self.count += 1
        return self.count == self.at

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            if self.tick():
                os._exit(KILLED)
            result = function(*arguments, **options)
            if self.tick():
                os._exit(KILLED)
            return result

        return counted

    def torn_open(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Open files whose `write` may stop half way."""

        def opened(*arguments: Any, **options: Any) -> Any:
            file = self.wrap(function)(*arguments, **options)
            if "w" not in str(arguments[1:]):
                return file
            killer = self

            class Torn:
                def __enter__(self) -> Any:
                    return self

                def __exit__(self, *error: object) -> None:
                    file.close()

                def __getattr__(self, name: str) -> Any:
                    return getattr(file, name)

                def write(self, data: bytes) -> int:
                    if killer.tick():
                        file.write(data[: len(data) // 2])
                        file.flush()
                        os._exit(KILLED)
                    return int(file.write(data))

            return Torn()

        return opened


def save_in_child(folder: RunFolder, prepared: PreparedRun, position: int, at: int) -> int:
    """Save a checkpoint in a process that is killed at operation `at`; return its exit code."""
    child = os.fork()
    if child == 0:
        killer = Killer(at)
        Path.open = killer.torn_open(Path.open)  # type: ignore[method-assign]
        Path.replace = killer.wrap(Path.replace)  # type: ignore[method-assign]
        rundir.os.fsync = killer.wrap(os.fsync)  # type: ignore[attr-defined]
        rundir.os.open = killer.wrap(os.open)  # type: ignore[attr-defined]
        folder.save_checkpoint(prepared.config, prepared.initial, position, NO_TALLY)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_checkpoint_is_the_old_or_the_new_one_whatever_operation_is_the_last(
    tmp_path: Path,
) -> None:
    prepared = prepare(load_run(write_run(tmp_path)))
    folder = RunFolder(tmp_path / "out")
    folder.create(prepared)
    folder.save_checkpoint(prepared.config, prepared.initial, 0, NO_TALLY)
    seen, operation, position = [], 0, 0
    while True:
        operation += 1
        before, position = position, position + 150
        code = save_in_child(folder, prepared, position, operation)
        saved = folder.checkpoint(prepared.config)
        assert saved is not None and saved.position in (before, position)
        seen.append(saved.position == position)
        position = saved.position
        if code == 0:
            break
        assert code == KILLED
    assert operation > 8
    assert seen == sorted(seen), "a later operation undid the rename"
    assert seen[-1] and not seen[0]


WAITING = """
import sys
from fixgrad.cli import main
from fixgrad.rundir import RunFolder

left, append = int(sys.argv.pop(1)), RunFolder.append_metrics

def append_or_wait(*arguments):
    global left
    append(*arguments)
    left -= 1
    if left < 0:
        sys.stdin.read()

RunFolder.append_metrics = append_or_wait
main()
"""
"""`fixgrad` that waits for its end amid the epoch after so many."""


def train(folder: Path, *arguments: str, epochs: int = EPOCHS) -> subprocess.Popen[str]:
    """Start `fixgrad train` in a folder; after so many epochs it waits in the next one."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    command = [sys.executable, "-c", WAITING, str(epochs), "train", *arguments]
    return subprocess.Popen(
        [*command, "--port", "sim://", "--json"], cwd=folder, env=environment, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_a_run_killed_again_and_again_ends_with_the_same_digest(tmp_path: Path) -> None:
    write_run(tmp_path)
    whole, told = train(tmp_path, "a.toml", "--out", "whole").communicate()
    assert whole, told
    arguments = ["a.toml", "--out", "out"]
    for epochs in (1, 2, 1, 3):
        process = train(tmp_path, *arguments, epochs=epochs)
        assert process.stderr is not None
        told = process.stderr.readline()
        if "the board keeps" not in told:
            process.kill()
            pytest.fail(told + process.stderr.read())
        if arguments[0] == "--resume":
            assert "going on from the last checkpoint" in process.stderr.readline()
        for _ in range(epochs):
            assert "epoch" in process.stderr.readline()
        process.send_signal(signal.SIGKILL)
        process.communicate()
        arguments = ["--resume", "out"]
    resumed, told = train(tmp_path, *arguments).communicate()
    assert resumed, told
    assert json.loads(resumed)["digest"] == json.loads(whole)["digest"]
    lines = [(tmp_path / name / "metrics.jsonl").read_text() for name in ("whole", "out")]
    assert lines[0] == lines[1]
