"""A real Kubernetes cluster on this machine: control plane, a node on a machine of its own, and names of Services.

    with cluster(folder) as c:
        c.load_image(visionfleet_image())
        c.namespace("acme")                     # enforces the level `restricted`
        c.apply({...}, {...}); c.kubectl("get", "pods", "--namespace=acme"); c.get("job", "x", "--namespace=acme")
        run(["helm", ...], env={**os.environ, **c.environment})
        c.host_address                          # where pods reach servers of this machine

Service and pod addresses are reached from this machine, too. There may be a few clusters at a time, each with names and
addresses of its own; whoever comes when all are taken, waits.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.engines.cluster.control_plane import NODE, ControlPlane, binaries, start_api, start_controllers
from tests.engines.cluster.dns import start_names
from tests.engines.cluster.images import Image
from tests.engines.cluster.machine import machine
from tests.engines.cluster.network import free_network
from tests.engines.cluster.node import Node, start_containers, start_node
from tests.engines.cluster.parts import Parts

KUBECTL_SECONDS = 900


@dataclass(frozen=True)
class Cluster:
    """A cluster whose node is ready. `worker` is None where it has none of its own."""

    plane: ControlPlane
    worker: Node | None
    parts: Parts
    node: str = NODE

    @property
    def folder(self) -> Path:
        """Of its logs and settings."""
        return self.plane.folder

    @property
    def host_address(self) -> str:
        """This machine's, to pods."""
        return self.plane.address

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.plane.kubeconfig("admin")

    @property
    def api_address(self) -> str:
        """The API's URL, for this machine and for pods."""
        return self.plane.url

    @property
    def environment(self) -> Mapping[str, str]:
        """For commands that talk to the cluster: kubectl, helm, visionfleet."""
        return {"KUBECONFIG": str(self.kubeconfig), "PATH": f"{binaries()}:{os.environ['PATH']}"}

    def kubectl(self, *arguments: str, input: str | None = None) -> str:  # noqa: A002 - the name that subprocess has
        """What kubectl prints; fails with what it says."""
        done = self.run_kubectl(*arguments, input=input)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout

    def run_kubectl(self, *arguments: str, input: str | None = None) -> subprocess.CompletedProcess[str]:  # noqa: A002
        """kubectl, whether it succeeds or not."""
        command = [str(binaries() / "kubectl"), f"--kubeconfig={self.kubeconfig}", *arguments]
        return subprocess.run(
            command, input=input or "", capture_output=True, text=True, timeout=KUBECTL_SECONDS, check=False
        )

    def get(self, *arguments: str) -> Any:
        """An object or a list, as the API has it."""
        return json.loads(self.kubectl("get", "--output=json", *arguments))

    def apply(self, *objects: Mapping[str, Any]) -> None:
        """Make or change objects."""
        listed = {"apiVersion": "v1", "kind": "List", "items": objects}
        # on the server: definitions are larger than the annotation that kubectl would keep them in
        self.kubectl("apply", "--server-side", "--force-conflicts", "--filename=-", input=json.dumps(listed))

    def namespace(self, name: str, level: str = "restricted") -> str:
        """A namespace that enforces a level of Pod Security."""
        labels = {"pod-security.kubernetes.io/enforce": level}
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
        return name

    def load_image(self, image: Image) -> None:
        """Give the node an image."""
        assert self.worker is not None, "there is no node that could run it"
        self.worker.load_image(image)


@contextmanager
def cluster(folder: Path) -> Generator[Cluster]:
    """A cluster with a ready node, all gone at the end but the logs. Skips the test where there can be none."""
    binaries()
    folder.mkdir(parents=True, exist_ok=True)
    with free_network() as network, machine(folder / "node", network) as place, Parts(folder) as parts:
        plane = start_api(folder, parts, network)
        made = Cluster(plane, start_containers(place, parts), parts)
        start_controllers(plane, parts)
        start_node(plane, place, parts)
        start_names(made, parts)
        parts.wait_until("kubelet", lambda: _is_ready(made))
        yield made


def _is_ready(made: Cluster) -> bool:
    found = made.run_kubectl("get", "node", NODE, "--output=json")
    if found.returncode != 0:
        return False
    conditions = json.loads(found.stdout)["status"]["conditions"]
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
