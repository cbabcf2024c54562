"""Data staging, as the command line uses it: the answers are those that its parsers take."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from tests.hub.support import EMBEDDED, JOBS, STAGING, Api, Clock, archive, job_body, jpeg, plans_of, statements_of
from visionfleet.hub import tasks
from visionfleet.hub.housekeeping import sweep
from visionfleet.hub.objects.storage import Storage
from visionfleet.hub.staging.batches import SECONDS_A_DAY, URL_SECONDS, expect_shard, shard_uploaded


def names(api: Api, batch: str) -> list[str]:
    return [file["fileName"] for file in api.get(f"{STAGING}/{batch}/list").json()["filesMetadata"]]


def shards(api: Api, batch: str) -> list[dict]:
    return api.get(f"{STAGING}/{batch}/shards").json()["shards"]


def test_an_uploaded_image_is_listed_counted_and_downloaded(api: Api) -> None:
    data = jpeg(1)
    assert api.upload("b", "one.jpg", data).status_code == 200
    batch = api.get(f"{STAGING}/b").json()["batch"]
    assert (batch["batchId"], batch["batchType"], batch["batchContentType"]) == ("b", "simple-batch", "images")
    assert api.get(f"{STAGING}/b/count").json() == {"count": 1}
    file = api.get(f"{STAGING}/b/list").json()["filesMetadata"][0]
    assert file["fileName"] == "one.jpg"
    assert api.download(file["downloadURL"]) == data


def test_the_same_upload_again_changes_nothing_and_another_image_of_the_name_is_refused(api: Api) -> None:
    api.upload("b", "one.jpg", jpeg(1))
    assert api.upload("b", "one.jpg", jpeg(1)).status_code == 200
    other = api.upload("b", "one.jpg", jpeg(2))
    assert (other.status_code, other.json()["error"]["code"]) == (409, "file_exists")
    assert names(api, "b") == ["one.jpg"]


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        pytest.param(b"no picture", 400, "not_an_image", id="not an image"),
        pytest.param(jpeg(1, (64, 64))[:-40], 400, "image_truncated", id="truncated"),
        pytest.param(b"\xff" * (20 * 1024 * 1024 + 1), 413, "image_too_large", id="over 20 MiB"),
        pytest.param(b"", 400, "not_an_image", id="empty"),
    ],
)
def test_a_file_that_is_no_good_image_is_refused(api: Api, data: bytes, status: int, code: str) -> None:
    answer = api.upload("b", "bad.jpg", data)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert api.get(f"{STAGING}/b").status_code == 404, "nothing was made"


@pytest.mark.parametrize("name", ["../up.jpg", "a/b.jpg", ".hidden.jpg", "a\nb.jpg", "x" * 300])
def test_a_file_name_that_is_not_safe_is_refused(api: Api, name: str) -> None:
    answer = api.upload("b", name, jpeg())
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "file_name_invalid")


@pytest.mark.parametrize("batch", ["Upper", "a" * 65, "dots.here", "umläut"])
def test_a_batch_id_that_breaks_the_rules_is_refused(api: Api, batch: str) -> None:
    answer = api.upload(batch, "one.jpg", jpeg())
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "batch_id_invalid")


def test_a_shard_is_registered_uploaded_ingested(api: Api) -> None:
    api.upload_shard("b", archive({f"{n}.jpg": jpeg(n) for n in range(3)}))
    assert [(s["statusName"], s["statusType"]) for s in shards(api, "b")] == [("uploaded", "info")]
    assert api.run_hub_tasks() == 1
    [shard] = shards(api, "b")
    assert (shard["statusName"], shard["statusType"], shard["shardObjectsCount"]) == ("ingested", "success", 3)
    assert names(api, "b") == ["0.jpg", "1.jpg", "2.jpg"]
    assert api.get(f"{STAGING}/b").json()["batch"]["batchType"] == "sharded-batch"


def test_bad_files_of_a_shard_are_named_and_the_rest_goes_on(api: Api) -> None:
    files = {"good.jpg": jpeg(1), "text.jpg": b"no picture", "cut.jpg": jpeg(2, (64, 64))[:-30], "../out.jpg": jpeg(3)}
    api.upload_shard("b", archive(files))
    api.run_hub_tasks()
    [shard] = shards(api, "b")
    assert (shard["statusType"], shard["shardObjectsCount"]) == ("success", 1)
    refused = {entry["fileName"]: entry["code"] for entry in shard["statusMetadata"]["refused"]}
    assert set(refused) == {"text.jpg", "cut.jpg", "../out.jpg"}
    assert refused["text.jpg"] == "not_an_image"
    assert names(api, "b") == ["good.jpg"]


def test_a_shard_that_asks_for_notifications_is_told_that_there_are_none(api: Api) -> None:
    wish = json.dumps({"ingestId": "i", "notificationsURL": "https://hooks.example/ingest"}).encode()
    api.upload_shard("b", archive({"one.jpg": jpeg(1), "notification_config.json": wish}))
    api.run_hub_tasks()
    [shard] = shards(api, "b")
    assert shard["statusMetadata"]["refused"][0]["code"] == "notifications_unsupported"
    assert names(api, "b") == ["one.jpg"]


def test_a_truncated_archive_stages_nothing(api: Api) -> None:
    whole = archive({f"{n}.jpg": jpeg(n) for n in range(3)})
    api.upload_shard("b", whole[: len(whole) // 2])
    api.run_hub_tasks()
    [shard] = shards(api, "b")
    assert shard["statusType"] == "error"
    assert shard["statusMetadata"]["reason"]
    assert names(api, "b") == []
    assert [key for key, _ in api.hub.storage.list("batches")] == []


def test_the_same_shard_twice_doubles_nothing(api: Api) -> None:
    files = archive({"one.jpg": jpeg(1)})
    api.upload_shard("b", files)
    api.upload_shard("b", files)
    api.run_hub_tasks()
    assert names(api, "b") == ["one.jpg"]
    assert [shard["statusType"] for shard in shards(api, "b")] == ["success", "success"]


def test_an_image_of_a_name_that_the_batch_has_with_other_bytes_is_reported(api: Api) -> None:
    api.upload("b", "one.jpg", jpeg(1))
    api.upload_shard("b", archive({"one.jpg": jpeg(2), "two.jpg": jpeg(3)}))
    api.run_hub_tasks()
    [shard] = shards(api, "b")
    assert shard["statusMetadata"]["refused"][0]["code"] == "file_exists"
    assert names(api, "b") == ["one.jpg", "two.jpg"]


def test_an_ingest_that_died_halfway_is_done_again_and_doubles_nothing(api: Api, clock: Clock) -> None:
    api.upload_shard("b", archive({f"{n}.jpg": jpeg(n) for n in range(3)}))
    dead = tasks.claim(api.hub.store, ["ingest"], "a hub that was killed")
    assert dead is not None
    assert api.run_hub_tasks() == 0
    clock.advance(tasks.LEASE_SECONDS + 1)
    assert api.run_hub_tasks() == 1
    assert names(api, "b") == ["0.jpg", "1.jpg", "2.jpg"]


def test_a_shard_that_never_comes_ends_with_an_error(api: Api, clock: Clock) -> None:
    api.post(f"{STAGING}/b/bulk-upload/image-files")
    assert api.run_hub_tasks() == 0
    clock.advance(URL_SECONDS + 1)
    assert api.run_hub_tasks() == 1
    assert shards(api, "b")[0]["statusMetadata"]["code"] == "upload_missing"


def test_listings_come_in_pages(api: Api) -> None:
    for n in range(5):
        api.upload("b", f"{n}.jpg", jpeg(n))
    found, token = [], None
    while True:
        params = {"pageSize": 2} | ({"nextPageToken": token} if token else {})
        page = api.get(f"{STAGING}/b/list", **params).json()
        found += [file["fileName"] for file in page["filesMetadata"]]
        token = page["nextPageToken"]
        if token is None:
            break
    assert found == [f"{n}.jpg" for n in range(5)]


@pytest.mark.parametrize(
    "params",
    [
        {"pageSize": 0},
        {"pageSize": 5000},
        {"pageSize": "x"},
        {"nextPageToken": "x"},
        {"nextPageToken": "9" * 20},
        {"nextPageToken": "9" * 5000},
    ],
    ids=lambda params: str(params)[:32],
)
@pytest.mark.parametrize("path", ["", "/b/shards"])
def test_a_page_that_makes_no_sense_is_refused(api: Api, path: str, params: dict) -> None:
    api.upload("b", "one.jpg", jpeg())
    assert api.get(STAGING + path, **params).status_code == 400


@EMBEDDED
def test_a_page_of_a_large_batch_is_found_by_an_index_and_not_sorted_anew(api: Api) -> None:
    api.upload("b", "one.jpg", jpeg())
    with plans_of(api.hub) as plans:
        api.get(f"{STAGING}/b/list")
    assert any("INDEX ix_files_batch_row_row" in plan for plan in plans)
    assert not any("TEMP B-TREE" in plan for plan in plans if "files" in plan), plans


def test_batches_are_listed_the_newest_first(api: Api) -> None:
    for batch in ("first", "second"):
        api.upload(batch, "one.jpg", jpeg())
    assert [b["batchId"] for b in api.get(STAGING).json()["batches"]] == ["second", "first"]


@pytest.mark.parametrize("path", ["", "/count", "/list", "/parts", "/shards"])
def test_a_batch_that_is_not_there_is_not_found(api: Api, path: str) -> None:
    answer = api.get(f"{STAGING}/nowhere{path}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "batch_not_found")


def test_a_form_without_a_file_is_refused(api: Api) -> None:
    answer = api.client.post(f"{STAGING}/b/upload/image", params={"api_key": api.client_key}, data={"a": "b"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "form_invalid")


def put_url(api: Api, batch: str = "b") -> str:
    return api.post(f"{STAGING}/{batch}/bulk-upload/image-files").json()["signedURLDetails"]["uploadURL"]


def remove_batches(api: Api) -> None:
    with api.hub.store.write() as session:
        session.execute(text("DELETE FROM batches"))


@EMBEDDED
def test_a_second_archive_for_a_shard_is_refused(api: Api) -> None:
    url = put_url(api)
    assert api.client.put(url, content=archive({"one.jpg": jpeg(1)})).status_code == 200
    for _ in range(2):
        again = api.client.put(url, content=archive({"two.jpg": jpeg(2)}))
        assert (again.status_code, again.json()["error"]["code"]) == (403, "invalid_signature")
        api.run_hub_tasks()
    assert names(api, "b") == ["one.jpg"]
    assert len(list(api.hub.storage.list("batches"))) == 1


@EMBEDDED
def test_an_archive_for_a_batch_that_was_removed_is_refused_and_not_kept(api: Api) -> None:
    url = put_url(api)
    remove_batches(api)
    assert api.client.put(url, content=archive({"one.jpg": jpeg(1)})).status_code == 403
    assert list(api.hub.storage.list("batches")) == []


@EMBEDDED
def test_an_archive_that_began_to_arrive_in_time_may_arrive_later(api: Api, clock: Clock) -> None:
    url = put_url(api)
    key = url.split("/objects/")[1].split("?")[0]
    clock.advance(URL_SECONDS - 1)
    expect_shard(api.hub, key)
    clock.advance(60)
    assert api.run_hub_tasks() == 0, "it is not given up while it arrives"
    api.hub.storage.put(key, archive({"one.jpg": jpeg(1)}))
    shard_uploaded(api.hub, key)
    assert api.run_hub_tasks() == 1
    assert names(api, "b") == ["one.jpg"]


def test_an_ingest_keeps_nothing_that_no_listing_shows(api: Api) -> None:
    api.upload("b", "same.jpg", jpeg(1))
    api.upload("b", "other.jpg", jpeg(2))
    api.upload_shard("b", archive({"same.jpg": jpeg(1), "other.jpg": jpeg(3), "new.jpg": jpeg(4)}))
    api.run_hub_tasks()
    assert names(api, "b") == ["same.jpg", "other.jpg", "new.jpg"]
    assert len(list(api.hub.storage.list("batches"))) == 3


def test_an_ingest_reads_no_more_of_a_batch_than_the_names_of_its_shard(api: Api) -> None:
    for n in range(4):
        api.upload("b", f"{n}.jpg", jpeg(n))
    api.upload_shard("b", archive({"1.jpg": jpeg(1)}))
    with statements_of(api.hub) as seen:
        api.run_hub_tasks()
    read = [statement for statement, _ in seen if statement.startswith("SELECT") and "FROM files" in statement]
    assert read
    assert all("files.name IN" in statement for statement in read)


def test_a_batch_that_has_expired_takes_nothing_that_would_go_with_it(api: Api, clock: Clock) -> None:
    api.upload("b", "one.jpg", jpeg(1))
    clock.advance(api.hub.config.hub.retention_days * SECONDS_A_DAY)
    for answer in (
        api.upload("b", "two.jpg", jpeg(2)),
        api.post(f"{STAGING}/b/bulk-upload/image-files"),
        api.post(f"{JOBS}/j1", json=job_body("b")),
    ):
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "batch_expired")
    assert sweep(api.hub) == 1
    assert api.upload("b", "two.jpg", jpeg(2)).status_code == 200


def test_a_batch_that_is_removed_while_an_image_comes_is_no_server_error(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = Storage.put

    def put_and_remove(storage: Storage, key: str, data: bytes) -> int:
        remove_batches(api)
        return put(storage, key, data)

    monkeypatch.setattr(Storage, "put", put_and_remove)
    answer = api.upload("b", "one.jpg", jpeg(1))
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "batch_not_found")
    assert list(api.hub.storage.list("batches")) == []


def test_many_first_uploads_at_once_make_one_batch(api: Api) -> None:
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda n: api.upload("b", f"{n}.jpg", jpeg(n)).status_code, range(32)))
    assert answers == [200] * 32
    assert len(api.get(STAGING).json()["batches"]) == 1
    assert api.get(f"{STAGING}/b/count").json() == {"count": 32}
