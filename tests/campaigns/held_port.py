"""A TCP port that refuses connections until somebody listens, and that nobody else is given."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def held_port() -> Iterator[int]:
    """Hold a port of this machine without listening.

    A server may listen on it meanwhile, and leave again: it is bound with SO_REUSEADDR, as
    `socket.create_server` binds. The system gives it to nobody who asks for any free port.
    """
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]
