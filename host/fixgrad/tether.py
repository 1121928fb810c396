"""Run a command that ends when this process' standard input does.

Started by its path (`python -I tether.py COMMAND ...`) between a parent and a child process: the
parent holds the other end of the pipe, so the child ends with it, however the parent ends. The
exit code is the command's.
"""

import os
import subprocess
import sys
import threading


def main(command: list[str]) -> int:
    """Run `command` until it ends or standard input is closed; return its exit code."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:

        def kill_at_end_of_input() -> None:
            while os.read(0, 4096):
                pass
            process.kill()

        threading.Thread(target=kill_at_end_of_input, daemon=True).start()
        return process.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
