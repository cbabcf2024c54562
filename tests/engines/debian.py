"""Debian root folders that hosts of tests boot from, each made once into the user's cache.

python -m tests.engines.debian     makes them all, and what edge hosts install and run (apt_repository, edge_image), for
                                   a machine that is to run the tests later without a network
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from tests.engines.engine import missing

SUITE = "bookworm"
BUILD_SECONDS = 2700
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "visionfleet" / "engines"

_HOST = ("systemd", "systemd-sysv", "dbus", "openssh-server", "python3", "sudo", "iproute2", "ca-certificates", "curl")


@dataclass(frozen=True)
class Root:
    """A Debian root by its packages: with others it is another folder, so that a change is made anew."""

    name: str
    packages: tuple[str, ...]
    options: tuple[str, ...] = ()  # more of mmdebstrap's

    @property
    def folder(self) -> Path:
        """Where it is in the cache."""
        digest = hashlib.sha256(" ".join((SUITE, *self.packages, *self.options)).encode()).hexdigest()[:8]
        return CACHE / f"debian-{SUITE}-{self.name}-{digest}"


# Ansible's modules for packages ask for python3-apt; the images of boards bring it, and a user who may use sudo
_DEVICE = (*_HOST, "python3-apt", "procps")
_USER = (
    '--customize-hook=chroot "$1" useradd --create-home --shell /bin/bash edge',
    "--customize-hook=echo 'edge ALL=(ALL) NOPASSWD: ALL' >\"$1/etc/sudoers.d/edge\"",
)
EDGE = Root("edge", _DEVICE, _USER)  # what stands for a device, as its maker hands it over
EDGE_DOCKER = Root("edge-docker", (*_DEVICE, "docker.io"), _USER)  # the same with Docker in it
# a Pi's or a Jetson's architecture, which qemu runs: see tests/engines/arm64.py
EDGE_ARM64 = Root("edge-arm64", _DEVICE, (*_USER, "--architectures=arm64"))
# what stands for a cloud machine; Pillow is for the stub of the inference server
CLOUD = Root("cloud", (*_HOST, "cloud-init", "logrotate", "python3-pil"))


def root_folder(root: Root) -> Path:
    """The root's folder, made if it is not there: about 45 s and 340 MB. Skips the test where it cannot be made."""
    if root.folder.is_dir():
        return root.folder
    if shutil.which("mmdebstrap") is None or os.geteuid() != 0:
        missing("a Debian root folder", "apt install mmdebstrap, and run as root")
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f".{root.folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.folder.is_dir():
            _make(root)
    return root.folder


def _make(root: Root) -> None:
    """Make it beside its place and move it there when it is whole."""
    unfinished = root.folder.with_name(f".{root.folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(root.packages)}", *root.options]
    command += [SUITE, str(unfinished)]
    made = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False
    )
    if made.returncode != 0:
        shutil.rmtree(unfinished, ignore_errors=True)
        missing("a Debian root folder", f"mmdebstrap failed: {made.stderr[-2000:]}")
    unfinished.rename(root.folder)


def _make_all() -> None:
    """What cannot be made is named, and its tests skip."""
    from tests.engines import apt_repository, arm64, edge_image  # noqa: PLC0415 - they need what is above

    folders: list[Callable[[], Path]] = [partial(root_folder, root) for root in (EDGE, EDGE_DOCKER, CLOUD)]
    folders += [apt_repository.package_folder, partial(edge_image.base_layer, "amd64"), arm64.arm64_root]
    for folder in folders:
        try:
            print(folder())
        except pytest.skip.Exception as skipped:
            print(skipped)


if __name__ == "__main__":
    _make_all()
