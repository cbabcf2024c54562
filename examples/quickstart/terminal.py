"""What the quickstart shows, and how it runs commands."""

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from rich.console import Console

STOP_SECONDS = 60  # for a command that is told to end: `local up` stops servers then
REPORT_SECONDS = 5
POLL_SECONDS = 0.25

console = Console(highlight=False, soft_wrap=True)


_signals: list[int] = []  # that have come


class StepError(Exception):
    """A step failed. `logs` are those of the local stack that may tell why."""

    def __init__(self, message: str, *logs: str) -> None:
        super().__init__(message)
        self.logs = logs


class Steps:
    """Numbered headings, with the time that has gone by."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._number = 0
        self._started = time.monotonic()
        self.title = "start"

    @property
    def seconds(self) -> float:
        """Since the first step."""
        return time.monotonic() - self._started

    def begin(self, title: str) -> None:
        """The next step."""
        self._number += 1
        self.title = title
        console.print(f"\n[bold]{self._number}/{self._total}  {title}[/bold]  [dim]{self.seconds:.0f} s[/dim]")


def say(line: str) -> None:
    """A line of progress."""
    console.print(f"  {line}", markup=False)


def shown(path: Path) -> str:
    """The path as one would type it here."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def run(command: Sequence[str], *, typed: Sequence[str], environment: dict[str, str], logs: Sequence[str] = ()) -> None:
    """Prints the command as one would type it and runs it to its end. Raises StepError when it fails."""
    console.print(f"  $ {shlex.join(typed)}", style="cyan", markup=False)
    # A session of its own: Ctrl-C reaches this program alone, which then ends the command and all that it started.
    child = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, start_new_session=True)
    code = None
    while code is None:
        if _signals:
            _end(child)
        check_signals()
        with suppress(subprocess.TimeoutExpired):
            code = child.wait(POLL_SECONDS)
    if code != 0:
        raise StepError(f"`{shlex.join(typed)}` ended with exit code {code}", *logs)


def wait_until(is_over: Callable[[], bool], describe: Callable[[], str], *, timeout: float) -> None:
    """Polls until it is over, saying now and then how far it is. Raises StepError after `timeout` seconds."""
    started = told = time.monotonic()
    while not is_over():
        check_signals()
        now = time.monotonic()
        if now - started > timeout:
            raise StepError(f"not over after {timeout:.0f} s: {describe()}", "hub", "worker-1", "inference")
        if now - told > REPORT_SECONDS:
            told = now
            say(f"{now - started:3.0f} s  {describe()}")
        time.sleep(POLL_SECONDS)


def note_signals() -> None:
    """From now on SIGINT and SIGTERM end the program where it checks for them, never in the middle of a start."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: _signals.append(number))


def check_signals() -> None:
    """Ends the program, through its `finally` clauses, when it was told to."""
    if _signals:
        console.print("\ninterrupted: stopping what was started")
        raise SystemExit(128 + _signals[0])  # as shells have it


def _end(child: subprocess.Popen[bytes]) -> None:
    os.killpg(child.pid, signal.SIGTERM)
    try:
        child.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
