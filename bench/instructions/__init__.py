"""Executed instructions of one training step on every core, counted in QEMU."""
