"""One cluster for all tests of a process that ask for it: each test makes a namespace of its own.

They have the marker `cluster`, so that a run of few processes may have them all.
"""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.engines.cluster import Cluster, cluster
from tests.engines.cluster.keda import install_keda
from tests.engines.cluster.kueue import kueue_in

FIXTURES = frozenset({"real_cluster", "keda", "kueue"})


@pytest.fixture(scope="session")
def real_cluster(tmp_path_factory: pytest.TempPathFactory) -> Generator[Cluster]:
    """A real cluster with a node, without images but Debian's."""
    with cluster(tmp_path_factory.mktemp("cluster")) as made:
        yield made


@pytest.fixture(scope="session")
def keda(real_cluster: Cluster) -> Cluster:
    """The cluster with KEDA in it, from here on."""
    install_keda(real_cluster)
    return real_cluster


@pytest.fixture(scope="module")
def kueue(real_cluster: Cluster) -> Generator[Cluster]:
    """The cluster with Kueue in it, for the tests of a file."""
    with kueue_in(real_cluster):
        yield real_cluster


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "cluster: needs a real cluster; whoever asks for a fixture of it has it")


@pytest.hookimpl(tryfirst=True)  # before `-m` is looked at
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark those that use the cluster."""
    for item in items:
        if not FIXTURES.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker("cluster")
