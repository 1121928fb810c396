"""A page in a real headless browser: what it draws, what it complains of, what it asks for."""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.image import imread
from numpy.typing import NDArray

NAMES = ("chromium-headless-shell", "chromium", "google-chrome")
DARK, LIGHT = 0, 1


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


def visit(page: Path, folder: Path, scheme: int, height: int = 1500) -> Visit:
    """Open a page as a file."""
    browser = next((path for name in NAMES if (path := shutil.which(name))), None)
    assert browser, "no browser; `make setup` installs one"
    log, image = folder / "net.json", folder / "page.png"
    run = subprocess.run(
        [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
            "--enable-logging=stderr", f"--user-data-dir={folder / 'profile'}",
            "--host-resolver-rules=MAP * ~NOTFOUND", f"--log-net-log={log}",
            f"--blink-settings=preferredColorScheme={scheme}", f"--window-size=1100,{height}",
            f"--screenshot={image}", page.resolve().as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    complaints = [line for line in run.stderr.splitlines() if ":CONSOLE" in line]
    events = json.loads(log.read_text())["events"]
    urls = {event.get("params", {}).get("url", "") for event in events}
    pixels = (imread(image)[..., :3] * 255).round().astype(np.uint8)
    return Visit(
        pixels, complaints, sorted(url for url in urls if url.startswith(("http", "ws", "ftp")))
    )
