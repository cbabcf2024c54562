"""What the chart makes of everything that its values can say, and a cluster that knows all its kinds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.charts.objects import FOREIGN
from tests.charts.values import everything
from tests.engines.cluster import Cluster
from tests.engines.helm import Object, rendered
from tests.engines.kubeconform import install_definitions
from tests.engines.kubeconform import schemas as schemas_of


@pytest.fixture(scope="session")
def objects() -> list[Object]:
    return rendered(everything())


@pytest.fixture(scope="session")
def knowing_cluster(real_cluster: Cluster) -> Cluster:
    install_definitions(real_cluster, sorted(set(FOREIGN.values())))
    return real_cluster


@pytest.fixture(scope="session")
def schemas(knowing_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return schemas_of(knowing_cluster, tmp_path_factory.mktemp("schemas"))
