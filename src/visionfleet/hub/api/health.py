"""Is the hub alive, and can it work?"""

from __future__ import annotations

from fastapi import APIRouter

from visionfleet.hub.api.access import HubDep
from visionfleet.hub.errors import HubError
from visionfleet.hub.objects.errors import StorageError

PROBE_KEY = "health/probe"

router = APIRouter(tags=["health"])


@router.get("/healthz")
def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/readyz")
def readyz(hub: HubDep) -> dict[str, str]:
    """Database and storage answer, and the storage can be written to."""
    try:
        hub.store.ping()
        hub.storage.put(PROBE_KEY, b"ok")
    except StorageError as error:
        raise HubError(503, error.code, str(error)) from error
    return {"status": "ready"}
