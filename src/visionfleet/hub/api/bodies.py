"""How large a request's body may be: what is over it comes neither into memory nor onto the disk."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from visionfleet.hub.staging.ingest import MAX_IMAGE_BYTES
from visionfleet.protocol import MAX_REPORT_REQUEST_BYTES, MAX_REQUEST_BYTES

MAX_IMAGE_FORM_BYTES = MAX_IMAGE_BYTES + 64 * 1024
"""An image, and what a multipart form puts around it."""


class BodyTooLarge(HTTPException):
    """A body is over its limit. FastAPI passes on what is an HTTPException, and takes all else for bad JSON."""

    def __init__(self, limit: int) -> None:
        super().__init__(413, f"the body of this request has at most {limit} bytes")


class LimitedBodies:
    """Raises BodyTooLarge where a body is read, by the length that the client tells or by what has come.

    Plain ASGI: a `BaseHTTPMiddleware` would copy every body through a queue.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        limit = _limit(scope["path"]) if scope["type"] == "http" else None
        await self._app(scope, receive if limit is None else _limited(scope, receive, limit), send)


def _limit(path: str) -> int | None:
    """Bytes of a body that goes to `path`; None where a route counts for itself."""
    if path.startswith("/storage/"):
        return None
    if path.startswith("/fleet/"):
        return MAX_REPORT_REQUEST_BYTES
    return MAX_IMAGE_FORM_BYTES if path.endswith("/upload/image") else MAX_REQUEST_BYTES


def _limited(scope: Scope, receive: Receive, limit: int) -> Receive:
    told = dict(scope["headers"]).get(b"content-length", b"")
    left = limit

    async def count() -> Message:
        nonlocal left
        if told.isdigit() and int(told[:19]) > limit:
            raise BodyTooLarge(limit)
        message = await receive()
        left -= len(message.get("body", b""))
        if left < 0:
            raise BodyTooLarge(limit)
        return message

    return count
