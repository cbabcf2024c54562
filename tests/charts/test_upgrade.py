"""From the previous version of the chart to this one, and back, by Helm on a real API server.

`previous/` holds what the previous version makes of everything that its values can say, an object a line. Whoever
releases a version renders it anew:

    python -m tests.charts.test_upgrade
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.charts.objects import find, names, of_kind
from tests.charts.values import everything
from tests.engines.cluster import Cluster
from tests.engines.helm import CHART, Object, helm, rendered

pytestmark = pytest.mark.engine

NAMESPACE = "upgrades"
[SNAPSHOT] = Path(__file__).with_name("previous").glob("*.json")
# what an API server refuses to change
IMMUTABLE = {
    "Deployment": ["selector"],
    "PersistentVolume": ["claimRef", "hostPath"],
    "PersistentVolumeClaim": ["accessModes", "storageClassName", "volumeName"],
}


@pytest.fixture(scope="module")
def before() -> list[Object]:
    return [json.loads(line) for line in SNAPSHOT.read_text().splitlines()]


@pytest.fixture
def previous(tmp_path: Path) -> Path:
    """The previous version as a chart with nothing left to fill in."""
    templates = tmp_path / "visionfleet" / "templates"
    templates.mkdir(parents=True)
    about = {"apiVersion": "v2", "name": "visionfleet", "version": SNAPSHOT.stem}
    (templates.parent / "Chart.yaml").write_text(yaml.safe_dump(about))
    (templates / "all.yaml").write_text(SNAPSHOT.read_text().replace("\n", "\n---\n"))
    return templates.parent


@pytest.mark.parametrize("kind", IMMUTABLE)
def test_what_a_cluster_never_changes_is_as_it_was(kind: str, before: list[Object]) -> None:
    now = rendered(everything(), namespace=NAMESPACE)
    for old in of_kind(before, kind):
        new = find(now, kind, old["metadata"]["name"])
        for field in IMMUTABLE[kind]:
            assert new["spec"].get(field) == old["spec"].get(field), f"{kind} {old['metadata']['name']}: {field}"


def test_callers_find_what_they_found(before: list[Object]) -> None:
    services = names(of_kind(before, "Service"))
    assert services <= names(rendered(everything(), namespace=NAMESPACE))


def test_helm_upgrades_the_previous_version_and_goes_back(knowing_cluster: Cluster, previous: Path) -> None:
    """No pod needs to run for that, and no hook."""
    for name in (NAMESPACE, "keda"):
        knowing_cluster.namespace(name)
    for command, values in (
        (("install", "acme", str(previous)), None),
        (("upgrade", "acme", str(CHART)), everything()),
        (("rollback", "acme"), None),
        (("upgrade", "acme", str(CHART)), everything()),
        (("uninstall", "acme"), None),
    ):
        arguments = (*command, "--no-hooks", f"--namespace={NAMESPACE}")
        done = helm(*arguments, values=values, environment=knowing_cluster.environment)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


if __name__ == "__main__":
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["version"]
    text = "".join(f"{json.dumps(made)}\n" for made in rendered(everything(), namespace=NAMESPACE))
    SNAPSHOT.rename(SNAPSHOT.with_stem(version)).write_text(text)
