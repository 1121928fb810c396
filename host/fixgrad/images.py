"""What a built image contains, read from its ELF file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

FLASH_SECTIONS = (".text", ".ARM.exidx", ".data")
RAM_SECTIONS = (".noinit", ".data", ".bss")


@dataclass(frozen=True)
class Image:
    """Sizes and symbols of an image.

    Attributes:
        symbols: value of every named symbol.
        flash_bytes: code, constants and initial values.
        static_bytes: RAM of variables, without stack and arena.
    """

    symbols: dict[str, int]
    flash_bytes: int
    static_bytes: int

    @property
    def stack_bytes(self) -> int:
        """RAM reserved for the stack."""
        return self.symbols["stack_top"] - self.symbols["stack_start"]

    @property
    def arena_bytes(self) -> int:
        """RAM left to a model and its batch."""
        return self.symbols["arena_end"] - self.symbols["arena_start"]


def read_image(path: Path) -> Image:
    """Read an image.

    Args:
        path: the linked ELF file.

    Raises:
        OSError: it cannot be read.
        ELFError: it is not an ELF file.
    """
    with path.open("rb") as file:
        elf = ELFFile(file)
        sizes = {section.name: int(section["sh_size"]) for section in elf.iter_sections()}
        symbols = {
            symbol.name: int(symbol["st_value"])
            for table in elf.iter_sections()
            if isinstance(table, SymbolTableSection)
            for symbol in table.iter_symbols()
            if symbol.name
        }
    return Image(
        symbols=symbols,
        flash_bytes=sum(sizes.get(name, 0) for name in FLASH_SECTIONS),
        static_bytes=sum(sizes.get(name, 0) for name in RAM_SECTIONS),
    )
