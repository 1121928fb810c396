"""What `fixgrad doctor` can find: every kind with a code, a cause and the next step.

docs/TROUBLESHOOTING.md is written from this table by tools/generate_troubleshooting.py.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from fixgrad.errors import BuildError, LinkError, MismatchError, PortError, VersionError


class Level(enum.Enum):
    """How much a finding matters: an ERROR keeps the board from training."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True)
class Kind:
    """One thing that can be wrong.

    Attributes:
        code: what users search for.
        title: what is wrong.
        cause: what usually causes it.
        next_step: what to do or type.
        exit_code: of the command when this is its first error; 0 for warnings.
    """

    code: str
    title: str
    cause: str
    next_step: str
    exit_code: int = 0

    @property
    def level(self) -> Level:
        """ERROR where the command fails, else WARNING."""
        return Level.ERROR if self.exit_code else Level.WARNING


@dataclass(frozen=True)
class Finding:
    """Something that was found: `detail` tells with which values."""

    kind: Kind
    detail: str


@dataclass(frozen=True)
class Fact:
    """Something that was looked at and is as it should be.

    Attributes:
        name: what, in snake case.
        value: for programs.
        text: for people.
    """

    name: str
    value: object
    text: str


Report = Finding | Fact

_PORT, _LINK = PortError.exit_code, LinkError.exit_code
_VERSION, _BUILD = VersionError.exit_code, BuildError.exit_code

NO_PORT = Kind(
    "FG101",
    "there is no such port",
    "The board is not plugged in, the cable carries power only, or the port has another name now.",
    "Plug the board in with a data cable and choose from what `fixgrad ports` lists.",
    _PORT,
)
NO_PERMISSION = Kind(
    "FG102",
    "the port may not be opened",
    "The device node belongs to a group that you are not in, often dialout or uucp.",
    "`sudo usermod -aG GROUP $USER` with the group named above, then log out and in again.",
    _PORT,
)
HELD = Kind(
    "FG103",
    "another program holds the port",
    "A serial monitor, a debugger or another fixgrad has it open. Two readers steal bytes from "
    "each other.",
    "Close the program named above (`kill PID` if it hangs).",
    _PORT,
)
NOT_OPENED = Kind(
    "FG104",
    "the port cannot be opened",
    "The driver or the URL refuses; the reason is what the system says.",
    "Check the URL against `fixgrad ports`; unplug the board and plug it in again.",
    _PORT,
)
MODEM_MANAGER = Kind(
    "FG105",
    "ModemManager runs and may probe the port",
    "ModemManager takes new serial ports for modems and sends AT commands for some seconds.",
    "`sudo systemctl stop ModemManager`, or a udev rule with `ENV{ID_MM_DEVICE_IGNORE}=\"1\"`.",
)
NOT_BUILT = Kind(
    "FG106",
    "the firmware behind the port cannot be built or started",
    "sim:// needs a C compiler, qemu:// needs PlatformIO's toolchain and qemu-system-arm.",
    "Install what the reason names (`make setup` installs all of it on Debian).",
    _BUILD,
)
SILENT = Kind(
    "FG201",
    "nothing answers",
    "The board has no power, holds no fixgrad firmware, is held in reset, or TX and RX are not "
    "crossed; or this is not its port.",
    "Flash the firmware (`fixgrad flash BOARD --port URL`), check that the board's TX goes to the "
    "adapter's RX, press reset, run the doctor again.",
    _LINK,
)
FOREIGN = Kind(
    "FG202",
    "what answers is not fixgrad",
    "Another firmware, another device on this port, or a wrong baud rate that turns bytes into "
    "noise.",
    "Check the port with `fixgrad ports`, flash the firmware (`fixgrad flash BOARD`), and give the "
    "board's speed by `--baud`.",
    _LINK,
)
ECHO = Kind(
    "FG203",
    "the port sends back what it gets",
    "TX and RX are joined, the adapter is not connected to the board, or a terminal server echoes.",
    "Check the wiring; take loop-back plugs and local echo away.",
    _LINK,
)
OTHER_SPEED = Kind(
    "FG204",
    "the board answers at another speed",
    "The firmware starts at another baud rate than the others, as an Arduino sketch may.",
    "Give the speed named above by `--baud`.",
    _LINK,
)
RESETS_ON_OPEN = Kind(
    "FG205",
    "opening the port resets the board",
    "DTR or RTS is wired to the reset line. Training survives it, but a resumed run has to load "
    "its last checkpoint instead of going on where the board stands.",
    "Cut or disable the auto-reset of the board (often a solder bridge or a capacitor at DTR).",
)
OTHER_PROTOCOL = Kind(
    "FG301",
    "the firmware speaks another version of the protocol",
    "Firmware and fixgrad on this computer are of different releases.",
    "Flash the firmware of this fixgrad, or install the fixgrad of the firmware.",
    _VERSION,
)
OTHER_NUMERICS = Kind(
    "FG302",
    "the firmware has another version of the arithmetic",
    "Firmware and fixgrad are of different releases; their results would differ.",
    "Flash the firmware of this fixgrad, or install the fixgrad of the firmware.",
    _VERSION,
)
OTHER_TABLE = Kind(
    "FG303",
    "the firmware was built from another table of messages",
    "The versions agree, but the firmware is from a changed or older source tree.",
    "Build and flash the firmware again from this tree.",
    _VERSION,
)
LATENCY = Kind(
    "FG401",
    "the adapter's latency timer is long",
    "The USB adapter holds answers back for so many milliseconds before it passes them on.",
    "`echo 1 | sudo tee FILE` with the file named above; a udev rule makes it last.",
)
SLOW = Kind(
    "FG402",
    "answers take long",
    "A hub, a virtual machine, a network or the adapter's latency timer delays every exchange.",
    "Plug the board into the computer itself; see FG401. Streaming hides a delay shorter than "
    "the window, loading and reading do not.",
)
NOISE = Kind(
    "FG403",
    "frames get damaged or lost",
    "A long or loose cable, a missing ground, a wrong clock of the board, or a computer too busy "
    "to read in time. Every damaged frame is sent again, so results stay right.",
    "Shorten the cable, join the grounds, lower the speed; `fixgrad train` tells how many bytes "
    "were sent again.",
)
BAD_LINE = Kind(
    "FG404",
    "most frames get damaged or lost",
    "As FG403, but too often for training: the baud rate may be off by some percent.",
    "Lower the speed, change cable and adapter, run the doctor again.",
    _LINK,
)
STACK = Kind(
    "FG501",
    "little of the stack was never used",
    "The firmware was changed, and a request needs more stack than its image reserves.",
    "Raise the board's stack reserve in its linker script; an overflow resets the board.",
)

