"""Write the tables of docs/BENCHMARKS.md from the checked-in counts (`--check` only compares)."""

import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from generated import write_or_check  # noqa: E402

from bench.instructions import results, tables  # noqa: E402

if __name__ == "__main__":
    sys.exit(write_or_check(tables.DOCUMENT, tables.document(results.load()[1])))
