"""The fleet's state, asked of a hub over HTTP by whoever has a key of the role `fleet`."""

from __future__ import annotations

import httpx
from pydantic import BaseModel, ValidationError

from visionfleet.hub.pages import MAX_PAGE_SIZE
from visionfleet.protocol import DevicesAnswer, DeviceState

PATH = "/fleet/v1/devices"
TIMEOUT_SECONDS = 30


class FleetUnavailable(Exception):
    """The hub does not tell how its fleet is; the message says why, and what to do."""


class _Fault(BaseModel):
    """What of the hub's `{"error": …}` is shown."""

    code: str
    message: str


class _Refusal(BaseModel):
    error: _Fault


def fetch_devices(url: str, key: str, transport: httpx.BaseTransport | None = None) -> list[DeviceState]:
    """Every device that the hub at `url` knows, page by page. Raises FleetUnavailable."""
    headers = {"Authorization": f"Bearer {key}"}
    found: list[DeviceState] = []
    with httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT_SECONDS, transport=transport) as client:
        token: str | None = None
        while True:
            page = _page(client, token)
            found += page.devices
            token = page.next_page_token
            if token is None:
                return found


def _page(client: httpx.Client, token: str | None) -> DevicesAnswer:
    params = {"pageSize": str(MAX_PAGE_SIZE)} | ({} if token is None else {"nextPageToken": token})
    try:
        answer = client.get(PATH, params=params)
    except httpx.TransportError as error:
        reason = "it took too long" if isinstance(error, httpx.TimeoutException) else str(error) or "no connection"
        fix = "start it with `visionfleet hub serve`, or mend hub.url"
        raise FleetUnavailable(f"the hub at {client.base_url} does not answer: {reason}; {fix}") from error
    if answer.status_code != 200:
        raise FleetUnavailable(_refusal(client, answer))
    try:
        return DevicesAnswer.model_validate_json(answer.content)
    except ValidationError as error:
        message = f"{client.base_url} does not answer as a hub of this release does: mend hub.url, or upgrade the hub"
        raise FleetUnavailable(message) from error


def _refusal(client: httpx.Client, answer: httpx.Response) -> str:
    if answer.status_code in (401, 403):
        fix = "make one with `visionfleet hub keys create --name fleet --role fleet` and put it where the file says"
        return f"the hub at {client.base_url} does not take the key of edge.fleet_key ({_said(answer)}); {fix}"
    return f"the hub at {client.base_url} refuses to list devices ({_said(answer)}); its log and the runbook say more"


def _said(answer: httpx.Response) -> str:
    try:
        return _Refusal.model_validate_json(answer.content).error.code
    except ValidationError:
        return f"HTTP {answer.status_code}"
