"""The image of hub and workers, as its Dockerfile makes it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.engines.buildah import Buildah, buildah
from tests.engines.cluster.images import CHECKOUT, PYTHON
from tests.engines.debian import Root
from visionfleet import __version__

pytestmark = pytest.mark.engine

DOCKERFILE = CHECKOUT / "images" / "visionfleet" / "Dockerfile"
BUILDER = Root("pip", (*PYTHON.packages, "python3-pip"), PYTHON.options)
# run in the image, once: a container is a copy of it
LOOK = """
import json, os, psycopg, obstore, kubernetes, visionfleet, visionfleet.hub.serve, visionfleet.worker.run
print(json.dumps({
    "version": visionfleet.__version__,
    "user": [os.getuid(), os.getgid()],
    "writable": [path for path, _, _ in os.walk("/opt/visionfleet") if os.access(path, os.W_OK)],
    "packages": os.listdir("/opt/visionfleet/packages"),
}))
"""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Buildah]:
    with buildah(tmp_path_factory.mktemp("buildah")) as made:
        yield made


@pytest.fixture(scope="module")
def image(engine: Buildah) -> str:
    return engine.build(DOCKERFILE, {"BUILDER": engine.base(BUILDER), "BASE": engine.base(PYTHON)})


@pytest.fixture(scope="module")
def inside(engine: Buildah, image: str) -> dict[str, Any]:
    return json.loads(engine.run(image, "python3", "-c", LOOK))


def test_hub_and_worker_run_in_it(inside: dict[str, Any]) -> None:
    assert inside["version"] == __version__


def test_it_is_nobodys_root_and_has_no_shell_before_it(engine: Buildah, image: str, inside: dict[str, Any]) -> None:
    config = json.loads(engine.settings(image))["config"]
    assert config["User"] == "10001:10001", "as a number, by which Kubernetes sees that it is not root"
    assert inside["user"] == [10001, 10001]
    assert config["Entrypoint"] == ["python3", "-m", "visionfleet"], "signals reach it"


def test_its_user_can_change_nothing_in_it(inside: dict[str, Any]) -> None:
    assert inside["writable"] == []


def test_what_only_pulumi_and_ansible_need_is_not_in_it(inside: dict[str, Any]) -> None:
    assert {"psycopg", "kubernetes"} <= set(inside["packages"])
    assert not {"pulumi", "pulumi_aws", "ansible", "pip", "pytest"} & set(inside["packages"])
