"""What `build_flags` cannot say: the linker's flags, the board's names, the linker scripts.

HELLO tells a checksum of the sources; `firmware.id` beside the image holds it too.
"""

import zlib
from pathlib import Path

Import("env")

board = env.BoardConfig()
# Saves up to a twentieth of the flash; copies of functions for constant arguments would cost it.
LINK_TIME = ["-flto", "-fno-ipa-cp"]
if board.get("build.cpu") != "cortex-m55":
    # Values kept from one turn of a loop to the next, or across calls, need more moves to and from
    # the stack than they save: 2 % of the flash. The M55's vector loops would be 1 % slower.
    LINK_TIME += ["-fno-move-loop-invariants", "-fno-tree-loop-optimize", "-fno-caller-saves"]
    LINK_TIME += ["-fno-partial-inlining"]
SOURCES = {".c", ".h", ".ld"}
NOT_IN_IMAGES = {"arduino", "examples", "posix", "template"}


def identity(firmware: Path) -> int:
    """Return a checksum of the sources and flags, 1..65535."""
    total = zlib.crc32(repr(env.GetProjectOption("build_flags", [])).encode())
    for path in sorted(firmware.rglob("*")):
        relative = path.relative_to(firmware)
        if path.suffix in SOURCES and not NOT_IN_IMAGES & set(relative.parts):
            total = zlib.crc32(path.read_bytes(), zlib.crc32(relative.as_posix().encode(), total))
    return total % 0xFFFF + 1


def tell_identity(env, node):  # type: ignore[no-untyped-def]
    """Compile one file with the checksum, so that the others stay as they are."""
    return env.Object(node, CPPDEFINES=[*env["CPPDEFINES"], ("FIRMWARE_IDENTITY", f"{number}u")])


ports = Path(env.subst("$PROJECT_DIR"), "firmware", "ports")
env.Append(
    CPPDEFINES=[
        ("PORT_BOARD", env.StringifyMacro(env["BOARD"])),
        ("PORT_CORE", env.StringifyMacro(board.get("build.cpu"))),
    ],
    CCFLAGS=LINK_TIME,
    LINKFLAGS=["-nostartfiles", *LINK_TIME],
    LIBPATH=[str(ports / "cortexm")],
)
number = identity(Path(env.subst("$PROJECT_DIR"), "firmware"))
note = Path(env.subst("$BUILD_DIR"), "firmware.id")
note.parent.mkdir(parents=True, exist_ok=True)
note.write_text(f"{number:04x}\n")
env.AddBuildMiddleware(tell_identity, "*/core/link.c")
env.Depends(
    "$BUILD_DIR/firmware.elf",
    [str(ports / "cortexm" / "sections.ld"), f"$PROJECT_DIR/{board.get('build.ldscript')}"],
)
