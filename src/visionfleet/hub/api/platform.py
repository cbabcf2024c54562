"""What the unmodified inference server asks of its platform: the workspace, workflows, models."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from visionfleet.hub.api.access import AnyCaller, BaseUrl, HubDep, check_workspace
from visionfleet.hub.errors import HubError
from visionfleet.hub.registry import UnknownModel, UnknownWorkflow
from visionfleet.hub.staging.batches import URL_SECONDS

router = APIRouter(tags=["platform"])
ModelId = Annotated[str, Query(alias="modelId")]


@router.get("/")
def show_workspace(caller: AnyCaller) -> dict[str, str]:
    """The workspace that a key belongs to."""
    return {"workspace": caller.workspace}


@router.get("/models/v1/external/stat")
def show_model_stat(hub: HubDep, caller: AnyCaller, model_id: ModelId) -> dict[str, Any]:
    """What kind of model this is."""
    del caller
    try:
        return hub.registry.model_stat(model_id)
    except UnknownModel as error:
        raise HubError(404, "model_not_found", str(error), modelId=model_id) from error


@router.get("/models/v1/external/weights")
def show_model_weights(hub: HubDep, caller: AnyCaller, model_id: ModelId, base_url: BaseUrl) -> dict[str, Any]:
    """The model's packages, with signed URLs of their files."""
    del caller

    def sign(key: str) -> str:
        # by the hub itself: packages lie in its own folders, whatever the storage is
        return hub.signer.link("GET", key, URL_SECONDS, base_url)

    try:
        return hub.registry.model_weights(model_id, sign)
    except UnknownModel as error:
        raise HubError(404, "model_not_found", str(error), modelId=model_id) from error


@router.get("/{workspace}/workflows/{workflow_id}")
def show_workflow(hub: HubDep, caller: AnyCaller, workspace: str, workflow_id: str) -> dict[str, Any]:
    """A workflow's definition."""
    check_workspace(caller, workspace)
    try:
        return hub.registry.workflow_response(workflow_id)
    except UnknownWorkflow as error:
        raise HubError(404, "workflow_not_found", str(error), workflowId=workflow_id) from error
