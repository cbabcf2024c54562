"""Roboflow's platform for the inference server on this device: the hub's answers, from the release that is current.

It listens where containers reach this machine, at Docker's bridge, and hears nobody who is not on that bridge: a
neighbour in the network can send packets to the bridge's address, too. What it answers is looked up in the release; no
part of a URL ever becomes part of a path. Each request sees the release that `current` leads to by then.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import re
import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO, Callable, Dict, NamedTuple, cast
from urllib.parse import parse_qs, unquote

from visionfleet_device import answers, client_keys, links, program, trial
from visionfleet_device.answers import Answers
from visionfleet_device.commands import run
from visionfleet_device.errors import DeviceError
from visionfleet_device.paths import Paths
from visionfleet_device.ranges import window
from visionfleet_device.server import read_key
from visionfleet_device.systemd import notify_started

PORT = 9501
TIMEOUT_SECONDS = 60  # of a client that says nothing
CHUNK_BYTES = 256 * 1024
MAX_BODY_BYTES = 1024 * 1024  # what is read of a body, to throw it away

_IP_FREEBIND = 15  # include/uapi/linux/in.h: the address may come later, as Docker's bridge does at boot
_WORKFLOW = re.compile(r"/([^/]+)/workflows/([^/]+)")
_FILE = re.compile(r"/files/([0-9a-f]{64})")

Query = Dict[str, str]


class Refusal(Exception):
    """An answer that is an error, as the hub words it."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.body: dict[str, Any] = {"error": {"code": code, "message": message, "fields": {}}}


class Served(NamedTuple):
    """What is answered about a release."""

    release: dict[str, Any]
    answers: Answers

    @property
    def base_url(self) -> str:
        """Where the inference server finds this platform."""
        return str(self.release["environment"].get("API_BASE_URL", "")).rstrip("/")


class Platform:
    """What is answered, and to whom."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._read: tuple[object, Served | None] = (None, None)

    def answer(self, path: str, query: Query, key: str) -> dict[str, Any]:
        """The JSON for a GET. Raises Refusal."""
        routes: dict[str, Callable[[Query], dict[str, Any]]] = {
            "/": lambda _: {"workspace": self._served().release["workspace"]},
            "/models/v1/external/stat": lambda query: _model(self._served(), query)["stat"],
            "/models/v1/external/weights": self._weights,
        }
        workflow = _WORKFLOW.fullmatch(path)
        if path not in routes and workflow is None:
            raise Refusal(404, "not_found", "the platform of this device has nothing there")
        self._check_key(key)
        if workflow is not None:
            return self._workflow(unquote(workflow.group(1)), unquote(workflow.group(2)))
        return routes[path](query)

    def file(self, sha256: str, token: str) -> Path:
        """A file of a package, by the URL that the answer about its model gave. Raises Refusal."""
        # without a key, as between a boot and the server's first start, nothing was signed, and anybody could sign
        if not read_key(self._paths) or not hmac.compare_digest(self._token(sha256).encode(), token.encode()):
            raise Refusal(403, "invalid_signature", "this URL was not signed by the platform of this device")
        served = self._served()
        if not any(file["sha256"] == sha256 for model in served.release["models"] for file in model["files"]):
            raise Refusal(404, "object_missing", "the current release has no such file")
        return self._paths.object(sha256)

    def _check_key(self, key: str) -> None:
        own = read_key(self._paths)
        known = [*client_keys.read(self._paths), *([client_keys.digest(own)] if own else [])]
        given = client_keys.digest(key)
        # all of them are compared, so that the time tells nothing
        if not key or not any([hmac.compare_digest(given, one) for one in known]):  # noqa: C419
            raise Refusal(401, "key_unknown", "this API key is not known here, or was revoked")

    def _served(self) -> Served:
        """What `current` leads to, read again where it is another release or was fetched anew."""
        name = trial.current(self._paths)
        if name is None:
            raise Refusal(404, "release_missing", "there is no release on this device yet")
        bundle = self._paths.bundle(name)
        state = (name, _modified(bundle.release), _modified(bundle.platform))
        read, served = self._read
        if read != state or served is None:
            release, found = links.read_json(bundle.release), answers.read(bundle)
            if release is None or found is None:
                raise Refusal(
                    503, "release_damaged", f"release {name} is not on this device as a whole: fetch it again"
                )
            served = Served(release, found)
            self._read = (state, served)
        return served

    def _weights(self, query: Query) -> dict[str, Any]:
        served = self._served()  # once: `current` may be switched meanwhile
        weights = _model(served, query)["weights"]
        [model] = [model for model in served.release["models"] if model["id"] == query["modelId"]]
        digests = {file["name"]: file["sha256"] for file in model["files"]}
        [package] = weights["modelMetadata"]["modelPackages"]
        files = [
            {**file, "downloadUrl": f"{served.base_url}{self._signed(digests[file['fileHandle']])}"}
            for file in package["packageFiles"]
        ]
        metadata = {**weights["modelMetadata"], "modelPackages": [{**package, "packageFiles": files}]}
        return {**weights, "modelMetadata": metadata}

    def _workflow(self, workspace: str, name: str) -> dict[str, Any]:
        served = self._served()
        if workspace != served.release["workspace"]:
            raise Refusal(403, "workspace_not_allowed", f"this key is of another workspace than '{workspace}'")
        if name not in served.answers.workflows:
            known = ", ".join(sorted(served.answers.workflows)) or "none"
            message = f"there is no workflow '{name}' in the current release; known are: {known}"
            raise Refusal(404, "workflow_not_found", message)
        return served.answers.workflows[name]

    def _signed(self, sha256: str) -> str:
        return f"/files/{sha256}?token={self._token(sha256)}"

    def _token(self, sha256: str) -> str:
        """The server asks for files without its key."""
        return hmac.new(read_key(self._paths).encode(), sha256.encode(), hashlib.sha256).hexdigest()


class Server(ThreadingHTTPServer):
    """The platform at an address that need not be there yet."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, paths: Paths, bridge: ipaddress.IPv4Interface, port: int) -> None:
        self.platform = Platform(paths)
        self._peers = bridge.network
        super().__init__((str(bridge.ip), port), _Handler)

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002 - the base's signature
        """Whether a client is a container on the bridge, or this machine by its address there."""
        return ipaddress.IPv4Address(client_address[0]) in self._peers

    def server_bind(self) -> None:
        """Bind without asking who the address is: the name server may be away."""
        self.socket.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """Tell what went wrong in a line. That a client has gone is nothing."""
        error = sys.exc_info()[1]
        if not isinstance(error, (ConnectionError, socket.timeout)):
            print(f"a request was not answered: {error!r}", file=sys.stderr, flush=True)


