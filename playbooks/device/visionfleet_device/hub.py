"""The client of the hub. The device's token goes into a header, to the hub's own API and nowhere else."""

from __future__ import annotations

import http.client
import json
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any, Callable, Dict, Generator, Iterator, NamedTuple, TypeVar, cast

from visionfleet_device import VERSION, links
from visionfleet_device.errors import DeviceError
from visionfleet_device.paths import Paths

TIMEOUT_SECONDS = 30
ATTEMPTS = 5
LONGEST_WAIT_SECONDS = 60
MAX_ANSWER_BYTES = 32 * 1024 * 1024
CHUNK_BYTES = 256 * 1024

T = TypeVar("T")

_NEW_KEY = (
    "give the device a new key: ansible-playbook playbooks/site.yml --limit DEVICE -e device_agent_rotate_key=true"
)
_NEW_HUB = "start the hub again with the file that this release is of, then release again"
_FIXES: dict[int, str] = {401: _NEW_KEY, 403: _NEW_KEY, 404: _NEW_HUB}
_TEMPORARY = (408, 429)
_CLOCK_CODES = (9, 10)  # OpenSSL's "not yet valid" and "has expired"
_BROKEN = (OSError, http.client.HTTPException)  # what urllib raises for a connection that fails, early or late


class Unreachable(DeviceError):
    """The hub does not answer, or cannot now: a later try may succeed. `wait_seconds` is what it asked for."""

    wait_seconds = 0.0


class Refused(DeviceError):
    """The hub has answered, and not with what was asked for."""

    def __init__(self, status: int, message: str, fix: str) -> None:
        super().__init__(message, fix)
        self.status = status


class Download(NamedTuple):
    """The bytes of a file from `start` on, which is 0 where the hub sends all of it although it was asked for less."""

    start: int
    chunks: Iterator[bytes]


