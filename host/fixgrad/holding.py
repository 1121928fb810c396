"""Work with parameters that a device holds, though it may be reset and its port may vanish."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from fixgrad.device import Device
from fixgrad.errors import PortError
from fixgrad.network import Network
from fixgrad.session import NoAnswerError, SessionLostError
from fixgrad.training import RESTORES_MAX, Patience

_Result = TypeVar("_Result")


def while_held(
    device: Device,
    network: Network,
    work: Callable[[], _Result],
    patience: Patience | None,
    tell: Callable[[str], object],
) -> _Result:
    """Return what `work` gives while the device holds a network; begin again where it lost it.

    Args:
        device: holds the network, as the end of a run or loaded.
        network: loaded again where that is necessary.
        work: raises SessionLostError where the device was reset meanwhile.
        patience: how long to wait for a port that vanished or a device that fell silent; None:
            not at all.
        tell: takes a line whenever something was lost or is back.

    Raises:
        LinkError: the device is away for longer, or was reset again and again.
        PortError: the port is away for longer.
    """
    losses, holds = 0, True
    while True:
        try:
            if not holds:
                network.hold(device)
                holds = True
            return work()
        except SessionLostError:
            if losses == RESTORES_MAX:
                raise
            losses += 1
            tell("the device had lost the session; loading the parameters again")
        except (PortError, NoAnswerError) as error:
            if patience is None:
                raise
            tell(f"{error}; waiting for it, Ctrl-C stops")
            patience.outlast(error, device.reopen)
            tell(f"back on {device.url}; loading the parameters again")
        holds = False
