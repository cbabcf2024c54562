"""A real registry for images (Debian's docker-registry), with TLS by a certificate of the test's own.

    with registry(folder, "10.93.0.1", Authority(folder / "tls")) as images:
        images.host                      # 10.93.0.1:PORT, what stands before an image's name
        images.ca                        # what clients are to trust
        images.stop(); images.start()    # what it holds stays

Images are pushed by its HTTP API (tests/engines/edge_image.py): there is no Docker on this machine.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import shutil
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.engines.authority import Authority
from tests.engines.engine import missing, running, wait_until

USER, PASSWORD = "robot", "a-Secret_of-the_test-registry"
# bcrypt of PASSWORD: Debian's registry takes no other
_HTPASSWD = "{user}:{hash}\n"
_HASH = "$2b$05$visionfleettestssalteu7s5debdAxDTnU.g3usDH5asQzh8Gkwa"
_SETTINGS = """
version: 0.1
log: {{level: warn}}
storage:
  filesystem: {{rootdirectory: {folder}/images}}
  delete: {{enabled: true}}
http:
  addr: {address}:{port}
  tls: {{certificate: {certificate}, key: {key}}}
"""
_LOGIN = """
auth:
  htpasswd: {{realm: test, path: {folder}/htpasswd}}
"""


class Registry:
    """It keeps its images in a folder."""

    def __init__(self, folder: Path, address: str, authority: Authority, *, login: bool = False) -> None:
        """`login`: only for USER with PASSWORD."""
        self.folder = folder
        self.folder.mkdir()
        self.address = address
        self.port = _free_port(address)
        self.ca = authority.certificate
        self.login = login
        self._process = ExitStack()
        server = authority.issue("registry.test", address)
        settings = {"folder": folder, "address": address, "port": self.port, **server._asdict()}
        (folder / "config.yml").write_text((_SETTINGS + (_LOGIN if login else "")).format(**settings))
        (folder / "htpasswd").write_text(_HTPASSWD.format(user=USER, hash=_HASH))

    @property
    def host(self) -> str:
        """host:port, what stands before an image's name."""
        return f"{self.address}:{self.port}"

    def start(self) -> None:
        """Serve, until it answers."""
        command = ["docker-registry", "serve", str(self.folder / "config.yml")]
        log = self.folder / "registry.log"
        process = self._process.enter_context(running(command, log))
        wait_until(lambda: process.poll() is not None or self._answers(), "the registry answers")
        assert process.poll() is None, log.read_text()

    def stop(self) -> None:
        """Connections are refused from now on."""
        self._process.close()

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> http.client.HTTPResponse:
        """One request of its API, whatever its status."""
        credentials = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        sent = {**(headers or {}), **({"Authorization": f"Basic {credentials}"} if self.login else {})}
        context = ssl.create_default_context(cafile=str(self.ca))
        connection = http.client.HTTPSConnection(self.address, self.port, context=context, timeout=300)
        try:
            connection.request(method, path, body, sent)
            return connection.getresponse()
        finally:
            connection.close()

    def upload(self, repository: str, content: bytes) -> str:
        """A blob's digest, and the blob there, sent if it is new."""
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        if self.request("HEAD", f"/v2/{repository}/blobs/{digest}").status == 200:
            return digest
        opened = self.request("POST", f"/v2/{repository}/blobs/uploads/", b"")
        assert opened.status == 202, opened.status
        place = opened.headers["Location"].removeprefix(f"https://{self.host}")
        separator = "&" if "?" in place else "?"
        kind = {"Content-Type": "application/octet-stream"}
        stored = self.request("PUT", f"{place}{separator}digest={digest}", content, kind)
        assert stored.status == 201, stored.status
        return digest

    def tag(self, repository: str, tag: str, manifest: bytes, kind: str) -> str:
        """Store a manifest under a tag: its digest."""
        stored = self.request("PUT", f"/v2/{repository}/manifests/{tag}", manifest, {"Content-Type": kind})
        assert stored.status == 201, stored.status
        return stored.headers["Docker-Content-Digest"]

    def _answers(self) -> bool:
        try:
            return self.request("GET", "/v2/").status == 200
        except OSError:
            return False


@contextmanager
def registry(folder: Path, address: str, authority: Authority, *, login: bool = False) -> Iterator[Registry]:
    """A registry that answers, and is gone at the end. Skips the test where there can be none."""
    tools = [tool for tool in ("docker-registry", "openssl") if shutil.which(tool) is None]
    if tools:
        missing("a registry", f"apt install docker-registry openssl util-linux ({tools})")
    images = Registry(folder, address, authority, login=login)
    try:
        images.start()
        yield images
    finally:
        images.stop()


def _free_port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])
