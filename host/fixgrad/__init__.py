"""fixgrad: train small neural networks in fixed point on microcontrollers, proved bit for bit."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final

import serial

if TYPE_CHECKING:
    from fixgrad.board import Board
    from fixgrad.estimators import FixedPointMLPClassifier, FixedPointMLPRegressor
    from fixgrad.network import Network

__version__ = "0.1.0"
__all__ = ["Board", "FixedPointMLPClassifier", "FixedPointMLPRegressor", "Network"]

URL_HANDLERS = "fixgrad.urlhandlers"
"""Package of `sim://` and `qemu://` for `serial.serial_for_url`."""

_PUBLIC: Final = {
    "Board": "fixgrad.board",
    "FixedPointMLPClassifier": "fixgrad.estimators",
    "FixedPointMLPRegressor": "fixgrad.estimators",
    "Network": "fixgrad.network",
}
"""Names that are imported when they are first used: scikit-learn takes a second to load."""

if URL_HANDLERS not in serial.protocol_handler_packages:
    serial.protocol_handler_packages.append(URL_HANDLERS)


def __getattr__(name: str) -> object:
    """Import a public name."""
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)
