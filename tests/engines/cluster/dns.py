"""Names of Services: CoreDNS as a process of this machine, behind the Service that pods ask."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engines.build import locate

from tests.engines.cluster.network import Network
from tests.engines.cluster.parts import Parts
from tests.engines.engine import missing

if TYPE_CHECKING:
    from tests.engines.cluster import Cluster

_COREFILE = """\
.:53 {{
    bind {address}
    kubernetes cluster.local in-addr.arpa {{
        kubeconfig {kubeconfig}
        pods insecure
    }}
    cache 2
    errors
}}
"""


def start_names(cluster: Cluster, parts: Parts) -> None:
    """From now on names of Services are found, and no others: no test asks a server outside."""
    folder = locate("coredns")
    if folder is None:
        missing("CoreDNS", "python engines/build.py coredns")
    corefile = cluster.folder / "Corefile"
    corefile.write_text(_COREFILE.format(address=cluster.host_address, kubeconfig=cluster.kubeconfig))
    parts.start("coredns", [f"{folder}/coredns", f"-conf={corefile}"])
    cluster.apply(*_service(cluster.plane.network))


def _service(network: Network) -> list[dict[str, object]]:
    """A Service without a selector: its one endpoint is this machine."""
    metadata = {"name": "kube-dns", "namespace": "kube-system"}
    ports = [{"name": kind.lower(), "protocol": kind, "port": 53, "targetPort": 53} for kind in ("UDP", "TCP")]
    endpoints = [{"name": kind.lower(), "protocol": kind, "port": 53} for kind in ("UDP", "TCP")]
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"clusterIP": network.dns_service, "ports": ports},
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {**metadata, "labels": {"kubernetes.io/service-name": "kube-dns"}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [network.host], "conditions": {"ready": True}}],
            "ports": endpoints,
        },
    ]
