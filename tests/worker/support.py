"""The two neighbours of a worker without sockets: a hub in memory with one task, and a scripted inference server.

The hub here checks every message with the models of `visionfleet.protocol`; what the real hub does with them is shown
by its own tests and by those that run both.
"""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode, b64encode
from collections import defaultdict, deque
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

import httpx

from visionfleet.protocol import (
    FailRequest,
    HeartbeatAnswer,
    HeartbeatRequest,
    HeldLease,
    Lease,
    LeaseImage,
    LeaseRequest,
    LogsRequest,
    Request,
    ResultItem,
    ResultsAnswer,
    ResultsRequest,
    TaskRequest,
    UploadsAnswer,
    UploadsRequest,
)
from visionfleet.worker.hub import Hub
from visionfleet.worker.inference import InferenceServer
from visionfleet.worker.patience import Patience

T = TypeVar("T")

KEY = "vf_secret"
JPEG = b"\xff\xd8\xff\xe0 a picture"
QUICK = Patience(total=0.1, first=0.001, longest=0.005)
PATIENT = Patience(total=60, first=0.001, longest=0.005)  # for what is there after a few tries, on a busy machine, too

Answer = httpx.Response | Exception


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a test's coroutine; no test may take long."""

    async def limited() -> T:
        async with asyncio.timeout(120):
            return await coroutine

    return asyncio.run(limited())


def error(status: int, code: str, message: str = "because") -> httpx.Response:
    """An error as the hub answers it."""
    return httpx.Response(status, json={"error": {"code": code, "message": message, "fields": {}}})


def image_value(data: bytes = JPEG) -> dict[str, Any]:
    """An image as the inference server serialises it."""
    return {"type": "base64", "value": b64encode(data).decode(), "video_metadata": {"frame_number": 0}}


