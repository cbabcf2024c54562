"""etcd, kube-apiserver, kube-controller-manager and kube-scheduler, as processes of this machine.

Every part signs in by a token of its own, and gets by its name and group what Kubernetes' default roles give it.
"""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engines.build import locate

from tests.engines.authority import Authority, Certificate
from tests.engines.cluster.network import Network
from tests.engines.cluster.parts import Parts
from tests.engines.engine import TOOL_SECONDS, free_port, missing

API_PORT = 6443  # of an address of the cluster's own
BINARIES = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl")
NODE = "node-1"
_USERS = {  # who signs in: name and group
    "admin": ("admin", "system:masters"),
    "controller-manager": ("system:kube-controller-manager", ""),
    "scheduler": ("system:kube-scheduler", ""),
    "kubelet": (f"system:node:{NODE}", "system:nodes"),
    "proxy": ("system:kube-proxy", ""),
}
_FAST = (
    "--kube-api-qps=500",
    "--kube-api-burst=1000",
    "--leader-elect=false",
)  # a test does not wait for a client that holds itself back


def binaries() -> Path:
    """The folder of Kubernetes' commands. Skips the test where they are not built."""
    folder = locate("kubernetes")
    if folder is None:
        missing("Kubernetes", "python engines/build.py kubernetes")
    assert folder is not None
    return folder


@dataclass(frozen=True)
class ControlPlane:
    """Where the API is, and who may sign in how."""

    folder: Path
    network: Network
    address: str
    port: int
    ca: Path

    @property
    def url(self) -> str:
        """The API's."""
        return f"https://{self.address}:{self.port}"

    def kubeconfig(self, user: str) -> Path:
        """The file with which a part signs in."""
        return self.folder / f"{user}.kubeconfig"


def start_api(
    folder: Path, parts: Parts, network: Network, address: str | None = None, port: int = API_PORT
) -> ControlPlane:
    """etcd and the API, which is ready a few seconds later, at the network's address of this machine or another one."""
    authority = Authority(folder / "authority")
    plane = ControlPlane(folder, network, address or network.host, port, authority.certificate)
    _write_tokens(plane, {user: secrets.token_hex(16) for user in _USERS})
    etcd = _start_etcd(folder, parts)
    parts.start("kube-apiserver", [str(binaries() / "kube-apiserver"), *_api_server(plane, authority, etcd)])
    return plane


def start_controllers(plane: ControlPlane, parts: Parts) -> None:
    """The controllers and the scheduler, once the API is ready."""
    parts.wait_until("kube-apiserver", lambda: _is_ready(plane))
    for name, own in (("controller-manager", _controllers(plane)), ("scheduler", ())):
        command = [str(binaries() / f"kube-{name}"), f"--kubeconfig={plane.kubeconfig(name)}", *own, *_FAST]
        parts.start(f"kube-{name}", [*command, "--bind-address=127.0.0.1", f"--secure-port={free_port()}"])


def _start_etcd(folder: Path, parts: Parts) -> str:
    if shutil.which("etcd") is None:
        missing("etcd", "apt install etcd-server")
    client, peer = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    command = ["etcd", "--unsafe-no-fsync", f"--data-dir={folder / 'etcd'}", "--log-level=warn"]
    command += [f"--listen-client-urls={client}", f"--advertise-client-urls={client}", f"--listen-peer-urls={peer}"]
    command += [f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=default={peer}"]
    parts.start("etcd", [*command, "--quota-backend-bytes=4294967296", "--auto-compaction-retention=5m"])
    return client


def _api_server(plane: ControlPlane, authority: Authority, etcd: str) -> Sequence[str]:
    network = plane.network
    server = authority.issue("kubernetes", plane.address, network.api_service)
    proxy = authority.issue("front-proxy-client")
    account = _account_key(plane.folder)
    return (
        f"--etcd-servers={etcd}",
        f"--bind-address={plane.address}",
        f"--advertise-address={network.host}",
        f"--secure-port={plane.port}",
        f"--tls-cert-file={server.certificate}",
        f"--tls-private-key-file={server.key}",
        f"--token-auth-file={plane.folder / 'tokens.csv'}",
        f"--service-account-issuer=https://{network.api_service}",
        f"--service-account-key-file={account.certificate}",
        f"--service-account-signing-key-file={account.key}",
        f"--service-cluster-ip-range={network.services}",
        "--authorization-mode=Node,RBAC",
        "--kubelet-preferred-address-types=InternalIP",
        "--max-requests-inflight=2000",
        # Debian's etcd is too old for it: kwok's watches would fail, and it would see what is new every half minute
        "--feature-gates=WatchList=false",
        # for APIs that something else serves, as KEDA's metrics
        "--enable-aggregator-routing=true",
        f"--requestheader-client-ca-file={authority.certificate}",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-username-headers=X-Remote-User",
        f"--proxy-client-cert-file={proxy.certificate}",
        f"--proxy-client-key-file={proxy.key}",
    )


def _controllers(plane: ControlPlane) -> Sequence[str]:
    return (
        "--use-service-account-credentials=true",
        f"--service-account-private-key-file={plane.folder / 'account.key'}",
        f"--root-ca-file={plane.ca}",
        f"--cluster-cidr={plane.network.pods}",
        "--node-monitor-grace-period=40s",
        "--horizontal-pod-autoscaler-sync-period=5s",
        "--concurrent-job-syncs=20",
    )


def _account_key(folder: Path) -> Certificate:
    """The pair of keys that signs the tokens of service accounts."""
    pair = Certificate(folder / "account.pub", folder / "account.key")
    subprocess.run(
        ["openssl", "genrsa", "-out", str(pair.key), "2048"], stdin=subprocess.DEVNULL, check=True, capture_output=True
    )
    public = ["openssl", "rsa", "-in", str(pair.key), "-pubout", "-out", str(pair.certificate)]
    subprocess.run(public, stdin=subprocess.DEVNULL, check=True, capture_output=True)
    return pair


def _write_tokens(plane: ControlPlane, tokens: Mapping[str, str]) -> None:
    lines = [f"{tokens[user]},{name},{name}{f',{group}' if group else ''}" for user, (name, group) in _USERS.items()]
    (plane.folder / "tokens.csv").write_text("\n".join(lines) + "\n")
    for user, token in tokens.items():
        cluster = {"server": plane.url, "certificate-authority": str(plane.ca)}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": user, "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": user}}],
        }
        plane.kubeconfig(user).write_text(json.dumps(config))


def _is_ready(plane: ControlPlane) -> bool:
    command = [str(binaries() / "kubectl"), f"--kubeconfig={plane.kubeconfig('admin')}", "get", "--raw=/readyz"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=TOOL_SECONDS, check=False)
    return done.returncode == 0
