"""The client of the hub: its worker API, and the signed URLs of its storage."""

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from typing import NamedTuple, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from visionfleet.protocol import (
    STALE_LEASE,
    FailRequest,
    HeartbeatAnswer,
    HeartbeatRequest,
    HeldLease,
    Lease,
    LeaseRequest,
    LogEntry,
    LogsRequest,
    Request,
    ResultItem,
    ResultsAnswer,
    ResultsRequest,
    TaskRequest,
    UploadsAnswer,
    UploadsRequest,
)
from visionfleet.worker.errors import HubRefused, HubUnavailable, ImageFailed, LeaseLost, TaskFailed
from visionfleet.worker.outputs import FileData
from visionfleet.worker.patience import HUB_PATIENCE, Patience

A = TypeVar("A", bound=BaseModel)


class Offer(NamedTuple):
    """What the hub has for a worker: a task, or none. `wait`: seconds until one of those that wait may be leased."""

    lease: Lease | None
    wait: int | None = None


# Downloads and uploads at once. More only stand in line in the connection pool, which looks through the whole line at
# each request: 512 images took the worker 1.8 s of CPU with 48 at once, 1.5 s with 8.
TRANSFERS_IN_FLIGHT = 8

_GONE = {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}


class Hub:
    """The hub as a worker sees it. Calls are retried with backoff where the hub does not answer.

    Args:
        api: for `/worker/v1`; it carries the base URL and the worker's key.
        objects: for signed URLs, which may lead to another host: it carries no key.
        patience: how long calls are retried.

    Raises (each call):
        LeaseLost: stop at once, and write nothing more for this lease.
        HubUnavailable: no answer, or a 5xx, in spite of the retries.
        HubRefused: everything else that is not a success.
    """

    def __init__(self, api: httpx.AsyncClient, objects: httpx.AsyncClient, patience: Patience = HUB_PATIENCE) -> None:
        self._api = api
        self._objects = objects
        self._patience = patience
        self._transfers = asyncio.Semaphore(TRANSFERS_IN_FLIGHT)

    async def lease(self, request: LeaseRequest) -> Offer:
        """The next task, where there is one."""
        response = await self._call("lease", request)
        if response.status_code == HTTPStatus.NO_CONTENT:
            wait = response.headers.get("Retry-After", "")
            return Offer(None, int(wait) if wait.isdigit() else None)
        return Offer(_parse(Lease, response))

    async def heartbeat(self, leases: Sequence[HeldLease]) -> HeartbeatAnswer:
        """Extend the leases. Not retried: the next heartbeat comes soon enough."""
        return _parse(HeartbeatAnswer, await self._post("heartbeat", HeartbeatRequest(leases=tuple(leases))))

    async def sign_uploads(self, lease: Lease, names: Sequence[str]) -> dict[str, str]:
        """Signed URLs for `names` (`part/name`)."""
        request = UploadsRequest(token=lease.token, names=tuple(names))
        return _parse(UploadsAnswer, await self._call(_path(lease, "uploads"), request)).urls

    async def commit(self, lease: Lease, results: Sequence[ResultItem]) -> ResultsAnswer:
        """Commit results, all or none. A repeated call changes nothing."""
        request = ResultsRequest(token=lease.token, results=tuple(results))
        return _parse(ResultsAnswer, await self._call(_path(lease, "results"), request))

    async def log(self, lease: Lease, *entries: LogEntry) -> None:
        """Add to the job's log."""
        await self._call(_path(lease, "logs"), LogsRequest(token=lease.token, logs=entries))

    async def complete(self, lease: Lease) -> None:
        """End a task whose images all have a result."""
        await self._call(_path(lease, "complete"), TaskRequest(token=lease.token))

    async def fail(self, lease: Lease, failure: TaskFailed) -> None:
        """Give the task up with a reason. Not retried: without it the lease runs out, and the task is tried again."""
        request = FailRequest(
            token=lease.token, code=failure.code, message=str(failure)[:4000], retryable=failure.retryable
        )
        await self._post(_path(lease, "fail"), request)

    async def release(self, lease: Lease) -> None:
        """Give the task back. Not retried: the worker is stopping, and the lease runs out by itself."""
        await self._post(_path(lease, "release"), TaskRequest(token=lease.token))

    async def download(self, url: str) -> bytes:
        """The bytes of an image. Raises ImageFailed where it is gone, TaskFailed where the URL has expired."""
        response = await self._object("GET", url)
        if response.status_code in _GONE:
            raise ImageFailed("image_missing", "the image is no longer in the hub's storage")
        if not response.is_success:
            # a new lease brings new URLs
            raise TaskFailed("download_refused", f"an image's download was refused: {_said(response)}", retryable=True)
        return response.content

    async def upload(self, url: str, file: FileData) -> None:
        """PUT an output file. Raises TaskFailed where the hub does not take it."""
        response = await self._object("PUT", url, file)
        if not response.is_success:
            name = f"{file.file.part}/{file.file.name}"
            raise TaskFailed("upload_refused", f"the upload of {name} was refused: {_said(response)}", retryable=True)

    async def _call(self, path: str, request: Request) -> httpx.Response:
        async for attempt in self._patience.attempts(on=HubUnavailable):
            with attempt:
                return await self._post(path, request)
        raise AssertionError("attempts end with a result or an error")

    async def _post(self, path: str, request: Request) -> httpx.Response:
        headers = {"Content-Type": "application/json"}
        http_request = self._api.build_request(
            "POST", f"/worker/v1/{path}", content=request.model_dump_json(), headers=headers
        )
        response = await _send(self._api, http_request)
        if not response.is_success:
            raise _refusal(response)
        return response

    async def _object(self, method: str, url: str, file: FileData | None = None) -> httpx.Response:
        headers = {} if file is None else {"Content-Type": file.file.content_type}
        content = None if file is None else file.data
        async for attempt in self._patience.attempts(on=HubUnavailable):
            with attempt:
                async with self._transfers:
                    request = self._objects.build_request(method, url, content=content, headers=headers)
                    return await _send(self._objects, request)
        raise AssertionError("attempts end with a result or an error")


