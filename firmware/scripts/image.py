"""What `build_flags` cannot say: the linker's flags, the board's names, the linker scripts."""

from pathlib import Path

Import("env")  # noqa: F821 (SCons)

board = env.BoardConfig()  # noqa: F821
ports = Path(env.subst("$PROJECT_DIR"), "firmware", "ports")  # noqa: F821
env.Append(  # noqa: F821
    CPPDEFINES=[
        ("PORT_BOARD", env.StringifyMacro(env["BOARD"])),  # noqa: F821
        ("PORT_CORE", env.StringifyMacro(board.get("build.cpu"))),  # noqa: F821
    ],
    LINKFLAGS=["-nostartfiles", "--specs=nano.specs"],
    LIBPATH=[str(ports / "cortexm")],
)
env.Depends(  # noqa: F821
    "$BUILD_DIR/firmware.elf",
    [str(ports / "cortexm" / "sections.ld"), f"$PROJECT_DIR/{board.get('build.ldscript')}"],
)
