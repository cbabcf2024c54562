"""One cluster for all tests of a session that ask for it: each test makes a namespace of its own."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.engines.cluster import Cluster, cluster


@pytest.fixture(scope="session")
def real_cluster(tmp_path_factory: pytest.TempPathFactory) -> Generator[Cluster]:
    """A real cluster with a node, without images but Debian's."""
    with cluster(tmp_path_factory.mktemp("cluster")) as made:
        yield made
