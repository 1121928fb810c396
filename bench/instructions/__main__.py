"""Executed instructions of one training step on every core, counted in QEMU.

    python -m bench.instructions [--cores m0 m3 …] [--nets N1 …] [--json] [--update]

Prints the tables of docs/BENCHMARKS.md, and fails where a count exceeds the checked-in one by more
than 0.5 %. --update makes what was measured the checked-in counts and the document's tables; it
also counts classes of instructions (bench.instructions.classes), which takes a QEMU with plugins.
"""

from __future__ import annotations

import argparse
import json
import sys

from bench.instructions import classes, results, tables
from bench.instructions.measuring import measure, measure_textbooks
from bench.instructions.nets import NETS
from bench.machines import MACHINES


def main() -> int:
    """Count, print, compare."""
    options = _options()
    rows = [
        measure(core, NETS[net]) | measure_textbooks(core, NETS[net])
        for core in options.cores
        for net in options.nets
    ]
    if options.update:
        for row in rows:
            if row["net"] in tables.GOAL_NETS:
                row["files"] = classes.by_file(classes.count(row["core"], NETS[row["net"]]))
        results.save(rows)
        text = tables.document(results.load()[1])
        tables.DOCUMENT.write_text(text, "utf-8")
    print(json.dumps(rows, indent=1) if options.json else tables.text(rows))
    used, ours = results.load()[0], results.compiler()
    if used != ours:
        print(f"not compared: the checked-in counts are of gcc {used}, this is {ours}",
              file=sys.stderr)
        return 0
    problems = results.grown(rows)
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.instructions", description="Count instructions in QEMU."
    )
    parser.add_argument("--cores", nargs="+", choices=MACHINES, default=list(MACHINES))
    parser.add_argument("--nets", nargs="+", choices=NETS, default=list(NETS))
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    parser.add_argument("--update", action="store_true", help="check these counts in")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
