"""What the parts of a training step cost on a device: the very same step, once for each part."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fixgrad.device import Device
from fixgrad.errors import UsageError
from fixgrad.model import ModelConfig, State
from fixgrad.protocol import Phase
from fixgrad.stream import SampleStream

WARM_STEPS = 8
"""Steps before the measured one, so that its state is one of a net in training."""

_RUN_ID = 0xBE7C4A11


@dataclass(frozen=True)
class Part:
    """A part of a training step.

    Attributes:
        phase, layer: which.
        macs: multiply-accumulates in it.
    """

    phase: Phase
    layer: int
    macs: int


def parts(config: ModelConfig) -> list[Part]:
    """Return the parts of a step in the order they run; the digest, which is not in it, last.

    MACs are those of forward, backward (not into the inputs) and weight gradient.
    """
    n, last = config.layers, config.layer_count - 1
    macs = [config.batch * i * o for i, o in zip(n, n[1:], strict=False)]
    return [
        Part(Phase.PACK, 0, 0),
        *(Part(Phase.FORWARD, layer, macs[layer]) for layer in range(last)),
        Part(Phase.LOSS, last, macs[last]),
        *(Part(Phase.BACKWARD, layer, macs[layer]) for layer in range(last, 0, -1)),
        *(Part(Phase.UPDATE, layer, macs[layer]) for layer in range(last + 1)),
        Part(Phase.END, 0, 0),
        Part(Phase.DIGEST, 0, 0),
    ]


def measure(
    device: Device, config: ModelConfig, initial: State, stream: SampleStream
) -> Iterator[tuple[Part, int]]:
    """Yield the ticks of every part of a step on a device; whatever it holds is replaced.

    Args:
        device: the device.
        config: the model.
        initial: its state.
        stream: samples from position 0 on; the first steps warm the state up.

    Raises:
        UsageError: the device's image does not profile.
        LinkError: the device stopped answering.
    """
    if device.profile(Phase.NONE, 0) is None:
        raise UsageError(
            f"the image on {device.url} was not built to profile; flash the one that is: "
            f"PLATFORMIO_BUILD_FLAGS=-DPROFILE pio run -e {device.info.board} -t upload"
        )
    step = min(WARM_STEPS, stream.schedule.steps - 1)
    start, stop = stream.schedule.step_start(step), stream.schedule.step_start(step + 1)
    device.load(config, initial, _RUN_ID, 0)
    for _ in device.train(stream, 0, start):
        pass
    state, _ = device.read_state(config)
    for part in parts(config):
        device.load(config, state, _RUN_ID, start)
        # Its answer tells the digest: what the device computes of it from here on is the step's.
        device.hello()
        device.profile(Phase.NONE, 0)
        device.profile(part.phase, part.layer)
        # One sample at a time: no byte arrives while the device computes, so nothing interrupts.
        for position in range(start, stop):
            for _ in device.train(stream, position, position + 1):
                pass
        ticks = device.profile(part.phase, part.layer)
        assert ticks is not None
        yield part, ticks
