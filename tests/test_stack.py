"""How deep the stack grows on each board, read from what its paint has left."""

import numpy as np
from ceilings import CEILINGS
from fixgrad.boards import BOARDS
from fixgrad.builds import build_image
from fixgrad.device import Device
from fixgrad.images import read_image
from fixgrad.model import ModelConfig
from fixgrad.protocol import Activation, InputFormat, Loss
from fixgrad.quantize import initial_state, initial_weights
from fixgrad.selftest import Outcome, selftest
from fixgrad.stream import EpochSchedule, SampleStream
from fixgrad.urlhandlers.protocol_qemu import Serial
from fixgrad.vectors import packaged_vectors

PAINT = 0xA5A5A5A5
# An exception pushes 8 words and one of padding; its handler keeps a return address. Where the core
# has floating-point or vector registers in use, 18 words more.
INTERRUPT_BYTES = {name: 112 if name == "mps3_an547" else 40 for name in BOARDS}


def digits(batch: int) -> ModelConfig:
    return ModelConfig(
        layers=(64, 32, 10),
        activations=(Activation.RELU,),
        loss=Loss.SOFTMAX_CROSS_ENTROPY,
        batch=batch,
        input_format=InputFormat.U8,
        input_max=16,
        activation_bits=(8,),
        weight_bits=(),
        delta_bits=(),
        update_bits=0,
    ).with_budgets()


def stack_used(port: Serial, name: str) -> int:
    """Return the bytes of the stack that were ever written."""
    image = read_image(build_image(BOARDS[name]))
    assert port._emulator is not None
    memory = port._emulator.memory(image.symbols["stack_start"], image.stack_bytes)
    written = np.flatnonzero(np.frombuffer(memory, "<u4") != PAINT)
    return image.stack_bytes - int(written[0]) * 4


def test_reserved_stack_has_room_for_its_ceiling_and_an_interrupt(board_name: str) -> None:
    needed = CEILINGS[board_name].stack + INTERRUPT_BYTES[board_name]
    assert needed <= BOARDS[board_name].stack_bytes


def test_no_request_exceeds_the_ceiling(different_board: str) -> None:
    config = digits(CEILINGS[different_board].batch)
    random = np.random.default_rng(1)
    features = random.integers(0, 17, (64, 64), dtype=np.uint8)
    classes = random.integers(0, 10, (64, 1), dtype=np.uint8)
    wire = np.concatenate([features, classes], axis=1)
    with Serial(f"qemu://{different_board}", timeout=0.02) as port:
        device = Device(port, different_board)
        device.load(config, initial_state(config, initial_weights(config.layers, 1), 1, -4), 5, 0)
        # One frame at a time: no byte arrives, so no interrupt adds to what is measured.
        for i in range(16):
            device.infer(config, features[i : i + 1])
            device.evaluate(wire[i : i + 1])
        device.read_state(config)
        schedule = EpochSchedule(64, config.batch, 1, 1, True, lambda step: (128, -11))
        stream = SampleStream(schedule, wire)
        steps = [p.step for i in range(16) for p in device.train(stream, i, i + 1)]
        assert steps[-1] == 16 // config.batch
        assert stack_used(port, different_board) <= CEILINGS[different_board].stack


def test_no_option_exceeds_the_ceiling(different_board: str) -> None:
    small = {"growing_exponent_momentum_widen", "odd_shapes_five_layers", "xor_sigmoid"}
    paths = [path for path in packaged_vectors() if path.stem in small]
    with Serial(f"qemu://{different_board}", timeout=0.02) as port:
        results = list(selftest(Device(port, different_board), paths))
        assert [r.outcome for r in results] == [Outcome.PASSED] * len(small)
        assert stack_used(port, different_board) <= CEILINGS[different_board].stack
