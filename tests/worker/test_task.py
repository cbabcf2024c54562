from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.worker.support import JPEG, FakeHub, FakeServer, error, image_value, run
from visionfleet.protocol import ResultItem
from visionfleet.worker import heartbeats, request, task
from visionfleet.worker.errors import LeaseLost
from visionfleet.worker.heartbeats import Heartbeats
from visionfleet.worker.request import Slots
from visionfleet.worker.task import Ending, LeasedTask, Neighbours

IMAGES = [f"image {number}".encode() for number in range(1, 21)]


@pytest.fixture
def server() -> FakeServer:
    return FakeServer()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request, "BACK_AGAIN_SECONDS", 0.01)
    monkeypatch.setattr(task, "STOP_GRACE_SECONDS", 0.02)


def work(
    hub: FakeHub,
    server: FakeServer,
    stop_after: float | None = None,
    stop_when: Callable[[], bool] = lambda: False,
    request_images: int = 8,
    in_flight: int = 4,
) -> Ending:
    async def go() -> Ending:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        if stop_after is not None:
            loop.call_later(stop_after, stop.set)

        def look() -> None:
            if stop_when():
                stop.set()
            loop.call_later(0.001, look)

        look()
        slots = Slots(in_flight)
        client = hub.client()
        neighbours = Neighbours(client, server.client(), Heartbeats(client))
        return await LeasedTask(hub.lease, neighbours, slots, request_images).run(stop)

    return run(go())


def test_a_task_is_completed(server: FakeServer) -> None:
    hub = FakeHub(IMAGES, save_images=True)
    assert work(hub, server) is Ending.COMPLETED
    assert hub.ending == "complete"
    assert sorted(hub.results) == list(range(1, 21))
    assert hub.results[3].record == {
        "image": "3.jpg",
        "size": len(IMAGES[2]),
        "annotated": {"type": "file", "part": "annotated", "name": "3.jpg"},
    }
    assert hub.files == {f"annotated/{number}.jpg": JPEG for number in range(1, 21)}
    assert [len(images) for images in server.requests] == [8, 8, 4]
    [summary] = hub.logs
    assert (summary.type, summary.payload["images"], summary.payload["failures"]) == ("task_finished", 20, 0)


def test_a_task_without_images_left_is_completed(server: FakeServer) -> None:
    hub = FakeHub([])
    assert work(hub, server) is Ending.COMPLETED
    assert server.requests == []


def test_image_outputs_that_were_not_asked_for_are_not_uploaded(server: FakeServer) -> None:
    server.outputs = lambda _: {"annotated": image_value(), "mask": [image_value()]}
    hub = FakeHub([JPEG], save_images=True, image_outputs=["mask"])
    assert work(hub, server) is Ending.COMPLETED
    assert list(hub.files) == ["mask/1.jpg.item0.jpg"]


def test_nothing_is_uploaded_where_no_images_are_saved(server: FakeServer) -> None:
    hub = FakeHub(IMAGES)
    assert work(hub, server) is Ending.COMPLETED
    assert hub.files == {}
    assert "uploads" not in hub.calls


def test_a_poison_image_fails_alone(server: FakeServer) -> None:
    hub = FakeHub([*IMAGES[:3], b"poison", *IMAGES[3:7]])
    assert work(hub, server) is Ending.COMPLETED
    assert hub.errors() == {4: "image_rejected"}
    assert len(hub.results) == 8
    assert [len(images) for images in server.requests] == [8] + [1] * 8


def test_an_image_that_brings_the_server_down_fails_alone(server: FakeServer) -> None:
    hub = FakeHub([IMAGES[0], b"killer", IMAGES[1]])
    assert work(hub, server) is Ending.COMPLETED
    assert hub.errors() == {2: "no_answer"}


def test_an_image_that_is_gone_fails_alone(server: FakeServer) -> None:
    hub = FakeHub([IMAGES[0], None, IMAGES[1]])
    assert work(hub, server) is Ending.COMPLETED
    assert hub.errors() == {2: "image_missing"}
    assert server.requests == [[IMAGES[0], IMAGES[1]]]


