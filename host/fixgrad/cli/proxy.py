"""`fixgrad proxy`: a port behind a socket, with faults and a trace."""

from __future__ import annotations

import math
import random
import time
from typing import Any

import click

from fixgrad.cli.options import NumberRange, port_baud_option, port_option
from fixgrad.cli.output import note, print_line
from fixgrad.errors import PortError, UsageError
from fixgrad.proxy import Delay, FaultRates, FaultyLine, forward, listen
from fixgrad.tracing import TO_DEVICE, TO_HOST, Tracer
from fixgrad.transport import open_port

_PROBABILITY = NumberRange(0, 0.1)
_SECONDS = NumberRange(min=0)

_listen_option = click.option(
    "--listen", "address", default="localhost:4242", show_default=True, metavar="HOST:PORT",
    help="Where the other program connects.",
)  # fmt: skip


@click.command(short_help="Put a port behind a socket, with faults.")
@port_option
@port_baud_option
@_listen_option
@click.option("--bit-errors", default=0.0, type=_PROBABILITY, metavar="P",
              help="Probability of a wrong bit, such as 1e-5.")
@click.option("--drops", default=0.0, type=_PROBABILITY, metavar="P",
              help="Probability of a lost byte.")
@click.option("--delay", default=0.0, type=_SECONDS, metavar="SECONDS",
              help="Delay of every byte, each way.")
@click.option("--jitter", default=0.0, type=_SECONDS, metavar="SECONDS",
              help="Random delay on top of it, at most.")
@click.option("--disconnect", default=0.0, type=_SECONDS, metavar="SECONDS",
              help="Mean time until the client is thrown out; 0: never.")
@click.option("--reset", default=0, type=click.IntRange(min=0), metavar="BYTES",
              help="Mean bytes to the board until its reset is pressed (sim:// and qemu://).")
@click.option("--seed", default=1, show_default=True, help="Seed of the faults.")
@click.option("--trace", is_flag=True, help="Print every message with its time.")
def proxy(
    port: str,
    baud: int,
    address: str,
    bit_errors: float,
    drops: float,
    delay: float,
    jitter: float,
    disconnect: float,
    reset: int,
    seed: int,
    trace: bool,
) -> None:
    """Connect with --port socket://HOST:PORT; a run must end with the same digest as without."""
    host, _, number = address.rpartition(":")
    if not host or not number.isdigit() or int(number) > 65535:
        raise UsageError(f"--listen {address} is no HOST:PORT, such as localhost:4242")
    rates = FaultRates(bit_errors, drops)
    lines = FaultyLine(rates, f"{seed} device"), FaultyLine(rates, f"{seed} host")
    delays = Delay(delay, jitter, f"{seed} device"), Delay(delay, jitter, f"{seed} host")
    presses = _Presses(reset, seed)
    tracers = (Tracer(TO_DEVICE), Tracer(TO_HOST)) if trace else ()
    ends = random.Random(seed)
    started = time.monotonic()

    def carry(direction: int, data: bytes) -> bytes:
        arrived = lines[direction].carry(data)
        if tracers:
            for text in tracers[direction].feed(arrived):
                print_line(f"{time.monotonic() - started:10.4f} {text}")
        return arrived

    try:
        server = listen(host, int(number))
    except OSError as error:
        raise PortError(f"--listen {address}: {error.strerror}; choose another port") from error
    with server, open_port(port, baud) as line:
        if reset and not hasattr(line, "reset_device"):
            raise UsageError(f"--reset presses the button of sim:// and qemu:// boards, not {port}")
        bound = server.getsockname()[1]
        note(f"listening; connect with --port socket://{host}:{bound}, end with Ctrl-C")
        while True:
            client, _ = server.accept()
            end = time.monotonic() + ends.expovariate(1 / disconnect) if disconnect else None
            with client:
                try:
                    forward(
                        client,
                        line,
                        lambda data: presses.pass_on(carry(0, data), line),
                        lambda data: carry(1, data),
                        lambda end=end: end is not None and time.monotonic() >= end,  # type: ignore[misc]
                        delays,
                    )
                except OSError as error:
                    raise PortError(f"{port}: the port vanished: {error}") from error
            faults = sum(direction.faults for direction in lines)
            note(
                f"the client is gone; {faults} bytes were hit and {presses.count} resets pressed "
                "so far"
            )


@click.command(short_help="Put a port behind a socket, and print every message.")
@port_option
@port_baud_option
@_listen_option
@click.pass_context
def trace(ctx: click.Context, port: str, baud: int, address: str) -> None:
    """Connect with --port socket://HOST:PORT; every message is printed, both ways, with its time.

    `fixgrad proxy --trace` does the same on a line with faults.
    """
    ctx.invoke(proxy, port=port, baud=baud, address=address, trace=True)


class _Presses:
    """Presses the board's reset after random numbers of bytes.

    Attributes:
        count: presses so far.
    """

    def __init__(self, mean_bytes: int, seed: int) -> None:
        self.count = 0
        self._mean, self._random = mean_bytes, random.Random(f"{seed} reset")
        self._left = self._draw()

    def pass_on(self, data: bytes, port: Any) -> bytes:
        """Return the bytes, after a press where one is due."""
        self._left -= len(data)
        if self._left < 0:
            self._left = self._draw()
            self.count += 1
            port.reset_device()
            note(f"reset {self.count} pressed")
        return data

    def _draw(self) -> float:
        return self._random.expovariate(1 / self._mean) if self._mean else math.inf
