"""Debian packages for hosts that reach no network: what they may install, downloaded once into the cache.

with served(package_folder(), "10.93.0.1") as source:       # "deb [trusted=yes] http://10.93.0.1:PORT ./"
    host.write("/etc/apt/sources.list", source)
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.engines.debian import BUILD_SECONDS, CACHE, EDGE, SUITE, root_folder
from tests.engines.engine import answering, missing

PACKAGES = ("docker.io",)  # with all that EDGE lacks for them


def package_folder() -> Path:
    """A folder of packages with their index. Skips the test where it cannot be made."""
    digest = hashlib.sha256(" ".join((EDGE.folder.name, *PACKAGES)).encode()).hexdigest()[:8]
    folder = CACHE / f"packages-{SUITE}-{digest}"
    if folder.is_dir():
        return folder
    if tools := [tool for tool in ("apt-get", "dpkg-scanpackages") if shutil.which(tool) is None]:
        missing("a folder of Debian packages", f"apt install apt dpkg-dev ({tools})")
    root = root_folder(EDGE)
    with (CACHE / f".{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            _make(folder, root)
    return folder


@contextmanager
def served(folder: Path, address: str) -> Iterator[str]:
    """A line for a host's /etc/apt/sources.list, served by this process."""
    handler = partial(_Handler, directory=str(folder))
    server = ThreadingHTTPServer((address, 0), handler)
    with answering(server):
        yield f"deb [trusted=yes] http://{address}:{server.server_port} ./\n"


class _Handler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        """Say nothing."""


def _make(folder: Path, root: Path) -> None:
    """apt works out what is missing in the root, with a state of its own; what it needs of this machine is its keys."""
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    (unfinished / "state/lists/partial").mkdir(parents=True)
    (unfinished / "cache/archives/partial").mkdir(parents=True)
    settings = {
        "Dir::Etc": f"{root}/etc/apt",
        "Dir::State": f"{unfinished}/state",
        "Dir::State::status": f"{root}/var/lib/dpkg/status",
        "Dir::Cache": f"{unfinished}/cache",
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "root",
    }
    apt = ["apt-get", "--quiet", *(f"--option={name}={value}" for name, value in settings.items())]
    _run(*apt, "update")
    _run(*apt, "install", "--yes", "--download-only", *PACKAGES)
    packages = unfinished / "packages"
    packages.mkdir()
    for package in (unfinished / "cache/archives").glob("*.deb"):
        package.rename(packages / package.name)
    index = _run("dpkg-scanpackages", "--multiversion", ".", cwd=packages)
    (packages / "Packages").write_text(index)
    (packages / "Release").write_text(_release(index.encode()))
    packages.rename(folder)
    shutil.rmtree(unfinished)


def _release(index: bytes) -> str:
    """What apt asks for first; unsigned, hence `trusted`."""
    return f"Suite: test\nSHA256:\n {hashlib.sha256(index).hexdigest()} {len(index)} Packages\n"


def _run(*command: str, cwd: Path | None = None) -> str:
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False, cwd=cwd
    )
    if done.returncode != 0:
        missing("a folder of Debian packages", f"{command[0]} failed: {done.stderr[-2000:]}")
    return done.stdout
