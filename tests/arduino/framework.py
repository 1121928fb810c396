"""PlatformIO's script of the framework `arduino` for the stand-in core on Arm's MPS2."""

from pathlib import Path

Import("env")

firmware = Path(env.BoardConfig().get("build.firmware"))
stand_in = Path(env.BoardConfig().get("build.stand_in"))
sources = {
    "FrameworkStart": (firmware / "ports" / "cortexm", "+<startup.c>"),
    "FrameworkArduino": (stand_in, "+<mps2.cpp>"),
}
env.Append(
    CPPPATH=[str(stand_in)],
    CCFLAGS=["-Wextra", "-Werror", "-Wshadow", "-Wconversion"],
    CXXFLAGS=["-std=gnu++17", "-fno-threadsafe-statics"],
    LIBPATH=[str(firmware / "ports" / "cortexm")],
    LINKFLAGS=["-nostdlib", "-T", str(firmware / "ports" / "mps2" / "mps2.ld")],
)
env.Replace(LIBS=["c_nano", "gcc"])
start = env.Clone()
start.Append(CPPPATH=[str(firmware / "core"), str(firmware / "ports" / "cortexm")])
for name, (folder, chosen) in sources.items():
    builder = start if name == "FrameworkStart" else env
    builder.BuildSources(f"$BUILD_DIR/{name}", str(folder), chosen)
