"""What `build_flags` cannot say: the linker's flags, the board's names, the linker scripts."""

from pathlib import Path

Import("env")

# Saves up to a twentieth of the flash; copies of functions for constant arguments would cost it.
LINK_TIME = ["-flto", "-fno-ipa-cp"]
board = env.BoardConfig()
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
