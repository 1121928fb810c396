"""Opening a device for a command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fixgrad.cli.output import status
from fixgrad.device import Device
from fixgrad.errors import DoesNotFitError
from fixgrad.fitting import advice
from fixgrad.model import ModelConfig
from fixgrad.planner import plan


@contextmanager
def open_device(port: str, baud: int, config: ModelConfig | None = None) -> Iterator[Device]:
    """Open a device, and refuse a model that does not fit before anything is sent.

    Args:
        port: where it is.
        baud: speed of a real serial port.
        config: the model that will be loaded, if any.

    Raises:
        DoesNotFitError: with the bytes needed, the bytes there, and what would fit.
    """
    with status(f"opening {port}"):
        device = Device.open(port, baud=baud)
    with device:
        if config is not None:
            needed, there = plan(config).arena_bytes, device.info.arena_bytes
            if needed > there:
                raise DoesNotFitError(
                    f"the model needs {needed:,} bytes, {device.info.board} has {there:,} bytes "
                    f"for it; {advice(config, there)}"
                )
        yield device
