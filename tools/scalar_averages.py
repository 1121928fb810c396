"""docs/NUMERICS.md section 11 once more, in fractions: makes and checks tests/average_vectors.json.

Imports nothing from fixgrad and shares no code with it.

    python tools/scalar_averages.py --check
    python tools/scalar_averages.py --write
"""

from __future__ import annotations

import json
import math
import random
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

FILE = Path(__file__).parents[1] / "tests" / "average_vectors.json"
CASES = 40
BIAS_MAX = 1 << 28
VELOCITY_MAX, BIAS_VELOCITY_MAX = 32767, 1 << 22

State = dict[str, Any]


def mix32(x: int) -> int:
    """Return mix32 of section 1."""
    x ^= x >> 16
    x = x * 0x85EBCA6B & 0xFFFFFFFF
    x ^= x >> 13
    x = x * 0xC2B2AE35 & 0xFFFFFFFF
    return x ^ x >> 16


def mean(values: list[Fraction], counts: list[int], exponent: int, low: int, high: int) -> int:
    """Return the weighted mean of values in units of 2**exponent, halves up, clamped."""
    exact = sum((n * v for n, v in zip(counts, values, strict=True)), Fraction(0)) / sum(counts)
    return max(low, min(high, math.floor(exact / Fraction(2) ** exponent + Fraction(1, 2))))


def average(bits: list[int], states: list[State], counts: list[int]) -> State:
    """Return the mean of states."""
    layers = range(len(bits))
    ew = [max(s["eW"][k] for s in states) for k in layers]
    ex = [max(s["eX"][k] for s in states) for k in layers]

    def tensor(name: str, k: int, unit: list[int], exponent: int, limits: tuple[int, int]) -> Any:
        return [
            mean(
                [s[name][k][i] * Fraction(2) ** e for s, e in zip(states, unit, strict=True)],
                counts, exponent, *limits,
            )
            for i in range(len(states[0][name][k]))
        ]  # fmt: skip

    weight = [[s["eW"][k] for s in states] for k in layers]
    bias = [[s["eW"][k] + s["eX"][k] for s in states] for k in layers]
    limits = [(-(1 << b), (1 << b) - 1) for b in bits]
    both = [a + b for a, b in zip(ew, ex, strict=True)]
    velocity, bias_velocity = (-VELOCITY_MAX, VELOCITY_MAX), (-BIAS_VELOCITY_MAX, BIAS_VELOCITY_MAX)
    return {
        "W": [tensor("W", k, weight[k], ew[k], limits[k]) for k in layers],
        "b": [tensor("b", k, bias[k], both[k], (-BIAS_MAX, BIAS_MAX)) for k in layers],
        "V": [tensor("V", k, weight[k], ew[k], velocity) for k in layers],
        "Vb": [tensor("Vb", k, bias[k], both[k], bias_velocity) for k in layers],
        "eW": ew,
        "eX": ex,
        "S": mix32(sum(s["S"] for s in states) & 0xFFFFFFFF),
    }


def cases() -> list[dict[str, Any]]:
    """Return random states, corners among them, with their means."""
    chance = random.Random(11)
    made = []
    for number in range(CASES):
        sizes = [(chance.randint(1, 4), chance.randint(1, 3)) for _ in range(2)]
        bits = [chance.randint(7, 14) for _ in sizes]
        spread = (0, 1, 5, 20)[number % 4]
        states = [_state(chance, sizes, bits, spread) for _ in range(chance.randint(1, 6))]
        counts = [chance.choice((1, 2, 3, 7, 100, 1437, 60000)) for _ in states]
        made.append({
            "sizes": sizes, "bits": bits, "states": states, "counts": counts,
            "mean": average(bits, states, counts),
        })  # fmt: skip
    return made


def _state(
    chance: random.Random, sizes: list[tuple[int, int]], bits: list[int], spread: int
) -> State:
    def numbers(count: int, low: int, high: int) -> list[int]:
        return [chance.choice((low, high, chance.randint(low, high))) for _ in range(count)]

    return {
        "W": [
            numbers(i * o, -(1 << b), (1 << b) - 1)
            for (i, o), b in zip(sizes, bits, strict=True)
        ],
        "b": [numbers(o, -BIAS_MAX, BIAS_MAX) for _, o in sizes],
        "V": [numbers(i * o, -VELOCITY_MAX, VELOCITY_MAX) for i, o in sizes],
        "Vb": [numbers(o, -BIAS_VELOCITY_MAX, BIAS_VELOCITY_MAX) for _, o in sizes],
        "eW": [chance.randint(-spread, spread) for _ in sizes],
        "eX": [0, -chance.randint(0, min(spread, 14))],
        "S": chance.getrandbits(32),
    }


def main() -> int:
    """Write or check; return the exit code."""
    text = "[\n" + ",\n".join(json.dumps(case) for case in cases()) + "\n]\n"
    if "--write" in sys.argv[1:]:
        FILE.write_text(text, encoding="utf-8")
        return 0
    if FILE.read_text(encoding="utf-8") != text:
        print(f"{FILE.name} is not what section 11 gives", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
