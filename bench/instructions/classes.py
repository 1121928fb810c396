"""Which instructions a training step consists of, by function and class, counted in QEMU.

    python -m bench.instructions.classes m4 N1

Needs a C compiler and a QEMU with plugins, version 4.2 to 8.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import tempfile
from bisect import bisect_right
from collections import Counter
from pathlib import Path

from fixgrad.images import read_image

from bench.instructions.nets import NETS, Net
from bench.instructions.tables import CLASSES, in_columns
from bench.machines import (
    BUILD,
    MACHINES,
    VECTOR_FLAGS,
    Machine,
    build,
    map_of,
    run,
    source_of,
)

PLUGIN = Path(__file__).with_name("plugin.c")
BORDER = "runtime_ticks"
"""Called before and after the counted step, and nowhere else."""

PATTERNS = {
    "load": r"v?ldr|ldm|pop|vldm|vpop|vld",
    "store": r"v?str|stm|push|vstm|vpush|vst",
    "multiply": r"mul|ml[as]|sm(ul|la|ua|us|ls|m)|[us]mull|[us]mlal|umaal|vml|vr?mul|vqrdm",
    "saturate": r"[us]sat|q(add|sub)|vq(mov|sh|rsh|add|sub)|v(min|max)",
    "shift": r"v?(lsl|lsr|asr|ror)|vr?sh",
    "branch": r"(bl?x?|cbn?z|tbb|tbh|le|wls|dls|lctp|wlstp|dlstp|letp)"
    r"(eq|ne|cs|cc|mi|pl|vs|vc|hi|ls|ge|lt|gt|le)?(\.[nw])?$",
}
"""Pattern of the names at whose start it stands, first match first; anything else is `other`."""

LINE = re.compile(r"^\s*([0-9a-f]+):\t[0-9a-f ]+\t(\S+)")
SECTION = re.compile(r"^ \.text\S*\s+0x([0-9a-f]+)\s+0x([0-9a-f]+) (\S+)$", re.MULTILINE)
HEAD = re.compile(r"^[0-9a-f]+ <([^>]+)>:$")
SMALL = 0.005
"""Functions with less than this share of the step stand together."""

Place = tuple[str, str]
"""C file or library, and function."""
Counts = dict[Place, Counter[str]]


def count(core: str, net: Net) -> Counts:
    """Return for every function how many instructions of each class the step ran in it."""
    machine = MACHINES[core]
    image = build(machine, "count.c", ["-fno-lto"])
    address = read_image(image).symbols[BORDER]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "counts"
        plugin = f"{_plugin()},at={address:#x},out={out}"
        run(machine, image, [net.job()], options=["-plugin", plugin])
        lines = out.read_text().splitlines()
    code, sections = _disassembled(image, machine), _sections(image)
    starts = sorted(sections)
    counts: Counts = {}
    for line in lines:
        where, runs = line.split()
        function, mnemonic = code[int(where, 16)]
        section = starts[bisect_right(starts, int(where, 16)) - 1]
        place = sections[section], function
        counts.setdefault(place, Counter())[class_of(mnemonic)] += int(runs)
    return counts


def by_file(counts: Counts) -> dict[str, dict[str, int]]:
    """Return the instructions of each class in every C file, the largest file first."""
    files: dict[str, Counter[str]] = {}
    for (source, _), counter in counts.items():
        files.setdefault(source, Counter()).update(counter)
    ordered = sorted(files.items(), key=lambda item: -item[1].total())
    return {source: dict(counter) for source, counter in ordered}


def class_of(mnemonic: str) -> str:
    """Return the class of an instruction."""
    for name, pattern in PATTERNS.items():
        if re.match(pattern, mnemonic):
            return name
    return "other"


def _plugin() -> Path:
    target = BUILD / "plugin.so"
    if not target.exists() or target.stat().st_mtime < PLUGIN.stat().st_mtime:
        BUILD.mkdir(parents=True, exist_ok=True)
        command = ["cc", "-std=c11", "-D_DEFAULT_SOURCE", "-O2", "-Wall", "-Wextra", "-shared"]
        subprocess.run([*command, "-fPIC", "-o", str(target), str(PLUGIN)], check=True)
    return target


def _disassembled(image: Path, machine: Machine) -> dict[int, tuple[str, str]]:
    """Return function and mnemonic of every address."""
    vectors = ["-m", "armv8.1-m.main"] if machine.cpu in VECTOR_FLAGS else []
    command = ["arm-none-eabi-objdump", "-d", *vectors, str(image)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    places, function = {}, ""
    for line in text.splitlines():
        if head := HEAD.match(line):
            function = head[1]
        elif found := LINE.match(line):
            places[int(found[1], 16)] = function, found[2]
    return places


def _sections(image: Path) -> dict[int, str]:
    """Return the C file or library of every section of code, by its address."""
    return {
        int(address, 16): source_of(linked)
        for address, size, linked in SECTION.findall(map_of(image).read_text())
        if int(size, 16)
    }


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.instructions.classes")
    parser.add_argument("core", choices=MACHINES)
    parser.add_argument("net", choices=NETS)
    options = parser.parse_args()
    net = NETS[options.net]
    counts = count(options.core, net)
    total = sum(map(Counter.total, counts.values()))
    rest: Counter[str] = Counter()
    for place in [place for place, c in counts.items() if c.total() < SMALL * total]:
        rest += counts.pop(place)
    rows = sorted(counts.items(), key=lambda item: -item[1].total())
    everything = sum(counts.values(), rest)
    cells = [
        [
            f"{source}: {function}" if function else source,
            f"{c.total():,}",
            f"{c.total() / net.macs:.3f}",
            *(f"{c[name] / net.macs:.3f}" for name in CLASSES),
        ]
        for (source, function), c in [*rows, (("all others", ""), rest), (("step", ""), everything)]
    ]
    title = f"{options.core}, {net.name}, batch {net.batch}: instructions per MAC by class"
    print(in_columns(title, ["function", "instructions", "per MAC", *CLASSES], cells))


if __name__ == "__main__":
    main()
