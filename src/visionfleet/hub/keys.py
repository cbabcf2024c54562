"""API keys: made here, shown once, stored as a digest."""

from __future__ import annotations

import hashlib
import secrets
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from visionfleet.config import DeploymentConfig
from visionfleet.hub.errors import HubError, not_found
from visionfleet.hub.store import Store
from visionfleet.hub.store.locks import take_turns
from visionfleet.hub.store.tables import ApiKey

KEY_BYTES = 32
MIN_IMPORTED_KEY = 32
MAX_NAME = 64


class Role(StrEnum):
    """What a key may do: everything a client does; lease tasks; only read workflows and models; read these and report
    as one device; enrol devices and list them.

    The name of a `device` key is the device's, so such keys come from enrolment alone.
    """

    CLIENT = "client"
    WORKER = "worker"
    SERVER = "server"
    DEVICE = "device"
    FLEET = "fleet"


@dataclass(frozen=True)
class Caller:
    """Who a request is from; `name` is the key's."""

    key_id: str
    workspace: str
    name: str
    role: Role


def create_key(config: DeploymentConfig, *, name: str, role: Role | str = Role.CLIENT) -> tuple[str, str]:
    """Make a key for the file's workspace; gives `(key id, key)`. The key cannot be read again.

    Raises DatabaseUnavailable, as do the two below.
    """
    with _opened(config) as store, store.write() as session:
        return _add_key(session, store.clock(), config.workspace, name, Role(role))


def import_key(config: DeploymentConfig, key: str, *, name: str, role: Role | str) -> tuple[str, bool]:
    """Take a key that was made elsewhere; gives its id, and whether it is new.

    Raises HubError `key_invalid` for one that could be guessed or not sent, and `key_taken` for one that is there in
    another role, or was revoked.
    """
    if len(key) < MIN_IMPORTED_KEY or not (key.isascii() and key.isprintable() and " " not in key):
        message = f"a key has {MIN_IMPORTED_KEY} characters or more, without blanks or the end of a line"
        raise HubError(400, "key_invalid", f"{message}: take letters and digits, as `openssl rand -hex 32` prints")
    with _opened(config) as store, store.write() as session:
        take_turns(session, "key", _digest(key))
        known = session.scalar(select(ApiKey).where(ApiKey.digest == _digest(key)))
        if known is None:
            return _store_key(session, store.clock(), config.workspace, name, Role(role), key), True
        if (known.workspace, known.role) != (config.workspace, role) or known.revoked_at is not None:
            state = "was revoked" if known.revoked_at is not None else f"is a {known.role}'s"
            message = f"this key is there as {known.id} '{known.name}' and {state}: take another one"
            raise HubError(409, "key_taken", message, key=known.id)
        return known.id, False


def replace_device_key(store: Store, workspace: str, device: str) -> tuple[str, str]:
    """Make the one key of a device, its earlier ones being revoked; gives `(key id, key)`."""
    earlier = (ApiKey.workspace == workspace, ApiKey.role == Role.DEVICE, ApiKey.name == device)
    with store.write() as session:
        take_turns(session, "device", workspace, device)
        now = store.clock()
        session.execute(update(ApiKey).where(*earlier, ApiKey.revoked_at.is_(None)).values(revoked_at=now))
        return _add_key(session, now, workspace, device, Role.DEVICE)


def active_digests(store: Store, workspace: str, role: Role) -> list[str]:
    """SHA-256 of each key of the role that is not revoked, in hexadecimal."""
    query = select(ApiKey.digest).where(ApiKey.workspace == workspace, ApiKey.role == role, ApiKey.revoked_at.is_(None))
    with store.read() as session:
        return list(session.scalars(query.order_by(ApiKey.created_at, ApiKey.id)))


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
    return Caller(key_id=row.id, workspace=row.workspace, name=row.name, role=Role(row.role))


def _add_key(session: Session, now: float, workspace: str, name: str, role: Role) -> tuple[str, str]:
    key = f"vf_{secrets.token_urlsafe(KEY_BYTES)}"
    return _store_key(session, now, workspace, name, role, key), key


def _store_key(session: Session, now: float, workspace: str, name: str, role: Role, key: str) -> str:
    key_id = uuid.uuid4().hex[:12]
    row = ApiKey(id=key_id, workspace=workspace, name=name, role=role, digest=_digest(key), created_at=now)
    session.add(row)
    return key_id


@contextmanager
def _opened(config: DeploymentConfig) -> Generator[Store]:
    store = Store.open(config.hub)
    try:
        yield store
    finally:
        store.close()


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
