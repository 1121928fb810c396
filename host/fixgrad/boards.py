"""The boards that fixgrad has a port for: one table.

A board's name is its PlatformIO board id and the name of its environment in platformio.ini.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final

from fixgrad.framing import FRAME_OVERHEAD_BYTES
from fixgrad.protocol import LIMITS

CYCLES_OF_BIT_MIN = 16
"""Of a USART that samples each bit 16 times."""

DMA_SPARE_BYTES = 128


@dataclass(frozen=True)
class Board:
    """What a board is and what its image leaves to a model.

    Attributes:
        name: PlatformIO board id and environment.
        title: what is printed on it.
        mcu: the chip.
        core: the processor core.
        clock_hz: clock of the core after start.
        ram_bytes, flash_bytes: memory of the chip that the image may use.
        stack_bytes: RAM reserved for the stack.
        arena_bytes: RAM that the image leaves to a model and its batch.
        payload_max, ring_bytes: largest payload and receive buffer of the link.
        uart: the UART and the pins of the link.
        machine: QEMU's name of a board that runs the image; None where there is none.
        machine_uart: which of that board's UARTs, from 0, carries the link.
        dma: received bytes reach the buffer by DMA; it has DMA_SPARE_BYTES more than the window.
        dma_part_bytes: parts by which DMA fills it, two of which it has more as well; 0: none.
        uart_hz: clock that the UART divides to the speed that hosts ask for; 0: it has no divider.
        bauds: the speeds that hosts can ask for where it has none.
        store_bytes: flash set aside for checkpoints and a deployed net, two banks; 0: none.
        samples_bytes: flash set aside for samples that are too many for the RAM; 0: none.
        shares_batches: it can learn a part of a batch that other boards share.
    """

    name: str
    title: str
    mcu: str
    core: str
    clock_hz: int
    ram_bytes: int
    flash_bytes: int
    stack_bytes: int
    arena_bytes: int
    payload_max: int
    ring_bytes: int
    uart: str
    machine: str | None
    machine_uart: int = 0
    dma: bool = False
    dma_part_bytes: int = 0
    uart_hz: int = 0
    bauds: tuple[int, ...] = ()
    store_bytes: int = 0
    samples_bytes: int = 0
    shares_batches: bool = False

    @property
    def window_bytes(self) -> int:
        """Encoded bytes that a host may send ahead."""
        spare = DMA_SPARE_BYTES if self.dma else 0
        return self.ring_bytes - 1 - spare - 2 * self.dma_part_bytes

    def line_baud(self, wanted: int) -> int:
        """Return the speed of the line where so much is asked for: that at start if it cannot.

        Slower ones than that at start are those of images that were built with them.
        """
        slowest = LIMITS["BAUD_AT_START"]
        has = wanted < slowest or wanted in self.bauds or self._divides_to(wanted)
        return wanted if has else slowest

    def _divides_to(self, baud: int) -> bool:
        """Return what port_has_baud() of firmware/ports/stm32/usart.c answers at full speed."""
        cycles = (self.uart_hz + baud // 2) // baud
        error = abs(cycles * baud - self.uart_hz)
        return baud * CYCLES_OF_BIT_MIN <= self.uart_hz and error <= self.uart_hz // 40

    @property
    def link_bytes(self) -> int:
        """RAM of the receive buffer and of the frame that is decoded from it."""
        return self.ring_bytes + self.payload_max + FRAME_OVERHEAD_BYTES

    @property
    def program_bytes(self) -> int:
        """RAM of the image's own variables, without the link's buffers."""
        return self.ram_bytes - self.stack_bytes - self.link_bytes - self.arena_bytes


_STM32F103 = partial(
    Board,
    core="cortex-m3",
    clock_hz=72_000_000,
    ram_bytes=20 * 1024,
    stack_bytes=1152,
    arena_bytes=16528,
    payload_max=832,
    ring_bytes=1792,
    dma=True,
    store_bytes=32 * 1024,
)
_STM32F4 = partial(
    Board,
    core="cortex-m4",
    stack_bytes=4096,
    payload_max=1024,
    ring_bytes=4096,
    machine="netduinoplus2",
    dma=True,
    store_bytes=256 * 1024,
    shares_batches=True,
)
_NRF52 = partial(
    Board,
    core="cortex-m4",
    clock_hz=64_000_000,
    stack_bytes=4096,
    payload_max=1024,
    ring_bytes=4096,
    machine=None,
    dma=True,
    dma_part_bytes=64,
    bauds=(115200, 230400, 250000, 460800, 1_000_000),
    shares_batches=True,
)
_MPS = partial(
    Board,
    ram_bytes=4 * 1024 * 1024,
    stack_bytes=8192,
    arena_bytes=4180832,
    payload_max=1024,
    ring_bytes=4096,
    uart="CMSDK UART 0",
)

_TABLE = (
    Board(
        name="disco_f100rb",
        title="ST STM32VLDISCOVERY",
        mcu="STM32F100RB",
        core="cortex-m3",
        clock_hz=24_000_000,
        ram_bytes=8 * 1024,
        flash_bytes=128 * 1024,
        stack_bytes=608,
        arena_bytes=6736,
        payload_max=256,
        ring_bytes=432,
        uart="USART1: PA9 TX, PA10 RX",
        uart_hz=24_000_000,
        machine="stm32vldiscovery",
    ),
    _STM32F103(
        name="bluepill_f103c8",
        title="Blue Pill",
        mcu="STM32F103C8",
        flash_bytes=64 * 1024,
        uart="USART1: PA9 TX, PA10 RX",
        uart_hz=72_000_000,
        machine=None,
    ),
    _STM32F103(
        name="nucleo_f103rb",
        title="ST NUCLEO-F103RB",
        mcu="STM32F103RB",
        flash_bytes=128 * 1024,
        uart="USART2: PA2 TX, PA3 RX (ST-LINK USB)",
        uart_hz=36_000_000,
        machine="netduino2",
        machine_uart=1,
        samples_bytes=63 * 1024,
    ),
    _STM32F4(
        name="olimex_p405",
        title="Olimex STM32-P405",
        mcu="STM32F405RG",
        clock_hz=168_000_000,
        ram_bytes=128 * 1024,
        flash_bytes=1024 * 1024,
        arena_bytes=121680,
        uart="USART1: PA9 TX, PA10 RX (UEXT pins 3 and 4)",
        uart_hz=84_000_000,
        samples_bytes=640 * 1024,
    ),
    _STM32F4(
        name="disco_f407vg",
        title="ST STM32F4DISCOVERY",
        mcu="STM32F407VG",
        clock_hz=168_000_000,
        ram_bytes=128 * 1024,
        flash_bytes=1024 * 1024,
        arena_bytes=121680,
        uart="USART2: PA2 TX, PA3 RX",
        uart_hz=42_000_000,
        machine_uart=1,
        samples_bytes=640 * 1024,
    ),
    _STM32F4(
        name="nucleo_f401re",
        title="ST NUCLEO-F401RE",
        mcu="STM32F401RE",
        clock_hz=84_000_000,
        ram_bytes=96 * 1024,
        flash_bytes=512 * 1024,
        arena_bytes=88912,
        uart="USART2: PA2 TX, PA3 RX (ST-LINK USB)",
        uart_hz=42_000_000,
        machine_uart=1,
        samples_bytes=128 * 1024,
    ),
    _STM32F4(
        name="nucleo_f411re",
        title="ST NUCLEO-F411RE",
        mcu="STM32F411RE",
        clock_hz=100_000_000,
        ram_bytes=128 * 1024,
        flash_bytes=512 * 1024,
        arena_bytes=121680,
        uart="USART2: PA2 TX, PA3 RX (ST-LINK USB)",
        uart_hz=50_000_000,
        machine_uart=1,
        samples_bytes=128 * 1024,
    ),
    _STM32F4(
        name="nucleo_f446re",
        title="ST NUCLEO-F446RE",
        mcu="STM32F446RE",
        clock_hz=180_000_000,
        ram_bytes=128 * 1024,
        flash_bytes=512 * 1024,
        arena_bytes=121680,
        uart="USART2: PA2 TX, PA3 RX (ST-LINK USB)",
        uart_hz=45_000_000,
        machine_uart=1,
        samples_bytes=128 * 1024,
    ),
    _STM32F4(
        name="blackpill_f411ce",
        title="WeAct Black Pill",
        mcu="STM32F411CE",
        clock_hz=100_000_000,
        ram_bytes=128 * 1024,
        flash_bytes=512 * 1024,
        arena_bytes=121680,
        uart="USART1: PA9 TX, PA10 RX",
        uart_hz=100_000_000,
        samples_bytes=128 * 1024,
    ),
    Board(
        name="nucleo_l476rg",
        title="ST NUCLEO-L476RG",
        mcu="STM32L476RG",
        core="cortex-m4",
        clock_hz=80_000_000,
        ram_bytes=96 * 1024,
        flash_bytes=1024 * 1024,
        stack_bytes=4096,
        arena_bytes=88904,
        payload_max=1024,
        ring_bytes=4096,
        uart="USART2: PA2 TX, PA3 RX (ST-LINK USB)",
        machine=None,
        dma=True,
        uart_hz=80_000_000,
        store_bytes=128 * 1024,
        samples_bytes=382 * 1024,
        shares_batches=True,
    ),
    Board(
        name="bbcmicrobit",
        title="BBC micro:bit",
        mcu="nRF51822",
        core="cortex-m0",
        clock_hz=16_000_000,
        ram_bytes=16 * 1024,
        flash_bytes=256 * 1024,
        stack_bytes=1152,
        arena_bytes=12840,
        payload_max=728,
        ring_bytes=1488,
        uart="UART 0: P0.24 TX, P0.25 RX (USB)",
        machine="microbit",
        store_bytes=32 * 1024,
        samples_bytes=191 * 1024,
    ),
    _NRF52(
        name="bbcmicrobit_v2",
        title="BBC micro:bit V2",
        mcu="nRF52833",
        ram_bytes=128 * 1024,
        flash_bytes=512 * 1024,
        arena_bytes=121600,
        uart="UART 0: P0.06 TX, P1.08 RX (USB)",
        store_bytes=128 * 1024,
        samples_bytes=316 * 1024,
    ),
    _NRF52(
        name="nrf52_dk",
        title="Nordic nRF52-DK",
        mcu="nRF52832",
        ram_bytes=64 * 1024,
        flash_bytes=512 * 1024,
        arena_bytes=56064,
        uart="UART 0: P0.06 TX, P0.08 RX (J-Link USB)",
        store_bytes=128 * 1024,
        samples_bytes=316 * 1024,
    ),
    _NRF52(
        name="nrf52840_dk",
        title="Nordic nRF52840-DK",
        mcu="nRF52840",
        ram_bytes=256 * 1024,
        flash_bytes=1024 * 1024,
        arena_bytes=252672,
        uart="UART 0: P0.06 TX, P0.08 RX (J-Link USB)",
        store_bytes=256 * 1024,
        samples_bytes=700 * 1024,
    ),
    _MPS(
        name="mps2_an385",
        title="Arm MPS2 with image AN385",
        mcu="AN385",
        core="cortex-m3",
        clock_hz=25_000_000,
        flash_bytes=4 * 1024 * 1024,
        machine="mps2-an385",
    ),
    _MPS(
        name="mps2_an386",
        title="Arm MPS2 with image AN386",
        mcu="AN386",
        core="cortex-m4",
        clock_hz=25_000_000,
        flash_bytes=4 * 1024 * 1024,
        machine="mps2-an386",
    ),
    _MPS(
        name="mps2_an500",
        title="Arm MPS2 with image AN500",
        mcu="AN500",
        core="cortex-m7",
        clock_hz=25_000_000,
        flash_bytes=4 * 1024 * 1024,
        machine="mps2-an500",
    ),
    _MPS(
        name="mps2_an505",
        title="Arm MPS2 with image AN505",
        mcu="AN505",
        core="cortex-m33",
        clock_hz=20_000_000,
        flash_bytes=4 * 1024 * 1024,
        machine="mps2-an505",
        shares_batches=True,
    ),
    _MPS(
        name="mps3_an547",
        title="Arm MPS3 with image AN547",
        mcu="AN547",
        core="cortex-m55",
        clock_hz=32_000_000,
        flash_bytes=512 * 1024,
        machine="mps3-an547",
        shares_batches=True,
    ),
)

BOARDS: Final[dict[str, Board]] = {board.name: board for board in _TABLE}
"""Every board by name."""
