"""The libraries of an image, whatever its platform adds: newlib-nano and libgcc.

The image is C: the C++ library is not linked and need not be installed. The compiler refuses
nano.specs twice, and some platforms name it.
"""

Import("env")

NANO = "--specs=nano.specs"

env.Replace(LIBS=[name for name in env["LIBS"] if name != "stdc++"])
if NANO not in env["LINKFLAGS"]:
    env.Append(LINKFLAGS=[NANO])
