"""Opening a device for a command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fixgrad.cli.output import detail, note, status
from fixgrad.device import Device
from fixgrad.fitting import check_fit, require_fit
from fixgrad.model import ModelConfig
from fixgrad.transport import split_url
from fixgrad.urlhandlers.protocol_qemu import board_of


@contextmanager
def open_device(port: str, baud: int, config: ModelConfig | None = None) -> Iterator[Device]:
    """Open a device, and refuse a model that does not fit before anything is built or sent.

    Args:
        port: where it is.
        baud: speed of a real serial port, as far as the board knows it.
        config: the model that will be loaded, if any.

    Raises:
        DoesNotFitError: with the bytes needed, the bytes there, and what would fit.
    """
    if config is not None and split_url(port).scheme == "qemu":
        require_fit(config, board_of(port))
    with status(f"opening {port}"):
        device = Device.open(port, baud=baud)
    with device:
        info = device.info
        detail(
            f"{device.url}: {info.board} ({info.core}), firmware {info.firmware:04x}, "
            f"{info.arena_bytes:,} bytes for a model, digest {info.digest:08x}"
        )
        if device.baud != baud:
            note(
                f"{port} stays at {device.baud} baud: board {info.board} cannot run its "
                f"line at {baud}, or the line does not carry it"
            )
        if config is not None:
            check_fit(device, config)
        yield device
        stats = device.stats
        detail(
            f"{device.url}: {stats.frames:,} frames, {stats.wire_bytes:,} bytes sent, "
            f"{stats.retransmitted_bytes:,} of them again, {stats.go_backs} repetitions asked for, "
            f"{stats.expiries} timers expired, round trip {1000 * stats.round_trip_s:.1f} ms"
        )
