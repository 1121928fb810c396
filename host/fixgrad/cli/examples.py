"""What is typed in everyday use: the examples at the end of every command's help."""

from __future__ import annotations

EXAMPLES = {
    "new": (
        "fixgrad new run.toml --data iris.csv --layers 4-8-3",
        "fixgrad new digits.toml --data digits --epochs 10 --learning-rate 0.2",
    ),
    "import": (
        "fixgrad import net.pt run.toml",
        "fixgrad import pipeline.joblib run.toml --trust",
    ),
    "train": (
        "fixgrad train run.toml --port sim://",
        "fixgrad train run.toml --port /dev/ttyACM0 --out runs/first --serve",
        "fixgrad train --resume runs/first --port /dev/ttyACM0",
    ),
    "validate": (
        "fixgrad validate run.toml --port qemu://olimex_p405",
        "fixgrad validate run.toml --port /dev/ttyACM0 --steps 100 --json",
    ),
    "report": (
        "fixgrad report runs/digits --open",
        "fixgrad report runs/digits --figures figures",
    ),
    "replay": ("fixgrad replay runs/digits --port qemu://olimex_p405",),
    "diff": ("fixgrad diff runs/digits runs/digits-2",),
    "gradcheck": ("fixgrad gradcheck run.toml --port sim://",),
    "selftest": ("fixgrad selftest --port /dev/ttyACM0",),
    "bench": (
        "fixgrad bench --port qemu://disco_f100rb",
        "fixgrad bench run.toml --port qemu://olimex_p405 --json",
    ),
    "eval": (
        "fixgrad eval runs/digits --port sim://",
        "fixgrad eval runs/digits --port /dev/ttyACM0 --compare",
    ),
    "predict": ("fixgrad predict runs/iris new.csv --port /dev/ttyACM0 --output said.csv",),
    "deploy": ("fixgrad deploy runs/iris --port /dev/ttyACM0",),
    "export": (
        "fixgrad export runs/iris --format c",
        "fixgrad export runs/iris --format onnx-int --out net.onnx",
    ),
    "plan": (
        "fixgrad plan run.toml",
        "fixgrad plan run.toml --board disco_f100rb --board bbcmicrobit",
    ),
    "flash": ("fixgrad flash nucleo_f446re --port /dev/ttyACM0",),
    "sweep": (
        "fixgrad sweep digits_sweep.toml",
        "fixgrad sweep best --board disco_f100rb",
    ),
    "sweep run": (
        "fixgrad sweep digits_sweep.toml",
        "fixgrad sweep digits_sweep.toml --scheduler tcp://10.0.0.1:8786",
    ),
    "sweep best": ("fixgrad sweep best sweeps/digits_sweep --board disco_f100rb",),
    "fleet": ("fixgrad fleet fleet.toml --out fleets/first",),
    "boards": ("fixgrad boards", "fixgrad boards run.toml"),
    "ports": ("fixgrad ports",),
    "doctor": (
        "fixgrad doctor --port /dev/ttyACM0",
        "fixgrad doctor runs/digits",
    ),
    "demo": (
        "fixgrad demo",
        "fixgrad demo --port sim:// --json",
    ),
    "proxy": (
        "fixgrad proxy --port sim:// --bit-errors 1e-5",
        "fixgrad proxy --port /dev/ttyACM0 --listen localhost:4242 --trace",
    ),
    "trace": ("fixgrad trace --port /dev/ttyACM0 --listen localhost:4242",),
    "decode": ("fixgrad decode recorded.bin",),
    "completion": ('eval "$(fixgrad completion bash)"',),
}


def epilog(name: str) -> str:
    r"""Return the end of a command's help; \b keeps its lines as they are."""
    lines = EXAMPLES.get(name, ())
    heading = "Example:" if len(lines) == 1 else "Examples:"
    return "\n".join(("\b", heading, *(f"  {line}" for line in lines))) if lines else ""
