"""The POSIX port as a child process: built once from the C sources, spoken to over a socket."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from fixgrad.errors import BuildError
from fixgrad.sources import firmware_dir

COMPILERS = ("cc", "gcc", "clang")
OPTIMISATIONS = ("O0", "O1", "O2", "O3", "Os", "Og")
FLAGS = ("-std=c11", "-Wall", "-Wextra", "-DKERNELS_HOST=32")
SANITIZE_FLAGS = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
ERROR_LINES_SHOWN = 3
FLASH_BYTES = 3 * 1024 * 1024 + 4096
"""Of the file that ports/posix/flash.c maps: two banks, samples, their seal."""


@dataclass(frozen=True)
class SimulatorOptions:
    """How to build and start the simulated board.

    Attributes:
        compiler: C compiler; None takes $CC or the first of cc, gcc and clang.
        optimisation: one of `OPTIMISATIONS`.
        arena_bytes: memory for the model; None takes the port's default.
        flash: file that holds the board's flash; None: the board has none.
        sanitize: build with AddressSanitizer and UndefinedBehaviorSanitizer.
    """

    compiler: str | None = None
    optimisation: str = "O3"
    arena_bytes: int | None = None
    flash: Path | None = None
    sanitize: bool = False


def build_simulator(options: SimulatorOptions) -> Path:
    """Return the executable, compiled unless the cache holds it.

    Raises:
        BuildError: there is no compiler, or it failed.
    """
    compiler = _find_compiler(options.compiler)
    firmware = firmware_dir()
    core, port = firmware / "core", firmware / "ports" / "posix"
    sources = [firmware / "main.c", *sorted(core.glob("*.c")), *sorted(port.glob("*.c"))]
    headers = [*sorted(core.glob("*.h")), *sorted(port.glob("*.h"))]
    flags = [*FLAGS, f"-{options.optimisation}", *(SANITIZE_FLAGS if options.sanitize else ())]
    key = _fingerprint(compiler, flags, [*sources, *headers])
    cache = platformdirs.user_cache_path("fixgrad", ensure_exists=True)
    program = cache / f"simulator-{key[:24]}"
    if program.exists():
        return program
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        output = Path(scratch) / "simulator"
        command = [str(compiler), *flags, f"-I{core}", f"-I{port}", "-o", str(output)]
        _compile([*command, *map(str, sources)])
        output.replace(program)
    return program


class Simulator:
    """A running simulated board.

    Attributes:
        socket: the board's serial line.
    """

    def __init__(self, options: SimulatorOptions) -> None:
        """Build the program if need be and start it.

        Raises:
            BuildError: it cannot be built or started.
        """
        program = build_simulator(options)
        environment = dict(os.environ)
        environment.pop("FIXGRAD_ARENA_BYTES", None)
        environment.pop("FIXGRAD_FLASH_FILE", None)
        if options.arena_bytes is not None:
            environment["FIXGRAD_ARENA_BYTES"] = str(options.arena_bytes)
        if options.flash is not None:
            environment["FIXGRAD_FLASH_FILE"] = str(options.flash.absolute())
        self.socket, theirs = socket.socketpair()
        with theirs:
            try:
                # An own session: Ctrl-C is for the host, which then ends the board. The program
                # also ends by itself when the last copy of `self.socket` is closed.
                self._process = subprocess.Popen(
                    [program],
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    env=environment,
                    start_new_session=True,
                )
            except OSError as error:
                self.socket.close()
                raise BuildError(f"{program} cannot be started: {error}") from error

    def stop(self) -> None:
        """End the process."""
        self.socket.close()
        self._process.kill()
        self._process.wait()


def _find_compiler(name: str | None) -> Path:
    candidates = (name,) if name else (os.environ.get("CC"), *COMPILERS)
    for candidate in candidates:
        path = shutil.which(candidate) if candidate else None
        if path is not None:
            return Path(path)
    wanted = name or "cc, gcc or clang"
    raise BuildError(
        f"no C compiler found ({wanted}): sim:// compiles the firmware once; install gcc or clang "
        "(Debian and Ubuntu: sudo apt install gcc; macOS: xcode-select --install)"
    )


def _fingerprint(compiler: Path, flags: list[str], files: list[Path]) -> str:
    status = compiler.resolve().stat()
    digest = hashlib.sha256(
        f"{compiler.resolve()}\0{status.st_mtime_ns}\0{status.st_size}\0{flags}\0".encode()
    )
    for path in files:
        data = path.read_bytes()
        digest.update(f"{path.name}\0{len(data)}\0".encode() + data)
    return digest.hexdigest()


def _compile(command: list[str]) -> None:
    try:
        result = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace"
        )
    except OSError as error:
        raise BuildError(f"{command[0]} cannot be started: {error}") from error
    if result.returncode != 0:
        lines = [line for line in result.stderr.splitlines() if "error" in line]
        reason = " / ".join(lines[:ERROR_LINES_SHOWN]) or result.stderr.strip() or "no message"
        raise BuildError(f"{command[0]} could not compile the firmware: {reason}")
