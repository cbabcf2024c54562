"""The inference server in Docker, driven by the `docker` command.

The container runs in the foreground of the command, so that it is a child process like the others: its output goes to
their log, and SIGTERM is passed on to it. It is removed by name afterwards: a killed `docker run` leaves it behind.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from visionfleet.local.errors import LocalError
from visionfleet.local.runtime import Report

CACHE_DIR = Path("/cache")  # in the container
INFO_SECONDS = 10
REMOVE_SECONDS = 30
_DOCKER = "docker"  # from PATH


class DockerUnavailableError(LocalError):
    """Docker was asked for, and cannot run the server."""


def why_not(image: str, report: Report) -> str | None:
    """Why Docker cannot run the image here, or None if it can. Pulls the image when it is missing."""
    if sys.platform != "linux":
        return "its host network, which the server needs to reach the hub, is Linux's alone"
    if shutil.which(_DOCKER) is None:
        return "it is not installed"
    try:
        if not _succeeds("info", timeout=INFO_SECONDS):
            return "its daemon does not answer"
    except subprocess.TimeoutExpired:
        return f"its daemon did not answer within {INFO_SECONDS} s"
    if _succeeds("image", "inspect", image):
        return None
    report(f"docker pull {image}")
    # its progress is the user's to see
    pulled = subprocess.run([_DOCKER, "pull", image], check=False, stdin=subprocess.DEVNULL)
    return None if pulled.returncode == 0 else f"{image} cannot be pulled"


def run_command(image: str, container: str, variables: Iterable[str]) -> list[str]:
    """`docker run` in the foreground. Variables are passed by name: their values, a key among them, show in no list."""
    # The hub listens on 127.0.0.1, so the container shares the host's network. The cache is a volume of Docker's, which
    # root in the container may write without capabilities; a folder of the user's it might not.
    return [
        _DOCKER,
        "run",
        "--rm",
        "--name",
        container,
        "--network=host",
        "--read-only",
        "--tmpfs=/tmp",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        f"--volume={container}-cache:{CACHE_DIR}",
        *(f"--env={name}" for name in variables),
        image,
    ]


def remove(container: str) -> None:
    """Removes the container, running or not; one that is gone is no error."""
    _succeeds("rm", "--force", container, timeout=REMOVE_SECONDS)


def _succeeds(*arguments: str, timeout: float | None = None) -> bool:
    command = [_DOCKER, *arguments]
    finished = subprocess.run(command, check=False, capture_output=True, stdin=subprocess.DEVNULL, timeout=timeout)
    return finished.returncode == 0
