"""The storage as a bucket of S3's API, AWS's or another server's."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import obstore
from obstore.store import S3Store

from visionfleet.config.hub import HubS3
from visionfleet.config.hub_stores import Bucket
from visionfleet.hub.objects.errors import translated
from visionfleet.hub.objects.signing import SignedMethod

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig, S3Config, S3Credential

PROBED = "health"
"""A folder that holds one object at most: to list it costs little, and tells whether the bucket may be used."""

CONNECT_SECONDS = 5
SILENCE_SECONDS = 60
"""How long the server may say nothing while an answer is awaited."""

TRANSFER_SECONDS = 6 * 3600
"""One answer at most: an archive of 6 GiB is read while its images are decoded."""

_RETRIES: RetryConfig = {"max_retries": 6, "retry_timeout": timedelta(seconds=30)}


def open_bucket(bucket: Bucket, settings: HubS3 | None) -> S3Store:
    """Open the bucket, and see that it is there and may be listed. Raises StorageError, SecretUnavailable.

    Without keys in the file obstore asks as AWS's tools do: the environment, the pod's identity, the machine's role.
    """
    settings = settings or HubS3()
    given = {"endpoint": settings.endpoint, "region": settings.region}
    config: S3Config = {name: value for name, value in given.items() if value is not None}  # pyright: ignore[reportAssignmentType]
    store = S3Store(
        bucket.name,
        prefix=bucket.prefix or None,
        config=config,
        client_options=_client(settings),
        retry_config=_RETRIES,
        credential_provider=_keys(settings),
    )
    with translated(str(bucket)):
        obstore.list_with_delimiter(store, PROBED)  # pyright: ignore[reportUnknownMemberType] - needs pyarrow's types
    return store


def link(store: S3Store, method: SignedMethod, key: str, expires_in: int) -> str:
    """A link of the bucket's own. With a role's credentials it ends with these, which may be sooner."""
    return obstore.sign(store, method, key, timedelta(seconds=expires_in))


def _client(settings: HubS3) -> ClientConfig:
    return {
        "allow_http": (settings.endpoint or "").startswith("http://"),
        "connect_timeout": timedelta(seconds=CONNECT_SECONDS),
        "read_timeout": timedelta(seconds=SILENCE_SECONDS),
        "timeout": timedelta(seconds=TRANSFER_SECONDS),
    }


class _Keys:
    """The file's keys; beside them nothing of the environment counts, as a stray AWS_SESSION_TOKEN would."""

    def __init__(self, credential: S3Credential) -> None:
        self._credential = credential

    def __call__(self) -> S3Credential:
        return self._credential


def _keys(settings: HubS3) -> _Keys | None:
    if settings.access_key_id is None or settings.secret_access_key is None:
        return None
    key_id, secret = settings.access_key_id.resolve(), settings.secret_access_key.resolve()
    return _Keys({"access_key_id": key_id, "secret_access_key": secret, "token": None, "expires_at": None})
