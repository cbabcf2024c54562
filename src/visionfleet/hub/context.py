"""What every part of the hub works with: the file, the database, the objects, the registry, the roster."""

from __future__ import annotations

import os
import secrets
import threading
from contextlib import suppress
from dataclasses import dataclass, field

from visionfleet.config import DeploymentConfig, SecretUnavailable
from visionfleet.config.hub import Hub as HubSection
from visionfleet.hub.fleet.roster import Roster
from visionfleet.hub.objects.errors import StorageError
from visionfleet.hub.objects.signing import Signer
from visionfleet.hub.objects.storage import Storage
from visionfleet.hub.registry import Registry
from visionfleet.hub.store import DatabaseUnavailable, Store

SIGNING_KEY_FILE = "signing.key"
SIGNING_KEY_BYTES = 32


class HubUnavailable(Exception):
    """The hub cannot start with what it finds: its state folder, its database, its storage or its signing key."""


@dataclass(frozen=True)
class Hub:
    """One hub. `work` is set where a task for the hub itself was queued, so that its runner need not wait."""

    config: DeploymentConfig
    store: Store
    storage: Storage
    signer: Signer
    registry: Registry
    roster: Roster
    work: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def open(cls, config: DeploymentConfig) -> Hub:
        """Open all that the file names; makes what is missing. Close it with `close`. Raises HubUnavailable."""
        try:
            return cls._open(config)
        except (DatabaseUnavailable, OSError, SecretUnavailable, StorageError, ValueError) as error:
            raise HubUnavailable(f"the hub cannot start: {error}") from error

    @classmethod
    def _open(cls, config: DeploymentConfig) -> Hub:
        signer = Signer(_signing_key(config.hub))
        return cls(
            config=config,
            store=Store.open(config.hub),
            storage=Storage.open(config.hub, signer),
            signer=signer,
            registry=Registry(config),
            roster=Roster(config),
        )

    def close(self) -> None:
        """Give the database's connections back."""
        self.store.close()


def _signing_key(settings: HubSection) -> bytes:
    """The file's secret, or one that is made once and kept beside the database, readable by its owner alone."""
    if settings.signing_key is not None:
        return settings.signing_key.resolve().encode()
    path = settings.state / SIGNING_KEY_FILE
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_name(f".{SIGNING_KEY_FILE}.{os.getpid()}.{secrets.token_hex(4)}")
    fresh.touch(mode=0o600)
    fresh.write_text(secrets.token_hex(SIGNING_KEY_BYTES))
    # a link is made whole or not at all, and never over the key of a hub that started at the same moment
    with suppress(FileExistsError):
        path.hardlink_to(fresh)
    fresh.unlink()
    return path.read_text().encode()
