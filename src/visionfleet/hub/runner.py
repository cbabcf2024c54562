"""The hub's own hands: threads that do ingest and export tasks, and keep the queue tidy.

These tasks run here and not on workers, since here is the storage: an archive crosses the network once.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress

import structlog
from sqlalchemy.exc import SQLAlchemyError

from visionfleet.hub import tasks
from visionfleet.hub.context import Hub
from visionfleet.hub.errors import HubError
from visionfleet.hub.executor import Executor
from visionfleet.hub.housekeeping import bury_overdue, clear_away, end_own
from visionfleet.hub.objects.errors import StorageFull, StorageUnavailable
from visionfleet.hub.outages import Steps
from visionfleet.hub.processing.exports import run_export
from visionfleet.hub.processing.logs import Event, write_task_log
from visionfleet.hub.staging.arrivals import Arrivals
from visionfleet.hub.staging.ingestion import run_ingest
from visionfleet.hub.store.tables import Task, TaskKind

HUB_THREADS = 2
IDLE_SECONDS = 1.0
HEARTBEAT_SECONDS = tasks.LEASE_SECONDS / 3
TIDY_SECONDS = 5.0
LOOK_SECONDS = 1.0
POSTPONED_SECONDS = 20.0  # where the storage is away or full: no task is given up for that, however long it takes
SWEEP_EVERY_TIDIES = 60

log = structlog.get_logger()
RUN: dict[TaskKind, Callable[[Hub, Task, tasks.Check], None]] = {
    TaskKind.INGEST: run_ingest,
    TaskKind.EXPORT: run_export,
}


class Stopped(Exception):
    """The hub is stopping: the task goes back to the queue, and the next hub does it."""


class Runner:
    """Threads that work until `stop`."""

    def __init__(self, hub: Hub, executor: Executor | None = None) -> None:
        self._hub = hub
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._work, name=f"task-{n}") for n in range(HUB_THREADS)]
        self._threads.append(threading.Thread(target=self._tidy, name="tidy"))
        if executor is not None:
            self._threads.append(threading.Thread(target=executor.run, args=(self._stopping,), name="executor"))
        if hub.storage.direct:
            self._threads.append(threading.Thread(target=self._look, name="look"))

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ask the threads to end, and wait until they have given the tasks in hand back."""
        self._stopping.set()
        self._hub.work.set()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        steps = Steps("runner")
        while not self._stopping.is_set():
            if not steps.take(lambda: run_next(self._hub, self._stopping)):
                self._hub.work.wait(IDLE_SECONDS)
                self._hub.work.clear()

    def _tidy(self) -> None:
        steps, rounds = Steps("tidy"), 0
        while not self._stopping.wait(TIDY_SECONDS):
            steps.take(lambda: bury_overdue(self._hub))
            if rounds % SWEEP_EVERY_TIDIES == 0:
                steps.take(lambda: clear_away(self._hub))
            rounds += 1

    def _look(self) -> None:
        steps, arrivals = Steps("look"), Arrivals(self._hub)
        while not self._stopping.wait(LOOK_SECONDS):
            steps.take(arrivals.look)


def run_next(hub: Hub, stopping: threading.Event | None = None) -> bool:
    """Do the next task that is the hub's own; False where there is none. `stopping` ends it where it stands."""
    owner = f"{socket.gethostname()}/{threading.current_thread().name}"
    task = tasks.claim(hub.store, list(RUN), owner)
    if task is None:
        return False
    try:
        with _kept(hub, task, stopping or threading.Event()) as check:
            RUN[TaskKind(task.kind)](hub, task, check)
    except HubError as error:
        # the lease was lost or the job ended: another runner has the task, or nobody needs it
        log.warning("task_dropped", task=task.id, kind=task.kind, reason=error.code)
    except Stopped:
        _release(hub, task)
    except (StorageFull, StorageUnavailable) as error:
        log.warning("task_postponed", task=task.id, kind=task.kind, reason=str(error))
        _release(hub, task, POSTPONED_SECONDS, str(error))
    except Exception as error:
        log.exception("task_error", task=task.id, kind=task.kind, attempt=task.attempts)
        _fail(hub, task, f"{type(error).__name__}: {error}")
    return True


def _release(hub: Hub, task: Task, delay: float = 0, reason: str = tasks.WAITING) -> None:
    now = hub.store.clock()
    with suppress(HubError), hub.store.write() as session:
        tasks.release(tasks.hold(session, now, task.id, task.token), now, delay, reason)


def _fail(hub: Hub, task: Task, reason: str) -> None:
    now = hub.store.clock()
    with suppress(HubError), hub.store.write() as session:
        held = tasks.hold_to_end(session, now, task.id, task.token)
        ended = tasks.fail(held, now, reason, retryable=True)
        event = Event("error" if ended else "warning", "task_failed", {"reason": reason, "attempt": held.attempts})
        write_task_log(session, now, held, event)
        if ended:
            end_own(hub, session, held, reason)


@contextmanager
def _kept(hub: Hub, task: Task, stopping: threading.Event) -> Generator[tasks.Check]:
    """Keep the lease while the task runs, however long that takes.

    Gives what the task calls now and then: it raises where there is no use in going on.
    """
    done = threading.Event()
    lost: list[HubError] = []

    def beat() -> None:
        while not done.wait(HEARTBEAT_SECONDS):
            try:
                with hub.store.write() as session:
                    tasks.hold(session, hub.store.clock(), task.id, task.token)
            except HubError as error:
                lost.append(error)
                return
            except SQLAlchemyError as error:
                log.warning("heartbeat_missed", task=task.id, reason=str(error))

    def check() -> None:
        if lost:
            raise lost[0]
        if stopping.is_set():
            raise Stopped

    thread = threading.Thread(target=beat, name=f"{threading.current_thread().name}-heartbeat")
    thread.start()
    try:
        yield check
    finally:
        done.set()
        thread.join()
