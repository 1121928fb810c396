"""`fixgrad.h`: inference with the net in the board's flash, without a host."""

from __future__ import annotations

import ctypes
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from core_library import CORE, TESTS_C, compile_program
from fixgrad.device import Device
from fixgrad.model import ModelConfig, State
from fixgrad.protocol import Activation, InputFormat, Loss
from fixgrad.reference import Reference
from kept_nets import ERASED, payload, record
from numpy.typing import NDArray
from random_models import random_case
from small_models import MOMENTUM, SMALL, small_state

OK, NO_NET, BAD_NET, NO_MEMORY, BAD_FEATURE = 0, -1, -2, -3, -4
BANK_BYTES = 1 << 18
WORK_BYTES = 1 << 12
SOURCES = (
    "fixgrad.c", "store.c", "crc32.c", "mlp_plan.c", "activation.c", "functions.c", "tables.c",
    "loss.c", "norm.c", "fixed.c",
)  # fmt: skip
RANDOM_NETS = 300


class OpenNet(ctypes.Structure):
    """fixgrad_t."""

    _fields_ = [
        ("inputs", ctypes.c_uint16),
        ("outputs", ctypes.c_uint16),
        ("predictions", ctypes.c_uint16),
        ("feature_min", ctypes.c_int16),
        ("feature_max", ctypes.c_int16),
        ("work_bytes", ctypes.c_uint32),
        ("logits", ctypes.POINTER(ctypes.c_int32)),
        ("logit_exponent", ctypes.c_int8),
        ("rest", ctypes.c_uint8 * 128),
    ]


