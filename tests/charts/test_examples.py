"""The examples on the real Helm: their values as `visionfleet render helm` prints them, and which objects they make."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from typer.testing import CliRunner

from tests.engines.helm import CHART, Object, helm, rendered
from tests.projections.serverless import DIGEST, SERVERLESS, right_part
from visionfleet.cli import app
from visionfleet.projections.helm import helm_values, helm_yaml
from visionfleet.projections.pods import placement

pytestmark = pytest.mark.engine

EXAMPLES = Path(__file__).parents[2] / "examples"
OBJECTS = {
    "cluster": {
        ("Deployment", "vision-hub"),
        ("Deployment", "vision-serving-cpu"),
        ("HorizontalPodAutoscaler", "vision-serving-cpu"),
        ("Job", "vision-hub-migration"),
        ("NetworkPolicy", "vision-hub"),
        ("NetworkPolicy", "vision-migration"),
        ("NetworkPolicy", "vision-serving"),
        ("NetworkPolicy", "vision-standing-worker"),
        ("NetworkPolicy", "vision-worker"),
        ("PodDisruptionBudget", "vision-hub"),
        ("PodDisruptionBudget", "vision-serving-cpu"),
        ("PodTemplate", "vision-worker-cpu"),
        ("Role", "vision-hub"),
        ("RoleBinding", "vision-hub"),
        ("Service", "vision-hub"),
        ("Service", "vision-serving-cpu"),
        ("ServiceAccount", "vision-hub"),
        ("ServiceAccount", "vision-hub-migration"),
        ("ServiceAccount", "vision-worker"),
        ("ValidatingAdmissionPolicy", "visionfleet-vision-hub"),
        ("ValidatingAdmissionPolicyBinding", "visionfleet-vision-hub"),
    },
    "acme": {
        ("Deployment", "acme-vision-hub"),
        ("Deployment", "acme-vision-serving-office"),
        ("Deployment", "acme-vision-serving-pallets"),
        ("Deployment", "acme-vision-serving-rare"),
        ("Deployment", "acme-vision-serving-screws"),
        ("Deployment", "acme-vision-serving-screws-canary"),
        ("EC2NodeClass", "cpu"),
        ("EC2NodeClass", "l4"),
        ("EC2NodeClass", "t4-spot"),
        ("HTTPRoute", "acme-vision-serving-screws"),
        ("HTTPScaledObject", "acme-vision-serving-rare-wake"),
        ("Ingress", "acme-vision-hub"),
        ("Ingress", "acme-vision-serving-pallets"),
        ("Job", "acme-vision-hub-migration"),
        ("NetworkPolicy", "acme-vision-hub"),
        ("NetworkPolicy", "acme-vision-migration"),
        ("NetworkPolicy", "acme-vision-serving"),
        ("NetworkPolicy", "acme-vision-standing-worker"),
        ("NetworkPolicy", "acme-vision-worker"),
        ("NodePool", "cpu"),
        ("NodePool", "l4"),
        ("NodePool", "t4-spot"),
        ("PersistentVolume", "visionfleet-acme-vision-serving-screws-cache"),
        ("PersistentVolumeClaim", "acme-vision-serving-pallets-cache"),
        ("PersistentVolumeClaim", "acme-vision-serving-screws-cache"),
        ("PodDisruptionBudget", "acme-vision-hub"),
        ("PodDisruptionBudget", "acme-vision-serving-office"),
        ("PodDisruptionBudget", "acme-vision-serving-pallets"),
        ("PodDisruptionBudget", "acme-vision-serving-screws"),
        ("PodTemplate", "acme-vision-worker-cpu"),
        ("PodTemplate", "acme-vision-worker-gpu"),
        ("Role", "acme-vision-hub"),
        ("RoleBinding", "acme-vision-hub"),
        ("ScaledObject", "acme-vision-serving-office"),
        ("ScaledObject", "acme-vision-serving-pallets"),
        ("ScaledObject", "acme-vision-serving-screws"),
        ("Service", "acme-vision-hub"),
        ("Service", "acme-vision-serving-office"),
        ("Service", "acme-vision-serving-pallets"),
        ("Service", "acme-vision-serving-rare"),
        ("Service", "acme-vision-serving-rare-wake"),
        ("Service", "acme-vision-serving-screws"),
        ("Service", "acme-vision-serving-screws-canary"),
        ("ServiceAccount", "hub"),
        ("ServiceAccount", "hub-migration"),
        ("ServiceAccount", "worker"),
        ("ServiceMonitor", "acme-vision-hub"),
        ("ServiceMonitor", "acme-vision-serving"),
        ("ValidatingAdmissionPolicy", "visionfleet-acme-vision-hub"),
        ("ValidatingAdmissionPolicyBinding", "visionfleet-acme-vision-hub"),
    },
}


def values_of(example: str) -> str:
    result = CliRunner().invoke(app, ["render", "helm", str(EXAMPLES / example / "visionfleet.yaml")])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize("example", OBJECTS)
def test_lint_has_nothing_to_say(example: str) -> None:
    done = helm("lint", "--strict", str(CHART), values=values_of(example))

    assert (done.returncode, "[ERROR]" in done.stdout, "[WARNING]" in done.stdout) == (0, False, False), done.stdout


@pytest.mark.parametrize("example", OBJECTS)
def test_the_objects_of_the_example(example: str) -> None:
    objects = rendered(values_of(example))

    assert {(found["kind"], found["metadata"]["name"]) for found in objects} == OBJECTS[example]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SERVERLESS)
def test_whatever_file_is_right_the_chart_makes_its_pools(tmp_path: Path, serverless: dict[str, Any]) -> None:
    config = right_part(tmp_path, serverless)
    objects = rendered(helm_yaml(helm_values(config, DIGEST)), "any")

    deployments = {found["metadata"]["name"] for found in objects if found["kind"] == "Deployment"}
    assert {f"{config.name}-serving-{pool.name}" for pool in config.serverless.serving} <= deployments
    for pool in config.serverless.serving:
        (deployment,) = (
            found
            for found in objects
            if (found["kind"], found["metadata"]["name"]) == ("Deployment", f"{config.name}-serving-{pool.name}")
        )
        # what scales a pool owns the number of its servers
        assert ("replicas" in deployment["spec"]) is (pool.scaling is None)
        tolerations = deployment["spec"]["template"]["spec"].get("tolerations", [])
        assert all(toleration in tolerations for toleration in placement(pool).tolerations)
        environment = {entry["name"]: entry.get("value") for entry in environment_of(deployment)}
        assert environment["API_BASE_URL"] == f"http://{config.name}-hub:9500"


def environment_of(deployment: Object) -> list[dict[str, Any]]:
    containers = deployment["spec"]["template"]["spec"]["containers"]
    return next(container["env"] for container in containers if container["name"] == "server")
