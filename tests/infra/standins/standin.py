"""What the STAND-INS beside this file share. They stand in, on hosts of tests, for tools of a GPU machine in AWS.

Each says on its first lines whose place it takes and what it does of that; anything else is an error. Every call is
written to /opt/standins/calls.jsonl with its whole command line, for the tests to read.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

FOLDER = Path("/opt/standins")


def called(tool: str) -> list[str]:
    """The arguments of this call, once they are written down."""
    arguments = sys.argv[1:]
    with (FOLDER / "calls.jsonl").open("a") as calls:
        calls.write(json.dumps([tool, *arguments]) + "\n")
    return arguments


def refuse(tool: str, arguments: list[str]) -> None:
    """End: this is not stood in for."""
    sys.exit(f"the stand-in of {tool} does not know: {arguments}")
