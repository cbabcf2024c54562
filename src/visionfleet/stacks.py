"""The outputs of a Pulumi stack, read with the `pulumi` command.

The command comes from PATH, else from the cache in which this project's tests build their engines. Whatever it needs
to find the stack (backend, login, passphrase) is in its own environment; nothing of it passes through here.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from visionfleet.projections.outputs import StackOutputs, read_outputs

TIMEOUT_SECONDS = 120  # a backend far away
PROJECT_FILES = ("Pulumi.yaml", "Pulumi.yml")


class StackUnavailable(Exception):
    """The stack's outputs cannot be read; the message says why, and what to do."""


def stack_outputs(stack: str, project: Path) -> StackOutputs:
    """The outputs of the stack called `stack` of the Pulumi project in the folder `project`.

    Raises:
        StackUnavailable: there is no pulumi, no project, no such stack, or it has not been brought up.
        OutputsDiffer: another version of visionfleet made the stack.
    """
    if not any((folder / name).is_file() for folder in (project, *project.parents) for name in PROJECT_FILES):
        raise StackUnavailable(
            f"{project} is no Pulumi project: it has no Pulumi.yaml\n"
            "  run in the folder of visionfleet's Pulumi.yaml, or name it with --project"
        )
    outputs = _ask(stack, project)
    if not outputs:
        raise StackUnavailable(f"the stack '{stack}' has no outputs\n  bring it up first: pulumi up --stack {stack}")
    return read_outputs(outputs)


def find_pulumi() -> Path | None:
    """The `pulumi` command: on PATH, else the newest in the engines' cache."""
    found = shutil.which("pulumi")
    if found is not None:
        return Path(found)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "visionfleet" / "engines"
    built = [path for path in cache.glob("pulumi-[0-9]*/pulumi") if os.access(path, os.X_OK)]
    return max(built, key=lambda path: _numbers(path.parent.name), default=None)


def _ask(stack: str, project: Path) -> Mapping[str, object]:
    pulumi = find_pulumi()
    if pulumi is None:
        raise StackUnavailable(
            "there is no pulumi on PATH\n  install it (https://www.pulumi.com/docs/install/), or extend PATH"
        )
    command = [str(pulumi), "stack", "output", "--json", "--stack", stack, "--cwd", str(project), "--non-interactive"]
    environment = {**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "1"}
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,  # it asks nothing; and a pipe is shared with commands that come after this one
            capture_output=True,
            text=True,
            check=False,
            env=environment,
            timeout=TIMEOUT_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = error.strerror if isinstance(error, OSError) else f"it took over {TIMEOUT_SECONDS} s"
        raise StackUnavailable(f"{pulumi} cannot be run: {reason}\n  try `{' '.join(command)}`") from error
    if done.returncode != 0:
        raise StackUnavailable(_refused(stack, done.stderr.strip()))
    return _parsed(done.stdout)


def _refused(stack: str, said: str) -> str:
    if "no stack named" in said:
        return f"there is no stack '{stack}'\n  `pulumi stack ls` lists them; `pulumi stack init {stack}` makes it"
    return f"pulumi cannot read the stack '{stack}':\n{said}"


def _parsed(text: str) -> Mapping[str, object]:
    try:
        outputs: object = json.loads(text)
    except json.JSONDecodeError:
        outputs = None
    if not isinstance(outputs, dict):
        raise StackUnavailable("pulumi answered with something else than outputs\n  update pulumi") from None
    return cast("dict[str, object]", outputs)


def _numbers(name: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall("[0-9]+", name)))
