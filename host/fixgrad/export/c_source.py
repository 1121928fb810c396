"""A network as two C files that compute the board's bits: fixgrad_net.h and fixgrad_infer.c."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib import resources
from pathlib import Path

import numpy as np

from fixgrad.functions import SIGMOID_TABLE
from fixgrad.model import FORMAT_MAX
from fixgrad.network import Network
from fixgrad.protocol import Activation, InputFormat, Loss
from fixgrad.rundir import write_atomic
from fixgrad.targets import BINARY, CLASSES, LABELS, ONE_HOT, VALUES

_INPUT_TYPES = {
    InputFormat.U8: "uint8_t", InputFormat.I8: "int8_t", InputFormat.I16: "int16_t"
}
_RECTIFIED = (Activation.RELU, Activation.LEAKY)
_SQUASHED = (Activation.SIGMOID, Activation.TANH)
_COLUMNS = 96


def write_c(network: Network, folder: Path) -> list[Path]:
    """Write the two files.

    Args:
        network: the network.
        folder: where; it is made.

    Returns:
        The files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    header, source = folder / "fixgrad_net.h", folder / "fixgrad_infer.c"
    write_atomic(header, c_header(network).encode())
    write_atomic(source, c_source().encode())
    return [header, source]


def c_source() -> str:
    """Return fixgrad_infer.c; it is the same for every network."""
    text = resources.files("fixgrad.export").joinpath("fixgrad_infer.c").read_text("utf-8")
    return text.replace("@SIGMOID@", _numbers(SIGMOID_TABLE.tolist()))


def c_header(network: Network) -> str:
    """Return fixgrad_net.h: types, functions, and the parameters as constants."""
    config, form = network.config, network.form
    kind, linear = form.target.kind, config.loss == Loss.SQUARED_ERROR
    low = 0 if config.input_format == InputFormat.U8 else -form.scaling.input_max
    has_values = kind == VALUES and linear
    parts = [
        _HEAD.format(
            name=_comment(form.name),
            layers="-".join(map(str, config.layers)),
            digest=network.digest,
            input_type=_INPUT_TYPES[config.input_format],
            inputs=config.layers[0],
            outputs=config.outputs,
            count=config.layer_count,
            widest=max(config.layers[1:-1], default=1),
            low=low,
            high=min(form.scaling.input_max, FORMAT_MAX[config.input_format]),
            exponent=network.logit_exponent,
            classes=int(kind in (CLASSES, ONE_HOT, BINARY)),
            values=int(has_values),
            threshold=_threshold(network),
            squashed=int(any(a in _SQUASHED for a in config.activations)),
        ),
        _array("double", "fixgrad_offset", form.scaling.offset),
        _array("double", "fixgrad_factor", form.scaling.factor),
        _meaning(network),
    ]
    for layer, (w, b) in enumerate(zip(network.state.weights, network.state.biases, strict=True)):
        parts.append(_array("int16_t", f"fixgrad_weights_{layer}", w.reshape(-1).tolist()))
        parts.append(_array("int32_t", f"fixgrad_biases_{layer}", b.tolist()))
    parts.append(_layers(network))
    return "\n".join(parts) + "\n#endif\n"


def _meaning(network: Network) -> str:
    """Return what outputs mean: names, and the unit of predicted numbers."""
    target = network.form.target
    names = network.form.class_names
    text = ",\n".join(f"    {_string(name)}" for name in names)
    what = "label" if target.kind == LABELS else "output" if target.kind == VALUES else "class"
    part = (
        f"/* Name of each {what}. */\n"
        f"static const char *const fixgrad_names[{len(names)}] UNUSED = {{\n{text},\n}};\n"
    )
    if target.kind == VALUES and network.config.loss == Loss.SQUARED_ERROR:
        factor = np.array(target.factor)
        part += "\n" + _array("double", "fixgrad_target_offset", target.offset)
        part += "\n" + _array(
            "double", "fixgrad_target_factor", np.where(factor == 0, 1, factor).tolist()
        )
    return part


