"""A full disk: the upload fails clean, and the hub goes on when there is room again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from tests.engines.engine import small_disk
from tests.hub.support import STAGING, Api, archive, jpeg, write_config
from visionfleet.hub.api import create_app
from visionfleet.hub.context import Hub
from visionfleet.hub.keys import create_key

pytestmark = pytest.mark.engine
DISK_BYTES = 2 * 1024 * 1024


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", DISK_BYTES) as disk:
        yield disk


@pytest.fixture
def api(tmp_path: Path, disk: Path) -> Iterator[Api]:
    config = write_config(tmp_path, hub={"storage": str(disk)})
    hub = Hub.open(config)
    client = TestClient(create_app(hub), base_url="http://hub.test", raise_server_exceptions=False)
    key = create_key(config, name="client")[1]
    yield Api(client, hub, client_key=key, worker_key="", server_key="", device_key="", fleet_key="")
    hub.close()


def fill(disk: Path) -> Path:
    filler = disk / "filler"
    with pytest.raises(OSError, match="No space"), filler.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    return filler


def test_an_upload_to_a_full_disk_fails_and_nothing_is_listed(api: Api, disk: Path) -> None:
    filler = fill(disk)
    answer = api.upload("b", "one.jpg", jpeg(1, (640, 480)))
    assert (answer.status_code, answer.json()["error"]["code"]) == (507, "storage_full")
    assert api.get(STAGING).json()["batches"] == []
    ready = api.client.get("/readyz")
    assert (ready.status_code, ready.json()["error"]["code"]) == (503, "storage_full")
    filler.unlink()
    assert api.upload("b", "one.jpg", jpeg(1, (640, 480))).status_code == 200
    assert api.get(f"{STAGING}/b/count").json() == {"count": 1}


def test_a_shard_that_does_not_fit_is_refused_whole_and_can_be_sent_again(api: Api, disk: Path) -> None:
    files = archive({f"{n}.jpg": jpeg(n, (640, 480)) for n in range(8)})
    url = api.post(f"{STAGING}/b/bulk-upload/image-files").json()["signedURLDetails"]["uploadURL"]
    filler = fill(disk)
    assert api.client.put(url, content=files).status_code == 507
    assert [key for key, _ in api.hub.storage.list("batches")] == []
    filler.unlink()
    assert api.client.put(url, content=files).status_code == 200
    assert api.run_hub_tasks() == 1
    assert api.get(f"{STAGING}/b/count").json() == {"count": 8}
