"""`fixgrad train --serve`: the report in a real browser, following the run."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest
from browser import Tab, open_tab
from click.testing import CliRunner, Result
from fixgrad.cli import cli
from fixgrad.cli.opening import open_device
from fixgrad.cli.page_server import Notices
from fixgrad.cli.serving import LivePage
from fixgrad.cli.train import run_training
from fixgrad.model import State
from fixgrad.run import PreparedRun, prepare
from fixgrad.rundir import RunFolder
from fixgrad.runfile import load_run

PAGE_BYTES = 4096
"""Pipes of that size keep a command from being far ahead of what was read of it."""

RUN = '[data]\nsource = "iris"\n[model]\nlayers = [4, 8, 3]\n[training]\nepochs = {}\n'


@pytest.fixture
def tab(tmp_path: Path) -> Iterator[Tab]:
    with open_tab(tmp_path) as opened:
        yield opened


def write_run(folder: Path, epochs: int) -> Path:
    path = folder / "iris.toml"
    path.write_text(RUN.format(epochs))
    return path


def begun(folder: Path, epochs: int) -> tuple[PreparedRun, RunFolder]:
    prepared = prepare(load_run(write_run(folder, epochs)))
    run = RunFolder(folder / "out")
    run.create(prepared)
    return prepared, run


def address_of(process: subprocess.Popen[str]) -> str:
    """Return where a command serves its page."""
    assert process.stderr is not None
    told = process.stderr.readline()
    assert told.startswith("watch the run at "), told + process.stderr.read()
    return told.removeprefix("watch the run at ").strip()


def train(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["train", *map(str, arguments)], prog_name="fixgrad")


def test_page_follows_every_epoch_and_is_the_report_at_the_end(tmp_path: Path, tab: Tab) -> None:
    prepared, folder = begun(tmp_path, 2)
    shown: list[int] = []
    page = LivePage(("127.0.0.1", 0), folder.path)
    tab.open(page.url)
    tab.wait_for_text("Waiting for the first epoch.")

    def wait_for_browser(line: dict[str, object], state: State) -> None:
        tab.wait_for_text(f"epoch {line['epoch']} of 2 is done")
        rows = tab.value("document.querySelectorAll('#proof details tbody tr').length")
        assert tab.value(f"document.body.textContent.includes('{line['digest']}')")
        shown.append(rows)

    with open_device("sim://", 115200, prepared.config) as device:
        listeners = (page.epoch, wait_for_browser)
        run_training(device, prepared, folder, "sim://", listeners=listeners)
    page.end()
    tab.wait_for_text("The run has ended")
    assert shown == [1, 2]
    headings = "[...document.querySelectorAll('h2')].map(h => h.textContent)"
    seen = tab.value(headings)
    assert tab.value("document.documentElement.scrollWidth <= innerWidth")
    tab.open((folder.path / "report.html").resolve().as_uri())
    tab.wait_for_text("The proof")
    assert tab.value(headings) == seen
    assert "not finished" in tab.value("document.body.textContent")  # no result.json was written
    assert tab.complaints == []
    assert all(url.startswith((page.url, "data:", "file:", "about:")) for url in tab.requests)


def test_command_serves_from_start_to_end(
    tmp_path: Path, tab: Tab, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["train", str(write_run(tmp_path, 1)), "--port", "sim://", "--out", "out", "--serve"]
    with subprocess.Popen(
        [sys.executable, "-m", "fixgrad", *command], cwd=tmp_path, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(root / "host")},
    ) as process:  # fmt: skip
        assert process.stdout is not None and process.stderr is not None
        url = address_of(process)
        tab.open(url)
        tab.wait_for_text("The run has ended; this page is kept in out/report.html.")
        result = process.stdout.read()
        assert process.wait(60) == 0
        assert process.stderr.read().endswith("the page is kept in out/report.html\n")
    assert "kept in out\n" in result
    assert tab.complaints == []
    assert "trained on posix" in (tmp_path / "out" / "report.html").read_text()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(url.rstrip("/").rpartition(":")[2]))).close()
    monkeypatch.chdir(tmp_path)
    told = CliRunner().invoke(cli, ["report", "out", "--out", "again.html"])
    assert told.exit_code == 0, told.stderr
    assert Path("again.html").read_text() == Path("out/report.html").read_text()


def test_stopped_run_says_how_it_goes_on(tmp_path: Path, tab: Tab, root: Path) -> None:
    command = [
        "train", str(write_run(tmp_path, 200)), "--port", "sim://", "--out", "out", "--serve", "0",
    ]  # fmt: skip
    with subprocess.Popen(
        [sys.executable, "-m", "fixgrad", *command], cwd=tmp_path, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(root / "host")},
        pipesize=PAGE_BYTES,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        tab.open(address_of(process))
        tab.wait_for_text("Waiting for the first epoch.")
        for line in process.stderr:
            if line.startswith("epoch 2/"):
                break
        process.send_signal(signal.SIGINT)
        tab.wait_for_text("Training was stopped; it goes on with: fixgrad train --resume out")
        process.stderr.read()
        assert process.wait(60) == 130
    assert tab.complaints == []


def test_only_this_computer_reaches_the_page_by_its_own_name(tmp_path: Path) -> None:
    prepared, folder = begun(tmp_path, 1)
    page = LivePage(("127.0.0.1", 0), folder.path)
    port = int(page.url.rstrip("/").rpartition(":")[2])
    answers = []
    for path, host in (
        ("/", "evil.example"), ("/", f"localhost:{port}"), ("/no", f"127.0.0.1:{port}"),
        ("/../etc/passwd", f"127.0.0.1:{port}"), ("/after/x", f"127.0.0.1:{port}"),
    ):  # fmt: skip
        connection = HTTPConnection("127.0.0.1", port)
        connection.request("GET", path, headers={"Host": host})
        answers.append(connection.getresponse().status)
        connection.close()
    reader = HTTPConnection("127.0.0.1", port)
    reader.request("GET", "/after/1", headers={"Host": f"127.0.0.1:{port}"})
    page.close()
    assert answers == [403, 200, 404, 404, 404]
    assert reader.getresponse().status == 200
    reader.close()


def test_reader_of_the_last_page_needs_no_other() -> None:
    notices = Notices()
    notices.post("one", 1)
    assert notices.after(0) == "one"
    notices.taken()
    notices.post("two", 2, last=True)
    assert notices.after(1) == "two"
    notices.taken()
    assert notices.after(7) == "two"
    notices.wait_for_readers()


def test_bad_addresses_are_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path, 1)
    for address in ("nonsense", "70000", "::1:8000"):
        result = train(run, "--port", "sim://", "--out", tmp_path / "out", "--serve", address)
        assert result.exit_code == 2
        assert result.stderr.splitlines()[-1] == (
            f"Error: Invalid value for '--serve': '{address}' is no address; type a port such as "
            "8000, 0 for any free one, or HOST:PORT"
        )
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = train(run, "--port", "sim://", "--out", tmp_path / "out", "--serve", port)
    assert result.exit_code == 2
    assert result.stderr == (
        f"fixgrad: --serve 127.0.0.1:{port}: Address already in use; type another port, or 0 for "
        "any free one\n"
    )
