"""What keeps NetworkPolicies on the node of a cluster of tests: kube-network-policies, by its own manifest.

The kernel asks the agent whether a new connection of a pod may be, once Services have become pods. Where not, its
packets are dropped: whoever connects waits in vain.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

import yaml
from engines.build import BuildError, locate, module_folder

from tests.engines.cluster import Cluster
from tests.engines.cluster.images import Image, layer
from tests.engines.cluster.machine import Machine
from tests.engines.engine import missing, wait_until

NAME = "kube-network-policies"
IMAGE = f"{NAME}:test"
QUEUE = 98  # of packets, as the manifest has it
READY_SECONDS = 360
# The agent's own rules, in iptables' words: it says them in nftables', and a kernel may know the queue for iptables
# alone. What root on the node sends is kubelet's, such as probes.
_RULES = (
    "-m owner --uid-owner 0 -j ACCEPT",
    "-m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
    f"-j NFQUEUE --queue-num {QUEUE}",
)


@contextmanager
def policies_kept(cluster: Cluster) -> Generator[None]:
    """From here to the end the cluster's NetworkPolicies are kept."""
    folder = locate(NAME)
    if folder is None:
        missing("an agent for NetworkPolicies", f"python engines/build.py {NAME}")
    assert folder is not None
    assert cluster.worker is not None, "there is no node that could keep them"
    machine = cluster.worker.machine
    cluster.load_image(Image(IMAGE, [layer([(folder / "cmd", "/bin/netpol")])], {}))
    manifests = list(_manifests())
    cluster.apply(*manifests)
    wait_until(lambda: _is_asked(machine), "the agent takes packets", READY_SECONDS, lambda: _state(cluster))
    _rules(machine, "--append")
    try:
        yield
    finally:
        _rules(machine, "--delete")
        listed = {"apiVersion": "v1", "kind": "List", "items": manifests}
        cluster.kubectl("delete", "--ignore-not-found", "--filename=-", input=json.dumps(listed))


def _manifests() -> Iterator[dict[str, Any]]:
    try:
        folder = module_folder(NAME, f"sigs.k8s.io/{NAME}")
    except BuildError as error:
        missing("an agent for NetworkPolicies", str(error))
        raise
    for manifest in yaml.load_all((folder / "install.yaml").read_text(), yaml.CSafeLoader):
        if manifest:
            yield _adapted(manifest)


def _adapted(manifest: dict[str, Any]) -> dict[str, Any]:
    """The image of the node; without NRI, which Debian's containerd does not have, and what it alone needs."""
    if manifest["kind"] != "DaemonSet":
        return manifest
    spec = manifest["spec"]["template"]["spec"]
    del spec["volumes"]
    [container] = spec["containers"]
    del container["volumeMounts"]
    container |= {"image": IMAGE, "securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}}
    return manifest


def _rules(machine: Machine, what: str) -> None:
    for rule in _RULES:
        machine.run("iptables", "--wait", "--table=mangle", what, "POSTROUTING", *rule.split())


def _is_asked(machine: Machine) -> bool:
    """Whether a program has the queue: the first column has the queues' numbers."""
    queues = machine.run("cat", "/proc/net/netfilter/nfnetlink_queue").splitlines()
    return any(line.split()[0] == str(QUEUE) for line in queues)


def _state(cluster: Cluster) -> str:
    pods = cluster.run_kubectl("get", "pods", "--namespace=kube-system", "--output=wide")
    logs = cluster.run_kubectl("logs", "--namespace=kube-system", f"daemonset/{NAME}", "--tail=40")
    return f"{pods.stdout}{logs.stdout}{logs.stderr}"
