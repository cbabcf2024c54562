"""Nodes that are not there: kwok says for them that they are ready, and that their pods run, or complete for a Job.

    with fake_nodes(c, 1000):
        ...         # pods with FAKE_PLACEMENT go there: spec = {**FAKE_PLACEMENT, "containers": [...]}

No other pod does, since the nodes have a taint. Pods may behave otherwise, by other files with kwok's Stages.

`fake_cluster` has no other nodes. It needs neither root nor an address of its own, and there may be several at a time.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engines.build import BuildError, locate, module_folder

from tests.engines.cluster import Cluster
from tests.engines.cluster.control_plane import start_api, start_controllers
from tests.engines.cluster.network import Network
from tests.engines.cluster.parts import Parts
from tests.engines.engine import free_port, missing

_FAKE = "kwok.x-k8s.io/node"
FAKE_PLACEMENT: Mapping[str, Any] = {
    "nodeSelector": {_FAKE: "fake"},
    "tolerations": [{"key": _FAKE, "operator": "Exists", "effect": "NoSchedule"}],
}
CAPACITY = {"cpu": "32", "memory": "256Gi", "pods": "110"}
_POD_ADDRESSES = "10.96.0.0/14"  # nobody is there


@contextmanager
def fake_nodes(
    cluster: Cluster,
    count: int,
    *,
    labels: Mapping[str, str] | None = None,
    capacity: Mapping[str, str] = CAPACITY,
    pods: Sequence[Path] | None = None,
) -> Generator[None]:
    """Nodes that are ready, and gone at the end. With a GPU's labels and capacity they stand for a pool with GPUs.

    `pods` are files with the Stages of pods, instead of kwok's own.
    """
    folder = locate("kwok")
    if folder is None:
        missing("kwok", "python engines/build.py kwok")
    command = [f"{folder}/kwok", f"--kubeconfig={cluster.kubeconfig}", f"--cidr={_POD_ADDRESSES}"]
    command += [f"--manage-nodes-with-annotation-selector={_FAKE}=fake", "--node-lease-duration-seconds=40"]
    command += [
        f"--config={file}"
        for file in (*stages("node/fast"), *stages("node/heartbeat-with-lease"), *(pods or stages("pod/fast")))
    ]
    cluster.parts.start("kwok", command)
    try:
        cluster.apply(*(_node(index, labels or {}, capacity) for index in range(count)))
        cluster.parts.wait_until("kwok", lambda: _ready(cluster) == count)
        yield
    finally:
        # one request, where `kubectl delete node` sends one for each
        cluster.kubectl("delete", f"--raw=/api/v1/nodes?labelSelector={_FAKE}%3Dfake")
        cluster.parts.stop("kwok")


@contextmanager
def fake_cluster(folder: Path, count: int, *, pods: Sequence[Path] | None = None) -> Generator[Cluster]:
    """A real control plane whose nodes are all fake; gone at the end but for the logs."""
    folder.mkdir(parents=True, exist_ok=True)
    with Parts(folder) as parts:
        plane = start_api(folder, parts, Network(0), "127.0.0.1", free_port())  # its ranges are of no use to anyone
        start_controllers(plane, parts)
        made = Cluster(plane, None, parts)
        with fake_nodes(made, count, pods=pods):
            yield made


def stages(where: str) -> list[Path]:
    """kwok's own files, as of `pod/fast`: its module carries them beside its code, and the executable knows none."""
    try:
        folder = module_folder("kwok", "sigs.k8s.io/kwok") / "kustomize" / "stage" / where
    except BuildError as error:
        missing("kwok", str(error))
        raise
    return [file for file in sorted(folder.glob("*.yaml")) if file.name != "kustomization.yaml"]


def _node(index: int, labels: Mapping[str, str], capacity: Mapping[str, str]) -> Mapping[str, Any]:
    name = f"fake-{index:04}"
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {_FAKE: "fake"},
            "labels": {_FAKE: "fake", "kubernetes.io/hostname": name, **labels},
        },
        "spec": {"taints": [{"key": _FAKE, "value": "fake", "effect": "NoSchedule"}]},
        "status": {"capacity": dict(capacity), "allocatable": dict(capacity)},
    }


def _ready(cluster: Cluster) -> int:
    ready = '{.items[*].status.conditions[?(@.type=="Ready")].status}'
    return cluster.kubectl("get", "nodes", f"--selector={_FAKE}=fake", f"--output=jsonpath={ready}").count("True")
