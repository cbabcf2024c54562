"""One leased task, from its lease to its end.

A request's images are committed as soon as its answer is in, so a worker that dies loses only what was in flight.
While some requests are with the inference server, the images of `PREFETCHED_REQUESTS` more are downloaded, or their
outputs uploaded. No more of a task's images than those are in memory.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncGenerator
from enum import StrEnum
from typing import NamedTuple

import structlog
from pydantic import JsonValue

from visionfleet.protocol import Lease, LeaseImage, LogEntry
from visionfleet.worker.errors import HubUnavailable, InferenceUnavailable, LeaseLost, TaskFailed, WorkerError
from visionfleet.worker.heartbeats import Heartbeats
from visionfleet.worker.hub import Hub
from visionfleet.worker.inference import InferenceServer
from visionfleet.worker.request import Requests, Slots
from visionfleet.worker.together import together

PREFETCHED_REQUESTS = 2
STOP_GRACE_SECONDS = 5.0  # for what is in flight when the worker is told to stop

_log = structlog.get_logger("visionfleet.worker")


class Ending(StrEnum):
    """How the work on a lease ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    LOST = "lost"
    RELEASED = "released"


class Neighbours(NamedTuple):
    """What all tasks of a worker share."""

    hub: Hub
    inference: InferenceServer
    heartbeats: Heartbeats


class LeasedTask:
    """The work on one lease, `request_images` images in a request and as many requests at once as `slots` lets."""

    def __init__(self, lease: Lease, neighbours: Neighbours, slots: Slots, request_images: int) -> None:
        hub, inference, self._heartbeats = neighbours
        self.all_begun = asyncio.Event()  # no image waits any more: there is room for the next task's
        self._lease = lease
        self._hub = hub
        self._requests = Requests(lease, hub, inference, slots)
        self._runners = slots.size + PREFETCHED_REQUESTS
        self._waiting = _split(lease.images, request_images)
        self._without_result = len(lease.images)
        self._failures = lease.failures
        self._started = time.monotonic()
        self._log = _log.bind(task=lease.task_id, job=lease.job_id)

    async def run(self, stop: asyncio.Event) -> Ending:
        """Work until the task is completed, failed or lost, or until `stop`, and tell the hub. Raises nothing."""
        self._log.info("task_started", workflow=self._lease.workflow_id, images=len(self._lease.images))
        try:
            ending = await self._run(stop)
        except LeaseLost as error:
            self._log.warning("lease_lost", reason=str(error))
            ending = Ending.LOST
        except Exception as error:  # noqa: BLE001 - whatever it is, the hub must hear of it
            ending = await self._give_up(_failure(error))
        self.all_begun.set()
        self._log.info("task_ended", ending=ending.value, seconds=self._seconds(), failures=self._failures)
        return ending

    async def _run(self, stop: asyncio.Event) -> Ending:
        """Work while the lease is kept: the first of the two to end ends the other."""
        work = asyncio.create_task(self._work(stop))
        keep = asyncio.create_task(self._heartbeats.keep(self._lease))
        try:
            await asyncio.wait({work, keep}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                await keep  # it has raised
            return work.result()
        finally:
            work.cancel()
            keep.cancel()
            await asyncio.gather(work, keep, return_exceptions=True)

    async def _work(self, stop: asyncio.Event) -> Ending:
        """Run and complete the task; after `stop`, what is in flight alone, and only for `STOP_GRACE_SECONDS`."""
        self._check_failures()
        limit = asyncio.timeout(None)
        try:
            async with limit, _grace(stop, limit):
                await together(self._run_requests(stop) for _ in range(self._runners))
                if self._without_result == 0:
                    return await self._complete()
        except TimeoutError:
            if not limit.expired():
                raise
        return await self._release()

    async def _run_requests(self, stop: asyncio.Event) -> None:
        while self._waiting and not stop.is_set():
            images = self._waiting.popleft()
            if not self._waiting:
                self.all_begun.set()
            standing = await self._requests.run(images)
            self._without_result -= len(images)
            self._failures = standing.failures
            self._check_failures()

    async def _complete(self) -> Ending:
        await self._hub.log(self._lease, self._summary())
        await self._hub.complete(self._lease)
        return Ending.COMPLETED

    async def _release(self) -> Ending:
        try:
            await self._hub.release(self._lease)
        except HubUnavailable as error:
            # the lease runs out, and the hub gives the task to the next
            self._log.warning("hub_not_told", reason=str(error))
        return Ending.RELEASED

    def _check_failures(self) -> None:
        allowed = self._lease.failures_allowed
        if self._failures > allowed:
            message = f"{self._failures} images failed, {allowed} may; the job's logs say why each did"
            raise TaskFailed("too_many_failures", message, retryable=False)

    async def _give_up(self, failure: TaskFailed) -> Ending:
        self._log.error("task_failed", code=failure.code, reason=str(failure), retryable=failure.retryable)
        try:
            await self._hub.fail(self._lease, failure)
        except LeaseLost:
            return Ending.LOST
        except WorkerError as error:
            self._log.warning("hub_not_told", reason=str(error))
        return Ending.FAILED

    def _summary(self) -> LogEntry:
        images, seconds = len(self._lease.images), self._seconds()
        rate = round(images / seconds, 1) if seconds else None
        payload: dict[str, JsonValue] = {
            "images": images,
            "failures": self._failures,
            "seconds": seconds,
            "images_per_second": rate,
        }
        return LogEntry(severity="info", type="task_finished", payload=payload)

    def _seconds(self) -> float:
        return round(time.monotonic() - self._started, 2)


def _split(images: tuple[LeaseImage, ...], size: int) -> deque[tuple[LeaseImage, ...]]:
    return deque(images[start : start + size] for start in range(0, len(images), size))


@contextlib.asynccontextmanager
async def _grace(stop: asyncio.Event, limit: asyncio.Timeout) -> AsyncGenerator[None]:
    """While inside, `stop` sets the limit."""

    async def set_limit() -> None:
        await stop.wait()
        limit.reschedule(asyncio.get_running_loop().time() + STOP_GRACE_SECONDS)

    watcher = asyncio.create_task(set_limit())
    try:
        yield
    finally:
        watcher.cancel()


def _failure(error: Exception) -> TaskFailed:
    if isinstance(error, TaskFailed):
        return error
    if isinstance(error, InferenceUnavailable):
        return TaskFailed("inference_unavailable", str(error), retryable=True)
    if isinstance(error, WorkerError):
        code = "hub_unavailable" if isinstance(error, HubUnavailable) else "hub_refused"
        return TaskFailed(code, str(error), retryable=True)
    _log.error("worker_error", exc_info=error)
    return TaskFailed(
        "worker_error", f"the worker met an error of its own: {type(error).__name__}: {error}", retryable=True
    )
