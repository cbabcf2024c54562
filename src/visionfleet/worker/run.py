"""The worker's loop: wait for the inference server, lease a task, work on it, again; until it is told to stop."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncGenerator, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx
import structlog

from visionfleet.protocol import Lease, LeaseRequest, MachineType
from visionfleet.worker.errors import HubUnavailable, WorkerError
from visionfleet.worker.heartbeats import Heartbeats
from visionfleet.worker.hub import Hub, Offer
from visionfleet.worker.inference import InferenceServer
from visionfleet.worker.request import Slots
from visionfleet.worker.task import Ending, LeasedTask, Neighbours

STOP_SECONDS = 1.0  # for a call to the hub that is under way when the worker is told to stop
POLL_SECONDS = 1.0  # between two questions for a task while there is none
READY_SECONDS = 600.0  # for the inference server: a first start may load large models
CONNECTIONS = 16
TASKS_AT_ONCE = 2

T = TypeVar("T")

_log = structlog.get_logger("visionfleet.worker")


@dataclass(frozen=True)
class Pace:
    """How many images go in a request, and how many requests are with the inference server at once.

    A job's `workers_per_machine`, where it gives one, takes the place of `requests_in_flight` for its tasks.
    """

    request_images: int = 8
    requests_in_flight: int = 4


@dataclass(frozen=True)
class WorkerSettings:
    """Where a worker finds its hub and its inference server, and how it works.

    `stage`: lease tasks of this stage of a job alone. `once`: end when nothing is left to lease. `request_seconds`: how
    long one request to the inference server may take, the loading of a model included.
    """

    hub_url: str
    inference_url: str
    key: str = field(repr=False)
    name: str
    machine_type: MachineType = MachineType.CPU
    stage: str | None = None
    once: bool = False
    pace: Pace = field(default_factory=Pace)
    request_seconds: float = 300.0


async def run_worker(settings: WorkerSettings) -> bool:
    """Work until SIGTERM or SIGINT, or with `once` until nothing is left to lease; True where nothing was.

    Raises:
        HubRefused: the hub does not accept the worker, its key above all.
        WorkerError: the inference server does not become ready; with `once`, the hub does not answer.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with _clients(settings) as (hub, inference):
        return await Worker(settings, hub, inference).run(stop)


class Worker:
    """Leases tasks and works on them.

    The next task is leased when the last request of the one before has begun, so that the inference server does not
    run dry at each task's end: at most `TASKS_AT_ONCE` overlap. They share the requests in flight.
    """

    def __init__(self, settings: WorkerSettings, hub: Hub, inference: InferenceServer) -> None:
        self._settings = settings
        self._hub = hub
        self._inference = inference
        self._heartbeats = Heartbeats(hub)
        self._slots: dict[int, Slots] = {}

    async def run(self, stop: asyncio.Event) -> bool:
        """Work until `stop`; see `run_worker`."""
        _log.info("worker_started", name=self._settings.name, machine_type=self._settings.machine_type.value)
        running: set[asyncio.Task[Ending]] = set()
        try:
            nothing_left = await self._run(stop, running)
        finally:
            await asyncio.gather(*running)
        _log.info("worker_stopped", name=self._settings.name)
        return nothing_left

    async def _run(self, stop: asyncio.Event, running: set[asyncio.Task[Ending]]) -> bool:
        while not stop.is_set():
            # before every lease: with its inference server gone, a worker would use up the attempts of all tasks
            await _until(stop, self._wait_ready())
            offer = None if stop.is_set() else await _until(stop, self._lease())
            if offer is not None and offer.lease is not None:
                await self._begin(offer.lease, stop, running)
            elif running:
                await asyncio.wait(running, timeout=self._patience(), return_when=asyncio.FIRST_COMPLETED)
            elif self._settings.once and offer is not None and offer.wait is None:
                return True
            else:
                await _sleep((offer and offer.wait) or POLL_SECONDS, stop)
        return False

    def _patience(self) -> float | None:
        """How long to wait for a task in hand before the next question, None for its end.

        At a stage's end nothing comes up but what others give back, and each of a thousand workers would ask for it
        once a second.
        """
        return None if self._settings.once else POLL_SECONDS

    async def _begin(self, lease: Lease, stop: asyncio.Event, running: set[asyncio.Task[Ending]]) -> None:
        """Start on a task; returns when there is room for the next."""
        size = lease.workers_per_machine or self._settings.pace.requests_in_flight
        slots = self._slots.setdefault(size, Slots(size))
        neighbours = Neighbours(self._hub, self._inference, self._heartbeats)
        task = LeasedTask(lease, neighbours, slots, self._settings.pace.request_images)
        work = asyncio.create_task(task.run(stop))
        running.add(work)
        work.add_done_callback(running.discard)
        await task.all_begun.wait()
        if len(running) >= TASKS_AT_ONCE:
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)

    async def _wait_ready(self) -> None:
        if not await self._inference.wait_ready(READY_SECONDS):
            message = (
                f"the inference server at {self._settings.inference_url} was not ready after {READY_SECONDS:.0f} s"
            )
            raise WorkerError(message)

    async def _lease(self) -> Offer:
        settings = self._settings
        request = LeaseRequest(worker=settings.name, machine_type=settings.machine_type, stage_id=settings.stage)
        try:
            return await self._hub.lease(request)
        except HubUnavailable as error:
            if settings.once:
                raise
            _log.warning("hub_unavailable", reason=str(error))
            return Offer(None)


@contextlib.asynccontextmanager
async def _clients(settings: WorkerSettings) -> AsyncGenerator[tuple[Hub, InferenceServer]]:
    limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
    # waiting for a free connection is no failure: no limit
    hub_timeout = httpx.Timeout(30, pool=None)
    request_timeout = httpx.Timeout(settings.request_seconds, connect=5, pool=None)
    headers = {"Authorization": f"Bearer {settings.key}"}
    async with (
        httpx.AsyncClient(base_url=settings.hub_url, headers=headers, timeout=hub_timeout, limits=limits) as api,
        httpx.AsyncClient(timeout=hub_timeout, limits=limits) as objects,
        httpx.AsyncClient(base_url=settings.inference_url, timeout=request_timeout, limits=limits) as inference,
    ):
        yield Hub(api, objects), InferenceServer(inference, settings.key)


async def _until(stop: asyncio.Event, coroutine: Coroutine[Any, Any, T]) -> T | None:
    """The coroutine's result; None where it has not ended `STOP_SECONDS` after `stop`."""
    work = asyncio.create_task(coroutine)
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
        # a lease that is under way must be known, so that it can be given back
        await asyncio.wait({work}, timeout=STOP_SECONDS)
        return work.result() if work.done() else None
    finally:
        work.cancel()
        stopped.cancel()


async def _sleep(seconds: float, stop: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