class Board:
    """The shipping code over a flash in memory; blank at first."""

    def __init__(self) -> None:
        """Build the library and erase its flash."""
        files = [TESTS_C / "kept_net.c", *(CORE / name for name in SOURCES)]
        path = compile_program("kept_net.so", files, ("-O2", "-shared", "-fPIC"))
        self.core = ctypes.CDLL(str(path))
        self.core.kept_net_bank.restype = ctypes.c_void_p
        assert self.core.kept_net_bytes() <= ctypes.sizeof(OpenNet)
        self.net = OpenNet()
        self.work = np.zeros(WORK_BYTES // 4, np.int32)
        for bank in (0, 1):
            self.write(ERASED * BANK_BYTES, bank)

    def write(self, content: bytes, bank: int = 0) -> None:
        """Put bytes at the start of a bank."""
        ctypes.memmove(self.core.kept_net_bank(bank), content, len(content))

    def open(self, work_bytes: int = WORK_BYTES) -> int:
        """Call fixgrad_open()."""
        return int(
            self.core.fixgrad_open(
                ctypes.byref(self.net), ctypes.c_void_p(self.work.ctypes.data),
                ctypes.c_size_t(work_bytes),
            )
        )

    def predict(self, features: NDArray[np.integer]) -> tuple[int, list[int], list[int]]:
        """Call fixgrad_predict(); return its status, the predictions and the logits."""
        row = np.ascontiguousarray(features, np.int16)
        answer = np.zeros(self.net.predictions, np.int32)
        status = self.core.fixgrad_predict(
            ctypes.byref(self.net), ctypes.c_void_p(row.ctypes.data),
            ctypes.c_void_p(answer.ctypes.data),
        )
        return int(status), answer.tolist(), self.net.logits[: self.net.outputs]


@pytest.fixture
def board() -> Board:
    return Board()


def kept(board: Board, config: ModelConfig, state: State) -> None:
    """Let the board hold a net and open it."""
    board.write(record(payload(config, state)))
    assert board.open() == OK


@pytest.mark.parametrize("first", range(0, RANDOM_NETS, 100))
def test_random_nets_predict_as_the_reference(board: Board, first: int) -> None:
    for seed in range(first, first + 100):
        case = random_case(seed)
        kept(board, case.config, case.state)
        features = np.concatenate([batch.features for batch in case.batches])
        reference = Reference(case.config, case.state)
        logits, predictions = reference.logits(features), reference.predict(features)
        for row, z, y in zip(features, logits, predictions, strict=True):
            assert board.predict(row) == (OK, y.tolist(), z.tolist()), f"seed {seed}"


def test_an_open_net_tells_what_it_wants(board: Board) -> None:
    kept(board, SMALL, small_state(SMALL))
    net = board.net
    assert (net.inputs, net.outputs, net.predictions) == (5, 3, 1)
    assert (net.feature_min, net.feature_max) == (0, SMALL.input_max)
    assert net.logit_exponent == -12 + -4
    assert net.work_bytes == 4 * 3 + 2 * 4


def test_signed_features_have_a_lower_bound(board: Board) -> None:
    config = replace(SMALL, input_format=InputFormat.I16, input_max=2047).with_budgets()
    kept(board, config, small_state(config))
    assert (board.net.feature_min, board.net.feature_max) == (-2047, 2047)


def test_velocities_are_passed_over(board: Board) -> None:
    state = small_state(MOMENTUM)
    kept(board, MOMENTUM, state)
    features = np.arange(5)
    expected = Reference(MOMENTUM, state).logits(features[None].astype(np.uint8))
    assert board.predict(features)[2] == expected[0].tolist()


def test_numbers_and_labels_get_one_answer_an_output(board: Board) -> None:
    for loss in (Loss.SQUARED_ERROR, Loss.SIGMOID_BINARY_CROSS_ENTROPY):
        config = replace(SMALL, loss=loss)
        kept(board, config, small_state(config))
        assert board.net.predictions == 3


def test_blank_flash_holds_no_net(board: Board) -> None:
    assert board.open() == NO_NET


def test_flash_of_zeros_holds_no_net(board: Board) -> None:
    for bank in (0, 1):
        board.write(bytes(BANK_BYTES), bank)
    assert board.open() == NO_NET


def test_a_torn_record_is_no_net(board: Board) -> None:
    whole = bytearray(record(payload(SMALL, small_state(SMALL))))
    whole[50] ^= 1
    board.write(bytes(whole))
    assert board.open() == NO_NET


def test_the_newest_net_is_opened(board: Board) -> None:
    board.write(record(payload(SMALL, small_state(SMALL)), 8), bank=0)
    newest = small_state(SMALL, seed=9)
    board.write(record(payload(SMALL, newest), 9), bank=1)
    assert board.open() == OK
    features = np.full(5, 100, np.uint8)
    assert board.predict(features)[2] == Reference(SMALL, newest).logits(features[None])[0].tolist()


def test_too_little_memory_is_told(board: Board) -> None:
    board.write(record(payload(SMALL, small_state(SMALL))))
    assert board.open(19) == NO_MEMORY
    assert board.net.work_bytes == 20
    assert board.open(20) == OK


@pytest.mark.parametrize("feature", [-1, SMALL.input_max + 1])
def test_feature_beyond_its_range_is_refused(board: Board, feature: int) -> None:
    kept(board, SMALL, small_state(SMALL))
    assert board.predict(np.array([0, 0, 0, 0, feature]))[0] == BAD_FEATURE


def altered(offset: int, fmt: str, value: int) -> bytes:
    """Return the payload of SMALL with one value replaced."""
    content = bytearray(payload(SMALL, small_state(SMALL)))
    struct.pack_into(fmt, content, offset, value)
    return bytes(content)


STATE_BYTES = len(small_state(SMALL).encode())
MODEL_AT = 12 + STATE_BYTES
WORDS_AT = 12 + STATE_BYTES - 4 * (3 * 2 + 1)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        payload(SMALL, small_state(SMALL))[:11],
        payload(SMALL, small_state(SMALL))[: MODEL_AT + 31],
        altered(0, "<I", STATE_BYTES + 2),
        altered(0, "<I", 0xFFFFFFFF),
        altered(4, "<I", 0xFFFFFFFF),
        altered(4, "<I", 19),
        altered(MODEL_AT, "<B", 2),  # numerics
        altered(MODEL_AT + 1, "<B", 0),  # layers
        altered(MODEL_AT + 10, "<B", 200),  # momentum: the state would be larger
        altered(MODEL_AT + 18, "<H", 4),  # inputs: the state would be smaller
        altered(MODEL_AT + 18, "<H", 0xFFFF),
        altered(MODEL_AT + 20, "<H", 0xFFFF),  # units of the hidden layer
        altered(MODEL_AT + 22, "<B", Activation.SIGN + 1),
        altered(12, "<h", 1 << 14),  # a weight beyond 14 bits
        altered(12 + 2 * 5 * 4, "<i", (1 << 28) + 1),  # a bias beyond BMAX
        altered(WORDS_AT, "<i", 32),  # eW
        altered(WORDS_AT + 8, "<i", 16),  # eX of the inputs
        altered(WORDS_AT + 12, "<i", 1),  # eX of the hidden layer
    ],
)
def test_what_is_no_valid_net_is_refused(board: Board, content: bytes) -> None:
    board.write(record(content))
    assert board.open() == BAD_NET


def test_what_a_board_kept_is_opened(board: Board, tmp_path: Path) -> None:
    flash = tmp_path / "flash"
    state = small_state(MOMENTUM)
    with Device.open(f"sim://?opt=O1&sanitize=1&flash={flash}") as device:
        device.load(MOMENTUM, state, 0x77, 0)
        device.save(0)
    board.write(flash.read_bytes()[:4096])
    assert board.open() == OK
    features = np.full((1, 5), 7, np.uint8)
    reference = Reference(MOMENTUM, state)
    _, prediction, logits = board.predict(features[0])
    assert prediction == reference.predict(features)[0].tolist()
    assert logits == reference.logits(features)[0].tolist()
