"""A STUB of the inference server, the program of the images that edge hosts of tests run. No model is run here.

What it does as server 1.8.3 does, because a device depends on it: settings from the environment and the key from
/app/.env; models of PRELOAD_MODELS fetched from API_BASE_URL with that key into MODEL_CACHE_DIR, in the server's layout
(models-cache/<slug>/<package id>/, each file a link to shared-blobs/<md5>, absolute as the container sees it); ready
after that even if a model failed to load; packages in the cache serve where the platform cannot be reached.

    GET  /  /info  /healthz  /readiness  /model/registry
    POST /infer/object_detection                    {"api_key", "model_id", "image": {"type": "base64", "value"}}
    POST /infer/workflows/{workspace}/{id}          {"api_key", "inputs": {"<any>": {"type": "base64", "value"}}}

The answer is one detection, worked out from the image's bytes and the package's files: the same each time, another for
another image or package. How it misbehaves is in settings.json beside it (`Behaviour` of tests/engines/edge_image.py).
"""

import base64
import hashlib
import json
import os
import re
import signal
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SETTINGS = json.loads(Path(__file__).with_name("settings.json").read_text())
PLATFORM = os.environ.get("API_BASE_URL", "").rstrip("/")
CACHE = Path(os.environ.get("MODEL_CACHE_DIR", "/tmp/cache"))
ENV_FILE = Path(os.environ.get("STUB_ENV_FILE", "/app/.env"))
PLATFORM_SECONDS = 60
UNAUTHORIZED = "Unauthorized access to roboflow API - check API key and make sure the key is valid."


class Refusal(Exception):
    """An answer other than 200."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


class Models:
    """The packages that were loaded, by their model's id."""

    def __init__(self, api_key):
        self.api_key = api_key
        self.loaded = {}
        self.ready = False
        self.lock = threading.Lock()

    def preload(self):
        """In the background, as the server: a model that does not load is said in the log, and readiness comes all the
        same."""
        for model_id in filter(None, os.environ.get("PRELOAD_MODELS", "").split(",")):
            try:
                self.package(model_id, self.api_key)
                log(f"Preload: model '{model_id}' loaded")
            except (Refusal, OSError, ValueError, LookupError) as error:
                log(f"Preload: error loading model '{model_id}': {error}")
        time.sleep(SETTINGS["ready_after_seconds"])
        self.ready = SETTINGS["ready"]

    def package(self, model_id, api_key):
        """The folder of the model's package, fetched at its first use."""
        with self.lock:
            if model_id not in self.loaded:
                self.loaded[model_id] = fetched(model_id, api_key)
            return self.loaded[model_id]


def fetched(model_id, api_key):
    """Raises Refusal where the platform says no, OSError where it is away and the cache has nothing."""
    folder = CACHE / "models-cache" / slug(model_id)
    try:
        ask("/models/v1/external/stat", api_key, modelId=model_id)
        weights = ask("/models/v1/external/weights", api_key, modelId=model_id)
    except OSError:
        packages = sorted(folder.iterdir()) if folder.is_dir() else []
        if not packages:
            raise
        log(f"the platform is away; {model_id} from the cache")
        return packages[-1]
    package = weights["modelMetadata"]["modelPackages"][0]
    folder = folder / package["packageId"]
    folder.mkdir(parents=True, exist_ok=True)
    for file in package["packageFiles"]:
        store(folder / file["fileHandle"], file)
    (folder / "model_config.json").write_text(json.dumps(weights["modelMetadata"], sort_keys=True))
    return folder


def store(link, file):
    """A file is kept once, under its MD5; the package links to it."""
    blob = CACHE.absolute() / "shared-blobs" / file["md5Hash"]
    if not blob.exists():
        with urllib.request.urlopen(file["downloadUrl"], timeout=PLATFORM_SECONDS) as response:  # noqa: S310 - the platform's
            content = response.read()
        if hashlib.md5(content, usedforsecurity=False).hexdigest() != file["md5Hash"]:
            raise ValueError(f"{file['fileHandle']}: its MD5 is not as announced")
        blob.parent.mkdir(parents=True, exist_ok=True)
        unfinished = blob.with_suffix(".unfinished")
        unfinished.write_bytes(content)
        unfinished.replace(blob)
    if not link.exists():
        link.unlink(missing_ok=True)
        link.symlink_to(blob)


def slug(model_id):
    """As inference_models/models/auto_loaders/model_cache_paths.py."""
    prefix = re.sub(r"[_-]{2,}", "-", re.sub(r"[^A-Za-z0-9_-]+", "-", model_id)) or "special-char-only-model-id"
    return f"v2-{prefix[:48]}-{hashlib.blake2s(model_id.encode(), digest_size=16).hexdigest()}"


def ask(path, api_key, **query):
    """The platform's answer. A status of its is a Refusal; no answer is an OSError."""
    url = f"{PLATFORM}{path}?{urllib.parse.urlencode({**query, 'api_key': api_key})}"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {api_key}"})  # noqa: S310 - a setting
    try:
        with urllib.request.urlopen(request, timeout=PLATFORM_SECONDS) as response:  # noqa: S310 - a setting
            return json.load(response)
    except urllib.error.HTTPError as error:
        raise Refusal(error.code, UNAUTHORIZED if error.code in (401, 403) else f"{path}: {error}") from error


