"""Where the hub keeps what it holds: its database, its storage, and the rules between these and the rest of `hub`."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, cast

from pydantic import PlainSerializer, PlainValidator, ValidationInfo, WithJsonSchema

from visionfleet.config.kinds import resolve_path
from visionfleet.config.secrets import NOT_A_REFERENCE, PATTERN, SecretRef
from visionfleet.config.section import Breach, peek, refusal

SQLITE = "sqlite"
MAX_PREFIX = 256

_BUCKET = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])((?:/[A-Za-z0-9!_*'()-][A-Za-z0-9!_.*'()-]*)*)/?")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_DATABASE_FIX = "write 'sqlite', or 'env:NAME' and put the URL (postgresql://user:password@host/database) there"
_BUCKET_FIX = "write 's3://bucket' or 's3://bucket/prefix', the prefix of letters, digits and -_.!*'()"


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket of S3's API; `prefix` is the folder in it that is the hub's, empty for the whole bucket."""

    name: str
    prefix: str

    def __str__(self) -> str:
        return f"s3://{self.name}/{self.prefix}".rstrip("/")


def _parse_database(value: object, info: ValidationInfo) -> object:
    """`sqlite`, or where the URL of a PostgreSQL database is. Anything else may be a URL, and hold a password."""
    if value == SQLITE:
        return value
    if not (isinstance(value, SecretRef) or (isinstance(value, str) and re.fullmatch(PATTERN, value))):
        rule = "is neither 'sqlite' nor a reference to the URL of a database"
        raise refusal(NOT_A_REFERENCE, rule, _DATABASE_FIX)
    return SecretRef.parse(value, info)


def _parse_storage(value: object, info: ValidationInfo) -> object:
    if isinstance(value, Path | Bucket):
        return value
    if not isinstance(value, str):
        raise refusal("bad-path", "is not a path", "write a folder, as in './state/storage', or 's3://bucket/prefix'")
    scheme = _SCHEME.match(value)
    if scheme is None:
        return cast("Path", resolve_path(value, info))
    if scheme.group(1) != "s3":
        fix = "write a folder, or 's3://bucket/prefix' for S3 and what speaks its API"
        raise refusal("unknown-storage", f"is of a kind ({scheme.group(1)}://) that is not supported", fix)
    bucket = _BUCKET.fullmatch(value)
    if bucket is None or len(bucket.group(2)) > MAX_PREFIX:
        raise refusal("bad-text", "is not the URL of a bucket", _BUCKET_FIX)
    return Bucket(bucket.group(1), bucket.group(2).strip("/"))


DatabasePlace = Annotated[
    Literal["sqlite"] | SecretRef,
    PlainValidator(_parse_database, json_schema_input_type=str),
    PlainSerializer(str),
    WithJsonSchema({"type": "string", "pattern": rf"^sqlite$|{PATTERN}"}),
]
StoragePlace = Annotated[
    Path | Bucket,
    PlainValidator(_parse_storage, json_schema_input_type=str),
    PlainSerializer(str),
    WithJsonSchema({"type": "string", "format": "path"}),
]


def storage_apart(data: object) -> Iterator[Breach]:
    """A folder of objects holds nothing else."""
    state, storage = peek(data, "state", default="./state"), peek(data, "storage")
    if not (isinstance(state, str) and isinstance(storage, str)) or _SCHEME.match(storage):
        return
    if Path(os.path.normpath(state)).is_relative_to(os.path.normpath(storage)):
        rule = "is hub.state or holds it: keys and the database would lie among the images"
        fix = "give hub.storage a folder of its own, as in './state/storage'"
        yield Breach(("storage",), storage, "same-folder", rule, fix)


def signing_key_of_many(data: object) -> Iterator[Breach]:
    """Hubs that share a database sign with one key, which a folder of one of them cannot hold."""
    database = peek(data, "database", default=SQLITE)
    if isinstance(database, str) and re.fullmatch(PATTERN, database) and peek(data, "signing_key") is None:
        rule = "needs hub.signing_key: the hubs that share the database would each make a key of their own"
        fix = "add hub.signing_key: env:NAME, a secret of 32 characters or more, such as `openssl rand -hex 32` prints"
        yield Breach(("database",), database, "needs-signing-key", rule, fix)


def s3_of_bucket(data: object) -> Iterator[Breach]:
    """`hub.s3` is for a bucket."""
    s3, storage = peek(data, "s3"), peek(data, "storage")
    if s3 is not None and not (isinstance(storage, str) and storage.startswith("s3://")):
        fix = "write hub.storage: s3://bucket/prefix, or remove hub.s3"
        yield Breach(("s3",), None, "needs-bucket", "is for a bucket, and hub.storage is a folder", fix)


def both_keys(data: object) -> Iterator[Breach]:
    """An access key has two halves."""
    names = ("access_key_id", "secret_access_key")
    missing = [name for name in names if peek(data, name) is None]
    if len(missing) == 1:
        (given,) = set(names) - set(missing)
        rule = f"needs hub.s3.{missing[0]} beside it"
        fix = "give both, or neither: then the environment, the pod's identity or the machine's role is asked"
        yield Breach((given,), None, "needs-both-keys", rule, fix)
