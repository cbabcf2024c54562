"""A namespace with what the chart brings for the executor: the hub's rights, its way in, and templates of workers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.engines.cluster import Cluster
from tests.engines.cluster.images import VISIONFLEET, Image, layer, visionfleet_image
from visionfleet.hub.executor.cluster import Cluster as Api

RELEASE = "acme"
STUB = Path(__file__).parents[2] / "engines" / "stub_inference.py"
STUB_IMAGE = "stub-inference:test"
RULES = [  # as the chart has them
    {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["create", "delete", "list", "patch"]},
    {"apiGroups": [""], "resources": ["pods", "events"], "verbs": ["list"]},
    {"apiGroups": ["kueue.x-k8s.io"], "resources": ["workloads"], "verbs": ["list"]},
    {"apiGroups": [""], "resources": ["podtemplates"], "verbs": ["get"]},
]
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


@dataclass(frozen=True)
class Place:
    """A namespace of the cluster, and the kubeconfig of the hub's service account there."""

    cluster: Cluster
    namespace: str
    kubeconfig: Path

    def api(self) -> Api:
        """The cluster as the hub sees it."""
        return Api.open(self.namespace, RELEASE)

    @property
    def environment(self) -> dict[str, str]:
        """Of a hub beside the cluster."""
        return {
            "KUBECONFIG": str(self.kubeconfig),
            "VISIONFLEET_NAMESPACE": self.namespace,
            "VISIONFLEET_RELEASE": RELEASE,
        }

    def kubectl(self, *arguments: str) -> str:
        return self.cluster.kubectl(*arguments, f"--namespace={self.namespace}")

    def get(self, *arguments: str) -> Any:
        return self.cluster.get(*arguments, f"--namespace={self.namespace}")

    def jobs(self) -> list[dict[str, Any]]:
        return self.get("jobs")["items"]

    def pods(self) -> list[dict[str, Any]]:
        return self.get("pods")["items"]

    def apply(self, kind: str, name: str, version: str = "v1", **rest: Any) -> None:
        metadata = {"name": name, "namespace": self.namespace}
        self.cluster.apply({"apiVersion": version, "kind": kind, "metadata": metadata, **rest})

    def template(self, machine_type: str, spec: Mapping[str, Any]) -> None:
        """What workers' pods of a machine type are like."""
        self.apply("PodTemplate", f"{RELEASE}-worker-{machine_type}", template={"spec": spec})


def make_place(cluster: Cluster, namespace: str, folder: Path) -> Place:
    """A namespace of its own, in which the hub may do what the chart lets it."""
    cluster.namespace(namespace)
    place = Place(cluster, namespace, folder / "hub.kubeconfig")
    account = f"{RELEASE}-hub"
    place.apply("ServiceAccount", account)
    place.apply("ServiceAccount", f"{RELEASE}-worker")
    group = "rbac.authorization.k8s.io"
    place.apply("Role", account, f"{group}/v1", rules=RULES)
    subject = {"kind": "ServiceAccount", "name": account, "namespace": namespace}
    role = {"apiGroup": group, "kind": "Role", "name": account}
    place.apply("RoleBinding", account, f"{group}/v1", roleRef=role, subjects=[subject])
    _write_kubeconfig(place, place.kubectl("create", "token", account).strip())
    return place


def pod_spec(worker: Mapping[str, Any], *, server: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A worker's pod as the chart makes it: restricted, without a token, and a server beside the worker."""
    beside = {"name": "server", "restartPolicy": "Always", "securityContext": RESTRICTED, **(server or {})}
    return {
        "serviceAccountName": f"{RELEASE}-worker",
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 20,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
        "initContainers": [beside] if server else [],
        "containers": [{"name": "worker", "securityContext": RESTRICTED, **worker}],
    }


def working_pod(hub_url: str, delay: float = 0.0) -> dict[str, Any]:
    """A pod that works: visionfleet's own image, and the stub of the inference server."""
    command = ["/usr/bin/python3", "-u", "/opt/stub/stub_inference.py", "--port=9001", f"--delay={delay}"]
    probe = {"exec": {"command": ["/usr/bin/python3", "-c", _PROBE]}, "periodSeconds": 1, "failureThreshold": 60}
    server = {"image": STUB_IMAGE, "command": command, "startupProbe": {**probe, "timeoutSeconds": 10}}
    arguments = ["worker", "run", "--once", f"--hub={hub_url}", "--inference=http://127.0.0.1:9001"]
    arguments += ["--machine-type=cpu", "--request-images=2", "--requests-in-flight=2"]
    key = {"secretKeyRef": {"name": "acme-keys", "key": "worker"}}
    worker = {"image": VISIONFLEET, "args": arguments, "env": [{"name": "VISIONFLEET_WORKER_KEY", "valueFrom": key}]}
    return pod_spec(worker, server=server)


def load_images(cluster: Cluster) -> None:
    """Give the node what a working pod needs."""
    image = visionfleet_image()
    cluster.load_image(image)
    cluster.load_image(
        Image(STUB_IMAGE, [*image.layers, layer([(STUB, "/opt/stub/stub_inference.py")])], image.settings)
    )


# the stub listens on the pod's loopback alone
_PROBE = "import urllib.request as r; r.urlopen('http://127.0.0.1:9001/readiness', timeout=5)"


def _write_kubeconfig(place: Place, token: str) -> None:
    ca = str(place.cluster.plane.ca)
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "hub",
        "clusters": [{"name": "test", "cluster": {"server": place.cluster.api_address, "certificate-authority": ca}}],
        "users": [{"name": "hub", "user": {"token": token}}],
        "contexts": [{"name": "hub", "context": {"cluster": "test", "user": "hub"}}],
    }
    place.kubeconfig.write_text(json.dumps(config))
