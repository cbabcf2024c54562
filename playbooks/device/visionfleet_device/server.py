"""The inference server on this device, asked on its loopback."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from typing import Any, NamedTuple

from visionfleet_device.paths import Paths

READY_SECONDS = 5
ANSWER_SECONDS = 120  # the first picture may have to wait for the GPU's kernels
MAX_ANSWER_BYTES = 64 * 1024 * 1024
MAX_SHOWN_CHARACTERS = 300

KEY_SETTING = "ROBOFLOW_API_KEY="


class Reply(NamedTuple):
    """An answer; `status` is 0 where there was none, and `said` then says why."""

    status: int
    body: Any
    said: str


class Server:
    """The server on a port, with the key that it was given itself."""

    def __init__(self, port: int, key: str) -> None:
        self._url = f"http://127.0.0.1:{port}"
        self._key = key
        # no proxy leads to this very machine
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def readiness(self) -> Reply:
        """200 where it takes requests."""
        return self._ask("/readiness", None, READY_SECONDS)

    def registry(self) -> Reply:
        """The models that it has loaded."""
        return self._ask("/model/registry", None, ANSWER_SECONDS)

    def infer(self, path: str, body: dict[str, Any]) -> Reply:
        """An inference, asked with the server's own key."""
        return self._ask(path, json.dumps({**body, "api_key": self._key}).encode(), ANSWER_SECONDS)

    def _ask(self, path: str, body: bytes | None, seconds: float) -> Reply:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._key}"}
        request = urllib.request.Request(self._url + path, body, headers)  # noqa: S310 - this machine's own
        try:
            with self._opener.open(request, timeout=seconds) as response:
                return self._reply(int(response.status), response.read(MAX_ANSWER_BYTES))
        except urllib.error.HTTPError as error:
            with error:
                return self._reply(error.code, error.read(MAX_ANSWER_BYTES))
        except (OSError, ValueError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            return Reply(0, None, f"it does not answer ({reason})")

    def _reply(self, status: int, content: bytes) -> Reply:
        text = content.decode(errors="replace")
        shown = text.replace(self._key, "***") if self._key else text
        try:
            body = json.loads(text)
        except ValueError:
            body = None
        return Reply(status, body, f"it answers {status}: {shown[:MAX_SHOWN_CHARACTERS].strip()}")


def read_key(paths: Paths) -> str:
    """The inference server's own key; empty where it has not been started since the boot."""
    try:
        lines = paths.server_env.read_text().splitlines()
    except OSError:
        return ""
    return next((line[len(KEY_SETTING) :] for line in lines if line.startswith(KEY_SETTING)), "")
