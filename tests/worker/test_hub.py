from __future__ import annotations

import httpx
import pytest

from tests.worker.support import JPEG, KEY, PATIENT, Answer, FakeHub, error, run
from visionfleet.protocol import HeldLease, ImageError, LeaseRequest, OutputFile, ResultItem
from visionfleet.worker.errors import HubRefused, HubUnavailable, ImageFailed, LeaseLost, TaskFailed
from visionfleet.worker.hub import Offer
from visionfleet.worker.outputs import FileData

ASK = LeaseRequest(worker="w")
FILE = FileData(OutputFile(part="annotated", name="a.jpg", content_type="image/jpeg"), JPEG)
RESULT = ResultItem(image_id=1, error=ImageError(code="bad", message="because"))


@pytest.fixture
def hub() -> FakeHub:
    return FakeHub([JPEG])


def test_a_lease_then_nothing(hub: FakeHub) -> None:
    client, expected = hub.client(), hub.lease
    assert run(client.lease(ASK)) == Offer(expected)
    assert run(client.lease(ASK)) == Offer(None)


def test_nothing_yet_is_told_from_nothing_left(hub: FakeHub) -> None:
    hub.answers["lease"].append(httpx.Response(204, headers={"Retry-After": "7"}))
    assert run(hub.client().lease(ASK)) == Offer(None, wait=7)


def test_the_key_goes_to_the_hub_and_never_with_a_signed_url(hub: FakeHub) -> None:
    client = hub.client()
    lease = run(client.lease(ASK)).lease
    assert lease is not None
    run(client.download(lease.images[0].url))
    run(client.upload("http://objects.test/annotated/a.jpg?signature=s", FILE))
    assert [headers["Authorization"] for headers in hub.headers] == [f"Bearer {KEY}"]
    assert not any("Authorization" in headers for headers in hub.object_headers)
    assert hub.object_headers[1]["Content-Type"] == "image/jpeg"
    assert hub.files == {"annotated/a.jpg": JPEG}


@pytest.mark.parametrize("answer", [error(503, "busy"), error(500, "x"), error(429, "x"), httpx.ConnectError("no")])
def test_a_hub_that_is_away_for_a_while_is_asked_again(hub: FakeHub, answer: Answer) -> None:
    client = hub.client(PATIENT)
    for call in ("lease", "results", "uploads", "complete", "GET", "PUT"):
        hub.answers[call] += [answer, answer]
    lease = run(client.lease(ASK)).lease
    assert lease is not None
    assert run(client.download(lease.images[0].url)) == JPEG
    urls = run(client.sign_uploads(lease, ["annotated/a.jpg"]))
    run(client.upload(urls["annotated/a.jpg"], FILE))
    assert run(client.commit(lease, [RESULT])).failures == 1
    run(client.complete(lease))
    assert all(hub.calls.count(call) == 3 for call in hub.answers)


def test_a_hub_that_stays_away_is_given_up(hub: FakeHub) -> None:
    hub.answers["results"].extend(error(503, "storage_full", "the disk is full") for _ in range(1000))
    with pytest.raises(HubUnavailable, match=r"the disk is full \(503 storage_full\)"):
        run(hub.client().commit(hub.lease, [RESULT]))


@pytest.mark.parametrize("call", ["heartbeat", "fail", "release"])
def test_what_the_lease_makes_up_for_is_not_asked_again(hub: FakeHub, call: str) -> None:
    hub.answers[call].append(httpx.ConnectError("no"))
    client = hub.client()
    calls = {
        "heartbeat": lambda: client.heartbeat([HeldLease(task_id=hub.lease.task_id, token=3)]),
        "fail": lambda: client.fail(hub.lease, TaskFailed("x", "y", retryable=True)),
        "release": lambda: client.release(hub.lease),
    }
    with pytest.raises(HubUnavailable):
        run(calls[call]())
    assert hub.calls == [call]


@pytest.mark.parametrize("answer", [error(409, "stale_lease"), error(410, "task_cancelled")])
def test_a_lost_lease(hub: FakeHub, answer: httpx.Response) -> None:
    hub.answers["results"].append(answer)
    with pytest.raises(LeaseLost, match="because"):
        run(hub.client().commit(hub.lease, [RESULT]))
    assert hub.calls == ["results"]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (error(401, "key_invalid"), "key_invalid"),
        (error(409, "task_incomplete"), "task_incomplete"),
        (httpx.Response(404, text="<html>"), "unknown"),
        (httpx.Response(200, text="<html>"), "bad_answer"),
    ],
)
def test_what_the_hub_refuses(hub: FakeHub, answer: httpx.Response, code: str) -> None:
    hub.answers["lease"].append(answer)
    with pytest.raises(HubRefused) as caught:
        run(hub.client().lease(ASK))
    assert (caught.value.status, caught.value.code) == (answer.status_code, code)


def test_an_image_that_is_gone_fails_alone(hub: FakeHub) -> None:
    hub.images[1] = None
    with pytest.raises(ImageFailed) as caught:
        run(hub.client().download(hub.lease.images[0].url))
    assert caught.value.code == "image_missing"


@pytest.mark.parametrize(("call", "code"), [("GET", "download_refused"), ("PUT", "upload_refused")])
def test_an_expired_url_sends_the_task_back(hub: FakeHub, call: str, code: str) -> None:
    hub.answers[call].append(error(403, "signature_invalid"))
    client = hub.client()
    with pytest.raises(TaskFailed) as caught:
        run(client.download("http://objects.test/1") if call == "GET" else client.upload("http://objects.test/a", FILE))
    assert (caught.value.code, caught.value.retryable) == (code, True)
