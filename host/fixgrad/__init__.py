"""fixgrad: train small neural networks in fixed point on microcontrollers, proved bit for bit."""

__version__ = "0.1.0"
