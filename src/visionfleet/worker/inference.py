"""The client of the inference server: is it ready, run a workflow on some images, and what its errors mean.

Which status stands for which error was seen on server 1.8.3. Where an answer does not say clearly that the whole task
is at fault, the images are suspected: the worker then tries them one by one, and the job's failure limit decides.
"""

import asyncio
import time
from base64 import b64encode
from collections.abc import Sequence
from typing import TypeAlias

import httpx
from pydantic import BaseModel, JsonValue, ValidationError
from pydantic_core import to_json

from visionfleet.protocol import Lease
from visionfleet.worker.errors import InferenceUnavailable, NoAnswer, RequestRejected, TaskFailed
from visionfleet.worker.patience import INFERENCE_PATIENCE, Patience

Outputs: TypeAlias = dict[str, JsonValue]

MAX_ANSWER_BYTES = 256 * 1024 * 1024
MAX_MESSAGE_CHARACTERS = 2000
READY_POLL_SECONDS = 0.5

_BUSY = {408, 429, 502, 503, 504}
_TASK_ERRORS = {
    401: "inference_unauthorized",
    402: "inference_refused",
    403: "inference_unauthorized",
    404: "workflow_or_model_not_found",
    423: "inference_refused",
    501: "workflow_not_supported",
    507: "model_too_large",
}
# A 500 from a step that could not get its model: the platform's fault (here: the hub's), not an image's.
_PLATFORM_ERRORS = {
    "InferenceModelNotFound",
    "ModelManagerLockAcquisitionError",
    "ModelRetrievalError",
    "RetryError",
    "RoboflowAPIConnectionError",
    "RoboflowAPITimeoutError",
    "RoboflowAPIUnsuccessfulRequestError",
}


class InferenceServer:
    """A Roboflow Inference server, reached through `client` (its base URL and timeouts are set there)."""

    def __init__(self, client: httpx.AsyncClient, api_key: str, patience: Patience = INFERENCE_PATIENCE) -> None:
        self._client = client
        self._api_key = api_key
        self._patience = patience

    async def is_ready(self) -> bool:
        """Whether the server says that it takes requests."""
        try:
            response = await self._client.get("/readiness", timeout=5)
        except httpx.HTTPError:
            return False
        return response.is_success

    async def wait_ready(self, seconds: float) -> bool:
        """Wait until the server is ready; False when it is not after `seconds`."""
        deadline = time.monotonic() + seconds
        while not await self.is_ready():
            if time.monotonic() >= deadline:
                return False
            await asyncio.sleep(READY_POLL_SECONDS)
        return True

    async def run(self, lease: Lease, images: Sequence[bytes]) -> list[Outputs]:
        """Run the lease's workflow on `images` (encoded files) in one request; gives the outputs of each, in order.

        Raises:
            InferenceUnavailable: still busy, or (`NoAnswer`) still silent after retries with backoff.
            RequestRejected: an image, or each, cannot be processed.
            TaskFailed: no image of this task can be: the key, the workflow or its model is at fault.
        """
        path = f"/{lease.workspace}/workflows/{lease.workflow_id}"
        body = self._body(lease, images)
        async for attempt in self._patience.attempts(on=InferenceUnavailable):
            with attempt:
                status, content = await self._post(path, body)
                self._check(lease, status, content)
                return _outputs(content, expected=len(images))
        raise AssertionError("attempts end with a result or an error")

    def _body(self, lease: Lease, images: Sequence[bytes]) -> bytes:
        # On the event loop: 8 images of 100 kB take 1.3 ms to encode, and a thread would hold the GIL just as long.
        encoded = [{"type": "base64", "value": b64encode(image).decode()} for image in images]
        return to_json({"api_key": self._api_key, "inputs": {**lease.parameters, lease.image_input: encoded}})

    async def _post(self, path: str, body: bytes) -> tuple[int, bytes]:
        headers = {"Content-Type": "application/json"}
        content = bytearray()
        try:
            async with self._client.stream("POST", path, content=body, headers=headers) as response:
                async for chunk in response.aiter_bytes():
                    content += chunk
                    if len(content) > MAX_ANSWER_BYTES:
                        message = f"the inference server's answer is larger than {MAX_ANSWER_BYTES} bytes"
                        raise RequestRejected("answer_too_large", message)
        except httpx.TransportError as error:
            raise NoAnswer(f"the inference server did not answer: {_transport_reason(error)}") from error
        return response.status_code, bytes(content)

    def _check(self, lease: Lease, status: int, content: bytes) -> None:
        """Raise what an answer other than 200 stands for."""
        if status == 200:
            return
        error = _ServerError.parse(content)
        reason = error.reason().replace(self._api_key, "***")
        message = f"the inference server answered {status} for workflow '{lease.workflow_id}': {reason}"
        if status in _BUSY or error.inner_error_type in _PLATFORM_ERRORS:
            raise InferenceUnavailable(message)
        if status in _TASK_ERRORS:
            raise TaskFailed(_TASK_ERRORS[status], message, retryable=False)
        if error.is_about_definition():
            raise TaskFailed("workflow_invalid", message, retryable=False)
        raise RequestRejected("image_rejected" if status < 500 else "inference_error", message)


class _Answer(BaseModel):
    outputs: list[Outputs]


class _ServerError(BaseModel):
    """The body of an error; only `message` is always there."""

    message: str
    context: str | None = None
    inner_error_type: str | None = None
    inner_error_message: str | None = None

    @classmethod
    def parse(cls, content: bytes) -> "_ServerError":
        try:
            return cls.model_validate_json(content)
        except ValidationError:
            return cls(message=content[:MAX_MESSAGE_CHARACTERS].decode(errors="replace").strip() or "no message")

    def reason(self) -> str:
        inner = self.inner_error_message
        has_more = inner and inner != "None" and inner not in self.message
        return (f"{self.message} ({inner})" if has_more else self.message)[:MAX_MESSAGE_CHARACTERS]

    def is_about_definition(self) -> bool:
        """The workflow does not compile, whatever the images are."""
        return (self.context or "").startswith("workflow_compilation")


def _outputs(content: bytes, expected: int) -> list[Outputs]:
    try:
        outputs = _Answer.model_validate_json(content).outputs
    except ValidationError as error:
        raise RequestRejected(
            "bad_answer", "the inference server's answer is not the JSON that was expected"
        ) from error
    if len(outputs) != expected:
        message = f"the workflow answered {len(outputs)} results for {expected} images"
        raise RequestRejected("bad_answer", message)
    return outputs


def _transport_reason(error: httpx.TransportError) -> str:
    kind = "timed out" if isinstance(error, httpx.TimeoutException) else "the connection failed"
    return f"{kind} ({type(error).__name__}: {error})" if str(error) else f"{kind} ({type(error).__name__})"
