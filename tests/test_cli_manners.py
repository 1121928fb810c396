"""Manners of the command as a process: exit codes, one line an error, streams kept apart."""

import contextlib
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
import serial
from click.testing import CliRunner
from fixgrad import protocol, session
from fixgrad.boards import BOARDS
from fixgrad.cli import cli
from fixgrad.device import Device
from fixgrad.errors import PortError
from fixgrad.framing import Decoder, encode_frame
from fixgrad.protocol import Message
from fixgrad.run import prepare
from fixgrad.rundir import RunFolder
from fixgrad.runfile import format_run, load_run, new_run
from fixgrad.session import Session
from fixgrad.simulator import FLASH_BYTES
from fixgrad.transport import open_port
from fixgrad.urlhandlers.flash_file import require_flash_file
from serial.tools import list_ports

COMMAND = [sys.executable, "-m", "fixgrad"]
PAGE_BYTES = 4096


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
    """Send SIGINT when a line of stderr begins like this; return exit code, stdout, last line.

    The command may be as far ahead of what was read as a pipe and a buffer of a page hold.
    """
    with subprocess.Popen(
        [*COMMAND, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        pipesize=PAGE_BYTES,
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
    file = write_run("a.toml", epochs=150)
    code, stdout, line = interrupt_after(
        environment, "epoch 2/150 ", "train", file, "--port", "sim://", "--out", "out"
    )
    assert (code, stdout) == (130, "")
    assert line.startswith("fixgrad: stopped after step ")
    assert line.endswith(
        " of 2250; the state is kept in out, continue with: fixgrad train --resume out --port "
        "sim://\n"
    )
    resumed = run("train", "--resume", "out", "--port", "sim://", "--json")
    whole = run("train", file, "--port", "sim://", "--out", "whole", "--json")
    assert json.loads(resumed.stdout)["digest"] == json.loads(whole.stdout)["digest"]


# --- ports ----------------------------------------------------------------------------------------

def recorded_run(folder: str) -> str:
    """Write the folder of a run of which an epoch is recorded."""
    RunFolder(Path(finished_run(folder))).append_metrics({"epoch": 1, "digest": "00000000"})
    return folder


BOARD_COMMANDS = {
    "train": lambda: ["train", write_run("a.toml")],
    "validate": lambda: ["validate", write_run("a.toml")],
    "gradcheck": lambda: ["gradcheck", write_run("a.toml")],
    "replay": lambda: ["replay", recorded_run("out"), "--wait", "0"],
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


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Give up after little: how long is the business of the session's tests.

    Returns:
        Set by whoever serves the port once it has taken the first bytes; no timer expires before.
    """
    answered = threading.Event()
    expire = Session._expire

    def expire_then(session: Session, now: float) -> None:
        assert answered.wait(60)
        expire(session, now)

    monkeypatch.setattr(Session, "_expire", expire_then)
    monkeypatch.setattr(session, "TIMER_MAX_S", 0.05)
    monkeypatch.setattr(session, "EXPIRIES_MAX", 2)
    return answered


def refusal(exit_code: int, arguments: list[str], port: str) -> str:
    """Return the one line that a command is refused with."""
    result = CliRunner().invoke(cli, [*arguments, "--port", port], prog_name="fixgrad")
    assert (result.exit_code, result.stdout) == (exit_code, ""), result.output
    assert result.stderr.startswith("fixgrad: ")
    assert result.stderr.count("\n") == 1
    return result.stderr.removeprefix("fixgrad: ").rstrip("\n")


def test_commands_of_boards_are_those_with_a_port() -> None:
    ctx = click.Context(cli)
    with_port = {
        name
        for name in cli.list_commands(ctx)
        if any("--port" in option.opts for option in cli.get_command(ctx, name).params)
    }
    apart = {"doctor", "flash", "proxy", "trace"}  # test_doctor, test_flash, test_proxy
    assert with_port == BOARD_COMMANDS.keys() | apart


def test_port_that_does_not_exist(board_command: list[str]) -> None:
    names = ", ".join(sorted(port.device for port in list_ports.comports())) or "none"
    assert refusal(7, board_command, "/dev/no-such-port") == (
        f"/dev/no-such-port: no such port; ports of this machine: {names}"
    )


def test_emulated_board_that_does_not_exist(board_command: list[str]) -> None:
    names = ", ".join(board.name for board in BOARDS.values() if board.machine)
    assert refusal(7, board_command, "qemu://toaster") == (
        f"qemu://toaster: no emulated board has this name; there are {names}"
    )


def test_kind_of_port_that_does_not_exist(board_command: list[str]) -> None:
    assert refusal(7, board_command, "teleport://x") == (
        "teleport://x: unknown kind of port or bad option (invalid URL, protocol 'teleport' not "
        "known); see 'fixgrad ports'"
    )


@pytest.mark.parametrize("url", ["socket://localhost", "socket://x:99999", "rfc2217://x:port"])
def test_socket_without_an_address(board_command: list[str], url: str) -> None:
    kind = url.partition(":")[0]
    assert refusal(7, board_command, url) == (
        f"{url}: no HOST and PORT; type e.g. {kind}://localhost:4242"
    )


def test_port_that_is_no_url() -> None:
    assert refusal(7, BOARD_COMMANDS["eval"](), "http://[x") == (
        "http://[x: no device and no URL (Invalid IPv6 URL); see 'fixgrad ports'"
    )


def test_file_that_cannot_be_a_flash(tmp_path: Path) -> None:
    assert refusal(7, BOARD_COMMANDS["eval"](), f"sim://?flash={tmp_path}") == (
        f"flash={tmp_path}: no file for the board's flash: Is a directory; name another"
    )


@pytest.mark.parametrize(
    ("url", "size"),
    [("sim://?flash={}", "3,149,824"), ("qemu://bbcmicrobit?flash={}", "32,768")],
)
def test_file_that_is_no_flash_stays_as_it_is(tmp_path: Path, url: str, size: str) -> None:
    path = tmp_path / "run.toml"
    path.write_text("[data]\n")
    assert refusal(7, BOARD_COMMANDS["eval"](), url.format(path)) == (
        f"flash={path}: 7 bytes, but this board's flash has {size}: another file, or another "
        "board's; name another"
    )
    assert path.read_text() == "[data]\n"


def test_flash_of_a_process_is_as_long_as_told(tmp_path: Path) -> None:
    path = tmp_path / "flash"
    for _ in range(2):  # once blank, once as the board left it
        with Device.open(f"sim://?flash={path}") as device:
            assert device.info.samples_bytes > 0
    assert path.stat().st_size == FLASH_BYTES


@pytest.mark.parametrize("url", ["sim://?flash={}", "qemu://bbcmicrobit?flash={}"])
def test_file_that_could_be_a_flash_is_not_made_by_looking(tmp_path: Path, url: str) -> None:
    path = tmp_path / "none" / "board.flash"
    with pytest.raises(PortError, match="No such file or directory"):
        open_port(url.format(path), 115200)
    path.parent.mkdir()
    require_flash_file(path, 3)
    assert not path.exists()
    path.write_bytes(b"net")
    require_flash_file(path, 3)
    assert path.read_bytes() == b"net"


def test_busy_port(board_command: list[str]) -> None:
    main, other = pty.openpty()
    name = os.ttyname(other)
    with serial.Serial(name, exclusive=True):
        assert refusal(7, board_command, name) == (
            f"{name}: the port is busy; close the other program that uses it"
        )
    os.close(main)
    os.close(other)


@contextlib.contextmanager
def listening(answer: Callable[[bytes], bytes], answered: threading.Event) -> Iterator[str]:
    """Serve one connection: every piece of bytes that comes is answered."""

    def serve() -> None:
        connection, _ = server.accept()
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(4096):
                connection.sendall(answer(data))
                answered.set()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"socket://127.0.0.1:{server.getsockname()[1]}"
        thread.join(timeout=30)


def test_nothing_answers(board_command: list[str], impatient: threading.Event) -> None:
    with listening(lambda data: b"", impatient) as port:
        assert refusal(8, board_command, port) == (
            f"nothing answers on {port}: is the board powered and flashed with fixgrad, and is "
            "this its port?"
        )


def test_something_else_answers(board_command: list[str], impatient: threading.Event) -> None:
    with listening(lambda data: b"login: \r\n", impatient) as port:
        line = refusal(8, board_command, port)
    assert re.fullmatch(
        rf"what answers on {port} is not fixgrad \([1-9]\d* bytes without a valid frame\): another "
        "program's port, another firmware or another baud rate",
        line,
    )


def test_another_protocol_version_answers(board_command: list[str]) -> None:
    decoder = Decoder()

    def hello_of_version_9(data: bytes) -> bytes:
        return b"".join(
            encode_frame(Message.HELLO_ACK, frame.session, frame.pos, bytes([9]))
            for frame in decoder.feed(data)
        )

    with listening(hello_of_version_9, threading.Event()) as port:
        assert refusal(9, board_command, port) == (
            f"the device on {port} speaks protocol version 9, this fixgrad "
            f"{protocol.PROTOCOL_VERSION}: flash the firmware of this version, or use the fixgrad "
            "of the device's"
        )


def test_control_c_while_a_board_is_waited_for(
    board_command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def press(*arguments: object, **options: object) -> Device:
        raise KeyboardInterrupt

    monkeypatch.setattr(Device, "open", press)
    assert refusal(130, board_command, "/dev/ttyACM0") == "stopped"


# --- bad values -----------------------------------------------------------------------------------

BAD = {
    "new": (["new", "a.toml", "--layers", "4x3"], 2,
            "Error: Invalid value for '--layers': '4x3' is not a list of widths; type them with "
            "dashes between, input first, such as 64-32-10"),
    "import": (["import", "net.pt", "a.toml"], 3,
               "fixgrad: no run file a.toml; `fixgrad new a.toml` writes one"),
    "train": (["train", "a.toml", "--wait", "-1"], 2,
              "Error: Invalid value for '--wait': -1.0 is not in the range x>=0."),
    "validate": (["validate", "a.toml", "--port", "sim://", "--steps", "0"], 2,
                 "Error: Invalid value for '--steps': 0 is not in the range x>=1."),
    "report": (["report", "no"], 3, "fixgrad: no folder no; give the folder that `fixgrad train` "
               "wrote (its --out)"),
    "replay": (["replay", "no", "--port", "sim://"], 3, "fixgrad: no folder no; give the folder "
               "that `fixgrad train` wrote (its --out)"),
    "diff": (["diff", "no", "no"], 3, "fixgrad: no folder no; give the folder that `fixgrad train` "
             "wrote (its --out)"),
    "gradcheck": (["gradcheck", "a.toml", "--port", "sim://"], 3,
                  "fixgrad: no run file a.toml; `fixgrad new a.toml` writes one"),
    "selftest": (["selftest", "--port", "sim://", "--vectors", "no"], 4,
                 "fixgrad: --vectors no is not a folder; give one with vector files (.npz)"),
    "bench": (["bench", "--port", "sim://", "--baud", "fast"], 2,
              "Error: Invalid value for '--baud' (env var: 'FIXGRAD_BAUD'): 'fast' is not a valid "
              "integer range."),
    "eval": (["eval", "no", "--port", "sim://"], 3, "fixgrad: no folder no; give the folder that "
             "`fixgrad train` wrote (its --out)"),
    "predict": (["predict", "no", "rows.csv", "--port", "sim://"], 3, "fixgrad: no folder no; give "
                "the folder that `fixgrad train` wrote (its --out)"),
    "deploy": (["deploy", "no", "--port", "sim://"], 3, "fixgrad: no folder no; give the folder "
               "that `fixgrad train` wrote (its --out)"),
    "export": (["export", "no", "--format", "java"], 2, "Error: Invalid value for '--format': "
               "'java' is not one of 'c', 'onnx', 'onnx-qdq', 'onnx-int', 'npz', 'sklearn'."),
    "plan": (["plan", "a.toml"], 3, "fixgrad: no run file a.toml; `fixgrad new a.toml` writes one"),
    "doctor": (["doctor"], 2, "Error: give --port URL to examine a board, or the folder DIR of a "
               "run"),
    "proxy": (["proxy", "--port", "sim://", "--listen", "here"], 2,
              "fixgrad: --listen here is no HOST:PORT, such as localhost:4242"),
    "trace": (["trace", "--port", "sim://", "--listen", "here"], 2,
              "fixgrad: --listen here is no HOST:PORT, such as localhost:4242"),
    "decode": (["decode", "no"], 2, "fixgrad: cannot read no: No such file or directory"),
    "completion": (["completion", "tcsh"], 2, "Error: Invalid value for '{bash|zsh|fish}': 'tcsh' "
                   "is not one of 'bash', 'zsh', 'fish'."),
    "demo": (["demo", "--port", "sim://", "--out", "file"], 2,
             "fixgrad: --out file is a file; give a folder"),
    "sweep": (["sweep", "no.toml"], 3,
              "fixgrad: no sweep file no.toml; docs/SWEEP.md shows one to start from"),
    "fleet": (["fleet", "no.toml"], 3,
              "fixgrad: no fleet file no.toml; docs/FLEET.md shows one to start from"),
    "flash": (["flash", "toaster"], 2, "Error: Invalid value for 'BOARD': 'toaster' is not one of "
              f"{', '.join(map(repr, BOARDS))}."),
}  # fmt: skip
CANNOT_BE_CALLED_WRONGLY = {"boards", "ports"}


@pytest.mark.parametrize("name", BAD)
def test_bad_value_is_told_in_a_line(name: str) -> None:
    Path("file").write_text("")
    arguments, exit_code, message = BAD[name]
    result = CliRunner().invoke(cli, arguments, prog_name="fixgrad")
    assert (result.exit_code, result.stdout) == (exit_code, ""), result.output
    assert result.stderr.splitlines()[-1] == message
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("number", ["nan", "soon"])
def test_what_is_no_number_is_told_in_a_line(number: str) -> None:
    result = CliRunner().invoke(cli, ["replay", "no", "--port", "sim://", "--wait", number])
    assert (result.exit_code, result.stdout) == (2, "")
    message = f"Error: Invalid value for '--wait': '{number}' is not a valid number."
    assert result.stderr.splitlines()[-1] == message


def test_every_command_was_called_wrongly() -> None:
    assert BAD.keys() | CANNOT_BE_CALLED_WRONGLY == set(cli.list_commands(click.Context(cli)))
