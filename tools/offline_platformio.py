"""Fill a PlatformIO core directory from this machine, so that `pio run` needs no registry.

    python tools/offline_platformio.py [DIRECTORY]

DIRECTORY is `.platformio` beside platformio.ini unless given. It gets the machine's own
arm-none-eabi-gcc as PlatformIO's toolchain, SCons of this Python as its tool-scons, and stand-ins
for the vendors' platforms with their name, owner and version: for a project without a framework
they pass the same flags (firmware/platform/builder). Then

    PLATFORMIO_CORE_DIR=.platformio pio run -e disco_f100rb

builds as it does anywhere. Running the tool again changes nothing unless something it used did.
"""

import hashlib
import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
BUILDER = PROJECT / "firmware" / "platform" / "builder" / "main.py"
BOARDS = PROJECT / "tools" / "offline_boards"
OWNER = "platformio"
STAMP = "fixgrad-offline"

# Name and version as pinned in platformio.ini; the boards that the project uses of it.
PLATFORMS = {
    "ststm32": (
        "19.6.0",
        (
            "disco_f100rb", "bluepill_f103c8", "nucleo_f103rb", "olimex_p405", "disco_f407vg",
            "nucleo_f401re", "nucleo_f411re", "nucleo_f446re", "blackpill_f411ce",
            "nucleo_l476rg",
        ),
    ),
    "nordicnrf51": ("9.0.0", ("bbcmicrobit",)),
    "nordicnrf52": ("10.11.0", ("bbcmicrobit_v2", "nrf52_dk", "nrf52840_dk")),
}
SCONS_VERSION = "4.11.1"
GCC_MAJOR = 12

SCONS_SCRIPT = """\
from SCons.Script.Main import main
main()
"""

Package = dict[str, object]


class SetupError(Exception):
    """Something that the core directory is made from is missing."""


def packed_version(version: str) -> str:
    """Return a tool's version as PlatformIO's packages spell it: 12.2.1 becomes 120201."""
    major, minor, patch = (int(part) for part in version.split("."))
    return f"{major}{minor:02d}{patch:02d}"


def find_compiler() -> tuple[Path, str]:
    """Return the directory of arm-none-eabi-gcc and its version.

    Raises:
        SetupError: it is missing, or of another major version than the project pins.
    """
    found = shutil.which("arm-none-eabi-gcc")
    if found is None:
        raise SetupError(
            "arm-none-eabi-gcc is missing: install the packages gcc-arm-none-eabi and "
            "libnewlib-arm-none-eabi"
        )
    version = subprocess.run(
        [found, "-dumpfullversion"], capture_output=True, text=True, check=True
    ).stdout.strip()
    if not re.fullmatch(rf"{GCC_MAJOR}\.\d+\.\d+", version):
        raise SetupError(
            f"arm-none-eabi-gcc {version} is installed; platformio.ini pins version {GCC_MAJOR}"
        )
    return Path(found).resolve().parent, version


def find_scons() -> str:
    """Return the version of this Python's SCons.

    Raises:
        SetupError: it is missing, or not the one that the pinned PlatformIO wants.
    """
    try:
        version = importlib.metadata.version("scons")
    except importlib.metadata.PackageNotFoundError:
        version = "no version"
    if version != SCONS_VERSION:
        raise SetupError(
            f"{version} of SCons is installed: run {sys.executable} -m pip install "
            f"scons=={SCONS_VERSION}"
        )
    return version


def write_package(folder: Path, kind: str, manifest: Package) -> None:
    """Write a package's manifest and PlatformIO's note of where it came from."""
    folder.mkdir(parents=True)
    name = "platform.json" if kind == "platform" else "package.json"
    (folder / name).write_text(json.dumps(manifest, indent=2))
    spec = {
        "owner": OWNER, "id": None, "name": manifest["name"], "requirements": None, "uri": None
    }
    note = {
        "type": kind, "name": manifest["name"], "version": manifest["version"], "spec": spec
    }
    (folder / ".piopm").write_text(json.dumps(note))


def write_tools(core: Path, compiler: Path, gcc: str, scons: str) -> None:
    """Write packages/tool-scons and packages/toolchain-gccarmnoneeabi."""
    folder = core / "packages" / "tool-scons"
    version = f"{scons.split('.')[0]}.{packed_version(scons)}.0"
    write_package(folder, "tool", {"name": "tool-scons", "version": version, "system": "*"})
    (folder / "scons.py").write_text(SCONS_SCRIPT)

    folder = core / "packages" / "toolchain-gccarmnoneeabi"
    version = f"1.{packed_version(gcc)}.0"
    write_package(
        folder, "tool", {"name": "toolchain-gccarmnoneeabi", "version": version, "system": "*"}
    )
    (folder / "bin").mkdir()
    for program in compiler.glob("arm-none-eabi-*"):
        (folder / "bin" / program.name).symlink_to(program)


def write_platforms(core: Path) -> None:
    """Write the stand-ins for the vendors' platforms."""
    for name, (version, boards) in PLATFORMS.items():
        folder = core / "platforms" / name
        manifest: Package = {
            "name": name,
            "title": f"{name} {version} without frameworks",
            "version": version,
            "license": "MIT",
            "packages": {
                "toolchain-gccarmnoneeabi": {
                    "type": "toolchain", "owner": OWNER, "version": ">=1.60301.0,<1.80000.0"
                }
            },
        }
        write_package(folder, "platform", manifest)
        (folder / "builder").mkdir()
        shutil.copy(BUILDER, folder / "builder" / "main.py")
        (folder / "boards").mkdir()
        for board in boards:
            shutil.copy(BOARDS / f"{board}.json", folder / "boards")


def fingerprint(compiler: Path, gcc: str, scons: str) -> str:
    """Return a hash of everything that the core directory is made from."""
    digest = hashlib.sha256(f"{compiler}|{gcc}|{scons}".encode())
    for path in (Path(__file__), BUILDER, *sorted(BOARDS.glob("*.json"))):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def fill(core: Path) -> bool:
    """Make `core` a core directory for this machine; return whether anything changed.

    Raises:
        SetupError: the compiler or SCons is missing, or `core` is a core directory of other origin.
    """
    compiler, gcc = find_compiler()
    scons = find_scons()
    wanted = fingerprint(compiler, gcc, scons)
    stamp = core / STAMP
    if stamp.exists() and stamp.read_text() == wanted:
        return False
    if (core / "packages").exists() and not stamp.exists():
        raise SetupError(f"{core} was filled by PlatformIO itself: name another directory")
    stamp.unlink(missing_ok=True)
    for part in ("packages", "platforms"):
        shutil.rmtree(core / part, ignore_errors=True)
    write_tools(core, compiler, gcc, scons)
    write_platforms(core)
    (core / "appstate.json").write_text(
        json.dumps({"settings": {"enable_telemetry": False, "check_platformio_interval": 36500}})
    )
    stamp.write_text(wanted)
    return True


def main() -> int:
    """Fill the directory named on the command line; return the exit code."""
    if len(sys.argv) > 2 or sys.argv[1:2] in (["-h"], ["--help"]):
        print(__doc__)
        return 2 if len(sys.argv) > 2 else 0
    core = Path(sys.argv[1]) if len(sys.argv) == 2 else PROJECT / ".platformio"
    try:
        changed = fill(core)
    except SetupError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{core}: {'filled' if changed else 'up to date'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
