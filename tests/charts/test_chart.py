"""What the chart makes of values: which objects, and what of them its users rely on."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.charts.values import CPU, everything, serving
from tests.engines.cluster import Cluster
from tests.engines.helm import CHART, NAMESPACE, Object, helm, rendered

pytestmark = pytest.mark.engine

EVERYTHING = {
    ("Deployment", "acme-hub"),
    ("Deployment", "acme-serving-busy"),
    ("Deployment", "acme-serving-gpu"),
    ("Deployment", "acme-serving-gpu-canary"),
    ("Deployment", "acme-serving-plain"),
    ("Deployment", "acme-serving-plain-canary"),
    ("Deployment", "acme-serving-rare"),
    ("Deployment", "acme-worker-cpu"),
    ("HTTPRoute", "acme-serving-gpu"),
    ("HTTPScaledObject", "acme-serving-rare"),
    ("HorizontalPodAutoscaler", "acme-serving-plain"),
    ("Ingress", "acme-hub"),
    ("Job", "acme-hub-migration"),
    ("NetworkPolicy", "acme-hub"),
    ("NetworkPolicy", "acme-serving"),
    ("NetworkPolicy", "acme-standing-worker"),
    ("NetworkPolicy", "acme-worker"),
    ("PersistentVolume", "visionfleet-acme-serving-gpu-cache"),
    ("PersistentVolume", "visionfleet-acme-worker-gpu-cache"),
    ("PersistentVolumeClaim", "acme-serving-busy-cache"),
    ("PersistentVolumeClaim", "acme-serving-gpu-cache"),
    ("PersistentVolumeClaim", "acme-worker-gpu-cache"),
    ("PodDisruptionBudget", "acme-hub"),
    ("PodDisruptionBudget", "acme-serving-busy"),
    ("PodDisruptionBudget", "acme-serving-gpu"),
    ("PodDisruptionBudget", "acme-serving-plain"),
    ("PodDisruptionBudget", "acme-serving-rare"),
    ("PodTemplate", "acme-worker-cpu"),
    ("PodTemplate", "acme-worker-gpu"),
    ("Role", "acme-hub"),
    ("RoleBinding", "acme-hub"),
    ("ScaledObject", "acme-serving-busy"),
    ("ScaledObject", "acme-serving-gpu"),
    ("Service", "acme-hub"),
    ("Service", "acme-serving-busy"),
    ("Service", "acme-serving-gpu"),
    ("Service", "acme-serving-gpu-canary"),
    ("Service", "acme-serving-plain"),
    ("Service", "acme-serving-rare"),
    ("ServiceAccount", "acme-hub"),
    ("ServiceAccount", "acme-worker"),
    ("ServiceMonitor", "acme-hub"),
    ("ServiceMonitor", "acme-serving"),
    ("ValidatingAdmissionPolicy", "visionfleet-acme-hub"),
    ("ValidatingAdmissionPolicyBinding", "visionfleet-acme-hub"),
}
SERVING = {
    ("Deployment", "acme-serving-cpu"),
    ("NetworkPolicy", "acme-serving"),
    ("NetworkPolicy", "acme-standing-worker"),
    ("NetworkPolicy", "acme-worker"),
    ("Service", "acme-serving-cpu"),
}


@pytest.fixture(scope="module")
def objects() -> list[Object]:
    return rendered(everything())


def find(objects: list[Object], kind: str, name: str) -> Object:
    return next(each for each in objects if (each["kind"], each["metadata"]["name"]) == (kind, name))


def pods(objects: list[Object]) -> Iterator[tuple[str, Object]]:
    """Name and template of whatever makes pods."""
    for each in objects:
        if each["kind"] in ("Deployment", "Job"):
            yield each["metadata"]["name"], each["spec"]["template"]
        if each["kind"] == "PodTemplate":
            yield each["metadata"]["name"], each["template"]


def containers(template: Object) -> list[Object]:
    return [*template["spec"].get("initContainers", []), *template["spec"]["containers"]]


def names(objects: list[Object]) -> set[tuple[str, str]]:
    return {(each["kind"], each["metadata"]["name"]) for each in objects}


def test_the_objects_with_everything_on(objects: list[Object]) -> None:
    assert names(objects) == EVERYTHING
    assert len(objects) == len(EVERYTHING), "no object is there twice"


def test_the_objects_of_a_single_pool_that_asks_a_hub_elsewhere() -> None:
    assert names(rendered(serving())) == SERVING


@pytest.mark.parametrize("values", [{}, everything(), serving()], ids=["defaults", "everything", "serving"])
def test_lint_has_nothing_to_say(values: dict[str, Any]) -> None:
    done = helm("lint", "--strict", str(CHART), values=values)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("release", ["everything", "serving"])
def test_a_cluster_takes_the_objects_and_restricted_pods(
    real_cluster: Cluster, release: str, objects: list[Object], tmp_path: Path
) -> None:
    """The API server of a namespace that enforces `restricted`; the kinds of other projects are not known to it."""
    real_cluster.namespace(NAMESPACE)
    made = objects if release == "everything" else rendered(serving())
    own = [each for each in made if each["apiVersion"].split("/")[0] not in FOREIGN]
    items = {"apiVersion": "v1", "kind": "List", "items": own}
    real_cluster.kubectl("apply", "--dry-run=server", "--filename=-", input=json.dumps(items))
    for name, template in pods(made):
        spec = {**template["spec"], "serviceAccountName": "default"}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec}
        real_cluster.kubectl("create", "--dry-run=server", "--filename=-", input=json.dumps(pod))


FOREIGN = {"keda.sh", "http.keda.sh", "gateway.networking.k8s.io", "monitoring.coreos.com"}


def test_every_container_asks_for_something_and_may_not_take_everything(objects: list[Object]) -> None:
    for name, template in pods(objects):
        for container in containers(template):
            resources = container["resources"]
            assert {"cpu", "memory"} <= resources["requests"].keys(), name
            assert "memory" in resources["limits"], name
            assert container["securityContext"]["readOnlyRootFilesystem"], name
            assert not container["image"].endswith((":", ":latest")), name


def test_no_pod_but_the_hubs_has_a_token_of_the_cluster(objects: list[Object]) -> None:
    holders = {name for name, template in pods(objects) if template["spec"]["automountServiceAccountToken"]}
    assert holders == {"acme-hub"}


def test_where_a_scaler_owns_the_count_the_deployment_has_none(objects: list[Object]) -> None:
    for pool in ("gpu", "busy", "rare", "plain"):
        assert "replicas" not in find(objects, "Deployment", f"acme-serving-{pool}")["spec"]
    [alone] = [each for each in rendered(serving(scaling={"min": 2, "max": 2})) if each["kind"] == "Deployment"]
    assert alone["spec"]["replicas"] == 2


def test_an_ending_pod_has_time_for_what_it_has_begun(objects: list[Object]) -> None:
    template = find(objects, "Deployment", "acme-serving-busy")["spec"]["template"]["spec"]
    waits = template["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert template["terminationGracePeriodSeconds"] > waits + 30  # drainSeconds


def test_with_no_gpu_spare_a_new_pod_waits_for_the_old_ones_end(objects: list[Object]) -> None:
    gpu = find(objects, "Deployment", "acme-serving-gpu")["spec"]["strategy"]["rollingUpdate"]
    cpu = find(objects, "Deployment", "acme-serving-busy")["spec"]["strategy"]["rollingUpdate"]
    assert (gpu, cpu) == ({"maxSurge": 0, "maxUnavailable": 1}, {"maxSurge": 1, "maxUnavailable": 0})


def test_a_gateway_splits_requests_by_weight(objects: list[Object]) -> None:
    [rule] = find(objects, "HTTPRoute", "acme-serving-gpu")["spec"]["rules"]
    shares = {each["name"]: each["weight"] for each in rule["backendRefs"]}
    assert shares == {"acme-serving-gpu": 90, "acme-serving-gpu-canary": 10}
    for name, track in (("acme-serving-gpu", "stable"), ("acme-serving-gpu-canary", "canary")):
        assert find(objects, "Service", name)["spec"]["selector"]["visionfleet.io/track"] == track


@pytest.mark.parametrize(("fewest", "weight", "replicas"), [(2, 30, 1), (8, 20, 2), (9, 10, 1), (1, 1, 1), (3, 75, 9)])
def test_without_a_gateway_a_canary_has_the_share_of_its_replicas(fewest: int, weight: int, replicas: int) -> None:
    canary = {"image": {**CPU, "tag": "1.8.4"}, "weight": weight}
    made = rendered(serving(scaling={"min": fewest, "max": fewest}, canary=canary))
    assert find(made, "Deployment", "acme-serving-cpu-canary")["spec"]["replicas"] == replicas
    assert "visionfleet.io/track" not in find(made, "Service", "acme-serving-cpu")["spec"]["selector"]


def test_models_are_loaded_before_a_pod_is_ready(objects: list[Object]) -> None:
    [server] = find(objects, "Deployment", "acme-serving-busy")["spec"]["template"]["spec"]["containers"]
    environment = {each["name"]: each.get("value") for each in server["env"]}
    assert environment["PRELOAD_MODELS"] == "screws/3,pallets/1"
    probes = {name: server[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "readiness", "liveness")}
    assert probes == {"startup": "/readiness", "readiness": "/readiness", "liveness": "/healthz"}


def test_gpu_pods_find_their_nodes(objects: list[Object]) -> None:
    spec = find(objects, "Deployment", "acme-serving-gpu")["spec"]["template"]["spec"]
    assert spec["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-L4"}
    assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in spec["tolerations"]
    assert spec["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"


def test_images_are_pulled_by_digest_where_there_is_one() -> None:
    digest = f"sha256:{'a' * 64}"
    [made] = [each for each in rendered(serving(image={**CPU, "digest": digest})) if each["kind"] == "Deployment"]
    assert made["spec"]["template"]["spec"]["containers"][0]["image"] == f"{CPU['repository']}@{digest}"


def test_an_upload_has_its_limit_at_the_ingress(objects: list[Object]) -> None:
    annotations = find(objects, "Ingress", "acme-hub")["metadata"]["annotations"]
    assert annotations["nginx.ingress.kubernetes.io/proxy-body-size"] == "20m"


def test_a_cold_start_has_half_as_much_time_again_as_it_was_measured_to_take() -> None:
    scaling = {"scaler": "keda", "min": 0, "max": 1, "metric": "requests", "coldStartSeconds": 60}
    [scaled] = [each for each in rendered(serving(scaling=scaling)) if each["kind"] == "HTTPScaledObject"]
    assert scaled["spec"]["timeouts"]["conditionWait"] == "90s"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"deployment": {"digest": ""}}, "deployment.digest is empty"),
        ({"hub": {"secretName": ""}}, "hub.secretName is empty"),
        ({"worker": {"enabled": False}}, "hub.executor is true, and worker.enabled is false"),
        ({"monitoring": {"prometheus": ""}}, "monitoring.prometheus is empty"),
        ({"serving": {"pools": {"rare": {"scaling": {"scaler": "hpa"}}}}}, "only KEDA"),
        ({"serving": {"pools": {"gpu": {"cache": {"path": ""}}}}}, "cache.kind is node, and its path is empty"),
        ({"serving": {"pools": {"gpu": {"exposure": {"gateway": {"host": ""}}}}}}, "gateway.host is empty"),
        ({"hub": {"replica": 3}}, "additional properties 'replica' not allowed"),
        ({"serving": {"pools": {"gpu": {"canary": {"weight": 100}}}}}, "maximum: got 100, want 99"),
    ],
)
def test_values_that_cannot_be_are_refused_with_their_place(change: dict[str, Any], said: str) -> None:
    done = helm("template", "acme", str(CHART), values=merged(everything(), change))
    assert done.returncode != 0
    assert said in done.stderr


def merged(values: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    made = copy.deepcopy(values)
    for name, value in change.items():
        made[name] = merged(made[name], value) if isinstance(value, dict) else value
    return made
