"""Archives and files that go past the hub, straight into a bucket: it finds them, and holds them to its limits."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.hub.support import JOBS, SERVED, STAGING, Api, Clock, archive, job_body, jpeg
from visionfleet.hub.objects.storage import Storage
from visionfleet.hub.processing import leases
from visionfleet.hub.staging import ingestion
from visionfleet.hub.staging.arrivals import MAX_WAIT_SECONDS, Arrivals
from visionfleet.hub.staging.batches import SECONDS_A_DAY, URL_SECONDS

pytestmark = [SERVED, pytest.mark.usefixtures("kind")]
ONE = archive({"one.jpg": jpeg(1)})


@pytest.fixture
def listings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders of the bucket that are listed."""
    listed: list[str] = []
    files = Storage.files

    def note(storage: Storage, folder: str) -> frozenset[str]:
        listed.append(folder)
        return files(storage, folder)

    monkeypatch.setattr(Storage, "files", note)
    return listed


def announce(api: Api, batch: str = "b") -> str:
    answer = api.post(f"{STAGING}/{batch}/bulk-upload/image-files").json()
    assert answer["signedURLDetails"]["extensionHeaders"] == {}
    return answer["signedURLDetails"]["uploadURL"]


def shards(api: Api, batch: str = "b") -> list[dict[str, Any]]:
    return api.get(f"{STAGING}/{batch}/shards").json()["shards"]


def test_one_look_finds_all_archives_of_a_batch(api: Api, listings: list[str]) -> None:
    urls = [announce(api) for _ in range(5)]
    for url in urls[:3]:
        assert api.link("PUT", url, content=ONE).status_code == 200
    arrivals = Arrivals(api.hub)
    assert arrivals.look() == 3
    assert len(listings) == 1
    assert sorted(shard["statusName"] for shard in shards(api)) == ["registered"] * 2 + ["uploaded"] * 3
    assert api.run_hub_tasks() == 3
    assert api.get(f"{STAGING}/b/count").json() == {"count": 1}


def test_two_hubs_that_find_one_archive_ingest_it_once(api: Api) -> None:
    api.link("PUT", announce(api), content=ONE)
    assert [Arrivals(api.hub).look() for _ in range(2)] == [1, 0]
    assert api.run_hub_tasks() == 1


def test_what_does_not_come_is_looked_for_ever_less_often_and_given_up(
    api: Api, clock: Clock, listings: list[str]
) -> None:
    announce(api)
    arrivals = Arrivals(api.hub)
    for _ in range(URL_SECONDS):
        arrivals.look()
        clock.advance(1)
    assert URL_SECONDS / MAX_WAIT_SECONDS <= len(listings) < URL_SECONDS / MAX_WAIT_SECONDS + 10
    clock.advance(1)
    assert api.run_hub_tasks() == 1
    assert shards(api)[0]["statusMetadata"]["code"] == "upload_missing"
    before = len(listings)
    clock.advance(MAX_WAIT_SECONDS)
    assert arrivals.look() == 0
    assert len(listings) == before, "nothing is awaited any more"


def test_an_archive_is_found_soon_however_long_another_one_stays_away(
    api: Api, clock: Clock, listings: list[str]
) -> None:
    announce(api)
    arrivals = Arrivals(api.hub)
    for _ in range(300):
        arrivals.look()
        clock.advance(1)
    api.link("PUT", announce(api), content=ONE)
    assert arrivals.look() == 1


def test_an_archive_that_nobody_found_is_ingested_when_its_link_has_ended(api: Api, clock: Clock) -> None:
    api.link("PUT", announce(api), content=ONE)
    clock.advance(URL_SECONDS + 1)
    assert api.run_hub_tasks() == 1
    assert shards(api)[0]["statusName"] == "ingested"


def test_an_archive_over_the_limit_is_refused_unread_with_the_reason(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingestion, "MAX_SHARD_BYTES", len(ONE) - 1)
    monkeypatch.setattr(Storage, "open_file", None)
    api.upload_shard("b", ONE)
    api.run_hub_tasks()
    [shard] = shards(api)
    assert (shard["statusName"], shard["statusMetadata"]["code"]) == ("refused", "shard_too_large")
    assert list(api.hub.storage.list("batches")) == []


def test_a_link_to_upload_by_ends_before_its_batch_does(api: Api, clock: Clock) -> None:
    def seconds(url: str) -> int:
        return int(parse_qs(urlsplit(url).query)["X-Amz-Expires"][0])

    assert seconds(announce(api)) == URL_SECONDS
    clock.advance(api.hub.config.hub.retention_days * SECONDS_A_DAY - 60)
    assert seconds(announce(api)) == 60


def test_an_output_file_over_the_limit_is_not_committed(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    api.upload("b", "one.jpg", jpeg(1))
    api.post(f"{JOBS}/j1", json=job_body("b"))
    held = api.worker("/lease", worker="w").json()
    call = f"/tasks/{held['task_id']}"
    urls = api.worker(f"{call}/uploads", token=held["token"], names=["grey/one.jpg"]).json()["urls"]
    headers = {"Content-Type": "image/jpeg"}  # as workers send it
    assert api.link("PUT", urls["grey/one.jpg"], content=jpeg(2), headers=headers).status_code == 200
    file = {"part": "grey", "name": "one.jpg", "content_type": "image/jpeg"}
    results = [{"image_id": held["images"][0]["id"], "record": {"n": 1}, "files": [file]}]
    monkeypatch.setattr(leases, "MAX_FILE_BYTES", len(jpeg(2)) - 1)
    answer = api.worker(f"{call}/results", token=held["token"], results=results)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "object_too_large")
    assert api.get(f"{STAGING}/j1-processing/count").json() == {"count": 0}
