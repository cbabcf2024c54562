"""A STUB of the inference server's API: a stand-in for tests that are about something else, nothing more.

It looks at pixels, but runs no workflow and no model: every workflow answers the same two outputs. Whatever depends on
what the server really does belongs into a test with the real one. What it does answer, statuses and bodies, was seen on
server 1.8.3.

    python tests/engines/stub_inference.py [--port 0] [--delay SECONDS] [--platform URL] [--fail-on DIGEST …]

prints `{"port": 12345}` on standard output as soon as it listens.

    GET  /healthz /readiness /info
    POST /{workspace}/workflows/{workflow_id}          also as /infer/workflows/{workspace}/{workflow_id}
         {"api_key", "inputs": {"<any>": [{"type": "base64", "value"}, …], …}}
      -> {"outputs": [{"predictions": {"image", "predictions": [one detection, its class the strongest of the
                                                                 picture's mean colours]},
                       "annotated": {"type": "base64", "value": a JPEG, "video_metadata"}}, …]}
      -> 400 for the whole request where one image cannot be decoded, 500 where one is in --fail-on (the first digits
         of the SHA-256 of its file), 401 without a key. With --platform (or API_BASE_URL) it fetches the workflow
         there with the caller's key, as the real server does: 401 and 404 are the platform's.
    POST /stub/faults  {"status": 503, "count": 3}     the next 3 workflow requests get this status
                       {"hang_seconds": 5, "count": 1} … are answered late
                       {"drop": true, "count": 1}      … get no answer: the connection is closed
                       {"ready": false}                /readiness says so, until {"ready": true}
                       {}                              no more faults
    GET  /stub/stats   {"requests", "images", "most_in_flight"}   workflow requests that came to an answer of 200
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hashlib
import io
import json
import os
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from PIL import Image, ImageDraw, ImageStat

UNAUTHORIZED = "Unauthorized access to roboflow API - check API key and make sure the key is valid."
NOT_FOUND = "Requested Roboflow resource not found. Make sure that workspace, project or model exists."
CLASSES = ("red", "green", "blue")


class Refusal(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, message: str, **more: Any) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"message": message, **more}


class State:
    """What the requests share: options, faults, counters."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.delay: float = options.delay
        self.platform: str | None = options.platform
        self.fail_on: tuple[str, ...] = tuple(options.fail_on)
        self.lock = threading.Lock()
        self.faults: dict[str, Any] = {}
        self.ready = True
        self.known: set[tuple[str, str]] = set()
        self.stats = {"requests": 0, "images": 0, "most_in_flight": 0}
        self.in_flight = 0

    def set_faults(self, faults: dict[str, Any]) -> None:
        with self.lock:
            self.ready = faults.pop("ready", True)
            self.faults = faults

    def take_fault(self) -> dict[str, Any]:
        with self.lock:
            left = self.faults.get("count", 0)
            if left <= 0:
                return {}
            self.faults["count"] = left - 1
            return dict(self.faults)

    @contextmanager
    def request(self):
        with self.lock:
            self.in_flight += 1
            self.stats["most_in_flight"] = max(self.stats["most_in_flight"], self.in_flight)
        try:
            yield
        finally:
            with self.lock:
                self.in_flight -= 1

    def count(self, images: int) -> None:
        with self.lock:
            self.stats["requests"] += 1
            self.stats["images"] += images


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    state: State

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        """Say nothing."""

    def do_GET(self) -> None:
        answers: dict[str, tuple[int, dict[str, Any]]] = {
            "/healthz": (200, {"status": "healthy"}),
            "/readiness": (200, {"status": "ready"}) if self.state.ready else (503, {"status": "not ready"}),
            "/info": (200, {"name": "Stub of the Roboflow Inference Server", "version": "1.8.3", "uuid": "stub"}),
            "/stub/stats": (200, self.state.stats),
        }
        self.answer(*answers.get(self.path, (404, {"detail": "Not Found"})))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        match self.path.split("?")[0].strip("/").split("/"):
            case ["stub", "faults"]:
                self.state.set_faults(json.loads(body))
                self.answer(200, {})
            case [workspace, "workflows", workflow_id] | ["infer", "workflows", workspace, workflow_id]:
                with self.state.request():
                    self.workflow(workspace, workflow_id, body)
            case _:
                self.answer(404, {"detail": "Not Found"})

    def workflow(self, workspace: str, workflow_id: str, body: bytes) -> None:
        fault = self.state.take_fault()
        time.sleep(fault.get("hang_seconds", 0))
        if fault.get("drop"):
            self.close_connection = True
            return
        if "status" in fault:
            self.answer(fault["status"], {"message": f"a fault that was asked for: {fault['status']}"})
            return
        try:
            outputs = run_workflow(self.state, workspace, workflow_id, body)
        except Refusal as refusal:
            self.answer(refusal.status, refusal.body)
            return
        self.state.count(len(outputs))
        self.answer(200, {"outputs": outputs, "profiler_trace": []})

    def answer(self, status: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def run_workflow(state: State, workspace: str, workflow_id: str, body: bytes) -> list[dict[str, Any]]:
    """The outputs for each image of a request. Raises Refusal."""
    try:
        request = json.loads(body)
        inputs = request["inputs"]
    except (ValueError, KeyError, TypeError) as error:
        raise Refusal(422, "the body is not a workflow request") from error
    if not request.get("api_key"):
        raise Refusal(401, UNAUTHORIZED)
    fetch_workflow(state, workspace, workflow_id, request["api_key"])
    files = [decoded(name, index, item) for name, index, item in images_in(inputs)]
    pictures = [picture(name, index, file) for name, index, file in files]
    for _, _, file in files:
        if state.fail_on and hashlib.sha256(file).hexdigest().startswith(state.fail_on):
            raise Refusal(500, "the step failed", error_type="StepExecutionError", context="workflow_execution")
    time.sleep(state.delay * len(pictures))
    return [{"predictions": detect(image), "annotated": annotate(image)} for image in pictures]


def fetch_workflow(state: State, workspace: str, workflow_id: str, api_key: str) -> None:
    """Ask the platform for the workflow, once for each key; without a platform every workflow exists."""
    if state.platform is None or (workflow_id, api_key) in state.known:
        return
    query = urllib.parse.urlencode({"api_key": api_key})
    url = f"{state.platform}/{workspace}/workflows/{urllib.parse.quote(workflow_id)}?{query}"
    try:
        with urllib.request.urlopen(url, timeout=60) as response:  # noqa: S310 - the platform's URL is an option
            json.loads(json.load(response)["workflow"]["config"])["specification"]
    except urllib.error.HTTPError as error:
        known = {401: (401, UNAUTHORIZED), 403: (403, UNAUTHORIZED), 404: (404, NOT_FOUND)}
        raise Refusal(*known.get(error.code, (502, "Internal error. Request to Roboflow API failed."))) from error
    except OSError as error:
        raise Refusal(503, "Internal error. Could not connect to Roboflow API.") from error
    state.known.add((workflow_id, api_key))


def images_in(inputs: dict[str, Any]) -> list[tuple[str, int, dict[str, Any]]]:
    """Input name, position and value of each image in the request."""
    lists = {name: value if isinstance(value, list) else [value] for name, value in inputs.items()}
    return [
        (name, index, item)
        for name, items in lists.items()
        for index, item in enumerate(items)
        if isinstance(item, dict) and item.get("type") == "base64"
    ]


def decoded(name: str, index: int, item: dict[str, Any]) -> tuple[str, int, bytes]:
    try:
        return name, index, base64.b64decode(item["value"], validate=True)
    except (binascii.Error, KeyError, TypeError) as error:
        raise invalid_image(name, index) from error


def picture(name: str, index: int, file: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(file)).convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise invalid_image(name, index) from error


def invalid_image(name: str, index: int) -> Refusal:
    return Refusal(
        400,
        f"Failed to assemble `{name}.[{index}]`. Could not successfully use any deserializer for declared kinds.",
        error_type="RuntimeInputError",
        context="workflow_execution | runtime_input_validation",
        inner_error_type=None,
        inner_error_message="None",
    )


def detect(image: Image.Image) -> dict[str, Any]:
    """One detection, the middle of the picture, in the server's form."""
    means = ImageStat.Stat(image).mean
    strongest = max(range(3), key=lambda channel: means[channel])
    detection = {
        "width": image.width / 2,
        "height": image.height / 2,
        "x": image.width / 2,
        "y": image.height / 2,
        "confidence": round(means[strongest] / 255, 4),
        "class_id": strongest,
        "class": CLASSES[strongest],
        "detection_id": hashlib.sha256(image.tobytes()).hexdigest()[:32],
        "parent_id": "image",
    }
    return {"image": {"width": image.width, "height": image.height}, "predictions": [detection]}


def annotate(image: Image.Image) -> dict[str, Any]:
    """The picture with the detection drawn, as the server serialises an image."""
    drawn = image.copy()
    box = (image.width // 4, image.height // 4, image.width * 3 // 4, image.height * 3 // 4)
    ImageDraw.Draw(drawn).rectangle(box, outline="white")
    buffer = io.BytesIO()
    drawn.save(buffer, "JPEG")
    metadata = {"video_identifier": "image", "frame_number": 0, "fps": 30.0, "comes_from_video_file": None}
    return {"type": "base64", "value": base64.b64encode(buffer.getvalue()).decode(), "video_metadata": metadata}


def main() -> None:
    parser = argparse.ArgumentParser(description="A stub of the inference server, for tests.")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds an image takes")
    parser.add_argument(
        "--platform", default=os.environ.get("API_BASE_URL") or None, help="where workflows are fetched"
    )
    parser.add_argument("--fail-on", nargs="*", default=(), help="first digits of the SHA-256 of images that get a 500")
    options = parser.parse_args()
    handler = type("BoundHandler", (Handler,), {"state": State(options)})
    server = ThreadingHTTPServer(("127.0.0.1", options.port), handler)
    server.daemon_threads = True
    print(json.dumps({"port": server.server_port}), flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