NOT_PROVED = Kind(
    "FG601",
    "the run is not what the arithmetic gives",
    "The board computed a step wrongly (memory, supply, a changed firmware), or the folder was "
    "changed afterwards.",
    "`fixgrad validate DIR/run.toml --port URL` finds the first wrong step and value.",
    MismatchError.exit_code,
)
WEIGHTS_CLAMPED = Kind(
    "FG602",
    "weights leave their range",
    "They have grown more than `headroom` times since the start; where they are clamped they "
    "stop learning.",
    "Type a larger `headroom` (twice as much), or `widen = true`, or a smaller `learning_rate`.",
)
DIVERGING = Kind(
    "FG603",
    "activations leave the largest range",
    "Training diverges: weights and activations grow with every step. Float training would do "
    "the same, or end in infinities.",
    "Type a smaller `learning_rate` (a quarter), or `clip = -3`.",
)
ACTIVATIONS_CLAMPED = Kind(
    "FG604",
    "activations are clamped",
    "`adaptive = false` keeps their exponents where they started, and the values outgrew them.",
    "Type `adaptive = true`.",
)
BIASES_CLAMPED = Kind(
    "FG605",
    "biases leave their range",
    "Steps are far too large, or targets are far from 0.",
    "Type a smaller `learning_rate`, and `target_scale = \"standard\"` for numbers to predict.",
)
UPDATES_LOST = Kind(
    "FG606",
    "most updates vanish",
    "Steps are much smaller than the unit of a weight. Rounding is stochastic, so they are not "
    "lost on average, but what is left is mostly noise, and learning is slow.",
    "Type a larger `learning_rate`, or a smaller `headroom` (finer weights), or larger batches.",
)
UNITS_DEAD = Kind(
    "FG607",
    "units are dead",
    "They give the same value for every sample, so nothing is learnt through them: steps were too "
    "large, or the layer is wider than the task needs.",
    "Type a smaller `learning_rate`, `activation = \"leaky\"`, or a smaller width.",
)
RANGE_UNUSED = Kind(
    "FG608",
    "the range of the weights is not used",
    "`headroom` leaves room for growth that never came, so weights are coarser than they need be.",
    "Divide `headroom` by 2 for every unused bit but one.",
)
GOT_WORSE = Kind(
    "FG609",
    "training got worse again",
    "The learning rate is too large for the end of the run.",
    "Type `schedule = \"cosine\"` or a smaller `learning_rate`.",
)
NOT_LEARNING = Kind(
    "FG610",
    "nothing was learnt",
    "The learning rate is too small or far too large, the run too short, or the features do not "
    "tell the targets.",
    "Try `learning_rate` ten times larger and ten times smaller, and more `epochs`.",
)
OVERFITS = Kind(
    "FG611",
    "the net learns its training samples by heart",
    "The training loss falls while the loss of samples it does not see rises.",
    "Type `validation_fraction = 0.1` with `patience = 5`, or `weight_decay = 0.0001`, or smaller "
    "layers.",
)
FLOAT_BETTER = Kind(
    "FG612",
    "float training is better",
    "The same run in float64 ends with a better accuracy: the resolution of weights or "
    "activations is too coarse for this run, or it is the chance of the rounding.",
    "See the findings above; type `activation_bits = 12` or another `seed`.",
)

KINDS: Final[dict[str, Kind]] = {
    kind.code: kind
    for kind in (
        NO_PORT, NO_PERMISSION, HELD, NOT_OPENED, MODEM_MANAGER, NOT_BUILT,
        SILENT, FOREIGN, ECHO, OTHER_SPEED, RESETS_ON_OPEN,
        OTHER_PROTOCOL, OTHER_NUMERICS, OTHER_TABLE,
        LATENCY, SLOW, NOISE, BAD_LINE, STACK,
        NOT_PROVED, WEIGHTS_CLAMPED, DIVERGING, ACTIVATIONS_CLAMPED, BIASES_CLAMPED, UPDATES_LOST,
        UNITS_DEAD, RANGE_UNUSED, GOT_WORSE, NOT_LEARNING, OVERFITS, FLOAT_BETTER,
    )
}  # fmt: skip


def exit_code(reports: Iterable[Report]) -> int:
    """Return the exit code of the first error; 0 where there is none."""
    codes = (report.kind.exit_code for report in reports if isinstance(report, Finding))
    return next((code for code in codes if code), 0)
