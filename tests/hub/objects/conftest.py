"""A storage, in each of its places or in a folder alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hub.objects.places import Folder, InBucket, open_storage
from visionfleet.hub.objects.storage import Storage


@pytest.fixture(params=["folder", pytest.param("bucket", marks=pytest.mark.engine)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Folder | InBucket:
    if request.param == "folder":
        return Folder(tmp_path / "state" / "storage")
    return InBucket(request.getfixturevalue("s3"))


@pytest.fixture
def storage(place: Folder | InBucket) -> Storage:
    return place.storage


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "folder"


@pytest.fixture
def folder(root: Path) -> Storage:
    return open_storage(root)
