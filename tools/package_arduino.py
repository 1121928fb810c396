"""Write the Arduino library as a zip file for the Arduino IDE (Include Library > Add .ZIP Library).

    python tools/package_arduino.py [FILE]

FILE is build/fixgrad-arduino.zip unless given. PlatformIO needs no zip: library.json makes the
repository itself a library.
"""

import json
import sys
import zipfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
CORE = PROJECT / "firmware" / "core"
PORT = PROJECT / "firmware" / "ports" / "arduino"
SKETCHES = PROJECT / "examples" / "arduino"
TOP = "fixgrad"

HEADER = '#include "ports/arduino/fixgrad.h"\n'
"""What a sketch includes: the library's own folders are not on its path."""

PROPERTIES = """\
name=fixgrad
version={version}
author=fixgrad developers
maintainer=fixgrad developers
sentence={description}.
paragraph=The host tool of the same name streams the samples and compares every step.
category=Data Processing
url=
architectures=*
includes=fixgrad.h
dot_a_linkage=true
"""


def library_files() -> dict[str, str]:
    """Return the text of every file of the library by its path in it."""
    manifest = json.loads((PROJECT / "library.json").read_text())
    files = {
        "library.properties": PROPERTIES.format_map(manifest),
        "LICENSE": (PROJECT / "LICENSE").read_text(),
        "src/fixgrad.h": HEADER,
        # The core looks for it beside itself.
        "src/core/port_config.h": (PORT / "port_config.h").read_text(),
    }
    for folder, place in ((CORE, "src/core"), (PORT, "src/ports/arduino")):
        for path in sorted(folder.glob("*.*")):
            if path.suffix in (".c", ".cpp", ".h"):
                files[f"{place}/{path.name}"] = path.read_text()
    for path in sorted(SKETCHES.glob("*/*.ino")):
        files[f"examples/{path.parent.name}/{path.name}"] = path.read_text()
    return files


def main() -> int:
    """Write the file named on the command line; return the exit code."""
    if len(sys.argv) > 2 or sys.argv[1:2] in (["-h"], ["--help"]):
        print(__doc__)
        return 2 if len(sys.argv) > 2 else 0
    target = Path(sys.argv[1]) if len(sys.argv) == 2 else PROJECT / "build" / "fixgrad-arduino.zip"
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in library_files().items():
            archive.writestr(f"{TOP}/{name}", text)
    print(target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
