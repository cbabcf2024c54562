"""The inference servers of the chart's values, by what the file says of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.config.support import make_package, write_file
from visionfleet.config import DeploymentConfig, load
from visionfleet.projections.pods import placement, serving_pools, worker_templates

DIGEST = f"sha256:{'0' * 64}"
MODELS = "models:\n" + "".join(
    f"  - {{id: {name}/1, architecture: yolov8, package: ./demo}}\n" for name in ("bolts", "nuts")
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_package(tmp_path / "demo")
    return tmp_path


def config_of(folder: Path, serverless: str, top: str = "") -> DeploymentConfig:
    return load(write_file(folder, f"domain: vision.acme.example\n{MODELS}{top}serverless: {serverless}\n"))


def pool_of(folder: Path, pool: str, *, keda: bool = False, top: str = "") -> dict[str, Any]:
    scaler = "scaler: keda, prometheus: 'http://prometheus:9090', " if keda else ""
    config = config_of(folder, f"{{{scaler}serving: [{{name: a, {pool}}}]}}", top)
    return serving_pools(config)["a"].model_dump(mode="json", exclude_defaults=True)


def test_a_pool_that_says_nothing_serves_all_models_on_cpus(folder: Path) -> None:
    pool = pool_of(folder, "hardware: cpu")

    environment = pool.pop("environment")
    assert pool == {
        "image": {"repository": "roboflow/roboflow-inference-server-cpu", "tag": "1.8.3"},
        "models": ["bolts/1", "nuts/1"],
        "resources": {"requests": {"cpu": "1", "memory": "4Gi"}, "limits": {"memory": "4Gi"}},
    }
    assert environment["API_BASE_URL"] == environment["ROBOFLOW_API_HOST"] == "http://acme-vision-hub:9500"
    assert (environment["HOST"], environment["PORT"]) == ("0.0.0.0", "9001")
    assert (environment["HOME"], environment["MODEL_CACHE_DIR"]) == ("/tmp", "/cache")
    assert not [name for name in environment if "KEY" in name]


def test_servers_find_a_hub_that_is_elsewhere(folder: Path) -> None:
    config = config_of(
        folder,
        "{hub: {enabled: false}, serving: [{name: a, hardware: cpu}]}",
        "hub: {url: 'https://hub.acme.example/'}\n",
    )

    assert serving_pools(config)["a"].environment["API_BASE_URL"] == "https://hub.acme.example"


@pytest.mark.parametrize(
    ("pool", "top", "image"),
    [
        ("hardware: gpu", "", {"repository": "roboflow/roboflow-inference-server-gpu", "tag": "1.8.3"}),
        (
            "hardware: gpu, version: '1.9.0'",
            "inference: {registry: registry.acme.example/mirror}\n",
            {"repository": "registry.acme.example/mirror/roboflow/roboflow-inference-server-gpu", "tag": "1.9.0"},
        ),
        ("hardware: gpu", "inference: {image: acme/server}\n", {"repository": "acme/server", "tag": "1.8.3"}),
        (
            "hardware: cpu",
            f"inference: {{image: acme/server, digest: '{DIGEST}'}}\n",
            {"repository": "acme/server", "tag": "1.8.3", "digest": DIGEST},
        ),
        (
            "hardware: cpu, version: '1.9.0'",  # the digest is of another version
            f"inference: {{image: acme/server, digest: '{DIGEST}'}}\n",
            {"repository": "acme/server", "tag": "1.9.0"},
        ),
        (
            f"hardware: cpu, image: acme/own, digest: '{DIGEST}'",
            "",
            {"repository": "acme/own", "tag": "1.8.3", "digest": DIGEST},
        ),
    ],
)
def test_the_image_follows_the_hardware_unless_the_file_names_one(
    pool: str, top: str, image: dict[str, str], folder: Path
) -> None:
    assert pool_of(folder, pool, top=top)["image"] == image


def test_nodes_pull_from_a_registry_of_their_own(folder: Path) -> None:
    serverless = "{registry: 'registry:5000', serving: [{name: a, hardware: cpu}]}"
    config = config_of(folder, serverless, "inference: {registry: registry.acme.example}\n")

    assert serving_pools(config)["a"].image.repository == "registry:5000/roboflow/roboflow-inference-server-cpu"


def test_gpus_are_asked_for_by_number_and_product(folder: Path) -> None:
    pool = pool_of(
        folder,
        "hardware: gpu, product: NVIDIA-L4, gpus: 2, runtime_class: nvidia, cpus: 3.5, memory_gb: 12, "
        "node_labels: {zone: a}, priority_class: high",
    )

    assert pool["gpu"] == {"count": 2, "product": "NVIDIA-L4"}
    assert pool["resources"] == {"requests": {"cpu": "3500m", "memory": "12Gi"}, "limits": {"memory": "12Gi"}}
    assert pool["placement"] == {
        "node_selector": {"zone": "a"},
        "priority_class_name": "high",
        "runtime_class_name": "nvidia",
    }
    assert pool["rollout"] == "replace"


def test_pods_put_up_with_the_taints_that_the_file_names(folder: Path) -> None:
    taints = "tolerations: [{key: sku, value: gpu, effect: NoSchedule}, {key: spot, operator: Exists}]"
    config = config_of(
        folder,
        f"{{hub: {{{taints}}}, serving: [{{name: a, hardware: cpu, {taints}}}], workers: {{cpu: {{{taints}}}}}}}",
    )

    tolerations = [
        {"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"},
        {"key": "spot", "operator": "Exists"},
    ]
    assert placement(config.serverless.hub).tolerations == tolerations
    assert serving_pools(config)["a"].placement.tolerations == tolerations
    assert worker_templates(config)["cpu"].server.placement.tolerations == tolerations


def test_a_server_with_a_gpu_has_more_of_the_rest_as_well(folder: Path) -> None:
    resources = pool_of(folder, "hardware: gpu")["resources"]

    assert resources == {"requests": {"cpu": "2", "memory": "8Gi"}, "limits": {"memory": "8Gi"}}


@pytest.mark.parametrize(
    ("pool", "scaling"),
    [
        ("replicas: {min: 3}", {"min": 3, "max": 3}),
        (
            "replicas: {min: 2, max: 8}, scaling: {kind: requests, target: 4}, scale_down_seconds: 600",
            {"scaler": "keda", "min": 2, "max": 8, "metric": "requests", "target": 4, "scale_down_seconds": 600},
        ),
        (
            "replicas: {min: 0, max: 2}, scaling: {kind: requests, target: 4}, cold_start_seconds: 90",
            {"scaler": "keda", "min": 0, "max": 2, "metric": "requests", "target": 4, "cold_start_seconds": 90},
        ),
    ],
)
def test_what_scales_a_pool(pool: str, scaling: dict[str, Any], folder: Path) -> None:
    assert pool_of(folder, f"hardware: cpu, {pool}", keda=True)["scaling"] == scaling


def test_a_pool_may_serve_some_models_in_the_files_order(folder: Path) -> None:
    assert pool_of(folder, "hardware: cpu, models: [nuts/1]")["models"] == ["nuts/1"]
    assert pool_of(folder, "hardware: cpu, models: [nuts/1, bolts/1]")["models"] == ["bolts/1", "nuts/1"]
    assert "models" not in pool_of(folder, "hardware: cpu, models: []")


@pytest.mark.parametrize(
    ("cache", "values"),
    [
        ("{kind: node, path: /srv/models}", {"kind": "node", "path": "/srv/models"}),
        (
            "{kind: claim, size_gb: 50, storage_class: efs, claim: models}",
            {"kind": "claim", "size": "50Gi", "storage_class": "efs", "existing_claim": "models"},
        ),
        ("{kind: claim, access_mode: ReadWriteOnce}", {"kind": "claim", "access_mode": "ReadWriteOnce"}),
        ("{kind: none, size_gb: 5}", {"size": "5Gi"}),
    ],
)
def test_where_models_are_kept(cache: str, values: dict[str, str], folder: Path) -> None:
    assert pool_of(folder, f"hardware: cpu, cache: {cache}")["cache"] == values


def test_a_second_version_has_the_first_ones_repository(folder: Path) -> None:
    canary = "canary: {version: '1.9.0', weight: 20}"
    pool = pool_of(folder, f"hardware: cpu, image: acme/own, digest: '{DIGEST}', replicas: {{min: 5}}, {canary}")

    assert pool["canary"] == {"image": {"repository": "acme/own", "tag": "1.9.0"}, "weight": 20}


@pytest.mark.parametrize(
    ("expose", "exposure"),
    [
        (
            "{kind: ingress, class_name: nginx, tls_secret: tls, annotations: {a/b: c}}",
            {
                "ingress": {
                    "enabled": True,
                    "class_name": "nginx",
                    "host": "a.vision.acme.example",
                    "tls_secret": "tls",
                    "annotations": {"a/b": "c"},
                }
            },
        ),
        (
            "{kind: gateway, host: own.acme.example, gateway: {name: public, namespace: gateways, listener: https}}",
            {
                "gateway": {
                    "enabled": True,
                    "host": "own.acme.example",
                    "parent_refs": [{"name": "public", "namespace": "gateways", "sectionName": "https"}],
                }
            },
        ),
    ],
)
def test_how_callers_outside_reach_it(expose: str, exposure: dict[str, Any], folder: Path) -> None:
    assert pool_of(folder, f"hardware: cpu, expose: {expose}")["exposure"] == exposure


def test_batch_workers_are_those_of_the_section_batch(folder: Path) -> None:
    none = config_of(folder, "{}", "batch: {workers: {cpu: {max: 0}, gpu: {max: 2, request_images: 32}}}\n")
    both = config_of(
        folder,
        "{workers: {cpu: {standing: 2, memory_gb: 3}, gpu: {product: NVIDIA-L4}}}",
        "batch: {workers: {gpu: {max: 2}}}\n",
    )

    (template,) = worker_templates(none).values()
    assert (template.server.gpu.count, template.server.gpu.product, template.request_images) == (1, "", 32)
    assert template.server.image.repository.endswith("-gpu")
    templates = worker_templates(both)
    assert list(templates) == ["cpu", "gpu"]
    assert (templates["cpu"].standing, templates["cpu"].server.resources.limits) == (2, {"memory": "3Gi"})
    assert templates["gpu"].server.gpu.product == "NVIDIA-L4"
    assert templates["cpu"].server.models == []
