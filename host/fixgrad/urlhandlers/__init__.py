"""pyserial URL handlers of fixgrad: `sim://` and `qemu://` (one `protocol_*` module each)."""
