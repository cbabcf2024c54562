"""Section `hub`: the service that gives every deployment its workflows, models and batch processing."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import Field

from visionfleet.config.aws_kinds import BucketRegion, DatabaseClass
from visionfleet.config.hub_stores import (
    SQLITE,
    Bucket,
    DatabasePlace,
    StoragePlace,
    both_keys,
    s3_of_bucket,
    signing_key_of_many,
    storage_apart,
)
from visionfleet.config.kinds import FolderPath, Host, Port, Url
from visionfleet.config.secrets import SecretRef
from visionfleet.config.section import Breach, RuledSection, peek
from visionfleet.terms import Tier

LOOPBACK = "127.0.0.1"
PORT = 9500
_WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 - recognised, not bound


def _url_for_wildcard(data: object) -> Iterator[Breach]:
    host = peek(data, "host", default=LOOPBACK)
    if host in _WILDCARDS and peek(data, "url") is None:
        fix = "add hub.url, the address that clients and workers use, as in 'https://hub.acme.example'"
        yield Breach(("host",), host, "needs-url", "needs hub.url: nobody can reach the hub under this address", fix)


def _backups_of_tier(data: object) -> Iterator[Breach]:
    if peek(data, "tier") == Tier.PRODUCTION and peek(data, "backup_days") == 0:
        rule = "keeps no backup, and tier is production"
        yield Breach(("backup_days",), 0, "tier-of-backups", rule, "write 1 or more, or tier: development")


class HubOnAws(RuledSection):
    """Bucket and database of the hub in AWS."""

    cross_rules = (_backups_of_tier,)

    tier: Tier = Field(
        description="What an outage costs: production has a standby in another zone, and refuses to be deleted."
    )
    instance_class: DatabaseClass = Field(
        default="db.t4g.small", description="Instance class of the database, PostgreSQL on RDS."
    )
    storage_gb: int = Field(
        default=20,
        strict=True,
        ge=20,
        le=13_000,
        description="Storage of the database; it grows up to five times that.",
    )
    backup_days: int = Field(
        default=7, strict=True, ge=0, le=35, description="Days for which the database can be brought back."
    )


class HubS3(RuledSection):
    """How the bucket of `hub.storage` is reached, where AWS's own ways do not tell."""

    cross_rules = (both_keys,)

    endpoint: Url | None = Field(default=None, description="URL of the S3 server; AWS's unless given.")
    region: BucketRegion | None = Field(
        default=None, description="Region of the bucket; what AWS_REGION says unless given, else us-east-1."
    )
    access_key_id: SecretRef | None = Field(
        default=None,
        description="Access key's id, as `env:NAME` or `file:PATH`; AWS's own chain (environment, pod identity, "
        "instance profile) unless given.",
    )
    secret_access_key: SecretRef | None = Field(
        default=None, description="Secret of the access key, as `env:NAME` or `file:PATH`."
    )


class Hub(RuledSection):
    """The hub: where it listens, and where it keeps what it holds."""

    cross_rules = (_url_for_wildcard, storage_apart, signing_key_of_many, s3_of_bucket)

    host: Host = Field(
        default=LOOPBACK, description="Address that the hub listens on; `::` for every one, those of IPv4 as well."
    )
    port: Port = Field(default=PORT, description="Port that the hub listens on.")
    url: Url | None = Field(
        default=None, description="URL under which clients and workers reach the hub; http://host:port unless given."
    )
    state: FolderPath = Field(default=Path("./state"), description="Folder of the hub's database, keys and logs.")
    database: DatabasePlace = Field(
        default=SQLITE,
        description="`sqlite`, a file in `state`; or, as `env:NAME` or `file:PATH`, where the URL of a PostgreSQL "
        "database is: postgresql://user:password@host/database.",
    )
    storage: StoragePlace = Field(
        default_factory=lambda data: data["state"] / "storage",
        description="Folder of staged images and results, or s3://bucket/prefix; `storage` in `state` unless given.",
    )
    s3: HubS3 | None = Field(default=None, description="How the bucket is reached; as AWS has it unless given.")
    signing_key: SecretRef | None = Field(
        default=None,
        description="Key that signs URLs, as `env:NAME` or `file:PATH`; a key is made in `state` unless given.",
    )
    retention_days: int = Field(
        default=7, strict=True, ge=1, le=3650, description="Days after which staged images and results are removed."
    )
    aws: HubOnAws | None = Field(default=None, description="Bucket and database to make in AWS; none unless given.")

    @property
    def database_ref(self) -> SecretRef | None:
        """Where the URL of the PostgreSQL database is; None for the embedded one."""
        return self.database if isinstance(self.database, SecretRef) else None

    @property
    def bucket(self) -> Bucket | None:
        """The bucket of the storage; None where it is a folder."""
        return self.storage if isinstance(self.storage, Bucket) else None

    @property
    def database_path(self) -> Path:
        """The file of the embedded database."""
        return self.state / "hub.sqlite3"

    @property
    def public_url(self) -> str:
        """The URL under which clients and workers reach the hub, without a slash at its end."""
        if self.url is not None:
            return self.url.rstrip("/")
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"
