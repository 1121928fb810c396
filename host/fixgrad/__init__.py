"""fixgrad: train small neural networks in fixed point on microcontrollers, proved bit for bit."""

import serial

__version__ = "0.1.0"

URL_HANDLERS = "fixgrad.urlhandlers"
"""Package of `sim://` and `qemu://` for `serial.serial_for_url`."""

if URL_HANDLERS not in serial.protocol_handler_packages:
    serial.protocol_handler_packages.append(URL_HANDLERS)
