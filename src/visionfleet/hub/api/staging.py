"""Roboflow's data-staging API, as far as the command line uses it for images."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from python_multipart.exceptions import FormParserError
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException

from visionfleet.hub.api.access import BaseUrl, ClientWorkspace, HubDep, PageDep
from visionfleet.hub.api.bodies import BodyTooLarge
from visionfleet.hub.api.threads import waits_for_storage
from visionfleet.hub.errors import HubError
from visionfleet.hub.staging import batches
from visionfleet.hub.staging.ingest import MAX_IMAGE_BYTES

router = APIRouter(prefix="/data-staging/v1/external/{workspace}/batches", tags=["data staging"])
PartName = Annotated[str | None, Query(alias="partName")]
DisplayName = Annotated[str | None, Query(alias="displayName")]


@router.get("")
def list_batches(hub: HubDep, workspace: ClientWorkspace, page: PageDep) -> dict[str, Any]:
    """The workspace's batches, the newest first."""
    return batches.list_batches(hub, workspace, page)


@router.get("/{batch_id}")
def show_batch(hub: HubDep, workspace: ClientWorkspace, batch_id: str) -> dict[str, Any]:
    """A batch's metadata."""
    return batches.show_batch(hub, workspace, batch_id)


@router.get("/{batch_id}/count")
def count_files(hub: HubDep, workspace: ClientWorkspace, batch_id: str, part_name: PartName = None) -> dict[str, Any]:
    """How many files the batch, or one part of it, holds."""
    return batches.count_files(hub, workspace, batch_id, part_name)


@router.get("/{batch_id}/parts")
def list_parts(hub: HubDep, workspace: ClientWorkspace, batch_id: str) -> dict[str, Any]:
    """The parts of a multipart batch."""
    return batches.list_parts(hub, workspace, batch_id)


@router.get("/{batch_id}/list")
def list_files(
    hub: HubDep,
    workspace: ClientWorkspace,
    batch_id: str,
    page: PageDep,
    base_url: BaseUrl,
    part_name: PartName = None,
) -> dict[str, Any]:
    """The batch's files, each with a signed URL."""
    return batches.list_files(hub, workspace, batch_id, part_name, page, base_url)


@router.get("/{batch_id}/shards")
def list_shards(hub: HubDep, workspace: ClientWorkspace, batch_id: str, page: PageDep) -> dict[str, Any]:
    """The batch's shards, with what became of their files."""
    return batches.list_shards(hub, workspace, batch_id, page)


@router.post("/{batch_id}/upload/image")
async def upload_image(
    request: Request,
    hub: HubDep,
    workspace: ClientWorkspace,
    batch_id: str,
    file_name: Annotated[str | None, Query(alias="fileName")] = None,
    display_name: DisplayName = None,
) -> dict[str, Any]:
    """Stage one image: the first file of a multipart form."""
    async with _form(request) as form:
        sent = _first_file(form)
        name = file_name or sent.filename or ""

        @waits_for_storage
        def stage() -> dict[str, Any]:
            # read here, so that no more images are in memory at once than there are threads
            data = sent.file.read(MAX_IMAGE_BYTES + 1)
            return batches.upload_image(hub, workspace, batch_id, display_name, name, data)

        return await stage()


@router.post("/{batch_id}/bulk-upload/image-files")
def register_shard(
    hub: HubDep, workspace: ClientWorkspace, batch_id: str, base_url: BaseUrl, display_name: DisplayName = None
) -> dict[str, Any]:
    """Announce a tar archive of images; gives the signed URL to PUT it to."""
    return batches.register_shard(hub, workspace, batch_id, display_name, base_url)


@asynccontextmanager
async def _form(request: Request) -> AsyncGenerator[FormData]:
    """The request's form, until the end; a file of over a megabyte waits on the disk."""
    try:
        form = await request.form(max_files=1, max_fields=8)
    except BodyTooLarge:
        raise HubError(413, "image_too_large", f"an image has at most {MAX_IMAGE_BYTES} bytes") from None
    except (HTTPException, FormParserError) as error:
        raise HubError(400, "form_invalid", "the body is not a multipart form that can be read") from error
    try:
        yield form
    finally:
        await form.close()


def _first_file(form: FormData) -> UploadFile:
    for value in form.values():
        if isinstance(value, UploadFile):
            return value
    raise HubError(400, "form_invalid", "the multipart form holds no file")
