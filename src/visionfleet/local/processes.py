"""Child processes that outlive the command that started them.

A process is known by its pid and the time it started, and what it started in turn by a mark in the environment: a pid
that belongs to somebody else by now is never signalled.
"""

import os
import signal
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
from pydantic import BaseModel, ConfigDict

from visionfleet.local.errors import LocalError

STOP_SECONDS = 15  # from SIGTERM to SIGKILL
POLL_SECONDS = 0.1
PROBE_SECONDS = 2
LOG_LINES = 15  # shown of a log after a failure
LOG_BYTES = 64 * 1024  # read from its end for that
MARK = "VISIONFLEET_STACK"  # in the environment of each child: whose it is

# psutil counts from the boot time, which the kernel tells in whole seconds and which moves when the clock is set
START_TOLERANCE_SECONDS = 2

_STOPPING = (signal.SIGINT, signal.SIGTERM)


class Process(BaseModel):
    """A started process, also after the command that started it has ended."""

    model_config = ConfigDict(frozen=True)

    name: str
    pid: int
    started: float  # seconds since the epoch
    mark: str
    log: Path

    @property
    def is_running(self) -> bool:
        """Whether this very process still runs; a zombie does not."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < START_TOLERANCE_SECONDS
            return same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False


def start(name: str, command: list[str], *, environment: Mapping[str, str], log: Path, mark: str) -> Process:
    """Starts a child in a session of its own, with its output going to a new log file, readable by its owner alone."""
    log.parent.mkdir(parents=True, exist_ok=True)
    write = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    # posix_spawn and not subprocess: a Popen object wants to be waited for, and this command ends before the child does
    pid = os.posix_spawnp(
        command[0],
        command,
        {**environment, MARK: mark},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), write, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        # signals that this command holds back or ignores are no concern of the child's
        setsigmask=[],
        setsigdef=_STOPPING,
    )
    # not reaped yet, so that the pid is the child's even if it has ended already
    return Process(name=name, pid=pid, started=psutil.Process(pid).create_time(), mark=mark, log=log)


@contextmanager
def signals_held() -> Generator[None]:
    """Holds SIGINT and SIGTERM back, so that what is started in it is also written down."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def stop(processes: Iterable[Process], grace: float = STOP_SECONDS) -> None:
    """Ends the processes and all in their sessions: SIGTERM to each, SIGKILL to what is left `grace` seconds later."""
    processes = list(processes)
    for process in processes:
        if process.is_running:
            _signal(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while time.monotonic() < deadline and any(process.is_running for process in processes):
        time.sleep(POLL_SECONDS)
    for process in processes:
        if process.is_running:
            _signal(process.pid, signal.SIGKILL)
        for member in psutil.process_iter():
            if _belongs(member, process):
                _signal(member.pid, signal.SIGKILL)
        _reap(process)


def wait_ready(url: str, process: Process, *, timeout: float, on_wait: Callable[[], None] = lambda: None) -> None:
    """Returns once `url` answers 200. Raises LocalError after `timeout` seconds, at once when the process has ended."""
    deadline = time.monotonic() + timeout
    # the user's proxies do not lead to this machine
    with httpx.Client(trust_env=False, timeout=PROBE_SECONDS) as client:
        while time.monotonic() < deadline:
            if not process.is_running:
                raise LocalError(f"{process.name} ended while it started; its log is {process.log}", tail(process.log))
            if _answers(client, url):
                return
            on_wait()
            time.sleep(POLL_SECONDS)
    raise LocalError(
        f"{process.name} was not ready within {timeout:.0f} s; its log is {process.log}", tail(process.log)
    )


def tail(log: Path, lines: int = LOG_LINES) -> str:
    """The last lines of a file; empty where there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LOG_BYTES))
            text = file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def _answers(client: httpx.Client, url: str) -> bool:
    try:
        return client.get(url).is_success
    except httpx.HTTPError:
        return False


def _belongs(member: psutil.Process, process: Process) -> bool:
    """Whether `member` is in the session that `process` leads, or led before it ended."""
    try:
        return os.getsid(member.pid) == process.pid and member.environ().get(MARK) == process.mark
    except (psutil.Error, OSError):
        return False


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _reap(process: Process) -> None:
    """Waits for its end, and leaves no zombie where this command is the parent."""
    while process.is_running:
        time.sleep(POLL_SECONDS)
    try:
        os.waitpid(process.pid, os.WNOHANG)  # a pid that another child has got since is not waited for
    except ChildProcessError:
        return