def detect(parts, classes, image):
    """One detection, from all that it depends on."""
    if SETTINGS["wrong_answers"]:
        parts = [*parts, b"wrong"]
    numbers = hashlib.sha256(b"\0".join([*parts, image])).digest()
    class_id = numbers[5] % len(classes)
    return {
        "x": float(numbers[0]),
        "y": float(numbers[1]),
        "width": 16.0 + numbers[2],
        "height": 16.0 + numbers[3],
        "confidence": round(0.5 + numbers[4] / 512, 4),
        "class": classes[class_id],
        "class_id": class_id,
        "detection_id": numbers[:16].hex(),
    }


def files_of(folder):
    """What a package's answer depends on."""
    return [path.read_bytes() for path in sorted(folder.iterdir()) if path.is_symlink()]


def classes_of(folder):
    """The model's own classes, where its package names them."""
    names = folder / "class_names.txt"
    return names.read_text().splitlines() if names.exists() else ["object"]


def decoded(image):
    """The file's bytes."""
    try:
        return base64.b64decode(image["value"], validate=True)
    except (KeyError, TypeError, ValueError) as error:
        raise Refusal(400, "Could not load the image.") from error


def infer(models, request):
    """POST /infer/object_detection."""
    image = decoded(request.get("image"))
    package = models.package(request["model_id"], request["api_key"])
    prediction = detect(files_of(package), classes_of(package), image)
    return {"time": 0.001, "image": {"width": 256, "height": 256}, "predictions": [prediction]}


def run_workflow(models, workspace, workflow_id, request):
    """POST /infer/workflows/…: the answer depends on the specification and the models that its steps name."""
    path = f"/{workspace}/workflows/{urllib.parse.quote(workflow_id)}"
    specification = json.loads(ask(path, request["api_key"])["workflow"]["config"])["specification"]
    ids = [step["model_id"] for step in specification.get("steps", []) if "model_id" in step]
    packages = [models.package(model_id, request["api_key"]) for model_id in ids]
    parts = [json.dumps(specification, sort_keys=True).encode()]
    parts += [content for package in packages for content in files_of(package)]
    classes = classes_of(packages[0]) if packages else ["object"]
    outputs = []
    for value in request["inputs"].values():
        for image in value if isinstance(value, list) else [value]:
            prediction = detect(parts, classes, decoded(image))
            outputs.append(
                {"predictions": {"image": {"width": 256, "height": 256}, "predictions": [prediction]}},
            )
    return {"outputs": outputs, "profiler_trace": []}


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    models = None

    def log_message(self, *_):
        """Say nothing."""

    def do_GET(self):
        """What needs no key."""
        server = {"name": "Stub of the Roboflow Inference Server", "version": SETTINGS["version"], "uuid": "stub"}
        ready = self.models.ready
        answers = {
            "/": (200, server),
            "/info": (200, server),
            "/healthz": (200, {"status": "healthy"}),
            "/readiness": (200, {"status": "ready"}) if ready else (503, {"status": "not ready"}),
            "/model/registry": (200, {"models": [described(model_id) for model_id in sorted(self.models.loaded)]}),
        }
        self.answer(*answers.get(self.path, (404, {"detail": "Not Found"})))

    def do_POST(self):
        """What needs one that the platform knows."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            self.answer(200, self.result(json.loads(body)))
        except Refusal as refusal:
            self.answer(refusal.status, {"message": str(refusal)})
        except (KeyError, TypeError, ValueError) as error:
            self.answer(422, {"detail": f"not a request: {error!r}"})
        except OSError:
            self.answer(503, {"message": "Internal error. Could not connect to Roboflow API."})

    def result(self, request):
        """By the route."""
        path = self.path.partition("?")[0].strip("/").split("/")
        if path[0] != "infer":
            raise Refusal(404, "Not Found")
        if not request.get("api_key"):
            raise Refusal(401, UNAUTHORIZED)
        ask("/", request["api_key"])
        time.sleep(SETTINGS["answer_seconds"])
        if path == ["infer", "object_detection"]:
            return infer(self.models, request)
        if len(path) == 4 and path[1] == "workflows":
            return run_workflow(self.models, path[2], path[3], request)
        raise Refusal(404, "Not Found")

    def answer(self, status, body):
        """As JSON."""
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def described(model_id):
    """An entry of /model/registry."""
    return {"model_id": model_id, "task_type": "object-detection", "batch_size": None, "request_aliases": []}


def api_key():
    """From the file; the environment wins, as dotenv has it."""
    lines = ENV_FILE.read_text().splitlines() if ENV_FILE.is_file() else []
    settings = dict(line.split("=", 1) for line in lines if "=" in line)
    return os.environ.get("ROBOFLOW_API_KEY") or settings.get("ROBOFLOW_API_KEY", "").strip("'\"")


def log(message):
    """To the container's log."""
    print(message, flush=True)


def main():
    """Serve, and misbehave as the settings say."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    if SETTINGS["exit_after_seconds"] == 0:
        sys.exit("a fault that was asked for: the server crashes at its start")
    if SETTINGS["exit_after_seconds"]:
        threading.Timer(SETTINGS["exit_after_seconds"], os._exit, (1,)).start()
    models = Models(api_key())
    handler = type("BoundHandler", (Handler,), {"models": models})
    address = (os.environ.get("HOST", "0.0.0.0"), int(os.environ.get("PORT", "9001")))
    server = ThreadingHTTPServer(address, handler)
    server.daemon_threads = True
    threading.Thread(target=models.preload, daemon=True).start()
    log(f"Stub of the inference server {SETTINGS['version']} on {address[0]}:{address[1]}")
    server.serve_forever()


if __name__ == "__main__":
    main()
