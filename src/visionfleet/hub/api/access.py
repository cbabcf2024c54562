"""Who calls, and what they may: the dependencies of the routes."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import Depends, Query, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from visionfleet.hub.context import Hub
from visionfleet.hub.errors import HubError
from visionfleet.hub.keys import Caller, Role, identify
from visionfleet.hub.pages import Page

SERVICE_VARIABLE = "VISIONFLEET_HUB_SERVICE"
"""Environment variable with the URL by which pods of the hub's own cluster reach it."""

_bearer = HTTPBearer(auto_error=False, description="the same key as `api_key`")


# what computes nothing is `async`: FastAPI sends every other dependency through a thread of its own
async def get_hub(request: Request) -> Hub:
    """The hub that this application serves."""
    return _hub(request)


async def get_base_url(request: Request) -> str:
    """Where the caller reaches this hub: the file's `hub.url`, else the address that the request came by.

    A pod came by the Service of its cluster, and the address for those outside may lead nowhere from there.
    """
    service = os.environ.get(SERVICE_VARIABLE, "").rstrip("/")
    if service and request.headers.get("host") == urlsplit(service).netloc:
        return service
    url = _hub(request).config.hub.url
    return str(url or request.base_url).rstrip("/")


def get_caller(
    request: Request,
    api_key: Annotated[str | None, Query(description="the API key, as the command line sends it")] = None,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)] = None,
) -> Caller:
    """Whose key the request carries. Raises HubError 401."""
    hub = _hub(request)
    return identify(hub.store, hub.config.workspace, bearer.credentials if bearer else api_key)


async def get_page(
    page_size: Annotated[int | None, Query(alias="pageSize")] = None,
    next_page_token: Annotated[str | None, Query(alias="nextPageToken")] = None,
) -> Page:
    """Which page of a listing is asked for."""
    return Page.parse(page_size, next_page_token)


def _hub(request: Request) -> Hub:
    hub: Hub = request.app.state.hub
    return hub


HubDep = Annotated[Hub, Depends(get_hub)]
BaseUrl = Annotated[str, Depends(get_base_url)]
AnyCaller = Annotated[Caller, Depends(get_caller)]
PageDep = Annotated[Page, Depends(get_page)]


def _with_role(role: Role) -> Callable[[Caller], Coroutine[Any, Any, Caller]]:
    async def check(caller: AnyCaller) -> Caller:
        if caller.role != role:
            message = f"this key has the role '{caller.role}', and here the role '{role}' is asked for"
            raise HubError(403, "role_not_allowed", message)
        return caller

    return check


WorkerCaller = Annotated[Caller, Depends(_with_role(Role.WORKER))]
DeviceCaller = Annotated[Caller, Depends(_with_role(Role.DEVICE))]
FleetCaller = Annotated[Caller, Depends(_with_role(Role.FLEET))]


def check_workspace(caller: Caller, workspace: str) -> str:
    """The workspace, where it is the key's own. Raises HubError 403."""
    if caller.workspace != workspace:
        message = f"this key is of another workspace than '{workspace}'"
        raise HubError(403, "workspace_not_allowed", message, workspace=workspace)
    return workspace


async def _client_workspace(workspace: str, caller: Annotated[Caller, Depends(_with_role(Role.CLIENT))]) -> str:
    return check_workspace(caller, workspace)


ClientWorkspace = Annotated[str, Depends(_client_workspace)]
