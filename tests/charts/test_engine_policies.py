"""The chart's network policies, kept by a real agent on a real cluster: what is needed is reached, and nothing else.

Policies, Services and the pods' labels and ports are the chart's. In the pods a stand-in listens for servers, hub and
workers: policies do not look at what is said.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.charts.deployment import merged
from tests.charts.objects import containers, of_kind, pods
from tests.engines.cluster import Cluster
from tests.engines.cluster.images import python_image
from tests.engines.cluster.outside import INTERNET, METADATA, outside
from tests.engines.cluster.policies import policies_kept
from tests.engines.engine import wait_until
from tests.engines.helm import Object, rendered
from visionfleet.config import load
from visionfleet.projections.helm import helm_values, helm_yaml

pytestmark = pytest.mark.engine

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "cluster" / "visionfleet.yaml"
DIGEST = f"sha256:{'0' * 64}"
NAMESPACE, ELSEWHERE, OFFICE = "policies", "policies-elsewhere", "policies-office"
IMAGE = "listener:test"
LISTEN = "import socket, sys; server = socket.create_server(('', int(sys.argv[1])))\nwhile True: server.accept()"
# Whoever is refused was let through: a policy drops packets. SYN is sent again after 1 s and 3 s
ASK = """
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor
def is_reached(place):
    try:
        socket.create_connection(tuple(place), 8).close()
    except ConnectionRefusedError:
        pass
    except OSError:
        return False
    return True
places = json.loads(sys.argv[1])
with ThreadPoolExecutor(len(places)) as pool:
    print(json.dumps([name for name, reached in zip(places, pool.map(is_reached, places.values())) if reached]))
"""
CLIENTS = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": OFFICE}}}]
STORE = [{"podSelector": {"matchLabels": {"role": "store"}}}]
PODS = {"hub", "another port of the hub", "server", "another port of a server", "worker", "migration"}
NEEDED = {"hub", "hub's Service", "names", "storage", "https", "http"}

Place = tuple[str, int]


@dataclass(frozen=True)
class Pods:
    """Pods with the chart's labels, others beside them, and the addresses that they may try."""

    cluster: Cluster
    namespaces: Mapping[str, str]  # of each pod
    places: Mapping[str, Place]

    def reached(self, pod: str, places: Iterable[str] = ()) -> set[str]:
        """Which of the places a pod reaches; all but its own are tried unless some are named."""
        own, _ = self.places.get(pod, ("", 0))
        asked = {name: self.places[name] for name in places or self.places if self.places[name][0] != own}
        command = ("python3", "-c", ASK, json.dumps(asked))
        return set(json.loads(self.cluster.kubectl("exec", pod, f"--namespace={self.namespaces[pod]}", "--", *command)))

    def all_reached(self) -> dict[str, set[str]]:
        """By pod."""
        with ThreadPoolExecutor(len(self.namespaces)) as pool:
            return dict(zip(self.namespaces, pool.map(self.reached, self.namespaces), strict=True))

    def keep(self, objects: Iterable[Object]) -> None:
        """From now on these policies."""
        self.cluster.apply(*of_kind(objects, "NetworkPolicy"))


@pytest.fixture(scope="module")
def made(real_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pods]:
    objects = release(storage(real_cluster, 80))
    real_cluster.load_image(python_image(IMAGE, entrypoint=["/usr/bin/python3", "-c", LISTEN]))
    for namespace in (NAMESPACE, ELSEWHERE, OFFICE):
        real_cluster.namespace(namespace)
    namespaces = {pod["metadata"]["name"]: pod["metadata"]["namespace"] for pod in listeners(objects)}
    real_cluster.apply(*of_kind(objects, "Service"), store(), *listeners(objects))
    for name, namespace in namespaces.items():
        real_cluster.kubectl(
            "wait", f"pod/{name}", f"--namespace={namespace}", "--for=condition=Ready", "--timeout=300s"
        )
    with ExitStack() as running:
        assert real_cluster.worker is not None
        running.enter_context(policies_kept(real_cluster))
        running.enter_context(outside(real_cluster.worker.machine, tmp_path_factory.mktemp("outside") / "log"))
        yield Pods(real_cluster, namespaces, places(real_cluster))


@pytest.fixture(scope="module")
def by_default(made: Pods) -> dict[str, set[str]]:
    """What each pod reaches with the chart's own values."""
    made.keep(release(storage(made.cluster, 80)))
    wait_until(lambda: "worker" not in made.reached("stranger", ["worker"]), "the policies are kept")
    return made.all_reached()


@pytest.fixture(scope="module")
def narrowed(made: Pods, by_default: object) -> dict[str, set[str]]:
    """What each reaches where clients are named, a store of the cluster is, and the storage has a port of its own."""
    made.keep(release(storage(made.cluster, 9000), {"clients": CLIENTS, "destinations": STORE}))
    wait_until(lambda: "hub" not in made.reached("neighbour", ["hub"]), "the policies are kept")
    return made.all_reached()


