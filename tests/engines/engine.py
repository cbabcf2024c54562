"""What every real engine of the tests needs: to be there, to start, to end."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from http.server import HTTPServer
from pathlib import Path

import pytest

REQUIRED = os.environ.get("VISIONFLEET_REQUIRE_ENGINES") == "1"
STOP_SECONDS = 60
PORTS = range(12_000, 30_000)
# Limits are guards against what hangs: each is several times what a machine takes that is busy with other tests.
WAIT_SECONDS = 120
TOOL_SECONDS = 120  # a small command: ip, openssl, kubectl get …
# before a command whose process is not to outlive this one; a program that changes its user has to say it again
DIES_WITH_US = ("setpriv", "--pdeathsig=KILL", "--")


def missing(engine: str, how: str) -> None:
    """Skip visibly; in CI, fail: a missing engine there is a missing install step."""
    message = f"{engine} is not here: {how}"
    if REQUIRED:
        pytest.fail(message)
    pytest.skip(message)


def free_port() -> int:
    """A port of the loopback that nobody has now.

    It is none that the kernel gives to clients: tests that run beside this one have thousands of those in turn.
    """
    for port in random.sample(PORTS, 100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    pytest.fail(f"a hundred of {PORTS} are all taken")


def printed(
    command: Sequence[str],
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    seconds: float = TOOL_SECONDS,
) -> str:
    """What a command prints; fails with what it says where it does not succeed."""
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
    return done.stdout


@contextmanager
def running(
    command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a session of its own, its output in `log`; at the end it and its children are gone."""
    process = started(command, log, environment)
    try:
        yield process
    finally:
        stop(process)


def started(command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """A process in a session of its own, its output in `log`, for whoever calls `stop`.

    It is killed when the thread that started it ends, and with it this process, however that ends.
    """
    with log.open("ab") as output:
        return subprocess.Popen(
            [*DIES_WITH_US, *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )


@contextmanager
def answering(server: HTTPServer) -> Iterator[None]:
    """A server of this process's own, which answers in a thread until the end."""
    with server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def stop(process: subprocess.Popen[bytes], how: signal.Signals = signal.SIGTERM) -> None:
    """End a process that was started here, by its id."""
    if process.poll() is not None:
        # it has ended by itself: what it started may not have
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        return
    os.killpg(process.pid, how)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(STOP_SECONDS)


def wait_until(
    condition: Callable[[], object], what: str, seconds: float = WAIT_SECONDS, state: Callable[[], str] | None = None
) -> None:
    """Wait for something to become true, and fail by name if it does not; `state` tells what there is instead."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.05)
    pytest.fail(f"not within {seconds:.0f} s: {what}" + (f"\n{state()}" if state else ""))


@contextmanager
def small_disk(folder: Path, size: int) -> Generator[Path]:
    """A file system of `size` bytes on `folder`, gone at the end."""
    folder.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    is_mounted = (
        os.geteuid() == 0
        and subprocess.run(mount, stdin=subprocess.DEVNULL, check=False, capture_output=True).returncode == 0
    )
    if not is_mounted:
        missing("a small disk", "run as root, where a tmpfs may be mounted")
    try:
        yield folder
    finally:
        # lazily: a thread of the storage may hold a file for a moment longer
        subprocess.run(["umount", "--lazy", str(folder)], stdin=subprocess.DEVNULL, check=True)