def serve(paths: Paths) -> None:
    """Answer until the process is ended. Raises DeviceError where Docker does not say where containers reach us."""
    notify_started(program.installed(paths))
    with Server(paths, bridge(), PORT) as server:
        server.serve_forever()


def bridge() -> ipaddress.IPv4Interface:
    """This machine's address on Docker's bridge, which is `host-gateway` for a container, and the bridge's network."""
    try:
        [network] = json.loads(run(["docker", "network", "inspect", "bridge"], 60))
        configs = [config for config in network["IPAM"]["Config"] if ":" not in config["Subnet"]]
        subnet = ipaddress.IPv4Network(configs[0]["Subnet"])
        gateway = configs[0].get("Gateway") or next(subnet.hosts())
        return ipaddress.IPv4Interface(f"{gateway}/{subnet.prefixlen}")
    except (ValueError, KeyError, TypeError, IndexError) as error:
        message = f"Docker does not say which address its bridge has: {error!r}"
        raise DeviceError(message, "see `docker network inspect bridge`") from error


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "visionfleet-device"
    sys_version = ""
    timeout = TIMEOUT_SECONDS

    def do_GET(self) -> None:
        path, _, text = self.path.partition("?")
        query = {name: values[-1] for name, values in parse_qs(text, keep_blank_values=True).items()}
        platform = cast("Server", self.server).platform
        try:
            file = _FILE.fullmatch(path)
            if file is not None:
                self._send_file(platform.file(file.group(1), query.get("token", "")))
            else:
                self._send_json(200, platform.answer(path, query, self._key(query)))
        except Refusal as refusal:
            self._send_json(refusal.status, refusal.body)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        """Usage, and the like: nobody here wants it, and the server does not mind."""
        length = self.headers.get("Content-Length", "")
        size = int(length) if length.isdigit() else MAX_BODY_BYTES + 1
        self.close_connection = True
        if size <= MAX_BODY_BYTES:
            self.rfile.read(size)
        self._send_json(404, Refusal(404, "not_found", "the platform of this device takes nothing").body)

    def log_request(self, code: Any = "-", size: Any = "-") -> None:  # noqa: ARG002
        """Log what was refused, without its query: keys are there."""
        if self.command in ("GET", "HEAD") and int(code) >= 400:
            print(f"{self.command} {self.path.partition('?')[0]!r} {int(code)}", file=sys.stderr, flush=True)

    def log_error(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Log nothing of requests that cannot be read: they may hold anything."""

    def _key(self, query: Query) -> str:
        """As the hub takes it: the header goes before the query."""
        kind, _, key = self.headers.get("Authorization", "").partition(" ")
        return key.strip() if kind.lower() == "bearer" else query.get("api_key", "")

    def _send_json(self, status: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self._send_head(status, len(content), {"Content-Type": "application/json"})
        if self.command != "HEAD":
            self.wfile.write(content)

    def _send_file(self, path: Path) -> None:
        try:
            with path.open("rb") as file:
                self._send_window(file, path.stat().st_size)
        except FileNotFoundError as error:
            raise Refusal(404, "object_missing", "this file is not on the device: fetch the release again") from error

    def _send_window(self, file: BinaryIO, size: int) -> None:
        wanted = window(self.headers.get("Range"), size)
        if wanted is None:
            self._send_head(416, 0, {"Content-Range": f"bytes */{size}"})
            return
        start, end = wanted
        headers = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes"}
        if end - start < size:
            self._send_head(206, end - start, {**headers, "Content-Range": f"bytes {start}-{end - 1}/{size}"})
        else:
            self._send_head(200, size, headers)
        if self.command == "HEAD":
            return
        file.seek(start)
        while start < end:
            chunk = file.read(min(CHUNK_BYTES, end - start))
            if not chunk:
                self.close_connection = True  # cut short meanwhile: the client sees a body that is too short
                return
            self.wfile.write(chunk)
            start += len(chunk)

    def _send_head(self, status: int, length: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(length)}.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()


def _model(served: Served, query: Query) -> dict[str, Any]:
    name, models = query.get("modelId", ""), served.answers.models
    if name not in models:
        known = ", ".join(sorted(models)) or "none"
        message = f"there is no model '{name}' in the current release; known are: {known}"
        raise Refusal(404, "model_not_found", message)
    return models[name]


def _modified(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