def storage(cluster: Cluster, port: int) -> str:
    """The URL of a store on this machine."""
    return f"http://{cluster.host_address}:{port}"


def release(endpoint: str, policies: Mapping[str, Any] | None = None) -> list[Object]:
    """The example's objects, with a worker that always runs."""
    values: dict[str, Any] = yaml.safe_load(helm_yaml(helm_values(load(EXAMPLE), DIGEST)))
    own = {
        "hub": {"storage": {"endpoint": endpoint}},
        "worker": {"templates": {"cpu": {"standing": 1}}},
        "networkPolicies": policies or {},
    }
    return rendered(merged(values, own), "vision", NAMESPACE)


def listeners(objects: Iterable[Object]) -> list[Object]:
    """A pod for each component of the chart, with its labels and port, and three that are nobody's."""
    found = [listener("stranger", NAMESPACE, {"role": "store"}), listener("neighbour", ELSEWHERE)]
    found.append(listener("client", OFFICE))
    for _, template in pods(objects):
        labels = template["metadata"]["labels"]
        component: str = labels["app.kubernetes.io/component"]
        [port] = [port for container in containers(template) for port in container.get("ports", [])] or [{}]
        found.append(listener("server" if component == "serving" else component, NAMESPACE, labels, port))
    return found


def listener(
    name: str, namespace: str, labels: Mapping[str, str] | None = None, port: Mapping[str, Any] | None = None
) -> Object:
    """The stand-in: it listens, and says nothing."""
    ports = [port] if port else []
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    container = {"name": "listener", "image": IMAGE, "ports": ports, "securityContext": security}
    spec = {
        "terminationGracePeriodSeconds": 0,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{**container, "args": [str(port["containerPort"] if port else 9000)]}],
    }
    metadata = {"name": name, "namespace": namespace, "labels": dict(labels or {})}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def store() -> Object:
    """A Service with another port than its pods."""
    spec = {"selector": {"role": "store"}, "ports": [{"port": 8333, "targetPort": 9000}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "store", "namespace": NAMESPACE}, "spec": spec}


def places(cluster: Cluster) -> dict[str, Place]:
    """Addresses with their ports. On most of those outside nobody listens, which is to be reached as well."""
    pod_list = cluster.get("pods", f"--namespace={NAMESPACE}")["items"]
    address = {pod["metadata"]["name"]: pod["status"]["podIP"] for pod in pod_list}
    return {
        "hub": (address["hub"], 9500),
        "another port of the hub": (address["hub"], 22),
        "server": (address["server"], 9001),
        "another port of a server": (address["server"], 22),
        "worker": (address["worker"], 9001),
        "migration": (address["migration"], 9500),
        "hub's Service": (f"vision-hub.{NAMESPACE}.svc.cluster.local", 9500),
        "store": (f"store.{NAMESPACE}.svc.cluster.local", 8333),
        "names": ("kube-dns.kube-system.svc.cluster.local", 53),
        "API": (cluster.plane.network.api_service, 443),
        "database": (cluster.host_address, 5432),
        "storage": (cluster.host_address, 80),
        "storage of its own port": (cluster.host_address, 9000),
        "https": (INTERNET, 443),
        "http": (INTERNET, 80),
        "ssh": (INTERNET, 22),
        "metadata": (METADATA, 80),
        "metadata by https": (METADATA, 443),
    }


@pytest.mark.parametrize("pod", ["server", "worker", "standing-worker"])
def test_servers_and_workers_reach_what_they_need_alone(by_default: dict[str, set[str]], pod: str) -> None:
    assert by_default[pod] == NEEDED


def test_hub_and_migration_reach_database_storage_and_api(by_default: dict[str, set[str]]) -> None:
    for pod in ("hub", "migration"):
        assert {"database", "storage", "API", "names", "https"} <= by_default[pod]


@pytest.mark.parametrize("pod", ["stranger", "neighbour", "client", "hub"])
def test_hub_and_servers_are_reached_by_their_port_and_workers_not_at_all(
    by_default: dict[str, set[str]], pod: str
) -> None:
    assert by_default[pod] & PODS == {"hub", "server"} - {pod}


def test_who_is_named_reaches_hub_and_servers_and_nobody_else_does(narrowed: dict[str, set[str]]) -> None:
    """Prometheus is one of those to be named: metrics have the same port."""
    assert {pod: narrowed[pod] & PODS for pod in ("client", "stranger", "neighbour")} == {
        "client": {"hub", "server"},
        "stranger": set(),
        "neighbour": set(),
    }


@pytest.mark.parametrize("pod", ["server", "worker", "standing-worker"])
def test_named_clients_do_not_keep_the_releases_own_pods_from_the_hub(narrowed: dict[str, set[str]], pod: str) -> None:
    assert narrowed[pod] == NEEDED - {"storage"} | {"storage of its own port", "store"}
