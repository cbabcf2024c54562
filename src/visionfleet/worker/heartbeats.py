"""Keeps all leases of a worker, by one request for all of them."""

import asyncio
from collections.abc import Iterable

import structlog

from visionfleet.protocol import HeldLease, Lease
from visionfleet.worker.errors import HubUnavailable, LeaseLost
from visionfleet.worker.hub import Hub

HEARTBEATS_A_LEASE = 3  # two may get lost
HEARTBEAT_RETRY_SECONDS = 2.0

_log = structlog.get_logger("visionfleet.worker")


class Heartbeats:
    """Sends heartbeats while there is a lease to keep."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._held: dict[asyncio.Future[None], HeldLease] = {}
        self._beating: asyncio.Task[None] | None = None

    async def keep(self, lease: Lease) -> None:
        """Keep the lease until this is cancelled. Raises LeaseLost, HubRefused."""
        lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._held[lost] = HeldLease(task_id=lease.task_id, token=lease.token)
        if self._beating is None:
            self._beating = asyncio.create_task(self._beat(lease.lease_seconds / HEARTBEATS_A_LEASE))
        try:
            await lost
        finally:
            del self._held[lost]
            self._rest()

    def _rest(self) -> None:
        if self._beating is not None and not self._held:
            self._beating.cancel()
            self._beating = None

    async def _beat(self, wait: float) -> None:
        while True:
            await asyncio.sleep(wait)
            held = dict(self._held)
            try:
                answer = await self._hub.heartbeat(list(held.values()))
            except HubUnavailable as error:
                _log.warning("heartbeat_missed", reason=str(error))
                wait = min(wait, HEARTBEAT_RETRY_SECONDS)
            except Exception as error:  # noqa: BLE001 - whatever it is, the tasks must hear of it
                _end(held, error)
            else:
                wait = answer.lease_seconds / HEARTBEATS_A_LEASE
                _end((lost for lost, lease in held.items() if lease in answer.lost), LeaseLost())


def _end(leases: Iterable[asyncio.Future[None]], error: Exception) -> None:
    """Tell those who keep the leases, but for who has let go meanwhile."""
    for lost in leases:
        if not lost.done():
            lost.set_exception(error)
