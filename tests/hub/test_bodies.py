"""No body is read past its limit, whether the client tells its length or not."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.hub.support import JOBS, STAGING, Api, job_body
from visionfleet.hub.api.bodies import MAX_IMAGE_FORM_BYTES, BodyTooLarge, LimitedBodies
from visionfleet.protocol import MAX_REQUEST_BYTES

MEGABYTE = 1024 * 1024


def read_all(path: str, *, megabytes: int, told: str | None = None) -> tuple[int, bool]:
    """Send a body to an application that reads it; gives the megabytes that were read, and whether all were."""
    read = 0

    async def receive() -> dict:
        nonlocal read
        read += 1
        return {"type": "http.request", "body": bytes(MEGABYTE), "more_body": read < megabytes}

    async def application(_scope: dict, receive, _send) -> None:
        while (await receive())["more_body"]:
            pass

    headers = [] if told is None else [(b"content-length", told.encode())]
    scope = {"type": "http", "path": path, "headers": headers}
    try:
        asyncio.run(LimitedBodies(application)(scope, receive, None))
    except BodyTooLarge:
        return read, False
    return read, True


@pytest.mark.parametrize(
    ("path", "limit"), [(f"{STAGING}/b/upload/image", MAX_IMAGE_FORM_BYTES), (f"{JOBS}/j", MAX_REQUEST_BYTES)]
)
def test_a_body_without_a_length_is_read_up_to_its_limit(path: str, limit: int) -> None:
    most = limit // MEGABYTE
    assert read_all(path, megabytes=most) == (most, True)
    assert read_all(path, megabytes=1000) == (most + 1, False)


@pytest.mark.parametrize("told", [str(1000 * MEGABYTE), "9" * 5000])
def test_a_body_that_is_told_to_be_too_large_is_not_read_at_all(told: str) -> None:
    assert read_all(f"{JOBS}/j", megabytes=1000, told=told) == (0, False)


def test_an_object_is_limited_by_the_storage_alone() -> None:
    assert read_all("/storage/v1/objects/a", megabytes=100) == (100, True)


def test_a_job_definition_that_is_too_large_is_refused_by_name(api: Api) -> None:
    body = job_body("b", processingSpecification__workflowParameters={"threshold": "x" * MAX_REQUEST_BYTES})
    answer = api.post(f"{JOBS}/j", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request_too_large")


def test_a_form_that_tells_no_length_is_refused_by_name(api: Api) -> None:
    def form() -> Iterator[bytes]:
        yield b'--B\r\nContent-Disposition: form-data; name="f"; filename="f.jpg"\r\n\r\n'
        yield bytes(MAX_IMAGE_FORM_BYTES)
        yield b"\r\n--B--\r\n"

    headers = {"Content-Type": "multipart/form-data; boundary=B"}
    params = {"api_key": api.client_key}
    answer = api.client.post(f"{STAGING}/b/upload/image", params=params, content=form(), headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "image_too_large")


def test_a_client_that_goes_away_is_no_error_of_the_hub(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    url = api.post(f"{STAGING}/b/bulk-upload/image-files").json()["signedURLDetails"]["uploadURL"]
    path, query = url.removeprefix("http://hub.test").split("?")
    messages = iter([{"type": "http.request", "body": b"x", "more_body": True}, {"type": "http.disconnect"}])
    sent: list[dict] = []

    async def receive() -> dict:
        return next(messages)

    async def send(message: dict) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "PUT", "path": path, "query_string": query.encode(), "headers": []}
    asyncio.run(api.client.app(scope, receive, send))
    assert "unexpected_error" not in capsys.readouterr().out
    assert api.get(f"{STAGING}/b/shards").json()["shards"][0]["statusName"] == "registered"
    assert list(api.hub.storage.list("batches")) == []
