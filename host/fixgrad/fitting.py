"""What would fit: the largest batch, or the widest hidden layers, inside a board's memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from fixgrad.boards import Board
from fixgrad.device import Device
from fixgrad.errors import DoesNotFitError
from fixgrad.model import ModelConfig
from fixgrad.planner import plan
from fixgrad.protocol import LIMITS


def check_fit(device: Device, config: ModelConfig) -> None:
    """Refuse a model that a device has no memory for; see `require_bytes`."""
    require_bytes(config, device.info.board, device.info.arena_bytes)


def require_fit(config: ModelConfig, board: Board, what: str = "the model") -> None:
    """Refuse a model before a board's image is built or written; see `require_bytes`."""
    require_bytes(config, board.name, board.arena_bytes, what)


def require_bytes(
    config: ModelConfig, board: str, arena_bytes: int, what: str = "the model"
) -> None:
    """Refuse a model that a board has no memory for.

    Args:
        config: the model.
        board: name of the board.
        arena_bytes: RAM that it has for models.
        what: what the error calls the model.

    Raises:
        DoesNotFitError: with the bytes needed, the bytes there, and what would fit.
    """
    needed = plan(config).arena_bytes
    if needed > arena_bytes:
        raise DoesNotFitError(
            f"{what} needs {needed:,} bytes, {board} has {arena_bytes:,} bytes for it; "
            f"{advice(config, arena_bytes)}"
        )


def largest_batch(config: ModelConfig, arena_bytes: int, most: int) -> int:
    """Return the largest batch that a model can have in an arena.

    Args:
        config: the model; its own batch does not matter.
        arena_bytes: bytes of the arena.
        most: the largest batch that is of interest.

    Returns:
        1..most, limited by memory and by the update budget of NUMERICS section 2; 0 if not even
        a single sample fits.
    """

    def fits(batch: int) -> bool:
        model = dataclasses.replace(config, batch=batch).with_budgets()
        return (
            model.update_bits >= LIMITS["BITS_MIN"] and plan(model).arena_bytes <= arena_bytes
        )

    return _largest(most, fits)


def widest_layers(config: ModelConfig, arena_bytes: int) -> tuple[int, ...] | None:
    """Return the layers with all hidden widths shrunk alike until they fit; None if none do."""
    widest = max(config.layers[1:-1], default=0)

    def shrunk(width: int) -> tuple[int, ...]:
        hidden = (max(1, layer * width // widest) for layer in config.layers[1:-1])
        return (config.layers[0], *hidden, config.layers[-1])

    width = _largest(
        widest,
        lambda w: plan(dataclasses.replace(config, layers=shrunk(w))).arena_bytes <= arena_bytes,
    )
    return shrunk(width) if width else None


def advice(config: ModelConfig, arena_bytes: int) -> str:
    """Return what to type so that a model that is too large fits an arena."""
    remedies = []
    batch = largest_batch(config, arena_bytes, config.batch)
    if batch:
        remedies.append(f"batch_size = {batch}")
    layers = widest_layers(config, arena_bytes)
    if layers:
        remedies.append(f"layers = [{', '.join(map(str, layers))}]")
    if not remedies:
        return "no batch or hidden width would fit; choose a board with more RAM (fixgrad boards)"
    return f"{' or '.join(remedies)} would fit"


def _largest(most: int, fits: Callable[[int], bool]) -> int:
    """Return the largest n in 1..most that fits, 0 if none does; what fits shrinks with n."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low
