"""Is the hub alive, and can it work?"""

from __future__ import annotations

from fastapi import APIRouter

from visionfleet.hub.api.access import HubDep
from visionfleet.hub.api.threads import waits_for_storage
from visionfleet.hub.errors import HubError
from visionfleet.hub.objects.errors import StorageError

PROBE_KEY = "health/probe"

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process answers, also where each of its threads waits for a storage or a database: no start would help."""
    return {"status": "ok"}


@router.get("/readyz")
@waits_for_storage
def readyz(hub: HubDep) -> dict[str, str]:
    """Database and storage answer, and the storage can be written to."""
    try:
        hub.store.ping()
        hub.storage.put(PROBE_KEY, b"ok")
    except StorageError as error:
        raise HubError(503, error.code, str(error)) from error
    return {"status": "ready"}
