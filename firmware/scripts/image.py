"""What `build_flags` cannot say: the linker's flags, the board's names, the linker scripts."""

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
env.Depends(
    "$BUILD_DIR/firmware.elf",
    [str(ports / "cortexm" / "sections.ld"), f"$PROJECT_DIR/{board.get('build.ldscript')}"],
)
