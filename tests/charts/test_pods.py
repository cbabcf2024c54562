"""What the pods that the chart makes have in common, and what those of each component need."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.charts.objects import containers, find, of_kind, pods, secrets, server, variables
from tests.charts.values import CPU, everything, key, serving
from tests.engines.helm import Object, rendered
from visionfleet.projections.nodes import GPU_TAINT

pytestmark = pytest.mark.engine

# how a tag or a digest ends a reference
PINNED = re.compile(r"^[a-z0-9./-]+(:[0-9]+\.[0-9]+\.[0-9]+|@sha256:[0-9a-f]{64})$")
# labels that another version of the chart changes; a selector cannot be changed, and a pod's label replaces the pod
CHANGING = {"helm.sh/chart", "app.kubernetes.io/version", "app.kubernetes.io/managed-by"}


def test_every_container_asks_for_something_and_may_not_take_everything(objects: list[Object]) -> None:
    for name, template in pods(objects):
        for container in containers(template):
            resources = container["resources"]
            assert {"cpu", "memory"} <= resources["requests"].keys(), name
            assert "memory" in resources["limits"], name


def test_every_container_is_locked_down(objects: list[Object]) -> None:
    for name, template in pods(objects):
        security = template["spec"]["securityContext"]
        assert (security["runAsNonRoot"], security["runAsUser"]) == (True, 10001), name
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in containers(template):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name


def test_images_are_pinned(objects: list[Object]) -> None:
    for name, template in pods(objects):
        for container in containers(template):
            assert PINNED.match(container["image"]), name


def test_an_image_is_pulled_by_its_digest_where_there_is_one() -> None:
    digest = f"sha256:{'a' * 64}"
    made = rendered(serving(image={**CPU, "digest": digest}))
    assert server(made, "acme-serving-cpu")["image"] == f"{CPU['repository']}@{digest}"


def test_no_pod_but_the_hubs_has_a_token_of_the_cluster(objects: list[Object]) -> None:
    holders = {name for name, template in pods(objects) if template["spec"]["automountServiceAccountToken"]}
    assert holders == {"Deployment acme-hub"}
    assert not any(account["automountServiceAccountToken"] for account in of_kind(objects, "ServiceAccount"))


def test_a_hub_that_makes_no_jobs_has_no_token_either() -> None:
    values = everything()
    made = rendered({**values, "hub": {**values["hub"], "executor": False}})
    assert not any(template["spec"]["automountServiceAccountToken"] for _, template in pods(made))
    assert of_kind(made, "Role") == []


def test_selectors_find_their_pods_and_hold_nothing_that_changes(objects: list[Object]) -> None:
    for deployment in of_kind(objects, "Deployment"):
        selector = deployment["spec"]["selector"]["matchLabels"]
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        assert selector.items() <= labels.items()
        assert not CHANGING & labels.keys(), "a new version of the chart alone starts no pod again"


def test_no_pod_is_found_by_another_deployments_selector(objects: list[Object]) -> None:
    found = [
        (deployment["metadata"]["name"], name)
        for deployment in of_kind(objects, "Deployment")
        for name, template in pods(objects)
        if deployment["spec"]["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    ]
    assert all(name == f"Deployment {deployment}" for deployment, name in found)


def test_secrets_are_named_and_never_written(objects: list[Object]) -> None:
    assert of_kind(objects, "Secret") == []
    [hub] = find(objects, "Deployment", "acme-hub")["spec"]["template"]["spec"]["containers"]
    assert secrets(hub) == {name: ("acme-hub", name) for name in ("DATABASE_URL", "S3_ID", "S3_KEY", "SIGNING_KEY")}
    assert secrets(server(objects, "acme-serving-busy")) == {"ROBOFLOW_API_KEY": ("acme-keys", "server")}


def test_the_hub_listens_where_pods_have_addresses_of_ipv6_alone(objects: list[Object]) -> None:
    [hub] = find(objects, "Deployment", "acme-hub")["spec"]["template"]["spec"]["containers"]
    assert hub["args"][hub["args"].index("--host") + 1] == "::"


def test_who_fetches_the_folder_knows_the_storage_and_no_other_secret(objects: list[Object]) -> None:
    for _, template in pods(objects):
        for container in containers(template):
            if container["name"] != "fetch":
                continue
            assert {key for _, key in secrets(container).values()} == {"S3_ID", "S3_KEY"}


def test_tables_are_brought_up_to_date_before_keys_and_both_before_the_hub(objects: list[Object]) -> None:
    job = find(objects, "Job", "acme-hub-migration")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    spec = job["spec"]["template"]["spec"]
    order = [" ".join(each["args"][:3]) for each in (*spec["initContainers"], *spec["containers"])]
    assert order == ["hub fetch --digest", "hub migrate --file", "hub keys import", "hub keys import"]
    account = find(objects, "ServiceAccount", spec["serviceAccountName"])["metadata"]["annotations"]
    assert account["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert int(account["helm.sh/hook-weight"]) < 0, "it is there before the Job"


def test_another_folder_starts_the_hub_again() -> None:
    def template(digit: str) -> Any:
        values = everything()
        digest = f"sha256:{digit * 64}"
        made = rendered({**values, "deployment": {**values["deployment"], "digest": digest}})
        return find(made, "Deployment", "acme-hub")["spec"]["template"]

    assert template("1") != template("2")
    assert template("1") == template("1")


def test_what_is_beside_the_hub_is_beside_its_migration_too() -> None:
    values = everything()
    mount: Object = {"name": "authority", "mountPath": "/etc/authority"}
    volume: Object = {"name": "authority", "configMap": {}}
    extra: Object = {"env": [{"name": "SSL_CERT_FILE", "value": "/etc/authority/ca.crt"}]}
    extra |= {"volumes": [volume], "volumeMounts": [mount], "podAnnotations": {"sidecar.istio.io/inject": "false"}}
    made = rendered({**values, "hub": {**values["hub"], "extra": extra}})
    for kind, name in (("Deployment", "acme-hub"), ("Job", "acme-hub-migration")):
        template = find(made, kind, name)["spec"]["template"]
        assert volume in template["spec"]["volumes"]
        assert template["metadata"]["annotations"]["sidecar.istio.io/inject"] == "false"
        for container in containers(template):
            assert mount in container["volumeMounts"]
            assert variables(container)["SSL_CERT_FILE"] == "/etc/authority/ca.crt"


def test_probes_ask_paths_of_their_own(objects: list[Object]) -> None:
    asked = server(objects, "acme-serving-busy")
    probes = {name: asked[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "readiness", "liveness")}
    assert probes == {"startup": "/readiness", "readiness": "/readiness", "liveness": "/healthz"}


def test_a_server_has_the_time_to_start_that_its_pool_says() -> None:
    probe = server(rendered(serving(startSeconds=900)), "acme-serving-cpu")["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] == 900


def test_an_update_has_time_for_a_node_that_comes_first_and_pulls_the_image() -> None:
    [deployment] = of_kind(rendered(serving(startSeconds=900)), "Deployment")
    assert deployment["spec"]["progressDeadlineSeconds"] == 900 + 900


def test_models_are_waited_for_and_loaded_before_a_pod_is_ready(objects: list[Object]) -> None:
    said = variables(server(objects, "acme-serving-busy"))
    assert (said["PRELOAD_MODELS"], said["MAX_ACTIVE_MODELS"]) == ("screws/3,pallets/1", "8")
    [waiting] = find(objects, "Deployment", "acme-serving-busy")["spec"]["template"]["spec"]["initContainers"]
    assert variables(waiting) == said


def test_who_waits_for_models_trusts_whom_the_server_trusts() -> None:
    """An authority of one's own is a variable and a mounted file."""
    mount: Object = {"name": "authority", "mountPath": "/etc/authority"}
    volume: Object = {"name": "authority", "configMap": {}}
    extra: Object = {"env": [{"name": "SSL_CERT_FILE", "value": "/etc/authority/ca.crt"}]}
    values = serving(models=["a/1"], extra={**extra, "volumes": [volume], "volumeMounts": [mount]})
    values["serving"]["key"] = key("server")
    template = find(rendered(values), "Deployment", "acme-serving-cpu")["spec"]["template"]
    for container in containers(template):
        assert mount in container["volumeMounts"], container["name"]
        assert variables(container)["SSL_CERT_FILE"] == "/etc/authority/ca.crt"


