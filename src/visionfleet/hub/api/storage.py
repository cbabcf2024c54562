"""Objects by signed URLs: for clients of the embedded storage, which cannot sign by itself as a bucket does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response, StreamingResponse

from visionfleet.hub.api.access import HubDep
from visionfleet.hub.context import Hub
from visionfleet.hub.registry import PACKAGES_PREFIX
from visionfleet.hub.staging.batches import expect_shard, is_shard, shard_uploaded
from visionfleet.hub.staging.ingest import MAX_SHARD_BYTES
from visionfleet.protocol import MAX_FILE_BYTES
from visionfleet.ranges import window

CHUNK_BYTES = 1024 * 1024

router = APIRouter(prefix="/storage/v1", tags=["storage"])


def check_signature(
    request: Request,
    hub: HubDep,
    key: str,
    expires: Annotated[str, Query()] = "",
    signature: Annotated[str, Query()] = "",
) -> str:
    """The key of a request with a good signature. Raises InvalidSignature."""
    hub.signer.verify(request.method, key, expires, signature)
    return key


SignedKey = Annotated[str, Depends(check_signature)]


@router.get("/objects/{key:path}")
@router.head("/objects/{key:path}", include_in_schema=False)
def get_object(request: Request, hub: HubDep, key: SignedKey) -> Response:
    """An object's bytes, or a range of them."""
    size = _size(hub, key)
    headers = {"Accept-Ranges": "bytes", "Content-Length": str(size)}
    part = window(request.headers.get("range"), size)
    if part is None:
        return Response(status_code=416, headers={"Content-Range": f"bytes */{size}"})
    start, end = part
    status = 200
    if "range" in request.headers and end - start < size:
        status = 206
        headers |= {"Content-Range": f"bytes {start}-{end - 1}/{size}", "Content-Length": str(end - start)}
    if request.method == "HEAD" or start == end:
        return Response(status_code=status, headers=headers, media_type="application/octet-stream")
    body = _stream(hub, key, start, end)
    if end - start <= CHUNK_BYTES:
        # a stream would go through the thread pool piece by piece
        return Response(b"".join(body), status_code=status, headers=headers, media_type="application/octet-stream")
    return StreamingResponse(body, status_code=status, headers=headers, media_type="application/octet-stream")


@router.put("/objects/{key:path}", status_code=200)
async def put_object(request: Request, hub: HubDep, key: SignedKey) -> dict[str, int]:
    """Store the body as an object. Nothing is kept of a body that is cut short."""
    if not is_shard(key):
        return {"size": await hub.storage.put_stream(key, request.stream(), MAX_FILE_BYTES)}
    await run_in_threadpool(expect_shard, hub, key)
    size = await hub.storage.put_stream(key, request.stream(), MAX_SHARD_BYTES)
    await run_in_threadpool(shard_uploaded, hub, key)
    return {"size": size}


def _size(hub: Hub, key: str) -> int:
    if key.startswith(PACKAGES_PREFIX):
        return hub.registry.object(key).stat().st_size
    return hub.storage.size(key)


def _stream(hub: Hub, key: str, start: int, end: int) -> Iterator[bytes]:
    if not key.startswith(PACKAGES_PREFIX):
        return hub.storage.stream(key, start, end)
    return _read_file(hub, key, start, end)


def _read_file(hub: Hub, key: str, start: int, end: int) -> Iterator[bytes]:
    with hub.registry.object(key).open("rb") as file:
        file.seek(start)
        # a file that was cut since its size was read ends early: the client sees a body that is too short
        while data := file.read(min(CHUNK_BYTES, end - start)):
            start += len(data)
            yield data
