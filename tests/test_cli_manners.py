"""Manners of the command as a process: exit codes, one line an error, streams kept apart."""

import contextlib
import json
import os
import pty
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import serial
from click.testing import CliRunner
from fixgrad import protocol
from fixgrad.cli import cli
from fixgrad.framing import Decoder, encode_frame
from fixgrad.protocol import Message
from fixgrad.run import prepare
from fixgrad.rundir import RunFolder
from fixgrad.runfile import format_run, load_run, new_run

COMMAND = [sys.executable, "-m", "fixgrad"]


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def environment(root: Path) -> dict[str, str]:
    """What the processes run with: a terminal that would show colours, and no defaults."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FIXGRAD_")}
    return {**kept, "PYTHONPATH": str(root / "host"), "TERM": "xterm-256color"}


@pytest.fixture
def run(environment: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    def run_command(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *arguments], env=environment, capture_output=True, text=True, timeout=120
        )

    return run_command


def write_run(name: str, **settings: object) -> str:
    run = new_run(Path(name), source="iris", layers=(4, 8, 3), settings=settings)
    Path(name).write_text(format_run(run))
    return name


def finished_run(folder: str) -> str:
    """Write the folder of a run whose trained parameters are the initial ones."""
    prepared = prepare(load_run(Path(write_run("finished.toml"))))
    run = RunFolder(Path(folder))
    run.create(prepared)
    run.save_final(prepared.config, prepared.initial)
    return folder


def test_help_and_version_stand_on_stdout(
    run: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    for option, start in (("--help", "Usage: fixgrad "), ("--version", "fixgrad, version ")):
        result = run(option)
        assert (result.returncode, result.stderr) == (0, "")
        assert result.stdout.startswith(start)


def test_json_is_all_that_stands_on_stdout_and_pipes_get_no_escape_codes(
    run: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    result = run("train", write_run("a.toml", epochs=2), "--port", "sim://", "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["steps"] == 30
    assert result.stdout.count("\n") == 1
    kept, first, *_ = result.stderr.splitlines()
    assert kept.startswith("the board keeps the 120 samples, ")
    assert first.startswith("epoch 1/2  loss ")
    assert "\x1b" not in result.stdout + result.stderr
    assert "\x1b" not in run("plan", "a.toml").stdout


def test_unknown_command_and_option_are_usage_errors(
    run: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    for arguments in (["trian"], ["train", "--prot", "sim://"], ["train", "a.toml"]):
        result = run(*arguments)
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr.startswith("Usage: fixgrad ")
        assert "Traceback" not in result.stderr


def test_error_is_one_line_on_stderr(
    run: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    result = run("train", "no.toml", "--port", "sim://")
    assert (result.returncode, result.stdout) == (3, "")
    assert result.stderr == "fixgrad: no run file no.toml; `fixgrad new no.toml` writes one\n"


def test_folder_that_cannot_be_made_is_one_line(
    run: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    Path("file").write_text("")
    result = run("train", write_run("a.toml"), "--port", "sim://", "--out", "file/out")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "fixgrad: file/out: Not a directory\n"


def test_reader_that_leaves_early_is_no_error(environment: dict[str, str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    process = subprocess.run(
        [*COMMAND, "boards"], env=environment, stdout=writing, stderr=subprocess.PIPE, timeout=60
    )
    os.close(writing)
    assert process.stderr == b""


def test_defect_is_one_line_that_asks_for_a_report(monkeypatch: pytest.MonkeyPatch) -> None:
    def defect(path: Path) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("fixgrad.cli.plan.load_run", defect)
    result = CliRunner().invoke(cli, ["plan", "a.toml"])
    assert result.exit_code == 70
    assert result.stderr == (
        "fixgrad: a defect of fixgrad: ZeroDivisionError: division by zero; please report it with "
        "what the same command prints under FIXGRAD_TRACEBACK=1\n"
    )
    shown = CliRunner().invoke(cli, ["plan", "a.toml"], env={"FIXGRAD_TRACEBACK": "1"})
    assert isinstance(shown.exception, ZeroDivisionError)


# --- Ctrl-C ---------------------------------------------------------------------------------------


def interrupt_after(
    environment: dict[str, str], line_start: str, *arguments: str
) -> tuple[int, str, str]:
    """Send SIGINT when a line of stderr begins like this; return exit code, stdout, last line."""
    with subprocess.Popen(
        [*COMMAND, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        last, sent = "", False
        for line in process.stderr:
            last = line
            if line.startswith(line_start) and not sent:
                process.send_signal(signal.SIGINT)
                sent = True
        assert sent, last
        return process.wait(timeout=60), process.stdout.read(), last


def test_control_c_keeps_the_state_and_the_resumed_run_ends_with_the_same_digest(
    environment: dict[str, str], run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    file = write_run("a.toml", epochs=300)
    code, stdout, line = interrupt_after(
        environment, "epoch 2/300 ", "train", file, "--port", "sim://", "--out", "out"
    )
    assert (code, stdout) == (130, "")
    assert line.startswith("fixgrad: stopped after step ")
    assert line.endswith(
        " of 4500; the state is kept in out, continue with: fixgrad train --resume out --port "
        "sim://\n"
    )
    resumed = run("train", "--resume", "out", "--port", "sim://", "--json")
    whole = run("train", file, "--port", "sim://", "--out", "whole", "--json")
    assert json.loads(resumed.stdout)["digest"] == json.loads(whole.stdout)["digest"]


# --- ports ----------------------------------------------------------------------------------------

BOARD_COMMANDS = {
    "train": lambda: ["train", write_run("a.toml")],
    "validate": lambda: ["validate", write_run("a.toml")],
    "selftest": lambda: ["selftest"],
    "eval": lambda: ["eval", finished_run("out")],
    "predict": lambda: ["predict", finished_run("out"), "rows.csv"],
    "deploy": lambda: ["deploy", finished_run("out")],
    "demo": lambda: ["demo"],
    "bench": lambda: ["bench"],
}


@pytest.fixture(params=list(BOARD_COMMANDS))
def board_command(request: pytest.FixtureRequest) -> list[str]:
    """Every command that talks to a board, well-formed but for its port."""
    Path("rows.csv").write_text("5.1,3.5,1.4,0.2\n")
    return BOARD_COMMANDS[request.param]()


def refusal(exit_code: int, arguments: list[str], port: str) -> str:
    """Return the one line that a command is refused with."""
    result = CliRunner().invoke(cli, [*arguments, "--port", port], prog_name="fixgrad")
    assert (result.exit_code, result.stdout) == (exit_code, ""), result.output
    assert result.stderr.startswith("fixgrad: ")
    assert result.stderr.count("\n") == 1
    return result.stderr.removeprefix("fixgrad: ").rstrip("\n")


def test_port_that_does_not_exist(board_command: list[str]) -> None:
    line = refusal(7, board_command, "/dev/no-such-port")
    assert line.startswith("/dev/no-such-port: no such port; ports of this machine: ")


def test_emulated_board_that_does_not_exist() -> None:
    line = refusal(7, ["selftest"], "qemu://toaster")
    assert line.startswith("qemu://toaster: no emulated board has this name; there are ")


def test_kind_of_port_that_does_not_exist() -> None:
    assert refusal(7, ["selftest"], "teleport://x").startswith("teleport://x: unknown kind of port")


def test_busy_port() -> None:
    main, other = pty.openpty()
    name = os.ttyname(other)
    with serial.Serial(name, exclusive=True):
        assert refusal(7, ["selftest"], name) == (
            f"{name}: the port is busy; close the other program that uses it"
        )
    os.close(main)
    os.close(other)


@contextlib.contextmanager
def listening(answer: Callable[[bytes], bytes]) -> Iterator[str]:
    """Serve one connection: every piece of bytes that comes is answered."""

    def serve() -> None:
        connection, _ = server.accept()
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(4096):
                connection.sendall(answer(data))

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"socket://127.0.0.1:{server.getsockname()[1]}"
        thread.join(timeout=30)


def test_nothing_answers() -> None:
    with listening(lambda data: b"") as port:
        assert refusal(8, ["selftest"], port) == (
            f"nothing answers on {port}: is the board powered and flashed with fixgrad, and is "
            "this its port?"
        )


def test_something_else_answers() -> None:
    with listening(lambda data: b"login: \r\n") as port:
        line = refusal(8, ["selftest"], port)
    assert line.startswith(f"what answers on {port} is not fixgrad (")
    assert line.endswith(
        " bytes without a valid frame): another program's port, another firmware or another baud "
        "rate"
    )


def test_another_protocol_version_answers() -> None:
    decoder = Decoder()

    def hello_of_version_9(data: bytes) -> bytes:
        return b"".join(
            encode_frame(Message.HELLO_ACK, frame.session, frame.pos, bytes([9]))
            for frame in decoder.feed(data)
        )

    with listening(hello_of_version_9) as port:
        assert refusal(9, ["selftest"], port) == (
            f"the device on {port} speaks protocol version 9, this fixgrad "
            f"{protocol.PROTOCOL_VERSION}: flash the firmware of this version, or use the fixgrad "
            "of the device's"
        )
