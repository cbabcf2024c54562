"""KEDA in a cluster of tests: its operator and its adapter for metrics, as its own manifests install them."""

from __future__ import annotations

from typing import Any

import yaml
from engines.build import BuildError, locate, module_folder

from tests.engines.cluster import Cluster
from tests.engines.cluster.images import Image, layer
from tests.engines.engine import missing

IMAGE = "keda:test"
API = "apiservice/v1beta1.external.metrics.k8s.io"
AVAILABLE_SECONDS = 540


def install_keda(cluster: Cluster) -> None:
    """Until the metrics are served, about 30 s. Without its admission webhook, which only checks what users write."""
    folder = locate("keda")
    if folder is None:
        missing("KEDA", "python engines/build.py keda")
    assert folder is not None
    commands = layer([(folder / "operator", "/keda"), (folder / "adapter", "/keda-adapter")])
    cluster.load_image(Image(IMAGE, [commands], {"User": "1000"}))
    cluster.apply(*_manifests(cluster))
    cluster.kubectl("wait", API, "--for=condition=Available", f"--timeout={AVAILABLE_SECONDS}s")


def _manifests(cluster: Cluster) -> list[dict[str, Any]]:
    try:
        folder = module_folder("crds", "github.com/kedacore/keda/v2")
    except BuildError as error:
        missing("KEDA", str(error))
        raise
    text = cluster.kubectl("kustomize", str(folder / "config" / "default"))
    return [_adapted(each) for each in yaml.load_all(text, yaml.CSafeLoader) if not _is_webhook(each)]


def _is_webhook(manifest: dict[str, Any]) -> bool:
    return manifest["kind"] == "ValidatingWebhookConfiguration" or "admission" in manifest["metadata"]["name"]


def _adapted(manifest: dict[str, Any]) -> dict[str, Any]:
    """The image of the node, and probes that do not wait for a busy cloud."""
    if manifest["kind"] != "Deployment":
        return manifest
    for container in manifest["spec"]["template"]["spec"]["containers"]:
        container |= {"image": IMAGE, "imagePullPolicy": "IfNotPresent"}
        container["readinessProbe"] |= {"initialDelaySeconds": 1, "periodSeconds": 2}
    return manifest
