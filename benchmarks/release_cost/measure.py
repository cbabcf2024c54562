"""Runs a command, and writes the processor seconds of all that it started to a file.

    python measure.py SECONDS_FILE COMMAND…

Also what the command leaves running counts, as ssh's masters: this process adopts it, ends it and waits for it.
"""

import ctypes
import os
import resource
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


def main() -> int:
    """The exit code is the command's."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "no orphans can be adopted")
    code = subprocess.call(sys.argv[2:], stdin=subprocess.DEVNULL)
    while left := children():
        for child in left:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGTERM)
        os.wait()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    Path(sys.argv[1]).write_text(str(used.ru_utime + used.ru_stime), encoding="utf-8")
    return code


def children() -> list[int]:
    """The processes whose parent this one is now."""
    return [int(child) for child in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]


if __name__ == "__main__":
    sys.exit(main())
