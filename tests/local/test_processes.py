"""Children that outlive the command, on real processes."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.engines.engine import free_port, wait_until
from visionfleet.local.errors import LocalError
from visionfleet.local.processes import MARK, Process, start, stop, tail, wait_ready

pytestmark = pytest.mark.engine

Start = Callable[..., Process]
IGNORES_SIGTERM = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on'); time.sleep(60)"


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Start]:
    started: list[Process] = []

    def start_one(*command: str, **environment: str) -> Process:
        log = tmp_path / "logs" / f"{len(started)}.log"
        process = start("child", list(command), environment={**os.environ, **environment}, log=log, mark="test")
        started.append(process)
        return process

    yield start_one
    stop(started, grace=0)


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-u", "-c", code)


def test_runs_in_a_session_of_its_own_with_a_private_log(launch: Start) -> None:
    child = launch(*python("import os; print('hello', os.environ['WORD']); import time; time.sleep(60)"), WORD="there")
    wait_until(lambda: tail(child.log), "it says something")
    assert tail(child.log) == "hello there"
    assert os.getsid(child.pid) == child.pid
    assert child.log.stat().st_mode & 0o777 == 0o600
    assert psutil.Process(child.pid).environ()[MARK] == "test"
    assert child.is_running


def test_a_program_that_is_missing_is_an_error(launch: Start) -> None:
    with pytest.raises(FileNotFoundError):
        launch("/nowhere/to/be/found")


def test_stops_with_sigterm(launch: Start) -> None:
    child = launch("sleep", "60")
    began = time.monotonic()
    stop([child])
    assert time.monotonic() - began < 5
    assert not psutil.pid_exists(child.pid)


def test_kills_what_does_not_listen(launch: Start) -> None:
    child = launch(*python(IGNORES_SIGTERM))
    wait_until(lambda: tail(child.log), "it ignores SIGTERM")
    stop([child], grace=0.2)
    assert not psutil.pid_exists(child.pid)


def test_kills_what_the_child_left_behind(launch: Start) -> None:
    child = launch("sh", "-c", "sleep 60 & echo $!")
    wait_until(lambda: tail(child.log) and not child.is_running, "the child has ended")
    grandchild = int(tail(child.log))
    assert psutil.pid_exists(grandchild)
    stop([child])
    wait_until(lambda: not psutil.pid_exists(grandchild) or _is_zombie(grandchild), "the grandchild is gone")


def test_a_pid_that_is_somebody_else_s_by_now_is_left_alone(launch: Start) -> None:
    child = launch("sleep", "60")
    reused = child.model_copy(update={"started": child.started - 100, "mark": "another"})
    assert not reused.is_running
    stop([reused])
    assert child.is_running


def test_waits_until_it_answers(launch: Start) -> None:
    port = free_port()
    serve = f"h.test(h.SimpleHTTPRequestHandler, port={port}, bind='127.0.0.1')"
    server = f"import http.server as h, time; time.sleep(0.7); {serve}"
    child = launch(*python(server))
    waited: list[None] = []
    wait_ready(f"http://127.0.0.1:{port}/", child, timeout=120, on_wait=lambda: waited.append(None))
    assert waited


def test_does_not_wait_for_what_has_ended(launch: Start) -> None:
    child = launch(*python("import sys; sys.exit('no licence')"))
    began = time.monotonic()
    with pytest.raises(LocalError, match="child ended while it started") as failure:
        wait_ready("http://127.0.0.1:9/", child, timeout=120)
    assert time.monotonic() - began < 10
    assert failure.value.log == "no licence"


def test_does_not_wait_for_ever(launch: Start) -> None:
    child = launch("sleep", "60")
    with pytest.raises(LocalError, match="was not ready within 0 s"):
        wait_ready("http://127.0.0.1:9/", child, timeout=0.3)


def _is_zombie(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
