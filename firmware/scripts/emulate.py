"""Target `emulate`: the built image in QEMU, its UART on a TCP port, until Ctrl-C."""

import re
import shutil
import subprocess
import sys

Import("env")

# QEMU tells the free port that it chose.
WAITS = re.compile(r"waiting for connection on: .*tcp:([\d.:]+)")


def emulate(target, source, env):  # type: ignore[no-untyped-def]
    """Run QEMU in the foreground; the machine starts with the first connection."""
    qemu = shutil.which("qemu-system-arm")
    if qemu is None:
        print("qemu-system-arm is missing: install the package qemu-system-arm", file=sys.stderr)
        return 1
    command = [
        qemu,
        *("-M", env.GetProjectOption("custom_qemu_machine"), "-kernel", str(source[0])),
        *("-nodefaults", "-display", "none"),
        *(("-serial", "null") * int(env.GetProjectOption("custom_qemu_uart", "0"))),
        *("-serial", "tcp:127.0.0.1:0,server=on,wait=on,nodelay=on"),
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as machine:
        try:
            for line in machine.stderr:
                if waits := WAITS.search(line):
                    print(f"{env['BOARD']} waits: use --port socket://{waits[1]}", flush=True)
                else:
                    print(line, end="", file=sys.stderr)
            return machine.wait()
        except KeyboardInterrupt:
            machine.terminate()
            return 0


if env.GetProjectOption("custom_qemu_machine", ""):
    env.AddCustomTarget(
        "emulate",
        "$BUILD_DIR/firmware.elf",
        env.VerboseAction(emulate, "Emulating $BOARD"),
        title="Emulate",
        description="Run the image in QEMU",
    )
