"""The image is C: the C++ library that platforms add is not linked and need not be installed."""

Import("env")

env.Replace(LIBS=[name for name in env["LIBS"] if name != "stdc++"])
