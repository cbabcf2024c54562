"""What a fetch talks to, in memory: stand-ins for the hub and for Docker with its registry.

The stand-in for the hub answers what the real one answers, with faults that a test asks for.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

from tests.device.device import DIGEST, NEW, a_release, sha256
from visionfleet.projections.release import canonical
from visionfleet_device.docker import Docker
from visionfleet_device.errors import DeviceError
from visionfleet_device.hub import Download, Hub, Refused, Unreachable

IMAGE_ID = "sha256:" + "1" * 64
WEIGHTS = bytes(range(256)) * 40
NAMES = b"screw\nnut\n"
PICTURE = b"a picture"
EXPECTED = b'{"predictions": []}'
SPECIFICATION = {"version": "1.0", "inputs": [], "steps": [], "outputs": [], "name": "Schräge 1.0"}
CLIENT_KEY = "vf_client"
SIGNED = "https://bucket.acme.example/"


class HubStandIn(Hub):
    """Stands in for the hub. A number in `breaks` is how many bytes come before the connection breaks."""

    def __init__(self) -> None:
        super().__init__("http://hub.acme.example", "vf_token", sleep=lambda _: None)
        self.files = {"weights.onnx": WEIGHTS, "class_names.txt": NAMES}
        self.goldens = {sha256(PICTURE): PICTURE, sha256(EXPECTED): EXPECTED}
        self.package_id = "pkg1"
        self.specification: Any = SPECIFICATION
        self.client_keys: Any = [sha256(CLIENT_KEY.encode())]
        self.breaks: list[int] = []
        self.takes_ranges = True
        self.is_away = False
        self.signature = "secret"
        self.expired: list[str] = []  # signatures that hold no longer
        self.signed = SIGNED
        self.asked: list[str] = []
        self.downloads: list[tuple[str, int]] = []

    def get(self, path: str, **query: str) -> dict[str, Any]:
        if self.is_away:
            raise Unreachable("the hub does not answer")
        self.asked.append(path)
        answers: dict[str, Any] = {
            "/models/v1/external/stat": {"modelMetadata": {"taskType": "object-detection"}},
            "/models/v1/external/weights": self._weights(query.get("modelId", "")),
            "/acme/workflows/count-screws": {
                "workflow": {"id": "count-screws", "config": json.dumps({"specification": self.specification})},
                "status": "ok",
            },
            "/fleet/v1/client-keys": {"client_keys": self.client_keys},
        }
        return answers[path]

    @contextmanager
    def download(self, address: str, start: int) -> Generator[Download, None, None]:
        self.downloads.append((address, start))
        if address.endswith(tuple(f"signature={one}" for one in self.expired)):
            raise Refused(403, "the hub refused it: Request has expired", "run it again")
        content = self._content(address)
        if start >= len(content) > 0:
            raise Refused(416, "beyond its end", "")
        start = start if self.takes_ranges else 0
        yield Download(start, self._chunks(content[start:]))

    def _content(self, address: str) -> bytes:
        if address.startswith("/fleet/v1/files/"):
            return self.goldens[address.rsplit("/", 1)[-1]]
        return self.files[address.removeprefix(SIGNED).partition("?")[0]]

    def _chunks(self, content: bytes) -> Iterator[bytes]:
        if self.breaks:
            yield content[: self.breaks.pop(0)]
            raise Unreachable("the connection ended too early")
        yield from (content[at : at + 100] for at in range(0, len(content), 100))

    def _weights(self, model_id: str) -> dict[str, Any]:
        files = [
            {"fileHandle": name, "downloadUrl": f"{self.signed}{name}?signature={self.signature}", "md5Hash": "0" * 32}
            for name in self.files
        ]
        package = {"packageId": self.package_id, "packageManifest": {"backendType": "onnx"}, "packageFiles": files}
        return {"modelMetadata": {"modelId": model_id, "modelPackages": [package]}}


class RegistryStandIn(Docker):
    """Stands in for Docker and its registry."""

    def __init__(self) -> None:
        self.pulled: list[str] = []
        self.digest = DIGEST
        self.fault: str | None = None

    def image(self, reference: str) -> dict[str, Any] | None:
        if reference not in (*self.pulled, *([IMAGE_ID] if self.pulled else [])):
            return None
        return {"Id": IMAGE_ID, "RepoDigests": [f"registry.acme.example/server@{self.digest}"]}

    def pull(self, reference: str) -> None:
        if self.fault:
            raise DeviceError(f"`docker pull --quiet …` failed: {self.fault}")
        self.pulled.append(reference)


def release(**changes: Any) -> dict[str, Any]:
    """A release of what the stand-in for the hub serves."""
    files = [
        {"name": name, "sha256": sha256(content), "size": len(content)}
        for name, content in (("weights.onnx", WEIGHTS), ("class_names.txt", NAMES))
    ]
    golden = {"name": "screw", "model": "screws/3", "workflow": None, "task": "object-detection", "tolerance": 0.05}
    parts: dict[str, Any] = {
        "models": [{"id": "screws/3", "package_id": "pkg1", "files": files}],
        "workflows": [{"id": "count-screws", "sha256": sha256(canonical(SPECIFICATION))}],
        "goldens": [{**golden, "image": sha256(PICTURE), "expected": sha256(EXPECTED)}],
        "environment": {"HOST": "0.0.0.0", "API_BASE_URL": "http://visionfleet-device:9501"},
    }
    return a_release(NEW, **{**parts, **changes})
