"""How often the loops of a training step run, part by part and for each kind of kernels.

The counts follow the structure of firmware/core: groups of four samples, blocks of two outputs,
turns of eight terms, borders. `fixgrad.costs` has what a pass of each loop costs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fixgrad.model import INPUT_DTYPES, ModelConfig
from fixgrad.planner import activation_bytes, plan
from fixgrad.protocol import Activation, Phase
from fixgrad.steptrace import LayerTrace

Loops = Counter[str]
Part = tuple[Phase, int]

LANES = 4
TERMS_A_TURN = 8
_OUTPUTS_AT_ONCE = 12
_LISTED_A_TILE = 2
_TILES_MAX = 4
_STEP_MAX = 16383


@dataclass(frozen=True)
class _Layer:
    """One layer of a step.

    Attributes:
        inputs, outputs: widths.
        batch: samples that the model has room for.
        count: samples of the step.
        element: "u8", "i8" or "i16": storage of the rows that it reads.
        makes: activation of the rows that it makes, as its loops are called; "" for the last.
        reads: the same of the layer below; "" for the first.
        work: bytes of the workspace of the step.
        momentum: velocities are updated too.
        limit: largest magnitude in the rows.
        trace: the step's numbers.
    """

    inputs: int
    outputs: int
    batch: int
    count: int
    element: str
    makes: str
    reads: str
    work: int
    momentum: bool
    limit: int
    trace: LayerTrace

    @property
    def quads(self) -> int:
        return _up(self.count, LANES)

    @property
    def pairs(self) -> int:
        """Pairs of outputs."""
        return _up(self.outputs, 2)

    @property
    def may_clamp(self) -> bool:
        """Whether the kernels must clamp steps, from a bound of the gradients."""
        bound = int(np.abs(self.trace.scaled).max(axis=1, initial=0).sum()) * self.limit
        return bound >> self.trace.shift >= _STEP_MAX


def step_loops(
    family: str, config: ModelConfig, trace: list[LayerTrace]
) -> dict[Part, Loops]:
    """Return the passes of every loop of a step, by the parts of `fixgrad.bench.parts`.

    Args:
        family: kernels: "mul", "mla", "dsp" or "mve" (kernels_*.c).
        config: the model.
        trace: the step.
    """
    layers = _layers(config, trace)
    last = len(layers) - 1
    parts: dict[Part, Loops] = {(Phase.PACK, 0): _pack(config, layers[0])}
    for index, layer in enumerate(layers):
        forward = _forward(family, layer, is_last=index == last)
        if index == last:
            forward.update(_loss(config, layer))
        parts[Phase.LOSS if index == last else Phase.FORWARD, index] = forward
        if index:
            parts[Phase.BACKWARD, index] = _backward(family, layer)
        parts[Phase.UPDATE, index] = _update(family, layer)
    parts[Phase.END, 0] = _end(config)
    parts[Phase.DIGEST, 0] = _digest(config)
    return parts


def _up(a: int, b: int) -> int:
    return -(-a // b)


def _layers(config: ModelConfig, trace: list[LayerTrace]) -> list[_Layer]:
    layout, n, count = plan(config), config.layers, len(trace[0].rows)
    quads = _up(config.batch, LANES)
    work = layout.deltas - 16 * quads * _up(n[-1], 2) + layout.scratch
    element = {1: "u8", 2: "i16"}
    stored = [
        element[activation_bytes(activation, bits)]
        for activation, bits in zip(config.activations, config.activation_bits, strict=True)
    ]
    dtype = np.dtype(INPUT_DTYPES[config.input_format])
    elements = [f"{dtype.kind}{8 * dtype.itemsize}", *stored]
    names = [
        f"{activation.name.lower()}{'' if width == 'u8' else '_wide'}"
        for activation, width in zip(config.activations, stored, strict=True)
    ]
    limits = [config.input_max, *(2**bits - 1 for bits in config.activation_bits)]
    return [
        _Layer(
            inputs=n[index], outputs=n[index + 1], batch=config.batch, count=count,
            element=elements[index], makes=[*names, ""][index], reads=["", *names][index],
            work=work, momentum=bool(config.momentum), limit=limits[index], trace=layer,
        )
        for index, layer in enumerate(trace)
    ]


def _pack(config: ModelConfig, layer: _Layer) -> Loops:
    loss = config.loss.name.lower()
    return Counter({
        "samples": layer.count,
        f"features {layer.element}": layer.count * layer.inputs,
        f"targets {loss}": layer.count * config.outputs,
    })  # fmt: skip


def _forward(family: str, layer: _Layer, *, is_last: bool) -> Loops:
    columns = _columns_at_once(layer, is_last)
    work = (layer.work - 16 * columns) & ~31
    blocks = [min(columns, layer.outputs - at) for at in range(0, layer.outputs, columns)]
    loops = Counter({"group": layer.quads, "columns": layer.quads * len(blocks)})
    loops.update(_FORWARD[family](layer, work, blocks))
    if not is_last:
        loops.update(_activation(family, layer, blocks))
    return loops


def _columns_at_once(layer: _Layer, is_last: bool) -> int:
    """Return the outputs whose sums the workspace holds: columns_at_once() of mlp_forward.c."""
    every = 2 * layer.pairs
    packed = min(max((16 * layer.inputs + 31) & ~31, 64), 512)
    if is_last or 16 * every + packed <= layer.work:
        return every
    half = layer.work // 32
    return half & ~1 if half < every else every


def _chunks(used: NDArray[np.bool_], room: int) -> list[tuple[int, int]]:
    """Return (elements looked at, terms that are not 0) of each filling of a workspace."""
    places = np.flatnonzero(used)
    chunks, at, done = [], 0, 0
    while True:
        if len(places) - done >= room:
            end, terms = int(places[done + room - 1]) + 1, room
        else:
            end, terms = len(used), len(places) - done
        chunks.append((end - at, terms))
        at, done = end, done + terms
        if at >= len(used):
            return chunks


def _group_used(values: NDArray[np.int64]) -> list[NDArray[np.bool_]]:
    """Return for each group of samples which columns of [b, n] have a value that is not 0."""
    groups = range(0, len(values), LANES)
    return [np.any(values[at : at + LANES] != 0, axis=0) for at in groups]


def _dot(loops: Loops, terms: int, sums: int, *, is_first: bool) -> None:
    """Count a call of mul_dot()."""
    terms = max(terms, 1)
    loops["dot"] += 1
    loops["dot term"] += terms * sums
    loops["dot turn"] += _up(terms, TERMS_A_TURN) * sums
    loops["dot sum" if is_first else "dot sum again"] += sums


def _forward_mul(layer: _Layer, work: int, blocks: list[int]) -> Loops:
    loops: Loops = Counter()
    for used in _group_used(layer.trace.rows):
        chunks = _chunks(used, (work - 4) // 20)
        for index, count in enumerate(blocks):
            for number, (elements, terms) in enumerate(chunks):
                if index == 0 or len(chunks) > 1:
                    loops["unpack"] += 1
                    loops[f"unpack {layer.element}"] += elements
                    loops["unpack term"] += terms
                _dot(loops, terms, count, is_first=number == 0)
    return loops


def _cut(total: int, room: int) -> list[int]:
    return [min(room, total - at) for at in range(0, total, room)]


def _forward_mla(layer: _Layer, work: int, blocks: list[int]) -> Loops:
    loops: Loops = Counter()
    chunks = _cut(layer.inputs, (work - 40) // 16)
    for index, count in enumerate(blocks):
        for inputs in chunks:
            loops["call"] += 1
            if index == 0 or len(chunks) > 1:
                loops["gather"] += 1
                loops["gathered"] += inputs
            loops["block"] += count // 2
            loops["block turn"] += count // 2 * _up(inputs, TERMS_A_TURN)
            loops["block term"] += count // 2 * inputs
            loops["single"] += count % 2
            loops["single term"] += count % 2 * LANES * inputs
    return _times(loops, layer.quads)


def _forward_dsp(layer: _Layer, work: int, blocks: list[int]) -> Loops:
    loops: Loops = Counter()
    chunks = _cut(layer.inputs // 2, work // 16)
    wide = layer.element == "i16"
    for index, count in enumerate(blocks):
        for pairs in chunks:
            loops["call"] += 1
            if index == 0 or len(chunks) > 1:
                loops["pack"] += 1
                loops[f"packed {'i16' if wide else 'u8'}"] += pairs if wide else pairs // 2
                loops["packed odd"] += 0 if wide else pairs % 2
            loops["block"] += count // 2
            loops["block turn"] += count // 2 * _up(pairs, TERMS_A_TURN)
            loops["block term"] += count // 2 * pairs
            loops["single"] += count % 2
            loops["single term"] += count % 2 * LANES * pairs
    loops = _times(loops, layer.quads)
    if layer.inputs % 2:
        loops["odd input"] += layer.count * len(blocks)
        loops["odd input term"] += layer.count * layer.outputs
    return loops


def _forward_mve(layer: _Layer, work: int, blocks: list[int]) -> Loops:
    loops: Loops = Counter()
    chunks = _cut(layer.inputs, work // 64 * 8)
    for index, count in enumerate(blocks):
        for inputs in chunks:
            turns = _up(inputs, 8)
            loops["call"] += 1
            if index == 0 or len(chunks) > 1:
                loops["pack"] += 1
                loops["packed"] += turns
            loops["block"] += _up(count, 2)
            loops["block odd turns"] += _up(count, 2) * (turns % 2)
            loops["block turn"] += _up(count, 2) * turns
            loops["single"] += count % 2
    return _times(loops, layer.quads)


def _times(loops: Loops, factor: int) -> Loops:
    return Counter({name: factor * passes for name, passes in loops.items()})


_FORWARD: dict[str, Callable[[_Layer, int, list[int]], Loops]] = {
    "mul": _forward_mul, "mla": _forward_mla, "dsp": _forward_dsp, "mve": _forward_mve,
}  # fmt: skip


def _activation(family: str, layer: _Layer, blocks: list[int]) -> Loops:
    vectors = family == "mve" and layer.makes == "relu"
    width = sum(_up(count, LANES) for count in blocks) if vectors else layer.outputs
    return Counter({
        f"row {layer.makes}": layer.count * len(blocks),
        f"unit {layer.makes}": layer.count * width,
    })  # fmt: skip


def _loss(config: ModelConfig, layer: _Layer) -> Loops:
    """Loss and errors of the outputs, brought to an exponent of their own."""
    name = config.loss.name.lower()
    return Counter({
        "lose": 1,
        f"sample {name}": layer.count,
        f"output {name}": layer.count * layer.outputs,
        f"four outputs {name}": layer.count * _up(layer.outputs, LANES),
        "pair of errors": layer.count * layer.pairs,
    })  # fmt: skip


def _backward(family: str, layer: _Layer) -> Loops:
    below = _up(layer.inputs, 2)
    loops: Loops = Counter({
        "group": layer.quads,
        f"row {layer.reads}": layer.count,
        f"pair {layer.reads}": layer.count * below,
        "group pair": layer.quads * below,
    })  # fmt: skip
    if family == "mul":
        for used in _group_used(layer.trace.deltas):
            loops["unpack"] += layer.outputs
            for number, (_, terms) in enumerate(_chunks(used, _OUTPUTS_AT_ONCE)):
                loops["unpack term"] += terms
                _dot(loops, terms, layer.inputs, is_first=number == 0)
        return loops
    if family == "mve":
        loops["block turn"] += layer.quads * below * _up(layer.pairs, 4)
        return loops
    columns = below if family == "mla" else layer.inputs // 2
    loops["block"] += layer.quads * columns * (layer.outputs > 1)
    loops["block turn"] += layer.quads * columns * (layer.outputs // 2)
    if layer.outputs % 2:
        loops["single"] += layer.quads
        loops["single term"] += (
            LANES * layer.quads if family == "mla" else layer.count
        ) * layer.inputs
    if family == "dsp":
        cleared = below if layer.outputs == 1 else layer.inputs % 2
        loops["cleared"] += layer.quads * cleared
        loops["odd input"] += layer.count * 2 * (layer.outputs // 2) * (layer.inputs % 2)
    return loops


def _update(family: str, layer: _Layer) -> Loops:
    kind = "momentum" if layer.momentum else "plain"
    loops: Loops = Counter({
        "layer": 1,
        "sample": layer.count,
        "group": layer.quads,
        "group pair": layer.quads * layer.pairs,
        f"bias {kind}": layer.outputs,
        f"bias group {kind}": layer.outputs * layer.quads,
        "bias vector": layer.outputs * _up(2 * layer.quads, 4) if family == "mve" else 0,
        "jump bit": layer.inputs.bit_length() + (layer.inputs * layer.outputs).bit_length(),
    })  # fmt: skip
    loops.update(_UPDATE[family](layer))
    return loops


def _update_mul(layer: _Layer) -> Loops:
    tiles, blocks = _up(layer.batch, LANES), _up(layer.inputs, 4)
    used = np.count_nonzero(layer.trace.scaled, axis=0)
    if layer.momentum or layer.may_clamp or tiles > _TILES_MAX or layer.inputs < 4:
        kind = "momentum" if layer.momentum else "plain"
        return Counter({
            "single row": layer.outputs,
            "single row sample": layer.outputs * layer.count,
            f"weight {kind}": layer.inputs * layer.outputs,
            "weight sample": layer.inputs * layer.outputs * layer.count,
            f"weight delta {layer.element}": layer.inputs * int(used.sum()),
        })  # fmt: skip
    listed_max = 0 if tiles == 1 else _LISTED_A_TILE * tiles
    listed, pairs = used[used <= listed_max], 2 * layer.quads
    full = layer.outputs - len(listed)
    fast = layer.element == "u8" and layer.count % LANES == 0
    fast_blocks = layer.inputs // 4 if fast else 0
    samples = _up(layer.count, 2)
    ragged = layer.inputs % 4 > 0
    # Weights that do not begin at a word: of odd rows, in a column that ends an odd width of even.
    odd, even = int(np.count_nonzero(used[1::2])), int(np.count_nonzero(used[::2]))
    return Counter({
        "ragged": ragged,
        "half": ((blocks - ragged) * odd + ragged * even) * (layer.inputs % 2),
        "column": blocks,
        "column pair": fast_blocks * samples,
        f"column pair {layer.element}": (blocks - fast_blocks) * samples,
        "row": layer.outputs,
        "row pair": layer.outputs * pairs,
        "row full pair": full * pairs,
        "row delta": int(np.minimum(used, listed_max).sum()),
        "empty": blocks * int(np.count_nonzero(listed == 0)),
        "listed": blocks * int(np.count_nonzero(listed)),
        "listed delta": blocks * int(listed.sum()),
        "full": blocks * full,
        "full pair": blocks * full * pairs,
    })  # fmt: skip


def _update_mla(layer: _Layer) -> Loops:
    blocks, rows = _up(layer.inputs, 4), layer.outputs
    paired = 0 if layer.may_clamp or layer.momentum else rows // 2
    whole = layer.inputs // 4
    kind = "momentum" if layer.momentum else "plain"
    # Rows weight by weight: behind the pairs, and all of them in an incomplete column.
    single = whole * (rows - 2 * paired) + (blocks - whole) * rows
    summed = whole * (_up(rows, 2) - paired) + (blocks - whole) * _up(rows, 2)
    weights = 4 * whole * (rows - 2 * paired) + (layer.inputs - 4 * whole) * rows
    return Counter({
        "column": blocks,
        "column sample": blocks * layer.count,
        "pair": whole * paired,
        "pair turn": whole * paired * _up(layer.count - 1, TERMS_A_TURN),
        "pair sample": whole * paired * layer.count,
        "single row": single,
        "single sum": summed,
        "single sum sample": summed * layer.count,
        "single sum turn": summed * _up(layer.count, TERMS_A_TURN),
        f"single weight {kind}": weights,
        "single row bit": sum(
            blocks * (row * layer.inputs).bit_length() for row in range(2 * paired, rows)
        ) + sum(
            (blocks - whole) * (row * layer.inputs).bit_length() for row in range(2 * paired)
        ),
    })  # fmt: skip


def _update_dsp(layer: _Layer) -> Loops:
    blocks, rows, steps = _up(layer.inputs, 4), layer.outputs, 2 * layer.quads
    turns = _up(steps, TERMS_A_TURN)
    loops: Loops = Counter({
        "column": blocks,
        f"column pair {layer.element}": blocks * _up(layer.count, 2),
        "column odd sample": blocks * (layer.count % 2),
    })  # fmt: skip
    if layer.momentum:
        loops["momentum row"] += blocks * rows
        loops["momentum sum"] += blocks * _up(rows, 2)
        loops["momentum sum step"] += blocks * _up(rows, 2) * steps
        loops["momentum weight"] += layer.inputs * rows
        return loops
    whole = layer.inputs // 4
    border = whole * (rows % 2) + (blocks - whole) * _up(rows, 2)
    pairs = whole * (rows // 2) + border
    loops["pair"] += pairs
    loops["pair clamp"] += pairs if layer.may_clamp else 0
    loops["pair turn"] += pairs * (turns - 1)
    loops["pair step"] += pairs * steps
    loops["border"] += border
    loops["border weight"] += 4 * whole * (rows % 2) + (layer.inputs - 4 * whole) * rows
    loops["border column"] += blocks if rows % 2 else blocks - whole
    loops["border bit"] += whole * (rows % 2) * (2 * (rows // 2) * layer.inputs).bit_length()
    return loops


def _update_mve(layer: _Layer) -> Loops:
    turns, rows = _up(layer.count, 8), layer.outputs
    regular = layer.momentum or not layer.may_clamp
    eights = layer.inputs // 8 if regular else 0
    fours = _up(layer.inputs - 8 * eights, 4)
    kind = "momentum" if layer.momentum else f"turns {min(turns, 3)}"
    tail = "momentum" if layer.momentum else "plain"
    pairs = _up(rows, 2)
    return Counter({
        "eight": eights,
        "eight pack": eights * turns,
        "eight odd": eights * (rows % 2),
        f"eight pair {kind}": eights * pairs,
        "eight pair turn": eights * pairs * turns if turns > 2 or layer.momentum else 0,
        "clear": turns * (eights > 0),
        "border": fours > 0,
        "four": fours,
        "four pack": fours * turns,
        "four pair": fours * pairs,
        "four pair turn": fours * pairs * turns,
        f"four row {tail}": fours * rows,
    })  # fmt: skip


_UPDATE: dict[str, Callable[[_Layer], Loops]] = {
    "mul": _update_mul, "mla": _update_mla, "dsp": _update_dsp, "mve": _update_mve,
}  # fmt: skip


def _end(config: ModelConfig) -> Loops:
    followed = sum(a in (Activation.RELU, Activation.LEAKY) for a in config.activations)
    return Counter({
        "end": 1,
        "layer": config.layer_count,
        "exponent": followed if config.adaptive else 0,
    })  # fmt: skip


def _digest(config: ModelConfig) -> Loops:
    copies = 2 if config.momentum else 1
    loops: Loops = Counter({"digest": 1})
    for inputs, outputs in zip(config.layers, config.layers[1:], strict=False):
        left = inputs % 4
        loops["tensor"] += copies
        loops["row"] += copies * outputs
        loops["four weights"] += copies * outputs * (inputs // 4)
        loops["weight left"] += copies * outputs * left
        loops["bias"] += copies * outputs
    return loops
