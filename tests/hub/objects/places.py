"""The two places that a storage may be in, and what lies there."""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace

from tests.engines import versitygw
from tests.engines.versitygw import VersityGW
from visionfleet.config.hub import Hub
from visionfleet.hub.objects.signing import Signer
from visionfleet.hub.objects.storage import Storage

MIB = 1024 * 1024
SIGNER = Signer(b"k" * 32)


def open_storage(folder: Path) -> Storage:
    return Storage.open(SimpleNamespace(storage=folder), SIGNER)


def files(root: Path) -> list[str]:
    # by os.walk, since the storage's own threads may remove an empty folder while one looks
    found = (Path(folder) / name for folder, _, names in os.walk(root) for name in names)
    return sorted(str(path.relative_to(root)) for path in found)


class Folder:
    """A storage in a folder, and what lies there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.storage = open_storage(root)

    def held(self) -> list[str]:
        return files(self.root)


class InBucket:
    """A storage under a prefix of a bucket, and what lies there, seen and unseen."""

    def __init__(self, server: VersityGW) -> None:
        self._server = server
        self._bucket = f"objects-{uuid.uuid4().hex}"
        server.make_bucket(self._bucket)
        self.storage = Storage.open(settings_of(server, f"{self._bucket}/some/prefix"), SIGNER)

    def held(self) -> list[str]:
        unseen = [f"unfinished: {key}" for key in self._server.unfinished(self._bucket)]
        listed = self._server.client.list_objects_v2(Bucket=self._bucket).get("Contents", [])
        return sorted(entry["Key"].removeprefix("some/prefix/") for entry in listed) + unseen


def settings_of(server: VersityGW, place: str, **s3: object) -> Hub:
    known = {"endpoint": server.endpoint, "region": versitygw.REGION}
    known |= {"access_key_id": "env:TESTS_KEY_ID", "secret_access_key": "env:TESTS_SECRET"}
    return Hub.model_validate({"storage": f"s3://{place}", "s3": known | s3})


async def arriving(*chunks: bytes, error: BaseException | None = None) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
    if error:
        raise error


def failing(size: int) -> Iterator[bytes]:
    yield b"x" * size
    raise KeyError("the source broke")