class Hub:
    """The hub as a device sees it. Calls are tried again with backoff where the hub does not answer.

    Raises (each call):
        Unreachable: no answer, 408, 429 or a 5xx, in spite of all tries.
        Refused: everything else that is not a success.
        DeviceError: there is no secure connection.
    """

    def __init__(
        self, url: str, token: str, attempts: int = ATTEMPTS, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._url = url.rstrip("/")
        self._token = token
        self._attempts = attempts
        self._sleep = sleep
        self._opener = urllib.request.build_opener(_NoRedirects)

    @classmethod
    def of(cls, paths: Paths, attempts: int = ATTEMPTS) -> Hub:
        """The hub that the device was told of. Raises DeviceError where it was told of none."""
        fix = "provision the device: ansible-playbook playbooks/site.yml"
        url = (links.read_json(paths.device) or {}).get("hub_url")
        if not isinstance(url, str) or urllib.parse.urlsplit(url).scheme not in ("http", "https"):
            raise DeviceError(f"{paths.device} names no hub", fix)
        try:
            token = paths.key.read_text("ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise DeviceError(f"the device has no key for the hub: {error}", fix) from error
        return cls(url, token, attempts)

    def get(self, path: str, **query: str) -> dict[str, Any]:
        """The JSON that the hub answers."""
        asked = f"{path}?{urllib.parse.urlencode(query)}" if query else path
        return self.retried(lambda: self._json(self._request(asked)))

    def post(self, path: str, body: object) -> dict[str, Any]:
        """The JSON that the hub answers to a JSON body."""
        data = json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        return self.retried(lambda: self._json(self._request(path, data, headers)))

    @contextmanager
    def download(self, address: str, start: int) -> Generator[Download, None, None]:
        """A file from byte `start` on, of the hub's own (a path) or by a signed URL. Tried once.

        The chunks raise Unreachable where they end too early.
        """
        request = self._request(address, headers={"Range": f"bytes={start}-"} if start else {})
        with self._send(request) as response:
            yield Download(start if response.status == 206 else 0, _chunks(response, request))

    def retried(self, call: Callable[[], T]) -> T:
        """What `call` returns, tried again for as long as it raises Unreachable and there are attempts left."""
        for attempt in range(1, self._attempts):
            try:
                return call()
            except Unreachable as error:  # noqa: PERF203 - each attempt is a call over the network
                wait = min(max(2.0 ** (attempt - 1), error.wait_seconds), LONGEST_WAIT_SECONDS)
                print(f"{error.message}; trying again in {wait:.0f} s", file=sys.stderr, flush=True)
                self._sleep(wait)
        return call()

    def _request(
        self, address: str, data: bytes | None = None, headers: dict[str, str] | None = None
    ) -> urllib.request.Request:
        is_own = address.startswith("/")
        url = self._url + address if is_own else address
        request = urllib.request.Request(url, data, headers or {})  # noqa: S310 - `of` and the hub see to its scheme
        request.add_header("User-Agent", f"visionfleet-device/{VERSION}")
        if is_own:
            request.add_header("Authorization", f"Bearer {self._token}")
        return request

    def _json(self, request: urllib.request.Request) -> dict[str, Any]:
        with self._send(request) as response:
            try:
                content = response.read(MAX_ANSWER_BYTES + 1)
            except _BROKEN as error:
                raise _broken(error, request) from error
        try:
            answer = json.loads(content)
        except ValueError as error:
            raise _no_hub(request, "what it answers is no JSON") from error
        if not isinstance(answer, dict):
            raise _no_hub(request, "what it answers is no JSON object")
        return cast("Dict[str, Any]", answer)

    @contextmanager
    def _send(self, request: urllib.request.Request) -> Generator[http.client.HTTPResponse, None, None]:
        try:
            response = cast("http.client.HTTPResponse", self._opener.open(request, timeout=TIMEOUT_SECONDS))
        except urllib.error.HTTPError as error:
            with error:
                raise _refusal(error, request) from error
        except _BROKEN as error:
            raise _broken(error, request) from error
        with response:
            yield response


def _chunks(response: http.client.HTTPResponse, request: urllib.request.Request) -> Iterator[bytes]:
    left = response.length  # bytes; None where the hub does not say
    try:
        for chunk in iter(lambda: response.read(CHUNK_BYTES), b""):
            left = None if left is None else left - len(chunk)
            yield chunk
    except _BROKEN as error:
        raise _broken(error, request) from error
    if left:
        raise _broken(ConnectionError(f"the connection ended {left} bytes too early"), request)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect is an error that names its target: the token is not sent to another place than the file says."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Follow none."""


def _refusal(error: urllib.error.HTTPError, request: urllib.request.Request) -> DeviceError:
    where = shown(request.full_url)
    if 300 <= error.code < 400:
        return _no_hub(request, f"it leads on to {shown(error.headers.get('Location') or 'nowhere')}")
    said = _said(error)
    if error.code in _TEMPORARY or error.code >= 500:
        unreachable = Unreachable(f"the hub cannot answer now ({error.code} from {where}): {said}", "see the hub's log")
        unreachable.wait_seconds = _seconds(error.headers.get("Retry-After"))
        return unreachable
    signed_fix = "run it again: the hub then signs anew"
    fix = _FIXES.get(error.code, "see the hub's log") if request.has_header("Authorization") else signed_fix
    return Refused(error.code, f"the hub refused {where} ({error.code}): {said}", fix)


def _said(error: urllib.error.HTTPError) -> str:
    try:
        content = error.read(64 * 1024)
    except _BROKEN:
        content = b""
    try:
        return str(json.loads(content)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return " ".join(content.decode(errors="replace").split())[:200] or str(error.reason)


def _seconds(header: str | None) -> float:
    return float(header) if header is not None and header.isdigit() else 0.0


def _broken(error: BaseException, request: urllib.request.Request) -> DeviceError:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    where = shown(request.full_url)
    if isinstance(reason, ssl.SSLCertVerificationError):
        return DeviceError(f"the certificate of {where} is not trusted: {reason.verify_message}", _trust(reason))
    if isinstance(reason, ssl.SSLError) and not isinstance(reason, ssl.SSLEOFError):
        fix = "see whether hub.url is https where the hub speaks plain http, or the other way round"
        return DeviceError(f"there is no secure connection to {where}: {reason}", fix)
    said = str(reason) or type(reason).__name__
    fix = "see that the hub runs, and that the device reaches it: name, route, firewall"
    return Unreachable(f"the hub does not answer at {where}: {said}", fix)


def _trust(error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code in _CLOCK_CODES:
        now = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M")
        return f"set the device's clock, which says {now} UTC: `timedatectl`; or renew the certificate"
    return "put the certificate of its authority into /usr/local/share/ca-certificates and run update-ca-certificates"


def _no_hub(request: urllib.request.Request, reason: str) -> DeviceError:
    fix = "see that hub.url is the hub's own address, and that no proxy or login page stands between"
    return DeviceError(f"{shown(request.full_url)} is no visionfleet hub: {reason}", fix)


def shown(url: str) -> str:
    """A URL without its query, where signatures are."""
    return url.partition("?")[0]
