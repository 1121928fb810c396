"""Opening a device for a command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from fixgrad.cli.output import note, status
from fixgrad.device import Device
from fixgrad.fitting import check_fit, require_fit
from fixgrad.model import ModelConfig
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
    if config is not None and urlsplit(port).scheme == "qemu":
        require_fit(config, board_of(port))
    with status(f"opening {port}"):
        device = Device.open(port, baud=baud)
    with device:
        if device.baud != baud:
            note(
                f"{port} stays at {device.baud} baud: board {device.info.board} cannot run its "
                f"line at {baud}, or the line does not carry it"
            )
        if config is not None:
            check_fit(device, config)
        yield device