class _ErrorDetail(BaseModel):
    code: str = "unknown"
    message: str = ""


class _ErrorBody(BaseModel):
    error: _ErrorDetail


def _path(lease: Lease, call: str) -> str:
    return f"tasks/{lease.task_id}/{call}"


async def _send(client: httpx.AsyncClient, request: httpx.Request) -> httpx.Response:
    """Send a request. Raises HubUnavailable for what a later try may mend: no answer, 429, any 5xx."""
    try:
        response = await client.send(request)
    except httpx.TransportError as error:
        raise HubUnavailable(f"the hub did not answer: {type(error).__name__} {error}".strip()) from error
    if response.is_server_error or response.status_code == HTTPStatus.TOO_MANY_REQUESTS:
        raise HubUnavailable(f"the hub cannot answer now: {_said(response)}")
    return response


def _refusal(response: httpx.Response) -> LeaseLost | HubRefused:
    detail = _detail(response)
    if response.status_code == HTTPStatus.GONE or detail.code == STALE_LEASE:
        return LeaseLost(detail.message or None)
    return HubRefused(response.status_code, detail.code, detail.message)


def _said(response: httpx.Response) -> str:
    detail = _detail(response)
    return f"{detail.message} ({response.status_code} {detail.code})"


def _detail(response: httpx.Response) -> _ErrorDetail:
    try:
        return _ErrorBody.model_validate_json(response.content).error
    except ValidationError:
        return _ErrorDetail(message=response.text[:200].strip() or response.reason_phrase)


def _parse(answer: type[A], response: httpx.Response) -> A:
    try:
        return answer.model_validate_json(response.content)
    except ValidationError as error:
        message = (
            f"this is not the answer of a visionfleet hub: {error.error_count()} fields of {answer.__name__} differ"
        )
        raise HubRefused(response.status_code, "bad_answer", message) from error
