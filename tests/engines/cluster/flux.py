"""Flux in a cluster of tests: the three controllers that take a tree from Git, as their own manifests install them."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from engines.build import BuildError, locate, module_folder

from tests.engines.cluster import Cluster
from tests.engines.cluster.images import Image, layer
from tests.engines.engine import missing

NAMESPACE = "flux-system"
CONTROLLERS = ("source", "kustomize", "helm")
KINDS = ("kustomizations", "helmreleases", "helmcharts", "gitrepositories", "ocirepositories")
IMAGE = "flux:test"
READY_SECONDS = 540
REMOVE_SECONDS = 240
_TRUST, _AUTHORITY = "trust", "ca.crt"


@contextmanager
def flux_in(cluster: Cluster, authority: Path) -> Generator[None]:
    """Flux from here to the end, ready after about 20 s. It trusts servers with certificates of this authority."""
    _install(cluster, authority)
    try:
        yield
    finally:
        # as long as there are controllers that take away what they have made
        for kind in KINDS:
            cluster.kubectl("delete", kind, "--all", "--all-namespaces", f"--timeout={REMOVE_SECONDS}s")
        cluster.kubectl("delete", "namespace", NAMESPACE)


def _install(cluster: Cluster, authority: Path) -> None:
    folder = locate("flux")
    if folder is None:
        missing("Flux", "python engines/build.py flux")
    assert folder is not None
    names = [f"{part}-controller" for part in CONTROLLERS]
    cluster.load_image(Image(IMAGE, [layer([(folder / name, f"/{name}") for name in names])], {"User": "65534"}))
    cluster.namespace(NAMESPACE)
    trust = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": _TRUST, "namespace": NAMESPACE}}
    cluster.apply({**trust, "data": {_AUTHORITY: authority.read_text()}})
    cluster.apply(*_manifests(cluster))
    for name in names:
        rollout = ("rollout", "status", f"deployment/{name}", f"--timeout={READY_SECONDS}s")
        cluster.kubectl(*rollout, f"--namespace={NAMESPACE}")


def _manifests(cluster: Cluster) -> Iterator[dict[str, Any]]:
    """All three in one namespace, as Flux's own command installs them."""
    place = cluster.folder / "flux"
    place.mkdir(exist_ok=True)
    parts = [f"{folder}/config/{part}" for folder in _modules() for part in ("crd", "rbac", "manager")]
    # kustomize takes no absolute paths
    resources = [os.path.relpath(part, place) for part in parts]
    kustomization = {"kind": "Kustomization", "namespace": NAMESPACE, "resources": resources}
    (place / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    for manifest in yaml.load_all(cluster.kubectl("kustomize", str(place)), yaml.CSafeLoader):
        yield _adapted(manifest) if manifest["kind"] == "Deployment" else manifest


def _modules() -> Iterator[Path]:
    for part in CONTROLLERS:
        try:
            yield module_folder("flux", f"github.com/fluxcd/{part}-controller")
        except BuildError as error:
            missing("Flux", str(error))


def _adapted(manifest: dict[str, Any]) -> dict[str, Any]:
    """The image of the node, the trust in the servers of the test, and probes that do not wait for a busy cloud."""
    spec = manifest["spec"]["template"]["spec"]
    spec["volumes"].append({"name": _TRUST, "configMap": {"name": _TRUST}})
    for container in spec["containers"]:
        container |= {"image": IMAGE, "command": [f"/{manifest['metadata']['name']}"]}
        container["env"].append({"name": "SSL_CERT_FILE", "value": f"/{_TRUST}/{_AUTHORITY}"})
        container["volumeMounts"].append({"name": _TRUST, "mountPath": f"/{_TRUST}"})
        container["readinessProbe"] |= {"initialDelaySeconds": 1, "periodSeconds": 2}
    return manifest