def test_a_request_whose_images_are_all_gone_needs_no_server(server: FakeServer) -> None:
    hub = FakeHub([None, None])
    assert work(hub, server) is Ending.COMPLETED
    assert server.requests == []


def test_outputs_that_cannot_be_stored_fail_the_image_alone(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("visionfleet.worker.outputs.MAX_RECORD_BYTES", 200)
    server.outputs = lambda data: {"text": "x" * (300 if data == b"big" else 3)}
    hub = FakeHub([b"big", b"small"])
    assert work(hub, server) is Ending.COMPLETED
    assert hub.errors() == {1: "result_too_large"}


def test_too_many_failures_end_the_task(server: FakeServer) -> None:
    hub = FakeHub([b"poison"] * 4 + IMAGES, failures_allowed=3)
    assert work(hub, server, request_images=4, in_flight=1) is Ending.FAILED
    assert hub.failure is not None
    assert (hub.failure.code, hub.failure.retryable) == ("too_many_failures", False)
    assert "4 images failed, 3 may" in hub.failure.message


def test_failures_of_an_earlier_attempt_count(server: FakeServer) -> None:
    hub = FakeHub(IMAGES, failures_allowed=3, failures=4)
    assert work(hub, server) is Ending.FAILED
    assert server.requests == []


def test_a_server_that_is_down_for_a_while_is_retried(server: FakeServer) -> None:
    server.answers.extend(httpx.ConnectError("refused") for _ in range(6))
    hub = FakeHub(IMAGES)
    assert work(hub, server) is Ending.COMPLETED
    assert hub.errors() == {}


def test_a_server_that_stays_down_sends_the_task_back_with_the_reason(server: FakeServer) -> None:
    server.ready = False
    server.answers.extend(httpx.ConnectError("refused") for _ in range(5000))
    hub = FakeHub(IMAGES)
    assert work(hub, server) is Ending.FAILED
    assert hub.failure is not None
    assert (hub.failure.code, hub.failure.retryable) == ("inference_unavailable", True)
    assert "refused" in hub.failure.message
    assert hub.results == {}


@pytest.mark.parametrize("status", [401, 404])
def test_a_server_that_refuses_key_or_workflow_ends_the_task(server: FakeServer, status: int) -> None:
    server.answers.append(httpx.Response(status, json={"message": "no"}))
    hub = FakeHub(IMAGES)
    assert work(hub, server) is Ending.FAILED
    assert hub.failure is not None
    assert not hub.failure.retryable
    assert "workflow 'count'" in hub.failure.message


@pytest.mark.parametrize("answer", [error(409, "stale_lease"), error(410, "task_cancelled")])
@pytest.mark.parametrize("call", ["results", "uploads", "complete"])
def test_nothing_more_is_written_after_the_lease_is_lost(server: FakeServer, call: str, answer: httpx.Response) -> None:
    hub = FakeHub(IMAGES, save_images=True)
    hub.answers[call].extend(answer for _ in range(10))
    assert work(hub, server) is Ending.LOST
    assert hub.ending is None
    assert hub.calls[-1] == call


def test_a_heartbeat_that_hears_of_the_loss_stops_the_work(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeats, "HEARTBEATS_A_LEASE", 60 * 50)
    server.delay = 10
    hub = FakeHub(IMAGES)
    kept = {"lease_seconds": 60}
    hub.answers["heartbeat"].append(httpx.Response(200, json=kept))
    hub.answers["heartbeat"].append(httpx.Response(200, json=kept | {"lost": [{"task_id": "task-1", "token": 3}]}))
    assert work(hub, server) is Ending.LOST
    assert hub.calls.count("heartbeat") == 2
    assert hub.results == {}
    assert hub.ending is None


def test_a_stop_commits_what_is_in_flight_and_gives_the_task_back(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task, "STOP_GRACE_SECONDS", 5)
    server.delay = 0.5
    hub = FakeHub(IMAGES)
    # one request with the server, and those whose images were fetched meanwhile
    begun = 2 * (1 + task.PREFETCHED_REQUESTS)

    def is_busy() -> bool:
        return hub.calls.count("GET") == begun and server.in_flight == 1

    assert work(hub, server, stop_when=is_busy, request_images=2, in_flight=1) is Ending.RELEASED
    assert hub.ending == "release"
    assert len(hub.results) == begun
    assert hub.failure is None


def test_a_stop_does_not_wait_for_a_slow_server(server: FakeServer) -> None:
    server.delay = 10
    hub = FakeHub(IMAGES)
    assert work(hub, server, stop_after=0.01) is Ending.RELEASED
    assert (hub.ending, hub.results) == ("release", {})


def test_a_stop_while_the_hub_is_away_ends_all_the_same(server: FakeServer) -> None:
    hub = FakeHub(IMAGES)
    for call in ("results", "release"):
        hub.answers[call].extend(httpx.ConnectError("no") for _ in range(5000))
    assert work(hub, server, stop_after=0.01) is Ending.RELEASED


def test_a_hub_without_room_is_told_why_the_task_failed(server: FakeServer) -> None:
    hub = FakeHub(IMAGES, save_images=True)
    hub.answers["PUT"].extend(error(507, "storage_full", "the disk is full") for _ in range(5000))
    assert work(hub, server) is Ending.FAILED
    assert hub.failure is not None
    assert (hub.failure.code, hub.failure.retryable) == ("hub_unavailable", True)
    assert "the disk is full" in hub.failure.message


def test_an_error_of_our_own_is_reported(server: FakeServer) -> None:
    server.answers.append(ZeroDivisionError("oh"))
    hub = FakeHub(IMAGES)
    assert work(hub, server) is Ending.FAILED
    assert hub.failure is not None
    assert (hub.failure.code, hub.failure.retryable) == ("worker_error", True)
    assert "ZeroDivisionError: oh" in hub.failure.message


def test_a_hub_that_cannot_be_told_does_not_end_the_worker(server: FakeServer) -> None:
    server.answers.append(httpx.Response(401))
    hub = FakeHub(IMAGES)
    hub.answers["fail"].append(httpx.ConnectError("no"))
    assert work(hub, server) is Ending.FAILED
    server.answers.append(httpx.Response(401))
    hub.answers["fail"].append(error(409, "stale_lease"))
    assert work(hub, server) is Ending.LOST


def test_requests_in_flight_and_images_in_memory_are_bounded(server: FakeServer) -> None:
    server.delay = 0.01
    hub = FakeHub(IMAGES)
    most_fetched = 0

    def outputs(data: bytes) -> dict[str, Any]:
        nonlocal most_fetched
        most_fetched = max(most_fetched, hub.calls.count("GET") - len(hub.results))
        return {}

    server.outputs = outputs
    assert work(hub, server, request_images=1, in_flight=2) is Ending.COMPLETED
    assert server.most_in_flight == 2
    assert most_fetched <= 2 + task.PREFETCHED_REQUESTS


def test_results_are_committed_as_they_come(server: FakeServer) -> None:
    hub = FakeHub(IMAGES)
    work(hub, server, request_images=4)
    assert hub.calls.count("results") == 5


def test_many_files_and_large_records_are_sent_in_parts(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request, "MAX_ITEMS", 3)
    monkeypatch.setattr(request, "MAX_REQUEST_BYTES", 1024 + 500)
    server.outputs = lambda _: {"crops": [image_value()] * 2, "text": "x" * 200}
    hub = FakeHub(IMAGES[:4], save_images=True)
    assert work(hub, server) is Ending.COMPLETED
    assert len(hub.files) == 8
    assert hub.calls.count("uploads") == 3
    assert hub.calls.count("results") == 4


def test_a_body_is_measured_in_bytes_and_not_in_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request, "MAX_REQUEST_BYTES", 1024 + 2000)
    record = {"text": "\N{CJK UNIFIED IDEOGRAPH-65E5}" * 500}
    items = [ResultItem(image_id=number, record=record) for number in range(3)]
    assert [len(body) for body in request._bodies(items)] == [1, 1, 1]


def test_the_message_of_an_error_without_one_is_its_docstring() -> None:
    assert "belongs to another worker" in str(LeaseLost())
