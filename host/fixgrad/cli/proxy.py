"""`fixgrad proxy`: a port behind a socket, with faults and a trace."""

from __future__ import annotations

import random
import time

import click

from fixgrad.cli.options import baud_option, port_option
from fixgrad.cli.output import note, print_line
from fixgrad.errors import PortError, UsageError
from fixgrad.proxy import FaultRates, FaultyLine, forward, listen
from fixgrad.tracing import TO_DEVICE, TO_HOST, Tracer
from fixgrad.transport import open_port

_PROBABILITY = click.FloatRange(0, 0.1)


@click.command(short_help="Put a port behind a socket, with faults.")
@port_option
@baud_option
@click.option("--listen", "address", default="localhost:4242", show_default=True,
              metavar="HOST:PORT", help="Where the other program connects.")
@click.option("--bit-errors", default=0.0, type=_PROBABILITY, metavar="P",
              help="Probability of a wrong bit, such as 1e-5.")
@click.option("--drops", default=0.0, type=_PROBABILITY, metavar="P",
              help="Probability of a lost byte.")
@click.option("--disconnect", default=0.0, type=click.FloatRange(min=0), metavar="SECONDS",
              help="Mean time until the client is thrown out; 0: never.")
@click.option("--seed", default=1, show_default=True, help="Seed of the faults.")
@click.option("--trace", is_flag=True, help="Print every message with its time.")
def proxy(
    port: str,
    baud: int,
    address: str,
    bit_errors: float,
    drops: float,
    disconnect: float,
    seed: int,
    trace: bool,
) -> None:
    """Connect with --port socket://HOST:PORT; a run must end with the same digest as without."""
    host, _, number = address.rpartition(":")
    if not host or not number.isdigit() or int(number) > 65535:
        raise UsageError(f"--listen {address} is no HOST:PORT, such as localhost:4242")
    rates = FaultRates(bit_errors, drops)
    lines = FaultyLine(rates, f"{seed} device"), FaultyLine(rates, f"{seed} host")
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
                        lambda data: carry(0, data),
                        lambda data: carry(1, data),
                        lambda end=end: end is not None and time.monotonic() >= end,  # type: ignore[misc]
                    )
                except OSError as error:
                    raise PortError(f"{port}: the port vanished: {error}") from error
            note(f"the client is gone; {sum(line.faults for line in lines)} bytes were hit so far")
