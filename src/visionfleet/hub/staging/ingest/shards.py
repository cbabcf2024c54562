"""Reads shards: the tar archives of up to some hundred images that the command line uploads.

Guarantees: one pass, one image in memory at a time, nothing written to disk, every name that comes out is one plain
path component.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, TypeGuard

from visionfleet.hub.errors import HubError
from visionfleet.hub.ids import check_file_name
from visionfleet.hub.staging.ingest.images import MAX_IMAGE_BYTES
from visionfleet.hub.staging.ingest.tar import BadShard, Blocks, Member, members

NOTIFICATION_NAME = "notification_config.json"
MAX_NOTIFICATION_BYTES = 64 * 1024
MAX_SHARD_BYTES = 6 * 1024**3
"""256 images of 20 MiB, and the archive's own blocks."""


@dataclass(frozen=True, slots=True)
class ShardLimits:
    """What a shard may hold: entries of any kind, and bytes of one entry and of the whole archive."""

    entries: int = 1000
    entry_bytes: int = MAX_IMAGE_BYTES
    total_bytes: int = MAX_SHARD_BYTES


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of the archive. Whether it is an image is for `check_image` to say."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Rejected:
    """An entry that is not taken, and why. `name` is for display alone."""

    name: str
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Notification:
    """Where the sender wants to hear of this ingest, and the id it gave to it."""

    url: str
    ingest_id: str | None


def read_shard(stream: BinaryIO, limits: ShardLimits | None = None) -> Iterator[Entry | Rejected | Notification]:
    """Yield what is in a tar archive, in its order.

    Entries are rejected with `file_name_invalid` (a folder, `..`, hidden, control characters, over 255 bytes, not
    UTF-8), `entry_duplicate`, `entry_too_large`, `entry_not_a_file` (links, devices, folders, sparse files) or
    `notification_invalid`.
    Raises BadShard with `not_a_tar`, `shard_compressed`, `shard_truncated`, `shard_damaged`, `shard_too_many_entries`
    or `shard_too_large`. Entries that came before it were sound: whether they count is for the caller to decide.
    """
    limits = limits or ShardLimits()
    blocks = Blocks(stream, limits.total_bytes)
    names: set[str] = set()
    for position, member in enumerate(members(blocks)):
        if position == limits.entries:
            raise BadShard("shard_too_many_entries", f"it has over {limits.entries} entries")
        yield _read_entry(blocks, member, names, limits)
    blocks.expect_zeros_to_the_end()


def _read_entry(
    blocks: Blocks, member: Member, names: set[str], limits: ShardLimits
) -> Entry | Rejected | Notification:
    """Read one entry to its end, whatever becomes of it."""
    problem = _problem(member, names, limits)
    if problem:
        blocks.skip_padded(member.size)
        return Rejected(_display(member.name), *problem)
    names.add(member.name)
    data = blocks.read_padded(member.size)
    return _notification(data) if member.name == NOTIFICATION_NAME else Entry(member.name, data)


def _problem(member: Member, names: set[str], limits: ShardLimits) -> tuple[str, str] | None:
    """Return why an entry is not taken, as code and reason."""
    if member.kind != "file":
        return "entry_not_a_file", f"it is a {member.kind}, not a file"
    limit = MAX_NOTIFICATION_BYTES if member.name == NOTIFICATION_NAME else limits.entry_bytes
    if member.size > limit:
        return "entry_too_large", f"it has {member.size} bytes, at most {limit} are allowed"
    if member.name in names:
        return "entry_duplicate", "the archive has an earlier entry of this name"
    return _name_problem(member.name)


def _name_problem(name: str) -> tuple[str, str] | None:
    try:
        name.encode()  # bytes that are not UTF-8 came in as surrogates
        check_file_name(name)
    except UnicodeEncodeError:
        return "file_name_invalid", "a file name is UTF-8"
    except HubError as error:
        return error.code, error.message
    return None


def _notification(data: bytes) -> Notification | Rejected:
    try:
        content: Any = json.loads(data)
        url, ingest_id = content["notificationsURL"], content.get("ingestId")
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError):
        url = ingest_id = None
    if _is_text(url) and (ingest_id is None or _is_text(ingest_id)):
        return Notification(url, ingest_id)
    return Rejected(NOTIFICATION_NAME, "notification_invalid", "it is not JSON with a notificationsURL and an ingestId")


def _is_text(value: object) -> TypeGuard[str]:
    """Tell whether it is text that can be stored and shown: no control characters, no lone surrogates."""
    return isinstance(value, str) and value.isprintable()


def _display(name: str) -> str:
    readable = name.encode(errors="replace").decode()
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in readable)[:255]
