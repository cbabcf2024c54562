"""A storage in a bucket: its links, its keys, and what is said where it cannot be used."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engines import versitygw
from tests.engines.versitygw import VersityGW
from tests.hub.objects.places import SIGNER, InBucket, settings_of
from visionfleet.config.hub import Hub
from visionfleet.hub.objects.errors import InvalidKey, ObjectMissing, StorageError, StorageUnavailable
from visionfleet.hub.objects.keys import check_key
from visionfleet.hub.objects.storage import Storage

pytestmark = pytest.mark.engine


@given(key=st.text(min_size=1, max_size=60))
def test_a_bucket_holds_every_key_under_its_prefix_and_links_to_it(s3: VersityGW, key: str) -> None:
    try:
        check_key(key)
    except InvalidKey:
        return
    with suppress(s3.client.exceptions.BucketAlreadyOwnedByYou):
        s3.make_bucket("every-key")
    storage = Storage.open(settings_of(s3, "every-key/a/b"), SIGNER)
    put = httpx.put(storage.sign("PUT", key, 60, "http://hub"), content=b"xyz", headers={"Content-Type": "image/jpeg"})
    assert put.status_code == 200, put.text
    assert list(storage.list("")) == [(key, 3)]
    assert [entry["Key"] for entry in s3.client.list_objects_v2(Bucket="every-key")["Contents"]] == [f"a/b/{key}"]
    part = httpx.get(storage.sign("GET", key, 60, "http://hub"), headers={"Range": "bytes=1-"})
    assert (part.status_code, part.content) == (206, b"yz")
    storage.delete([key])


def test_a_link_to_a_bucket_is_good_for_what_it_was_made_for_and_for_its_time(s3: VersityGW) -> None:
    storage = InBucket(s3).storage
    storage.put("a", b"before")
    read, gone = storage.sign("GET", "a", 60, "http://hub"), storage.sign("PUT", "a", 1, "http://hub")
    assert httpx.put(read, content=b"x").status_code == 403
    assert httpx.get(read.replace("/a?", "/b?")).status_code == 403
    time.sleep(2.1)
    assert httpx.put(gone, content=b"x").status_code == 403
    assert storage.read("a") == b"before"


@pytest.mark.parametrize(
    ("place", "s3_settings", "said"),
    [
        ("nowhere", {}, "NoSuchBucket.*make the bucket, or mend hub.storage"),
        ("there", {"secret_access_key": "env:TESTS_WRONG"}, "SignatureDoesNotMatch.*mend hub.s3.access_key_id"),
        ("there", {"region": "us-east-1"}, "AuthorizationHeaderMalformed.*mend hub.s3.region"),
        ("there", {"endpoint": "http://127.0.0.1:1"}, "did not answer.*hub.s3.endpoint"),
    ],
)
def test_a_bucket_that_cannot_be_used_is_told_when_it_is_opened(
    s3: VersityGW, monkeypatch: pytest.MonkeyPatch, place: str, s3_settings: dict[str, str], said: str
) -> None:
    monkeypatch.setenv("TESTS_WRONG", "not it")
    with suppress(s3.client.exceptions.BucketAlreadyOwnedByYou):
        s3.make_bucket("there")
    with pytest.raises(StorageError, match=said) as failed:
        Storage.open(settings_of(s3, place, **s3_settings), SIGNER)
    assert "\n" not in str(failed.value)


def test_keys_of_the_file_are_used_alone_whatever_the_environment_has(
    s3: VersityGW, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "stale")
    assert InBucket(s3).storage.put("a", b"x") == 1


def test_without_keys_in_the_file_the_environment_is_asked(s3: VersityGW, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", versitygw.KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", versitygw.SECRET)
    with suppress(s3.client.exceptions.BucketAlreadyOwnedByYou):
        s3.make_bucket("there")
    settings = Hub.model_validate(
        {"storage": "s3://there", "s3": {"endpoint": s3.endpoint, "region": versitygw.REGION}}
    )
    assert Storage.open(settings, SIGNER).put("a", b"x") == 1


def test_a_bucket_that_has_gone_or_does_not_answer_is_no_missing_object(tmp_path: Path, s3: VersityGW) -> None:
    with versitygw.serving(tmp_path) as server:
        storage = InBucket(server).storage
        bucket = server.client.list_buckets()["Buckets"][0]["Name"]
        server.client.delete_bucket(Bucket=bucket)
        with pytest.raises(StorageError, match="NoSuchBucket") as failed:
            storage.put("a", b"x")
        assert not isinstance(failed.value, ObjectMissing)
        server.make_bucket(bucket)
        server.stop()
        with pytest.raises(StorageUnavailable, match=r"hub\.s3\.endpoint"):
            storage.put("a", b"x")
        server.start()
        assert storage.put("a", b"x") == 1
