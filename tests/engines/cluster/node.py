"""The node of a cluster of tests: containerd, kubelet and kube-proxy on a machine of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.engines.cluster.control_plane import NODE, ControlPlane, binaries
from tests.engines.cluster.images import Image, python_image
from tests.engines.cluster.machine import Machine
from tests.engines.cluster.parts import Parts
from tests.engines.engine import TOOL_SECONDS, missing, printed

LOAD_SECONDS = 900
PAUSE = "visionfleet-pause:test"
_PLUGINS = Path("/usr/lib/cni")
_SOCKET = "/run/containerd/containerd.sock"
# restrict_oom_score_adj: without CAP_SYS_RESOURCE nobody may lower it
_CONTAINERD = f"""\
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
  sandbox_image = "docker.io/library/{PAUSE}"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{_PLUGINS}"
    conf_dir = "{{networks}}"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
"""


@dataclass(frozen=True)
class Node:
    """A node that has its processes; the cluster says when it is ready."""

    machine: Machine

    def load_image(self, image: Image) -> None:
        """Give it an image, which pods then have without a registry."""
        containerd = self.machine.inside("ctr", "--namespace=k8s.io")
        known = printed([*containerd, "content", "ls", "--quiet"])
        command = [*containerd, "images", "import", "-"]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process:
            assert process.stdin is not None
            with suppress(BrokenPipeError):  # its own words say more
                image.write(process.stdin, known.split())
            said, _ = process.communicate(timeout=LOAD_SECONDS)
        assert process.returncode == 0, f"{image.name} cannot be loaded: {said.decode(errors='replace')}"


def start_containers(machine: Machine, parts: Parts) -> Node:
    """containerd, with what pods need of images. Skips the test where it is not installed."""
    absent = [tool for tool in ("containerd", "runc", "ctr", "iptables", "conntrack") if shutil.which(tool) is None]
    if absent or not (_PLUGINS / "bridge").exists():
        missing("a node", f"apt install containerd runc containernetworking-plugins iptables conntrack ({absent})")
    parts.start("containerd", machine.inside("containerd", f"--config={_containerd_config(machine)}"))
    parts.wait_until("containerd", lambda: _has_containerd(machine))
    made = Node(machine)
    # the first process of each pod, which holds the pod's namespaces and does nothing
    made.load_image(python_image(PAUSE, entrypoint=["/usr/bin/sleep", "infinity"]))
    return made


def start_node(plane: ControlPlane, machine: Machine, parts: Parts) -> None:
    """kubelet and kube-proxy. The node is ready a few seconds later."""
    kubelet = [str(binaries() / "kubelet"), f"--config={_kubelet_config(machine)}"]
    kubelet += [f"--kubeconfig={plane.kubeconfig('kubelet')}", f"--node-ip={plane.network.node}"]
    proxy = [str(binaries() / "kube-proxy"), f"--kubeconfig={plane.kubeconfig('proxy')}", "--proxy-mode=iptables"]
    proxy += [f"--cluster-cidr={plane.network.pods}", "--conntrack-max-per-core=0"]  # limits of this machine's kernel
    proxy += ["--conntrack-tcp-timeout-established=0s", "--conntrack-tcp-timeout-close-wait=0s"]
    for name, command in (("kubelet", kubelet), ("kube-proxy", proxy)):
        parts.start(name, machine.inside(*command, f"--hostname-override={NODE}"))


def _containerd_config(machine: Machine) -> Path:
    networks = machine.folder / "networks"
    networks.mkdir()
    addresses = {
        "type": "host-local",
        "ranges": [[{"subnet": machine.network.pods}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {"type": "bridge", "bridge": "pods", "isGateway": True, "ipMasq": True, "hairpinMode": True}
    plugins = [{**bridge, "ipam": addresses}, {"type": "portmap", "capabilities": {"portMappings": True}}]
    (networks / "10-pods.conflist").write_text(json.dumps({"cniVersion": "0.4.0", "name": "pods", "plugins": plugins}))
    path = machine.folder / "containerd.toml"
    path.write_text(_CONTAINERD.format(networks=networks))
    return path


def _kubelet_config(machine: Machine) -> Path:
    network = machine.network
    names = machine.folder / "resolv.conf"
    names.write_text(f"nameserver {network.host}\n")
    config = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        # the node is reached from this machine alone
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "containerRuntimeEndpoint": f"unix://{_SOCKET}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{network.group}",
        "enforceNodeAllocatable": ["pods"],
        "failCgroupV1": False,
        "failSwapOn": False,
        "oomScoreAdj": 0,
        "clusterDNS": [network.dns_service],
        "clusterDomain": "cluster.local",
        "resolvConf": str(names),
        "maxPods": 250,
        "serializeImagePulls": False,
        # this machine may be short of disk, and a test evicts nobody for it
        "evictionHard": {"memory.available": "50Mi"},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "nodeStatusUpdateFrequency": "5s",
        "shutdownGracePeriod": "0s",
    }
    path = machine.folder / "kubelet.json"
    path.write_text(json.dumps(config))
    return path


def _has_containerd(machine: Machine) -> bool:
    command = machine.inside("ctr", "version")
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=TOOL_SECONDS, check=False)
    return done.returncode == 0
