"""The native inference runtime: server and command line of Roboflow Inference in an environment of their own.

It lies in the user's cache, one folder for each version and lock, shared by all projects. The marker file is written
last: a folder without it is half installed and made again.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from visionfleet.local.errors import LocalError
from visionfleet.local.locks import hold
from visionfleet.local.processes import tail

GIGABYTE = 10**9
SIZE_GB = 6.7
NEEDED_GB = 8  # the environment and room to unpack
REPORT_SECONDS = 10  # between two lines of progress
LAST_PYTHON = (3, 13)  # inference 1.8.3: >=3.10,<3.14
MARKER = "installed"

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Runtime:
    """An installed runtime."""

    folder: Path

    @property
    def python(self) -> Path:
        """The interpreter that has the server."""
        return self.folder / "bin" / "python"

    @property
    def inference(self) -> Path:
        """The `inference` command."""
        return self.folder / "bin" / "inference"

    @property
    def is_installed(self) -> bool:
        """Whether the installation went through to its end."""
        return (self.folder / MARKER).exists()


def locate(version: str) -> Runtime:
    """Where the runtime of a version is, or will be. Raises LocalError for a version that has no lock here."""
    digest = hashlib.sha256(_lock(version).read_bytes()).hexdigest()[:12]
    return Runtime(_cache() / "inference" / f"{version}-{digest}")


def install(version: str, report: Report) -> Runtime:
    """Installs the runtime unless it is there. Two at once do not meet. Raises LocalError saying what to do."""
    runtime = locate(version)
    if runtime.is_installed:
        return runtime
    lock = runtime.folder.with_name(f"{runtime.folder.name}.lock")
    with hold(lock, lambda: report("another command installs the runtime; waiting for it")):
        if not runtime.is_installed:
            _install(runtime, version, report)
    return runtime


def _install(runtime: Runtime, version: str, report: Report) -> None:
    uv = _find_uv()
    _check_python()
    _check_space(runtime.folder.parent)
    shutil.rmtree(runtime.folder, ignore_errors=True)
    report(f"inference runtime {version} into {runtime.folder}: {SIZE_GB} GB, a few minutes the first time")
    steps: tuple[tuple[str, list[str]], ...] = (
        ("environment", [uv, "venv", "--python", sys.executable, str(runtime.folder)]),
        (
            "packages",
            [uv, "pip", "sync", "--python", str(runtime.python), "--require-hashes", str(_lock(version))],
        ),
        # imports all that the server imports, and so compiles it for the first start
        (
            "check",
            [
                str(runtime.python),
                "-W",
                "ignore",
                "-c",
                "import inference.core.interfaces.http.http_api, inference_cli.main",
            ],
        ),
    )
    log = runtime.folder.with_name(f"{runtime.folder.name}.log")
    started = time.monotonic()
    for name, command in steps:
        _run(name, command, log, lambda line: report(f"{time.monotonic() - started:4.0f} s  {line}"))
    (runtime.folder / MARKER).touch()


def _run(name: str, command: list[str], log: Path, report: Report) -> None:
    """Runs a step, telling now and then that it is alive, and the last line of what it says."""
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "DISABLE_VERSION_CHECK": "True", "HF_HUB_OFFLINE": "1"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # without bytecode the server takes twice as long to start
    with (
        log.open("wb") as output,
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment) as child,
    ):
        report(name)
        while True:
            try:
                code = child.wait(REPORT_SECONDS)
                break
            except subprocess.TimeoutExpired:
                report(f"{name}: {tail(log, 1).strip() or 'at work'}")
            except BaseException:
                child.terminate()
                raise
    if code != 0:
        raise LocalError(
            f"the inference runtime could not be installed (step '{name}'); run the command again to go on\n"
            f"  it needs the Python package index, or uv's settings for a mirror of it; its log is {log}",
            tail(log),
        )


def _lock(version: str) -> Path:
    folder = Path(__file__).parent
    path = folder / f"inference-{version}.txt"
    if path.exists():
        return path
    known = ", ".join(sorted(lock.stem.removeprefix("inference-") for lock in folder.glob("inference-*.txt")))
    raise LocalError(
        f"inference {version} cannot be installed natively: this release has a lock for {known}\n"
        f"  set inference.version to it, or run Docker, which takes any version"
    )


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "visionfleet"


def _find_uv() -> str:
    uv = shutil.which(os.environ.get("VISIONFLEET_UV") or "uv")
    if uv is None:
        raise LocalError(
            "uv is needed to install the inference runtime\n  pip install uv, or name it in VISIONFLEET_UV"
        )
    return uv


def _check_python() -> None:
    if sys.version_info[:2] > LAST_PYTHON:
        newest = ".".join(map(str, LAST_PYTHON))
        raise LocalError(f"the inference runtime needs Python {newest} or older\n  install visionfleet with it")


def _check_space(folder: Path) -> None:
    free = shutil.disk_usage(folder).free / GIGABYTE
    if free < NEEDED_GB:
        raise LocalError(
            f"the inference runtime needs {NEEDED_GB} GB in {folder}, {free:.1f} GB are free\n"
            "  make room, or set XDG_CACHE_HOME to a folder on a larger disk"
        )
