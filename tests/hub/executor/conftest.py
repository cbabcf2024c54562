"""A namespace for each test of the executor."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines.cluster import Cluster
from tests.hub.executor.place import Place, make_place
from visionfleet.hub.context import Hub
from visionfleet.hub.executor import Executor


@pytest.fixture
def place(real_cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    made = make_place(real_cluster, f"executor-{uuid.uuid4().hex[:8]}", tmp_path)
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    yield made
    made.kubectl("delete", "jobs", "--all", "--wait=false")


@pytest.fixture
def executor(hub: Hub, place: Place) -> Executor:
    """The executor of the hub that `api` talks to; a test says when it does a round."""
    hub.store.clock = time.time  # as the cluster's
    return Executor(hub, place.api())
