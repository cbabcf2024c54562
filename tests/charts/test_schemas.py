"""Whether a cluster takes what the chart makes: by the schemas that it publishes, and by a trial on its API server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.charts.objects import FOREIGN, group, pods
from tests.charts.values import everything, serving
from tests.engines.cluster import Cluster
from tests.engines.crds import complaints as complaints_of
from tests.engines.helm import NAMESPACE, Object, rendered
from tests.engines.kubeconform import complaints
from visionfleet.cli import app

pytestmark = pytest.mark.engine

EXAMPLES = Path(__file__).parents[2] / "examples"


def of_example(name: str) -> str:
    result = CliRunner().invoke(app, ["render", "helm", str(EXAMPLES / name / "visionfleet.yaml")])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module", params=["defaults", "everything", "serving", "acme", "cluster"])
def made(request: pytest.FixtureRequest) -> list[Object]:
    known: dict[str, dict[str, Any]] = {"defaults": {}, "everything": everything(), "serving": serving()}
    return rendered(known[request.param] if request.param in known else of_example(request.param))


def test_kubeconform_has_nothing_to_say(made: list[Object], schemas: Path) -> None:
    assert complaints(made, schemas) == []


def test_the_definitions_of_other_projects_have_nothing_to_say(made: list[Object]) -> None:
    foreign = [each for each in made if group(each) in FOREIGN]
    assert [said for each in foreign for said in complaints_of(FOREIGN[group(each)], each)] == []


def test_an_api_server_takes_the_objects(made: list[Object], knowing_cluster: Cluster) -> None:
    """With the rules that no schema has: those of Kubernetes' own code, and those in CEL."""
    for namespace in (NAMESPACE, "keda"):
        knowing_cluster.namespace(namespace)
    if made:
        dry_run(knowing_cluster, "apply", *made)


def test_an_api_server_takes_the_pods_where_restricted_is_enforced(made: list[Object], real_cluster: Cluster) -> None:
    real_cluster.namespace(NAMESPACE)
    tried = list(as_pods(made))
    if tried:
        dry_run(real_cluster, "create", *tried)


def test_a_typo_is_an_error_of_kubeconform(objects: list[Object], schemas: Path) -> None:
    kinds = ("Service", "Deployment", "ScaledObject", "HTTPRoute")
    chosen = [each for each in objects if each["kind"] in kinds]
    mistaken = [{**each, "spec": {**each["spec"], "replica": 3}} for each in chosen]
    assert mistaken
    assert len(complaints(mistaken, schemas)) == len(mistaken)


def test_a_pod_that_is_not_restricted_is_refused_by_the_same_trial(
    objects: list[Object], real_cluster: Cluster
) -> None:
    real_cluster.namespace(NAMESPACE)
    pod = next(as_pods(objects))
    pod["spec"] = {**pod["spec"], "securityContext": {}}
    refused = real_cluster.run_kubectl("create", "--dry-run=server", "--filename=-", input=json.dumps(pod))
    assert "violates PodSecurity" in refused.stderr


def dry_run(cluster: Cluster, verb: str, *objects: Object) -> None:
    items = {"apiVersion": "v1", "kind": "List", "items": objects}
    cluster.kubectl(verb, "--dry-run=server", "--filename=-", input=json.dumps(items))


def as_pods(objects: list[Object]) -> Iterator[Object]:
    for number, (_, template) in enumerate(pods(objects)):
        # the accounts are part of what is tried, so they are not there
        spec = {**template["spec"], "serviceAccountName": "default"}
        spec.pop("priorityClassName", None)
        metadata = {"name": f"tried-{number}", "namespace": NAMESPACE}
        yield {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
