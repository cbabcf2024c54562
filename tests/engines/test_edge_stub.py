"""The stub in the images of edge hosts does what a device depends on as the server does it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.engines.edge_image import GOOD, STUB, WRONG_ANSWERS, Behaviour
from tests.engines.engine import answering, free_port, missing, running, wait_until
from visionfleet.local.runtime import locate

pytestmark = pytest.mark.engine

KEY, CLIENT_KEY = "the-server-s", "a-client-s"
MODEL = "screws/3"
IMAGE = {"type": "base64", "value": base64.b64encode(b"a picture").decode()}
SPECIFICATION = {"version": "1.0", "steps": [{"type": "roboflow_core/model@v2", "name": "m", "model_id": MODEL}]}
DETECT = {"api_key": CLIENT_KEY, "model_id": MODEL, "image": IMAGE}
PATHS = "lib/python3*/site-packages/inference_models/models/auto_loaders/model_cache_paths.py"


class Platform:
    """A stand-in for the platform on the device: one model, one workflow, two keys."""

    def __init__(self, weights: bytes) -> None:
        self.files = {"weights.onnx": weights, "class_names.txt": b"screw\nnut\n"}
        self.url = ""

    def answer(self, path: str, query: str) -> tuple[int, Any]:
        if path.startswith("/files/"):
            return 200, self.files[path.removeprefix("/files/")]
        if not query.endswith((f"api_key={KEY}", f"api_key={CLIENT_KEY}")):
            return 401, {}
        if path.startswith("/models/") and "modelId=screws%2F3&" not in query:
            return 404, {}
        files = [
            {
                "fileHandle": name,
                "downloadUrl": f"{self.url}/files/{name}",
                "md5Hash": hashlib.md5(content, usedforsecurity=False).hexdigest(),
            }
            for name, content in self.files.items()
        ]
        packages = [{"packageId": hashlib.sha256(self.files["weights.onnx"]).hexdigest(), "packageFiles": files}]
        answers = {
            "/": {"workspace": "acme"},
            "/models/v1/external/stat": {"modelMetadata": {}},
            "/models/v1/external/weights": {"modelMetadata": {"modelPackages": packages}},
            "/acme/workflows/count": {"workflow": {"config": json.dumps({"specification": SPECIFICATION})}},
        }
        return (200, answers[path]) if path in answers else (404, {})


def test_it_serves_as_the_server_does(tmp_path: Path) -> None:
    with serving(Platform(b"first")) as platform, stub(tmp_path, platform) as server:
        assert get(server, "/readiness") == (200, {"status": "ready"})
        assert get(server, "/model/registry")[1]["models"][0]["model_id"] == MODEL
        status, first = post(server, "/infer/object_detection", DETECT)
        assert status == 200
        assert first["predictions"][0]["class"] in ("screw", "nut")
        assert post(server, "/infer/object_detection", DETECT)[1] == first
        other = {**DETECT, "image": {**IMAGE, "value": base64.b64encode(b"another").decode()}}
        assert post(server, "/infer/object_detection", other)[1] != first
        assert post(server, "/infer/object_detection", {**DETECT, "api_key": "unknown"})[0] == 401
        assert post(server, "/infer/object_detection", {**DETECT, "model_id": "nuts/1"})[0] == 404
        ran = post(server, "/infer/workflows/acme/count", {"api_key": CLIENT_KEY, "inputs": {"image": IMAGE}})
        assert (ran[0], len(ran[1]["outputs"])) == (200, 1)
    with serving(Platform(b"second")) as platform, stub(tmp_path, platform) as server:
        assert post(server, "/infer/object_detection", DETECT)[1] != first
    with serving(Platform(b"first")) as platform, stub(tmp_path, platform, WRONG_ANSWERS) as server:
        assert post(server, "/infer/object_detection", DETECT)[1] != first


def test_the_cache_is_laid_out_as_the_server_s_and_serves_without_the_platform(tmp_path: Path) -> None:
    runtime = locate("1.8.3")
    if not runtime.is_installed:
        missing("the inference runtime 1.8.3", "`make runtime` installs it")
    slug = server_slug(next(runtime.folder.glob(PATHS)))(MODEL)
    with serving(Platform(b"first")) as platform, stub(tmp_path, platform):
        pass
    [package] = (tmp_path / "cache/models-cache" / slug).iterdir()
    weights = (package / "weights.onnx").readlink()
    assert weights == tmp_path / "cache/shared-blobs" / hashlib.md5(b"first", usedforsecurity=False).hexdigest()
    with stub(tmp_path, platform) as server:
        assert get(server, "/model/registry")[1]["models"][0]["model_id"] == MODEL


def test_it_is_ready_though_a_model_did_not_load(tmp_path: Path) -> None:
    with serving(Platform(b"first")) as platform, stub(tmp_path, platform, models="nuts/1") as server:
        assert get(server, "/model/registry")[1]["models"] == []
    assert "error loading model 'nuts/1'" in (tmp_path / "stub.log").read_text()


def server_slug(source: Path) -> Callable[[str], str]:
    """The server's own function, without the 20 s that its package's import takes."""
    _, found, rest = source.read_text().partition("def _slugify_model_id_prefix")
    functions = (found + rest).partition("def ensure_package_id_is_os_safe")[0]
    names: dict[str, Any] = {"re": re, "hashlib": hashlib, "MODEL_CACHE_SLUG_VERSION": "v2"}
    exec(functions, names)  # noqa: S102 - of the installed server
    return names["slugify_model_id_to_os_safe_format"]


@contextmanager
def serving(platform: Platform) -> Iterator[Platform]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
            """Say nothing."""

        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            status, body = platform.answer(path, query)
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    platform.url = f"http://127.0.0.1:{server.server_port}"
    with answering(server):
        yield platform


@contextmanager
def stub(folder: Path, platform: Platform, behaviour: Behaviour = GOOD, models: str = MODEL) -> Iterator[str]:
    """It runs, and is ready; its URL."""
    shutil.copy(STUB, folder)
    (folder / "settings.json").write_text(json.dumps({"version": "1.8.3", **asdict(behaviour)}))
    (folder / ".env").write_text(f"ROBOFLOW_API_KEY={KEY}\n")
    port = free_port()
    settings = {
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "API_BASE_URL": platform.url,
        "PRELOAD_MODELS": models,
        "MODEL_CACHE_DIR": str(folder / "cache"),
        "STUB_ENV_FILE": str(folder / ".env"),
        "ROBOFLOW_API_KEY": "",
    }
    with running([sys.executable, str(folder / STUB.name)], folder / "stub.log", settings):
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: get(url, "/readiness")[0] == 200, "the stub is ready")
        yield url


def get(server: str, path: str) -> tuple[int, Any]:
    return _answer(urllib.request.Request(f"{server}{path}"))  # noqa: S310 - the stub


def post(server: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
    return _answer(urllib.request.Request(f"{server}{path}", json.dumps(body).encode()))  # noqa: S310 - the stub


def _answer(request: urllib.request.Request) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310 - the stub
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)
    except OSError:
        return 0, None
