"""The power is lost at every operation of the checkpoint store, on the flash of every board.

    .venv/bin/python tests/campaigns/power_loss.py

Four checkpoints of a 64-32-10 net, or as much of one as a bank holds, on every geometry of
tests/test_store.py. Prints one line a geometry; ends with a traceback where a wrong checkpoint, an
old one or none is found.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from test_store import (  # noqa: E402
    BOARD_GEOMETRIES,
    CRC,
    GEOMETRIES,
    HEADER_AND_SEAL,
    SMALL_NET,
    build_power,
    run,
)

SAVES = 4


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=1, help="how often, each with other losses")
    rounds = parser.parse_args().rounds
    program = build_power()
    cuts = losses = 0
    for name, flash in GEOMETRIES.items():
        payload = min(SMALL_NET, flash.bank - HEADER_AND_SEAL - CRC)
        result = run(program, flash, payload, SAVES, 1, rounds, 0)
        cuts += result["cuts"]
        losses += result["losses"]
        boards = ", ".join(board for board, kind in BOARD_GEOMETRIES.items() if kind == name)
        print(
            f"{name} ({boards or 'no board'}): {payload:,} bytes, {result['operations']:,} "
            f"operations, {result['cuts']:,} cuts, {result['losses']:,} power losses",
            flush=True,
        )
    print(f"{cuts:,} cuts, {losses:,} power losses, 0 wrong checkpoints")
    return 0


if __name__ == "__main__":
    sys.exit(main())
