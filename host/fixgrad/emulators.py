"""Boards' images running in QEMU."""

from __future__ import annotations

import json
import secrets
import select
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO

from fixgrad import tether
from fixgrad.boards import Board
from fixgrad.errors import BuildError, PortError
from fixgrad.images import read_image

QEMU = "qemu-system-arm"
START_TIMEOUT_S = 120
STACK_PAINT = 0xA5A5A5A5
"""What startup.c fills the stack with."""

ANSWER_TIMEOUT_S = 120


class Emulator:
    """A board's image in QEMU; it ends with this process at the latest.

    The machine starts when the constructor returns. `uart` carries the bytes of the board's UART.
    """

    def __init__(
        self, board: Board, image: Path, *, counting: bool = False, flash: Path | None = None
    ) -> None:
        """Start the machine.

        Args:
            board: what to emulate.
            image: its ELF file.
            counting: let time pass with the instructions (`instructions_per_tick`); slower.
            flash: file that holds the board's store; written when the machine is stopped. QEMU
                puts the contents at the start back at a reset.

        Raises:
            BuildError: QEMU is missing, or does not start.
        """
        qemu = shutil.which(QEMU)
        if qemu is None:
            raise BuildError(f"{QEMU} is missing: install it (sudo apt install {QEMU})")
        self._image = read_image(image)
        self._flash = flash
        with (
            tempfile.TemporaryFile() as messages,
            socket.create_server(("127.0.0.1", 0)) as uart,
            socket.create_server(("127.0.0.1", 0)) as control,
        ):
            arguments = _arguments(board, image, uart, control)
            if counting:
                arguments += ("-icount", f"shift={_instruction_shift(board)}")
            if flash is not None and flash.exists():
                start = self._image.symbols["store_start"]
                arguments += ("-device", f"loader,file={flash},addr={start:#x},force-raw=on")
            self._process = subprocess.Popen(
                [sys.executable, "-I", tether.__file__, qemu, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=messages,
                start_new_session=True,
            )
            try:
                self.uart = self._accept(uart, board, messages)
                self._control = self._accept(control, board, messages)
                self._answers = self._control.makefile("r", encoding="utf-8")
                self._greet()
            except BaseException:
                self._end_process()
                raise

    def reset(self) -> None:
        """Press the board's reset button; RAM keeps its contents.

        Raises:
            PortError: QEMU has ended.
        """
        self._execute("system_reset")
        self._await("return", "RESET")

    def memory(self, address: int, count: int) -> bytes:
        """Return `count` bytes of the running board's memory.

        Raises:
            PortError: QEMU has ended.
        """
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "memory"
            self._execute("memsave", val=address, size=count, filename=str(path))
            self._await("return")
            return path.read_bytes()

    def unused_stack(self) -> tuple[int, int]:
        """Return the bytes of the stack that were never written, and those reserved for it.

        Raises:
            PortError: QEMU has ended.
        """
        reserved = self._image.stack_bytes
        words = self.memory(self._image.symbols["stack_start"], reserved)
        paint = STACK_PAINT.to_bytes(4, "little")
        unused = 0
        while words[unused : unused + 4] == paint:
            unused += 4
        return unused, reserved

    def store(self) -> bytes:
        """Return what the flash holds that the board sets aside for checkpoints.

        Raises:
            PortError: QEMU has ended.
        """
        start, end = (self._image.symbols[name] for name in ("store_start", "store_end"))
        return self.memory(start, end - start)

    def stop(self) -> None:
        """End the machine.

        Raises:
            PortError: QEMU has ended before, so that the flash is not known.
        """
        try:
            if self._flash is not None:
                self._flash.write_bytes(self.store())
        finally:
            self._close()

    def _close(self) -> None:
        self._answers.close()
        self._control.close()
        self.uart.close()
        self._end_process()

    def _end_process(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _accept(self, server: socket.socket, board: Board, messages: IO[bytes]) -> socket.socket:
        """Return QEMU's connection, or say why it does not come."""
        for _ in range(10 * START_TIMEOUT_S):
            if select.select([server], [], [], 0.1)[0]:
                return server.accept()[0]
            if self._process.poll() is not None:
                break
        messages.seek(0)
        said = messages.read().decode(errors="replace").strip().splitlines()
        reason = said[-1] if said else "it gives no reason"
        raise BuildError(f"{QEMU} does not start {board.machine}: {reason}")

    def _greet(self) -> None:
        self.uart.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._control.settimeout(ANSWER_TIMEOUT_S)
        self._await("QMP")
        self._execute("qmp_capabilities")
        self._await("return")

    def _execute(self, command: str, **arguments: int | str) -> None:
        message = {"execute": command, "arguments": arguments}
        self._control.sendall(json.dumps(message).encode())

    def _await(self, *wanted: str) -> None:
        """Read QEMU's messages until all wanted ones came; an event counts by its name."""
        missing = set(wanted)
        while missing:
            line = self._answers.readline()
            if not line:
                raise PortError(f"{QEMU} ended while the board was in use")
            message = json.loads(line)
            missing -= {*message, message.get("event")}


def instructions_per_tick(board: Board) -> float:
    """Return how many instructions a counting emulator executes in a tick of the core's clock.

    Not more than one, so that a difference of two ticks is exact to one instruction.
    """
    return 1e9 / board.clock_hz / (1 << _instruction_shift(board))


def _instruction_shift(board: Board) -> int:
    """Return N: an instruction takes 2**N ns, the first power of two not below a tick."""
    return int(1e9 / board.clock_hz - 1).bit_length()


def _arguments(
    board: Board, image: Path, uart: socket.socket, control: socket.socket
) -> list[str]:
    """Return QEMU's arguments: it connects to both listening sockets before the board starts."""
    noise = read_image(image).symbols["arena_start"]
    return [
        *("-M", str(board.machine), "-kernel", str(image), "-nodefaults", "-display", "none"),
        *("-chardev", f"socket,id=uart,host=127.0.0.1,port={_port(uart)},nodelay=on"),
        *(("-serial", "null") * board.machine_uart),
        *("-serial", "chardev:uart"),
        *("-chardev", f"socket,id=control,host=127.0.0.1,port={_port(control)}"),
        *("-mon", "chardev=control,mode=control"),
        # Real RAM holds noise after power-on, from which the image takes its boot id.
        *("-device", f"loader,addr={noise:#x},data={secrets.randbits(32):#x},data-len=4"),
    ]


def _port(server: socket.socket) -> int:
    return int(server.getsockname()[1])
