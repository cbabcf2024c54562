"""Kueue in a cluster of tests: its controller and its webhooks, as its own manifests install them.

    with kueue_in(cluster):
        cluster.apply(*queue("team-a", namespace, cpu="200m"))   # a LocalQueue, and a ClusterQueue with a quota

Its webhooks serve with certificates that it makes by itself. They are asked about every pod of every namespace, so it
does not stay longer than the tests that are about it.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import yaml
from engines.build import BuildError, locate, module_folder

from tests.engines.cluster import Cluster
from tests.engines.cluster.images import Image, layer
from tests.engines.engine import missing, wait_until

IMAGE = "kueue:test"
NAMESPACE = "kueue-system"
API = "kueue.x-k8s.io/v1beta2"
FLAVOR = "of-the-node"  # a ResourceFlavor: pods that have quota of it go to the cluster's own node
URGENT = "urgent"  # a WorkloadPriorityClass: who has it takes the quota of who has none
AVAILABLE_SECONDS = 540
REMOVE_SECONDS = 180


@contextmanager
def kueue_in(cluster: Cluster) -> Generator[None]:
    """Until queues can be made, about 20 s. All of it is gone at the end, and so are all queues."""
    folder = locate("kueue")
    if folder is None:
        missing("Kueue", "python engines/build.py kueue")
    assert folder is not None
    cluster.load_image(Image(IMAGE, [layer([(folder / "kueue", "/manager")])], {"User": "1000"}))
    manifests = _manifests(cluster)
    cluster.apply(*manifests)
    try:
        _start(cluster)
        # the way to its webhooks is there a moment after the pod is ready
        create, shared = ("apply", "--filename=-"), _listed(_shared(cluster))
        wait_until(lambda: cluster.run_kubectl(*create, input=shared).returncode == 0, "Kueue's webhooks answer", 120)
        yield
    finally:
        _remove(cluster, manifests)


def queue(name: str, namespace: str, cpu: str) -> list[dict[str, Any]]:
    """A LocalQueue of a namespace, whose ClusterQueue is called as the namespace and lets Jobs have so much CPU."""
    quota = {"name": FLAVOR, "resources": [{"name": "cpu", "nominalQuota": cpu}]}
    spec = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "resourceGroups": [{"coveredResources": ["cpu"], "flavors": [quota]}],
        "preemption": {"withinClusterQueue": "LowerPriority"},
    }
    return [
        _made("ClusterQueue", namespace, spec=spec),
        _made("LocalQueue", name, namespace, spec={"clusterQueue": namespace}),
    ]


def _manifests(cluster: Cluster) -> list[dict[str, Any]]:
    try:
        folder = module_folder("crds", "sigs.k8s.io/kueue")
    except BuildError as error:
        missing("Kueue", str(error))
        raise
    text = cluster.kubectl("kustomize", str(folder / "config" / "default"))
    return [_adapted(each) for each in yaml.load_all(text, yaml.CSafeLoader)]


def _adapted(manifest: dict[str, Any]) -> dict[str, Any]:
    """The image of the node, and a probe that does not wait for a busy cloud."""
    if manifest["kind"] != "Deployment":
        return manifest
    for container in manifest["spec"]["template"]["spec"]["containers"]:
        container |= {"image": IMAGE, "imagePullPolicy": "IfNotPresent"}
        container["readinessProbe"] |= {"initialDelaySeconds": 1, "periodSeconds": 1}
    return manifest


def _start(cluster: Cluster) -> None:
    own = f"--namespace={NAMESPACE}"
    certificate = ("get", "secret", "kueue-webhook-server-cert", own, "--output=jsonpath={.data}")
    wait_until(lambda: "tls.crt" in cluster.kubectl(*certificate), "Kueue has made its certificates", AVAILABLE_SECONDS)
    # a running pod would see them within two minutes, and a new one does at once
    cluster.kubectl("delete", "pods", "--all", own, "--force", "--grace-period=0")
    available = ("--for=condition=Available", f"--timeout={AVAILABLE_SECONDS}s")
    cluster.kubectl("wait", "deployment/kueue-controller-manager", own, *available)


def _shared(cluster: Cluster) -> list[dict[str, Any]]:
    return [
        _made("ResourceFlavor", FLAVOR, spec={"nodeLabels": {"kubernetes.io/hostname": cluster.node}}),
        _made("WorkloadPriorityClass", URGENT, value=1000),
    ]


def _made(kind: str, name: str, namespace: str | None = None, **rest: Any) -> dict[str, Any]:
    metadata = {"name": name} if namespace is None else {"name": name, "namespace": namespace}
    return {"apiVersion": API, "kind": kind, "metadata": metadata, **rest}


def _remove(cluster: Cluster, manifests: Sequence[Mapping[str, Any]]) -> None:
    """Queues first: Kueue itself lets go of them, once no Job is in them."""
    kinds = "localqueues,clusterqueues,resourceflavors,workloadpriorityclasses"
    cluster.kubectl("delete", kinds, "--all", "--all-namespaces", f"--timeout={REMOVE_SECONDS}s")
    delete = ("delete", "--ignore-not-found", f"--timeout={REMOVE_SECONDS}s", "--filename=-")
    cluster.kubectl(*delete, input=_listed(manifests))


def _listed(objects: Sequence[Mapping[str, Any]]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
