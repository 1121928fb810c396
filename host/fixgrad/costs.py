"""Instructions of a training step, predicted for a core: passes of its loops times their costs.

costs.json is fitted to counts in QEMU by `python -m bench.planner_model --update`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from fixgrad.loops import Part, step_loops
from fixgrad.model import ModelConfig
from fixgrad.protocol import Phase
from fixgrad.steptrace import LayerTrace

FAMILIES = {
    "cortex-m0": "mul", "cortex-m0plus": "mul", "cortex-m3": "mla", "cortex-m4": "dsp",
    "cortex-m7": "dsp", "cortex-m33": "dsp", "cortex-m55": "mve",
}  # fmt: skip
"""Kernels of a core: kernels_*.c of the firmware."""

GROUPS = {
    Phase.PACK: "pack", Phase.FORWARD: "forward", Phase.LOSS: "forward",
    Phase.BACKWARD: "backward", Phase.UPDATE: "update", Phase.END: "end", Phase.DIGEST: "digest",
}  # fmt: skip
"""Parts whose loops are the same code have their costs together."""

_SAME = {"cortex-m0plus": "cortex-m0"}
"""Cores whose instructions are those of another one that was counted."""

Costs = dict[str, dict[str, float]]
"""Instructions a pass, by group and loop."""

_FILE = Path(__file__).with_name("costs.json")


def predict(
    core: str, config: ModelConfig, trace: list[LayerTrace]
) -> dict[Part, float] | None:
    """Return the instructions of the parts of a step, as `fixgrad bench` counts them.

    Args:
        core: of the board.
        config: the model.
        trace: the step (`fixgrad.steptrace.trace_step`).

    Returns:
        By phase and layer, the digest with them; None for a core without costs.
    """
    if core not in FAMILIES:
        return None
    table = load()["cores"][_SAME.get(core, core)]
    loops = step_loops(FAMILIES[core], config, trace)
    return {part: passes(table[GROUPS[part[0]]], counts) for part, counts in loops.items()}


def passes(table: Mapping[str, float], loops: Mapping[str, int]) -> float:
    """Return the instructions of loops that run so often; one without a cost takes none."""
    return sum(table.get(name, 0.0) * count for name, count in loops.items())


@lru_cache(maxsize=1)
def load() -> dict[str, Any]:
    """Return the file: compiler, hash of the sources, costs by core."""
    content: dict[str, Any] = json.loads(_FILE.read_text("utf-8"))
    return content


def save(head: Mapping[str, str], cores: Mapping[str, Costs]) -> None:
    """Write the file, a group a line."""
    lines = [f' "{name}": {json.dumps(value)},' for name, value in head.items()]
    tables = [
        f'  "{core}": {{\n'
        + ",\n".join(f'   "{group}": {json.dumps(table)}' for group, table in groups.items())
        + "\n  }"
        for core, groups in cores.items()
    ]
    text = "\n".join(["{", *lines, ' "cores": {', ",\n".join(tables), " }", "}", ""])
    _FILE.write_text(text, "utf-8")
    load.cache_clear()