class FakeHub:
    """A hub that leases its images once, in `tasks` tasks, and keeps what the worker sends."""

    def __init__(self, images: Iterable[bytes | None], tasks: int = 1, **lease: Any) -> None:
        self.images = dict(enumerate(images, start=1))
        self.lease_fields = lease
        self.tasks = tasks
        self.leased = 0
        self.calls: list[str] = []
        self.results: dict[int, ResultItem] = {}
        self.files: dict[str, bytes] = {}
        self.logs: list[Any] = []
        self.kept: list[tuple[HeldLease, ...]] = []
        self.ending: str | None = None
        self.failure: FailRequest | None = None
        self.answers: defaultdict[str, deque[Answer]] = defaultdict(deque)
        self.headers: list[httpx.Headers] = []
        self.object_headers: list[httpx.Headers] = []

    def client(self, patience: Patience = QUICK) -> Hub:
        api = httpx.AsyncClient(
            transport=httpx.MockTransport(self._api),
            base_url="http://hub.test",
            headers={"Authorization": f"Bearer {KEY}"},
        )
        return Hub(api, httpx.AsyncClient(transport=httpx.MockTransport(self._objects)), patience)

    @property
    def lease(self) -> Lease:
        """The next lease."""
        images = tuple(
            LeaseImage(id=number, name=f"{number}.jpg", url=f"http://objects.test/{number}?signature=s")
            for number in self.images
            if number % self.tasks == self.leased
        )
        fields: dict[str, Any] = {
            "task_id": f"task-{self.leased + 1}",
            "token": 3,
            "lease_seconds": 60,
            "job_id": "job-1",
            "workspace": "acme",
            "workflow_id": "count",
            "image_input": "image",
            "failures_allowed": 10,
            "images": images,
        }
        return Lease(**fields | self.lease_fields)

    def errors(self) -> dict[int, str]:
        """Image id -> code of its error."""
        return {number: item.error.code for number, item in self.results.items() if item.error}

    def _scripted(self, call: str) -> httpx.Response | None:
        self.calls.append(call)
        if not self.answers[call]:
            return None
        answer = self.answers[call].popleft()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _api(self, request: httpx.Request) -> httpx.Response:
        call = request.url.path.rpartition("/")[2]
        self.headers.append(request.headers)
        scripted = self._scripted(call)
        if scripted is not None:
            return scripted
        handle: Callable[[bytes], Request | Any] = getattr(self, f"_on_{call}")
        answer = handle(request.content)
        return httpx.Response(204) if answer is None else httpx.Response(200, json=answer.model_dump(mode="json"))

    def _objects(self, request: httpx.Request) -> httpx.Response:
        self.object_headers.append(request.headers)
        scripted = self._scripted(request.method)
        if scripted is not None:
            return scripted
        path = request.url.path.lstrip("/")
        if request.method == "PUT":
            self.files[path] = request.content
            return httpx.Response(200)
        data = self.images[int(path)]
        return error(404, "object_missing") if data is None else httpx.Response(200, content=data)

    def _on_lease(self, body: bytes) -> Lease | None:
        LeaseRequest.model_validate_json(body)
        if self.leased == self.tasks:
            return None
        lease = self.lease
        self.leased += 1
        return lease

    def _on_heartbeat(self, body: bytes) -> HeartbeatAnswer:
        self.kept.append(HeartbeatRequest.model_validate_json(body).leases)
        return HeartbeatAnswer(lease_seconds=60)

    def _on_uploads(self, body: bytes) -> UploadsAnswer:
        names = UploadsRequest.model_validate_json(body).names
        return UploadsAnswer(urls={name: f"http://objects.test/{name}?signature=s" for name in names})

    def _on_results(self, body: bytes) -> ResultsAnswer:
        for item in ResultsRequest.model_validate_json(body).results:
            self.results.setdefault(item.image_id, item)
        failures = sum(item.error is not None for item in self.results.values())
        return ResultsAnswer(failures=failures, remaining=len(self.images) - len(self.results))

    def _on_logs(self, body: bytes) -> None:
        self.logs += LogsRequest.model_validate_json(body).logs

    def _on_complete(self, body: bytes) -> None:
        TaskRequest.model_validate_json(body)
        self.ending = "complete"

    def _on_release(self, body: bytes) -> None:
        TaskRequest.model_validate_json(body)
        self.ending = "release"

    def _on_fail(self, body: bytes) -> None:
        self.failure = FailRequest.model_validate_json(body)
        self.ending = "fail"


class FakeServer:
    """An inference server: `answers` first, then outputs; bytes that start with `poison` spoil a whole request."""

    def __init__(self) -> None:
        self.answers: deque[Answer] = deque()
        self.ready = True
        self.requests: list[list[bytes]] = []
        self.bodies: list[dict[str, Any]] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self.delay = 0.0
        self.outputs: Callable[[bytes], dict[str, Any]] = lambda data: {"size": len(data), "annotated": image_value()}

    def client(self, patience: Patience = QUICK) -> InferenceServer:
        transport = httpx.MockTransport(self._handle)
        return InferenceServer(httpx.AsyncClient(transport=transport, base_url="http://server.test"), KEY, patience)

    async def _handle(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/readiness":
            return httpx.Response(200 if self.ready else 503)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(self.delay)
            return self._run(request)
        finally:
            self.in_flight -= 1

    def _run(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        images = [b64decode(item["value"]) for item in body["inputs"]["image"]]
        self.bodies.append(body)
        self.requests.append(images)
        if self.answers:
            answer = self.answers.popleft()
            if isinstance(answer, Exception):
                raise answer
            return answer
        for position, data in enumerate(images):
            if data.startswith(b"poison"):
                return httpx.Response(400, json={"message": f"Failed to assemble `image.[{position}]`."})
            if data.startswith(b"killer"):
                raise httpx.RemoteProtocolError("Server disconnected without sending a response.")
        return httpx.Response(200, json={"outputs": [self.outputs(data) for data in images]})