def _layers(network: Network) -> str:
    config, state = network.config, network.state
    rows = []
    for layer in range(config.layer_count):
        unit = state.weight_exponent[layer] + state.activation_exponent[layer]
        activation, bits, shift = Activation.LINEAR, 0, 0
        if layer < config.layer_count - 1:
            activation, bits = config.activations[layer], config.activation_bits[layer]
            if activation in _RECTIFIED:
                shift = state.activation_exponent[layer + 1] - unit
            elif activation in _SQUASHED:
                shift = -11 - unit
        rows.append(
            f"    {{fixgrad_weights_{layer}, fixgrad_biases_{layer}, {config.layers[layer]}, "
            f"{config.layers[layer + 1]}, FIXGRAD_{activation.name}, {bits}, {shift}}},"
        )
    return (
        "static const fixgrad_layer_t fixgrad_layers[FIXGRAD_LAYERS] UNUSED = {\n"
        + "\n".join(rows) + "\n};\n\n#undef UNUSED\n"
    )


def _threshold(network: Network) -> int:
    """Return the logit above which one output says the second class."""
    if network.config.loss != Loss.SQUARED_ERROR:
        return 0
    shift = -1 - network.logit_exponent
    return 0 if shift < 0 else 1 << shift if shift < 31 else 2**31 - 1


def _array(kind: str, name: str, values: Iterable[float]) -> str:
    values = list(values)
    text = _numbers(float(v) if kind == "double" else v for v in values)
    return f"static const {kind} {name}[{len(values)}] UNUSED = {{\n{text}\n}};\n"


def _numbers(values: Iterable[float]) -> str:
    """Return numbers as lines of C; doubles survive exactly."""
    lines, line = [], "   "
    for value in values:
        word = f" {value!r},"
        if len(line) + len(word) > _COLUMNS:
            lines.append(line)
            line = "   "
        line += word
    return "\n".join([*lines, line])


def _string(text: str) -> str:
    """Return a C string; whatever is not plain ASCII is written in octal."""
    octal = "".join(
        chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\?' else f"\\{byte:03o}"
        for byte in text.encode()
    )
    return f'"{octal}"'


def _comment(text: str) -> str:
    """Return a text that cannot end a comment or continue its line."""
    return re.sub(r"[^A-Za-z0-9 ._-]", "?", text)


_HEAD = """\
/* A network that fixgrad trained on {name}: {layers}, digest {digest:08x}.
 * Generated; fixgrad_infer.c computes with it. To be included by any number of files. */
#ifndef FIXGRAD_NET_H
#define FIXGRAD_NET_H

#include <stdint.h>

#define FIXGRAD_INPUTS {inputs}
#define FIXGRAD_OUTPUTS {outputs}
#define FIXGRAD_LAYERS {count}
#define FIXGRAD_WIDEST {widest} /* hidden layer */
#define FIXGRAD_INPUT_MIN ({low})
#define FIXGRAD_INPUT_MAX {high}
#define FIXGRAD_LOGIT_EXPONENT ({exponent}) /* a logit's unit is 2 to this power */
#define FIXGRAD_CLASSES {classes} /* 1: every sample has one class */
#define FIXGRAD_VALUES {values} /* 1: outputs are numbers */
#define FIXGRAD_THRESHOLD {threshold} /* one output: the second class is above it */
#define FIXGRAD_USES_SIGMOID {squashed} /* 1: a layer is sigmoid or tanh */

typedef {input_type} fixgrad_input_t;

/* Features as they come to the network's inputs. In double precision: by the same formula, other
 * code can do it in integers. */
void fixgrad_scale(const double raw[FIXGRAD_INPUTS], fixgrad_input_t x[FIXGRAD_INPUTS]);

/* The outputs; for labels that are 0 or 1 each, a positive logit says 1. */
void fixgrad_infer(const fixgrad_input_t x[FIXGRAD_INPUTS], int32_t logits[FIXGRAD_OUTPUTS]);

#if FIXGRAD_CLASSES
/* Index of the class in fixgrad_names. */
uint32_t fixgrad_class(const int32_t logits[FIXGRAD_OUTPUTS]);
#elif FIXGRAD_VALUES
/* The number that output k predicts, in its own unit. */
double fixgrad_value(const int32_t logits[FIXGRAD_OUTPUTS], uint32_t k);
#endif

enum {{ FIXGRAD_LINEAR, FIXGRAD_RELU, FIXGRAD_LEAKY, FIXGRAD_SIGMOID, FIXGRAD_TANH, FIXGRAD_SIGN }};

typedef struct {{
    const int16_t *weights; /* [outputs][inputs] */
    const int32_t *biases;
    uint16_t inputs;
    uint16_t outputs;
    uint8_t activation;
    uint8_t bits;  /* of an activation */
    int16_t shift; /* from an accumulator to an activation, or to the table's input */
}} fixgrad_layer_t;

#ifdef __GNUC__
#define UNUSED __attribute__((unused))
#else
#define UNUSED
#endif
"""
