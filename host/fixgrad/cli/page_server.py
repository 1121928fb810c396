"""The process that serves the page of a run: `python -m fixgrad.cli.page_server DIR HOST PORT`.

It is started by `fixgrad.cli.serving`, tells the page's address on stdout (or why there is none,
behind a "!"), reads a line for every epoch and "ended" behind the last, and ends when stdin does.
"""

from __future__ import annotations

import contextlib
import queue
import signal
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from fixgrad.errors import FixgradError
from fixgrad.rundir import write_atomic

LOCAL = "127.0.0.1"
EPOCH, ENDED = "epoch", "ended"
_FAREWELL_S = 20.0
"""A browser on a busy machine takes seconds to draw a page before it asks for the next."""


class Notices:
    """The page that holds now; whoever has an older one waits for the next."""

    def __init__(self) -> None:
        """Begin without a page."""
        self._changed = threading.Condition()
        self._page, self._version, self._last = "", 0, False
        self._coming = 0

    def post(self, page: str, version: int, *, last: bool = False) -> None:
        """Replace the page; behind the last one no other comes."""
        with self._changed:
            self._page, self._version, self._last = page, version, last
            self._changed.notify_all()

    def after(self, version: int) -> str:
        """Return a page later than this version, or the last one; waits until there is one."""
        with self._changed:
            self._coming -= version > 0
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._version > version or self._last)
            return self._page

    def taken(self) -> None:
        """Count a reader that comes again: its page was not the last."""
        with self._changed:
            self._coming += not self._last

    def wait_for_readers(self) -> None:
        """Wait for those that come again, a little while: a browser may have been closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._coming <= 0, _FAREWELL_S)


def handler_of(notices: Notices, host: str) -> type[BaseHTTPRequestHandler]:
    """Return what answers GET of the page and of the one after it."""

    class Handler(BaseHTTPRequestHandler):
        """Answers GET."""

        timeout = _FAREWELL_S
        server: _Server

        def setup(self) -> None:
            """Begin to wait for a request."""
            super().setup()
            self.server.idle.add(self.connection)

        def finish(self) -> None:
            """End without one."""
            self.server.idle.discard(self.connection)
            super().finish()

        def do_GET(self) -> None:
            """Answer."""
            self.server.idle.discard(self.connection)
            asked = (self.headers.get("Host") or "").rpartition(":")[0]
            first, _, version = self.path.removeprefix("/").partition("/")
            if host == LOCAL and asked not in (LOCAL, "localhost"):
                self.send_error(403)  # another site's name that leads here
            elif self.path == "/":
                self._answer(notices.after(0))
            elif first == "after" and version.isdecimal():
                self._answer(notices.after(int(version)))
            else:
                self.send_error(404)

        def _answer(self, text: str) -> None:
            data = text.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(data)
            notices.taken()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing on stderr."""

    return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # the last page is sent to its end

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self.idle: set[socket.socket] = set()
        super().__init__(address, handler)

    def server_close(self) -> None:
        """End what browsers opened in advance and asked nothing by; wait for the others."""
        for connection in list(self.idle):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RD)
        super().server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of browsers that were closed."""


def main(arguments: list[str]) -> int:
    """Serve until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    folder, host, port = Path(arguments[0]), arguments[1], int(arguments[2])
    notices = Notices()
    try:
        server = _Server((host, port), handler_of(notices, host))
    except OSError as error:
        print(f"!{error.strerror or error}", flush=True)
        return 1
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://{host}:{server.server_address[1]}/", flush=True)
    _follow(folder, notices)
    notices.wait_for_readers()
    server.shutdown()
    server.server_close()
    return 0


def _follow(folder: Path, notices: Notices) -> None:
    """Post a page whenever an epoch is done, and the last one."""
    from fixgrad.report.following import Follower  # takes a second; the address is told by then

    follower = Follower(folder)
    notices.post(follower.waiting(), follower.version)
    told, closed = _listen()
    has_ended = False
    while (line := told.get()) is not None:
        while not told.empty() and line == EPOCH:
            line = told.get()  # only the latest matters
        if line is None:
            break
        try:
            if line == ENDED:
                has_ended = True
                last, kept = follower.ended()
                write_atomic(folder / "report.html", kept.encode())
                notices.post(last, follower.version, last=True)
            else:
                page = follower.training(closed.is_set)
                notices.post(page, follower.version)
        except (FixgradError, OSError) as error:
            print(f"fixgrad: the page cannot be drawn: {error}", file=sys.stderr)
            break
    if not has_ended:
        notices.post(follower.stopped(), follower.version, last=True)


def _listen() -> tuple[queue.SimpleQueue[str | None], threading.Event]:
    """Return the lines of stdin as they come, None behind the last; and if training was stopped."""
    told: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    closed = threading.Event()

    def read() -> None:
        line = ""
        for line in sys.stdin:
            told.put(line.strip())
        if line.strip() != ENDED:
            closed.set()
        told.put(None)

    threading.Thread(target=read, daemon=True).start()
    return told, closed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
