"""One request keeps all leases of a worker."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from tests.worker.support import FakeHub, error, run
from visionfleet.protocol import HeartbeatAnswer, HeldLease, Lease
from visionfleet.worker import heartbeats
from visionfleet.worker.errors import HubRefused, LeaseLost
from visionfleet.worker.heartbeats import Heartbeats


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeats, "HEARTBEATS_A_LEASE", 60 * 100)  # a hundred a second


@pytest.fixture
def hub() -> FakeHub:
    return FakeHub([b"one"], tasks=2)


def leases_of(hub: FakeHub) -> tuple[Lease, Lease]:
    first = hub.lease
    hub.leased += 1
    return first, hub.lease


def lost(*leases: Lease) -> httpx.Response:
    gone = tuple(HeldLease(task_id=lease.task_id, token=lease.token) for lease in leases)
    return httpx.Response(200, json=HeartbeatAnswer(lease_seconds=60, lost=gone).model_dump())


async def kept(hub: FakeHub, *leases: Lease, calls: int = 3) -> list[Any]:
    """What became of each lease once the hub was called so often; None for one that is still kept."""
    beats = Heartbeats(hub.client())
    keeping = [asyncio.create_task(beats.keep(lease)) for lease in leases]
    async with asyncio.timeout(60):
        while hub.calls.count("heartbeat") < calls:  # noqa: ASYNC110 - the calls are counted by what is no coroutine
            await asyncio.sleep(0.001)
    await asyncio.sleep(0.01)
    ended = [task.exception() if task.done() else None for task in keeping]
    for task in keeping:
        task.cancel()
    await asyncio.gather(*keeping, return_exceptions=True)
    so_far = hub.calls.count("heartbeat")
    await asyncio.sleep(0.05)
    assert hub.calls.count("heartbeat") <= so_far + 1, "without a lease there is nothing to send"
    return ended


def test_each_request_is_for_all_leases(hub: FakeHub) -> None:
    leases = leases_of(hub)
    assert run(kept(hub, *leases)) == [None, None]
    held = tuple(HeldLease(task_id=lease.task_id, token=lease.token) for lease in leases)
    assert set(hub.kept) == {held}


def test_a_lost_lease_costs_no_other_one(hub: FakeHub) -> None:
    first, second = leases_of(hub)
    hub.answers["heartbeat"].append(lost(first))
    ended = run(kept(hub, first, second))
    assert isinstance(ended[0], LeaseLost)
    assert ended[1] is None
    assert [len(held) for held in hub.kept] == [1] * len(hub.kept)


def test_an_earlier_lease_of_a_task_is_told_from_a_later_one(hub: FakeHub) -> None:
    early = hub.lease
    late = early.model_copy(update={"token": early.token + 1})
    hub.answers["heartbeat"].append(lost(early))
    ended = run(kept(hub, early, late))
    assert isinstance(ended[0], LeaseLost)
    assert ended[1] is None


def test_a_missed_heartbeat_is_made_up_for(hub: FakeHub) -> None:
    hub.answers["heartbeat"] += [httpx.ConnectError("no"), error(503, "database_unavailable")]
    assert run(kept(hub, *leases_of(hub), calls=4)) == [None, None]


def test_a_hub_that_refuses_the_worker_ends_all(hub: FakeHub) -> None:
    hub.answers["heartbeat"].append(error(401, "key_unknown"))
    assert [type(error) for error in run(kept(hub, *leases_of(hub), calls=1))] == [HubRefused, HubRefused]
