#!/bin/sh
# Installs what the build needs and this machine lacks: Debian packages, a virtual environment with
# the package `fixgrad`, and a PlatformIO core directory that needs no registry. Fast when done.
set -eu
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}

missing=
need() { # need PACKAGE COMMAND...: notes the package when the command fails
    package=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing $package"
}
has_newlib() { [ -f "$(arm-none-eabi-gcc -print-file-name=nano.specs)" ]; }
has_sanitizers() { echo 'int main(void){return 0;}' | clang -fsanitize=address -o /dev/null -x c -; }
has_browser() { command -v chromium-headless-shell || command -v chromium || command -v google-chrome; }
compiles() { printf '#include <stdio.h>\n' | "$1" -fsyntax-only -x c -; }

need gcc command -v gcc
need libc6-dev compiles gcc
need clang command -v clang
need libclang-rt-dev has_sanitizers
need gcc-arm-none-eabi command -v arm-none-eabi-gcc
need libnewlib-arm-none-eabi has_newlib
need qemu-system-arm command -v qemu-system-arm
need chromium-headless-shell has_browser
need python3 command -v "$PYTHON"
need python3-venv "$PYTHON" -c 'import ensurepip, venv'

if [ -n "$missing" ]; then
    if ! command -v apt-get >/dev/null 2>&1; then
        echo "missing here (names of Debian packages):$missing" >&2
        exit 1
    fi
    if [ "$(id -u)" = 0 ]; then
        as_root=
    elif command -v sudo >/dev/null 2>&1; then
        as_root=sudo
    else
        echo "install as root: apt-get install$missing" >&2
        exit 1
    fi
    $as_root apt-get update -q
    # shellcheck disable=SC2086 # one word a package
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $missing
fi

"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "$("$PYTHON" --version) is too old: fixgrad needs Python 3.11 (set PYTHON=...)" >&2
    exit 1
}
stamp=.venv/fixgrad-installed
if [ ! -x .venv/bin/python ]; then
    "$PYTHON" -m venv .venv
fi
if [ ! -f "$stamp" ] || [ pyproject.toml -nt "$stamp" ]; then
    .venv/bin/python -m pip install -q --disable-pip-version-check -e '.[dev]'
    touch "$stamp"
fi
.venv/bin/python tools/offline_platformio.py
