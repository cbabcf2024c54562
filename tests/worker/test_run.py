from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import httpx
import pytest

from tests.worker.support import KEY, FakeHub, FakeServer, error, run
from visionfleet.protocol import LeaseRequest, MachineType
from visionfleet.worker import run as loop
from visionfleet.worker import task
from visionfleet.worker.errors import HubRefused, HubUnavailable, WorkerError
from visionfleet.worker.run import Worker, WorkerSettings

IMAGES = [b"one", b"two"]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(loop, "READY_SECONDS", 0.05)
    monkeypatch.setattr(loop, "STOP_SECONDS", 0.05)
    monkeypatch.setattr(task, "STOP_GRACE_SECONDS", 0.1)
    monkeypatch.setattr("visionfleet.worker.inference.READY_POLL_SECONDS", 0.005)


def settings(*, once: bool = True, machine_type: MachineType = MachineType.CPU) -> WorkerSettings:
    return WorkerSettings("http://hub.test", "http://server.test", KEY, "w", machine_type, once=once)


def work(
    hub: FakeHub,
    server: FakeServer,
    *,
    once: bool = True,
    stop_after: float | None = None,
    stop_when: Callable[[], bool] = lambda: False,
) -> bool:
    async def go() -> bool:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        if stop_after is not None:
            loop.call_later(stop_after, stop.set)

        def look() -> None:
            if stop_when():
                stop.set()
            loop.call_later(0.01, look)

        look()
        return await Worker(settings(once=once), hub.client(), server.client()).run(stop)

    return run(go())


def test_once_ends_when_nothing_is_left() -> None:
    hub = FakeHub(IMAGES)
    assert work(hub, FakeServer()) is True
    assert hub.ending == "complete"
    assert hub.calls[-1] == "lease"


def test_once_waits_for_tasks_that_others_may_give_back() -> None:
    hub = FakeHub(IMAGES)
    hub.answers["lease"].extend(httpx.Response(204, headers={"Retry-After": "1"}) for _ in range(1))
    assert work(hub, FakeServer()) is True
    assert hub.ending == "complete"


def test_the_stage_goes_with_every_question_for_a_task() -> None:
    hub, asked = FakeHub(IMAGES), []
    original = hub._on_lease
    hub._on_lease = lambda body: asked.append(LeaseRequest.model_validate_json(body).stage_id) or original(body)
    stage = "0" * 32

    async def go() -> bool:
        return await Worker(replace(settings(), stage=stage), hub.client(), FakeServer().client()).run(asyncio.Event())

    assert run(go()) is True
    assert set(asked) == {stage}


def test_the_next_task_is_leased_while_the_last_requests_of_one_are_under_way() -> None:
    hub, server = FakeHub([b"image"] * 64, tasks=4), FakeServer()
    server.delay = 0.02
    work(hub, server)
    assert len(hub.results) == 64
    assert hub.calls.count("complete") == 4
    second_lease = hub.calls.index("lease", hub.calls.index("lease") + 1)
    assert second_lease < hub.calls.index("complete")
    assert server.most_in_flight <= 4


def test_a_job_says_how_many_requests_are_at_once() -> None:
    hub, server = FakeHub([b"image"] * 64, workers_per_machine=2), FakeServer()
    server.delay = 0.01
    work(hub, server)
    assert server.most_in_flight == 2


def test_a_worker_asks_until_it_is_stopped() -> None:
    hub = FakeHub(IMAGES)
    hub.answers["lease"].extend(httpx.Response(204) for _ in range(3))
    work(hub, FakeServer(), once=False, stop_when=lambda: hub.calls.count("lease") > 5)
    assert hub.ending == "complete"


def test_nothing_is_leased_before_the_server_is_ready() -> None:
    hub, server = FakeHub(IMAGES), FakeServer()
    server.ready = False
    with pytest.raises(WorkerError, match=r"the inference server at http://server\.test was not ready"):
        work(hub, server)
    assert hub.calls == []


def test_at_the_end_of_a_stage_a_worker_asks_once_more_and_not_all_the_time() -> None:
    hub, server = FakeHub(IMAGES), FakeServer()
    server.delay = 0.5
    assert work(hub, server) is True
    assert hub.calls.count("lease") == 3, "for the task, beside it, and after it"


def test_a_stop_ends_the_wait_for_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "READY_SECONDS", 60)
    hub, server = FakeHub(IMAGES), FakeServer()
    server.ready = False
    work(hub, server, stop_after=0.02)
    assert hub.calls == []


def test_a_stop_in_the_middle_of_a_task_gives_it_back() -> None:
    hub, server = FakeHub(IMAGES), FakeServer()
    server.delay = 10
    assert work(hub, server, stop_after=0.02) is False
    assert hub.ending == "release"


def test_a_refused_key_ends_the_worker() -> None:
    hub = FakeHub(IMAGES)
    hub.answers["lease"].append(error(401, "key_invalid", "the key is not known"))
    with pytest.raises(HubRefused, match="the key is not known"):
        work(hub, FakeServer(), once=False)


def test_a_worker_waits_for_a_hub_that_is_away() -> None:
    hub = FakeHub(IMAGES)
    hub.answers["lease"].extend(httpx.ConnectError("no") for _ in range(40))
    work(hub, FakeServer(), once=False, stop_when=lambda: hub.ending is not None)
    assert hub.ending == "complete"


def test_once_does_not_wait_for_a_hub_that_stays_away() -> None:
    hub = FakeHub(IMAGES)
    hub.answers["lease"].extend(httpx.ConnectError("no") for _ in range(5000))
    with pytest.raises(HubUnavailable):
        work(hub, FakeServer())


def test_settings_do_not_show_the_key() -> None:
    assert KEY not in repr(settings())
