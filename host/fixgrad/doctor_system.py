"""What the system says of a serial port before it is opened (Linux; elsewhere nothing)."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from fixgrad.doctor import (
    HELD,
    LATENCY,
    MODEM_MANAGER,
    NO_PERMISSION,
    NO_PORT,
    Fact,
    Finding,
    Report,
)

LATENCY_MAX_MS = 2


def examine_system(
    url: str,
    root: Path = Path("/"),
    may_access: Callable[[Path, int], bool] = os.access,
) -> Iterator[Report]:
    """Look at a device node, its group, who holds it, ModemManager and the latency timer.

    Args:
        url: the port; a URL with a scheme has no device node, so nothing is reported.
        root: where /dev, /proc, /run and /sys begin.
        may_access: tells whether a file can be opened, as `os.access`.
    """
    if "://" in url or os.name != "posix":
        return
    node = root / url.lstrip("/")
    if not node.exists():
        yield Finding(NO_PORT, f"{url} does not exist")
        return
    if not may_access(node, os.R_OK | os.W_OK):
        yield Finding(NO_PERMISSION, f"{url} belongs to the group {_group(node)}")
    else:
        yield Fact("permission", True, f"{url} may be opened")
    yield from _holders(url, node, root)
    yield from _modem_manager(node, root)
    yield from _latency_timer(node, root)


def _group(node: Path) -> str:
    try:
        return node.group()
    except (KeyError, OSError):
        return str(node.stat().st_gid)


def _holders(url: str, node: Path, root: Path) -> Iterator[Report]:
    """Look through the open files of every process that lets us."""
    real = node.resolve()
    found = False
    for process in _processes(root):
        try:
            held = any(link.resolve() == real for link in (process / "fd").iterdir())
        except OSError:
            continue
        if held and process.name != str(os.getpid()):
            found = True
            yield Finding(HELD, f"{url} is open in {_name(process)}, PID {process.name}")
    if not found:
        yield Fact("holders", [], "no other program of yours has it open")


def _processes(root: Path) -> list[Path]:
    try:
        return [path for path in (root / "proc").iterdir() if path.name.isdigit()]
    except OSError:
        return []


def _name(process: Path) -> str:
    try:
        return (process / "comm").read_text().strip()
    except OSError:
        return "an unknown program"


def _modem_manager(node: Path, root: Path) -> Iterator[Report]:
    if not any(_name(process) == "ModemManager" for process in _processes(root)):
        yield Fact("modem_manager", False, "ModemManager does not run")
    elif _is_ignored(node, root):
        yield Fact("modem_manager", False, "ModemManager was told to leave the port alone")
    else:
        yield Finding(MODEM_MANAGER, "ModemManager runs and no udev rule keeps it off the port")


def _is_ignored(node: Path, root: Path) -> bool:
    """Return whether udev marks the device as none of ModemManager's."""
    status = node.stat()
    if not stat.S_ISCHR(status.st_mode):
        return False
    device = f"c{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
    try:
        text = (root / "run" / "udev" / "data" / device).read_text()
    except OSError:
        return False
    return "E:ID_MM_DEVICE_IGNORE=1" in text.splitlines()


def _latency_timer(node: Path, root: Path) -> Iterator[Report]:
    path = root / "sys" / "class" / "tty" / node.resolve().name / "device" / "latency_timer"
    try:
        milliseconds = int(path.read_text())
    except (OSError, ValueError):
        return
    if milliseconds > LATENCY_MAX_MS:
        yield Finding(LATENCY, f"{milliseconds} ms in {path}")
    else:
        yield Fact("latency_timer_ms", milliseconds, f"latency timer {milliseconds} ms")
