"""Builds an image for a Cortex-M board without a framework: firmware.elf, .bin and .hex.

The flags are those that PlatformIO's ststm32 passes to such a project, so that a board gets the
same image from either builder. A board with vector registers names `build.float_abi` besides: the
compiler uses them only where it may pass floating-point values in them. `-t upload` runs the
project's `upload_command`.
"""

from SCons.Script import Builder, Default, DefaultEnvironment

env = DefaultEnvironment()
board = env.BoardConfig()
core = [f"-mcpu={board.get('build.cpu')}"]
if "build.float_abi" in board:
    core.append(f"-mfloat-abi={board.get('build.float_abi')}")

env.Replace(
    AR="arm-none-eabi-gcc-ar",
    AS="arm-none-eabi-as",
    CC="arm-none-eabi-gcc",
    CXX="arm-none-eabi-g++",
    GDB="arm-none-eabi-gdb",
    OBJCOPY="arm-none-eabi-objcopy",
    RANLIB="arm-none-eabi-gcc-ranlib",
    SIZETOOL="arm-none-eabi-size",
    ARFLAGS=["rc"],
    SIZEPROGREGEXP=r"^(?:\.text|\.data|\.ARM\.exidx)\s+(\d+).*",
    SIZEDATAREGEXP=r"^(?:\.data|\.bss|\.noinit)\s+(\d+).*",
    SIZECHECKCMD="$SIZETOOL -A -d $SOURCES",
    SIZEPRINTCMD="$SIZETOOL -B -d $SOURCES",
    PROGSUFFIX=".elf",
    PROGNAME="firmware",
)
env.Append(
    ASFLAGS=["-mthumb", *core],
    ASPPFLAGS=["-x", "assembler-with-cpp"],
    CCFLAGS=["-Os", "-ffunction-sections", "-fdata-sections", "-Wall", "-mthumb", *core],
    CXXFLAGS=["-fno-rtti", "-fno-exceptions"],
    CPPDEFINES=[("F_CPU", "$BOARD_F_CPU")],
    LINKFLAGS=["-Os", "-Wl,--gc-sections,--relax", "-mthumb", *core],
    LIBS=["c", "gcc", "m", "stdc++"],
    BUILDERS={
        "ElfToBin": Builder(
            action=env.VerboseAction(
                "$OBJCOPY -O binary $SOURCES $TARGET", "Building $TARGET"
            ),
            suffix=".bin",
        ),
        "ElfToHex": Builder(
            action=env.VerboseAction("$OBJCOPY -O ihex $SOURCES $TARGET", "Building $TARGET"),
            suffix=".hex",
        ),
    },
)

program = env.BuildProgram()
images = [convert("$BUILD_DIR/${PROGNAME}", program) for convert in (env.ElfToBin, env.ElfToHex)]
env.Depends(images, "checkprogsize")
Default(env.Alias("buildprog", images))
if env.GetProjectOption("upload_command", ""):
    env.AddPlatformTarget(
        "upload", images[0], env.VerboseAction("$UPLOADCMD", "Uploading $SOURCE"), "Upload"
    )