def test_a_pool_of_many_models_keeps_them_all_loaded() -> None:
    values = serving(models=[f"parts/{number}" for number in range(1, 13)])
    values["serving"]["key"] = key("server")
    assert variables(server(rendered(values), "acme-serving-cpu"))["MAX_ACTIVE_MODELS"] == "12"


def test_a_server_answers_keys_of_its_workspace_alone(objects: list[Object]) -> None:
    for name, template in pods(objects):
        for container in containers(template):
            if container["name"] == "server":
                assert variables(container)["DEDICATED_DEPLOYMENT_WORKSPACE_URL"] == "acme", name


def test_the_environment_of_the_values_wins() -> None:
    said = variables(server(rendered(serving(environment={"PORT": "9001", "HOST": "::"})), "acme-serving-cpu"))
    assert (said["HOST"], said["API_BASE_URL"]) == ("::", "https://hub.acme.example")


def test_an_ending_pod_has_time_for_what_it_has_begun() -> None:
    template = find(rendered(serving(drainSeconds=45)), "Deployment", "acme-serving-cpu")["spec"]["template"]["spec"]
    waits = template["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert template["terminationGracePeriodSeconds"] > waits + 45


def test_gpu_pods_find_their_nodes(objects: list[Object]) -> None:
    spec = find(objects, "Deployment", "acme-serving-gpu")["spec"]["template"]["spec"]
    assert spec["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-L4"}
    assert spec["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"


def test_gpu_pods_put_up_with_the_taint_of_gpu_nodes_and_others_do_not(objects: list[Object]) -> None:
    toleration = {"key": GPU_TAINT.key, "operator": "Exists", "effect": GPU_TAINT.effect}
    holders = {name for name, template in pods(objects) if toleration in template["spec"].get("tolerations", [])}
    assert holders == {
        "Deployment acme-serving-gpu",
        "Deployment acme-serving-gpu-canary",
        "PodTemplate acme-worker-gpu",
    }


def test_a_worker_has_its_server_beside_it_for_as_long_as_it_works(objects: list[Object]) -> None:
    for name in ("acme-worker-cpu", "acme-worker-gpu"):
        spec = find(objects, "PodTemplate", name)["template"]["spec"]
        [beside] = spec["initContainers"]
        assert (beside["name"], beside["restartPolicy"]) == ("server", "Always")
        [worker] = spec["containers"]
        assert "--once" in worker["args"]


def test_standing_workers_are_no_workers_of_jobs(objects: list[Object]) -> None:
    standing = find(objects, "Deployment", "acme-worker-cpu")["spec"]
    assert "--once" not in standing["template"]["spec"]["containers"][0]["args"]
    assert standing["template"]["metadata"]["labels"]["app.kubernetes.io/component"] == "standing-worker"
    assert standing["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}, "their GPU may be the last"


def test_annotations_of_the_values_are_on_workers_too() -> None:
    """Without one, a mesh's sidecar would keep a Job's pods from ending."""
    values = everything()
    worker = values["worker"]
    worker["extra"] = {"podAnnotations": {"sidecar.istio.io/inject": "false"}}
    worker["templates"]["cpu"]["server"]["extra"] = {"podAnnotations": {"team": "vision"}}
    annotations = {
        name: template["metadata"].get("annotations") for name, template in pods(rendered(values)) if "worker" in name
    }
    both = {"sidecar.istio.io/inject": "false", "team": "vision"}
    assert annotations == {
        "PodTemplate acme-worker-cpu": both,
        "Deployment acme-worker-cpu": both,
        "PodTemplate acme-worker-gpu": {"sidecar.istio.io/inject": "false"},
    }


def test_a_cache_outlives_pods(objects: list[Object]) -> None:
    for pool in ("gpu", "busy"):
        volumes = find(objects, "Deployment", f"acme-serving-{pool}")["spec"]["template"]["spec"]["volumes"]
        cache = next(volume for volume in volumes if volume["name"] == "cache")
        assert cache["persistentVolumeClaim"]["claimName"] == f"acme-serving-{pool}-cache"
    volume = find(objects, "PersistentVolume", "visionfleet-acme-serving-gpu-cache")["spec"]
    claim = find(objects, "PersistentVolumeClaim", "acme-serving-gpu-cache")
    assert volume["hostPath"]["path"] == "/var/lib/visionfleet/models"
    assert volume["claimRef"] == {"name": claim["metadata"]["name"], "namespace": claim["metadata"]["namespace"]}
    assert claim["spec"]["volumeName"] == "visionfleet-acme-serving-gpu-cache"
