"""A page in a real headless browser: what it draws, what it complains of, what it asks for."""

import json
import os
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.image import imread
from numpy.typing import NDArray

NAMES = ("chromium-headless-shell", "chromium", "google-chrome")
DARK, LIGHT = 0, 1
GUARD_S = 300
"""What waits so long has gone wrong."""


@dataclass(frozen=True)
class Visit:
    """A page that was opened.

    Attributes:
        pixels: what is seen, [rows, columns, 3] of 0..255.
        complaints: messages on the page's console.
        requests: URLs that it asked for, other than files and data.
    """

    pixels: NDArray[np.uint8]
    complaints: list[str]
    requests: list[str]


def find() -> str:
    """Return the browser's path."""
    browser = next((path for name in NAMES if (path := shutil.which(name))), None)
    assert browser, "no browser; `make setup` installs one"
    return browser


def visit(page: Path, folder: Path, scheme: int, height: int = 1500) -> Visit:
    """Open a page as a file."""
    log, image = folder / "net.json", folder / "page.png"
    run = subprocess.run(
        [
            find(), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
            "--enable-logging=stderr", f"--user-data-dir={folder / 'profile'}",
            "--host-resolver-rules=MAP * ~NOTFOUND", f"--log-net-log={log}",
            f"--blink-settings=preferredColorScheme={scheme}", f"--window-size=1100,{height}",
            f"--screenshot={image}", page.resolve().as_uri(),
        ],
        capture_output=True, text=True, timeout=GUARD_S, check=True,
    )  # fmt: skip
    complaints = [line for line in run.stderr.splitlines() if ":CONSOLE" in line]
    events = json.loads(log.read_text())["events"]
    urls = {event.get("params", {}).get("url", "") for event in events}
    pixels = (imread(image)[..., :3] * 255).round().astype(np.uint8)
    return Visit(
        pixels, complaints, sorted(url for url in urls if url.startswith(("http", "ws", "ftp")))
    )


@dataclass
class Tab:
    """A page that stays open, over the browser's DevTools protocol.

    Attributes:
        complaints: what it said on its console, exceptions and failed requests.
        requests: URLs that it asked for.
    """

    _commands: int
    _answers: int
    _session: str = ""
    _number: int = 0
    _rest: bytes = b""
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def ask(self, method: str, **parameters: object) -> dict[str, Any]:
        """Send a command and return its answer."""
        self._number += 1
        message: dict[str, object] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while (told := self._read()).get("id") != self._number:
            self._hear(told)
        assert "error" not in told, told
        return dict(told["result"])

    def begin(self) -> None:
        """Attach to a new empty page."""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def open(self, url: str) -> None:
        """Go to a page."""
        answer = self.ask("Page.navigate", url=url)
        assert "errorText" not in answer, answer

    def value(self, script: str) -> Any:
        """Return what a script gives; a promise is waited for."""
        answer = self.ask(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait_for_text(self, text: str) -> None:
        """Wait until the page shows a text."""
        self.value(
            f"""new Promise(done => {{
              const wanted = {json.dumps(text)};
              const look = () => document.body && document.body.textContent.includes(wanted);
              if (look()) return done();
              const seen = new MutationObserver(() => {{
                if (look()) {{ seen.disconnect(); done(); }}
              }});
              seen.observe(document, {{subtree: true, childList: true, characterData: true}});
            }})"""
        )

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            heard, _, _ = select.select([self._answers], [], [], GUARD_S)
            assert heard, f"the browser says nothing; before: {self.complaints}"
            part = os.read(self._answers, 65536)
            assert part, "the browser ended"
            self._rest += part
        message, _, self._rest = self._rest.partition(b"\0")
        return dict(json.loads(message))

    def _hear(self, told: dict[str, Any]) -> None:
        parameters = told.get("params", {})
        match told.get("method"):
            case "Runtime.consoleAPICalled" | "Runtime.exceptionThrown" | "Log.entryAdded":
                self.complaints.append(json.dumps(parameters))
            case "Network.requestWillBeSent":
                self.requests.append(parameters["request"]["url"])


@contextmanager
def open_tab(folder: Path) -> Iterator[Tab]:
    """Start a browser with an empty page."""
    commands_read, commands = os.pipe()
    answers, answers_write = os.pipe()
    script = (  # the browser reads commands from descriptor 3 and answers on 4
        f"import os, sys; os.dup2({commands_read}, 3); os.dup2({answers_write}, 4); "
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    process = subprocess.Popen(
        [
            sys.executable, "-c", script, find(), "--headless", "--no-sandbox", "--disable-gpu",
            "--remote-debugging-pipe", f"--user-data-dir={folder / 'profile'}",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "about:blank",
        ],
        pass_fds=(commands_read, answers_write), stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(commands_read)
    os.close(answers_write)
    try:
        tab = Tab(commands, answers)
        tab.begin()
        yield tab
    finally:
        process.kill()
        process.wait()
        os.close(commands)
        os.close(answers)
