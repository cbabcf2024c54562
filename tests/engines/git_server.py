"""A Git server with TLS and a password: Git's own `http-backend` behind a small HTTP server.

with git_server(folder, "10.89.0.1", Authority(folder / "tls")) as server:
    url = server.make("vision/gitops")       # https://10.89.0.1:PORT/vision/gitops.git, empty
    git("push", url, environment=server.environment)
"""

from __future__ import annotations

import base64
import os
import shutil
import ssl
import subprocess
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

from tests.engines.authority import Authority
from tests.engines.engine import TOOL_SECONDS, missing

USER, PASSWORD = "flux", "a-Secret_of-the_tests'-repositories"
BRANCH = "main"
_CREDENTIALS = f"Basic {base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"


@dataclass(frozen=True)
class GitServer:
    """Repositories in a folder, for who knows the password."""

    folder: Path
    url: str
    ca: Path

    @property
    def environment(self) -> Mapping[str, str]:
        """With it, Git trusts this server and signs in."""
        header = {"KEY": "http.extraHeader", "VALUE": f"Authorization: {_CREDENTIALS}"}
        setting = {f"GIT_CONFIG_{part}_0": text for part, text in header.items()}
        return {"GIT_SSL_CAINFO": str(self.ca), "GIT_CONFIG_COUNT": "1", **setting}

    def make(self, name: str) -> str:
        """An empty repository, as `vision/gitops`: its URL."""
        place = self.folder / f"{name}.git"
        _git("init", "--quiet", "--bare", f"--initial-branch={BRANCH}", str(place))
        _git("--git-dir", str(place), "config", "http.receivepack", "true")
        return f"{self.url}/{name}.git"


@contextmanager
def git_server(folder: Path, address: str, authority: Authority) -> Generator[GitServer]:
    """A server that answers, and is gone at the end."""
    if shutil.which("git") is None:
        missing("Git", "apt install git")
    folder.mkdir()

    class Repositories(_Handler):
        root = folder

    with ThreadingHTTPServer((address, 0), Repositories) as server:
        server.daemon_threads = True
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*authority.issue("git.test", address))
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        Thread(target=server.serve_forever, daemon=True).start()
        yield GitServer(folder, f"https://{address}:{server.server_port}", authority.certificate)
        server.shutdown()


class _Handler(BaseHTTPRequestHandler):
    """What CGI (RFC 3875) asks for, as far as Git needs it."""

    root: Path

    def do_GET(self) -> None:
        """References, and what dumb clients read."""
        self._ask_git(b"")

    def do_POST(self) -> None:
        """What is fetched and pushed."""
        self._ask_git(self._body())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's signature
        """Nobody reads it."""

    def _ask_git(self, body: bytes) -> None:
        if self.headers.get("Authorization") != _CREDENTIALS:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="tests"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        done = subprocess.run(
            ["git", "http-backend"], input=body, env=self._variables(), capture_output=True, check=False
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        answered = BytesParser().parsebytes(head)
        self.send_response(int(answered.get("Status", "200").split()[0]))
        for name, value in answered.items():
            if name != "Status":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _variables(self) -> dict[str, str]:
        asked = urlsplit(self.path)
        return {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "PATH_INFO": asked.path,
            "QUERY_STRING": asked.query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "REMOTE_USER": USER,
            "REMOTE_ADDR": self.client_address[0],
        }

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = bytearray()
        while size := int(self.rfile.readline(), 16):
            chunks += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return bytes(chunks)


def _git(*arguments: str) -> None:
    subprocess.run(["git", *arguments], stdin=subprocess.DEVNULL, check=True, capture_output=True, timeout=TOOL_SECONDS)
