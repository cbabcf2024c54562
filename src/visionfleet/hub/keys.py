"""API keys: made here, shown once, stored as a digest."""

from __future__ import annotations

import hashlib
import secrets
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import select

from visionfleet.config import DeploymentConfig
from visionfleet.hub.errors import HubError, not_found
from visionfleet.hub.store import Store
from visionfleet.hub.store.tables import ApiKey

KEY_BYTES = 32
MAX_NAME = 64


class Role(StrEnum):
    """What a key may do: everything a client does; lease tasks; only read workflows and models."""

    CLIENT = "client"
    WORKER = "worker"
    SERVER = "server"


@dataclass(frozen=True)
class Caller:
    """Who a request is from."""

    key_id: str
    workspace: str
    role: Role


def create_key(config: DeploymentConfig, *, name: str, role: Role | str = Role.CLIENT) -> tuple[str, str]:
    """Make a key for the file's workspace; gives `(key id, key)`. The key cannot be read again.

    Raises DatabaseUnavailable, as do the two below.
    """
    key = f"vf_{secrets.token_urlsafe(KEY_BYTES)}"
    key_id = uuid.uuid4().hex[:12]
    with _opened(config) as store, store.write() as session:
        session.add(
            ApiKey(
                id=key_id,
                workspace=config.workspace,
                name=name,
                role=Role(role),
                digest=_digest(key),
                created_at=store.clock(),
                revoked_at=None,
            )
        )
    return key_id, key


def list_keys(config: DeploymentConfig) -> list[ApiKey]:
    """The workspace's keys, the oldest first, revoked ones too."""
    with _opened(config) as store, store.read() as session:
        query = select(ApiKey).where(ApiKey.workspace == config.workspace).order_by(ApiKey.created_at)
        return list(session.scalars(query))


def revoke_key(config: DeploymentConfig, key_id: str) -> None:
    """From now on the key is refused. Raises HubError `key_not_found`."""
    with _opened(config) as store, store.write() as session:
        key = session.get(ApiKey, key_id)
        if key is None or key.workspace != config.workspace:
            raise not_found("key", key_id)
        key.revoked_at = key.revoked_at or store.clock()


def identify(store: Store, workspace: str, key: str | None) -> Caller:
    """Whose key of the workspace this is. Raises HubError 401."""
    if not key:
        raise HubError(401, "key_missing", "send an API key: `?api_key=…` or `Authorization: Bearer …`")
    with store.read() as session:
        active = (ApiKey.workspace == workspace, ApiKey.revoked_at.is_(None))
        row = session.scalar(select(ApiKey).where(ApiKey.digest == _digest(key), *active))
    if row is None:
        raise HubError(401, "key_unknown", "this API key is not known here, or was revoked")
    return Caller(key_id=row.id, workspace=row.workspace, role=Role(row.role))


@contextmanager
def _opened(config: DeploymentConfig) -> Generator[Store]:
    store = Store.open(config.hub.database_path)
    try:
        yield store
    finally:
        store.close()


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
