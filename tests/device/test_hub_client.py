"""The device's client of the hub: what it sends, what it tries again, and what it tells a person."""

from __future__ import annotations

import http.client
import io
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from email.message import Message
from pathlib import Path
from typing import Any, cast

import pytest

from visionfleet_device import links
from visionfleet_device.errors import DeviceError
from visionfleet_device.hub import Hub, Refused, Unreachable
from visionfleet_device.paths import Paths

URL = "https://hub.acme.example"
TOKEN = "vf_token"


class Answer(io.BytesIO):
    """Stands in for an answer that has come in; `missing` bytes of it never do."""

    def __init__(self, body: bytes, status: int = 200, missing: int = 0) -> None:
        super().__init__(body)
        self.status = status
        self.length = len(body) + missing


class Wire:
    """Stands in for urllib's opener: gives what a test says, and keeps what it was asked."""

    def __init__(self, *outcomes: Any) -> None:
        self.outcomes = list(outcomes)
        self.requests: list[urllib.request.Request] = []

    def open(self, request: urllib.request.Request, timeout: float) -> Any:
        assert timeout > 0
        self.requests.append(request)
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def refusal(status: int, body: object = None, **headers: str) -> urllib.error.HTTPError:
    message = Message()
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    content = json.dumps(body).encode() if body is not None else b""
    return urllib.error.HTTPError(f"{URL}/x?api_key=hidden", status, "a reason", message, io.BytesIO(content))


def error_body(message: str) -> dict[str, Any]:
    return {"error": {"code": "some_code", "message": message, "fields": {}}}


def client(*outcomes: Any) -> tuple[Hub, Wire, list[float]]:
    waits: list[float] = []
    hub = Hub(URL + "/", TOKEN, sleep=waits.append)
    wire = Wire(*outcomes)
    hub._opener = cast("urllib.request.OpenerDirector", wire)
    return hub, wire, waits


def certificate_error(code: int) -> urllib.error.URLError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = code, "certificate is not yet valid"
    return urllib.error.URLError(error)


def test_the_token_is_in_a_header_and_not_in_the_url() -> None:
    hub, wire, _ = client(Answer(b'{"a": 1}'))
    assert hub.get("/models/v1/external/stat", modelId="screws/3") == {"a": 1}
    [request] = wire.requests
    assert request.full_url == f"{URL}/models/v1/external/stat?modelId=screws%2F3"
    assert request.get_header("Authorization") == f"Bearer {TOKEN}"


def test_the_token_is_not_sent_to_a_signed_url() -> None:
    hub, wire, _ = client(Answer(b"content"))
    with hub.download("https://bucket.acme.example/x?signature=y", 0) as download:
        assert b"".join(download.chunks) == b"content"
    assert not wire.requests[0].has_header("Authorization")


def test_a_body_is_json() -> None:
    hub, wire, _ = client(Answer(b"{}"))
    hub.post("/fleet/v1/reports", {"reports": []})
    [request] = wire.requests
    assert request.get_method() == "POST"
    assert request.data == b'{"reports": []}'


@pytest.mark.parametrize(
    "fault",
    [
        lambda: urllib.error.URLError(ConnectionRefusedError(111, "Connection refused")),
        lambda: TimeoutError("timed out"),
        lambda: http.client.RemoteDisconnected("closed"),
        lambda: http.client.IncompleteRead(b""),
        lambda: refusal(503),
        lambda: refusal(429),
        lambda: urllib.error.URLError(ssl.SSLEOFError(8, "EOF")),
    ],
    ids=["refused", "timeout", "disconnected", "incomplete", "503", "429", "eof"],
)
def test_what_may_pass_is_tried_again(fault: Callable[[], Exception]) -> None:
    hub, wire, waits = client(fault(), fault(), Answer(b'{"a": 1}'))
    assert hub.get("/") == {"a": 1}
    assert len(wire.requests) == 3
    assert waits == [1, 2]


def test_a_hub_that_stays_away_is_told() -> None:
    hub, wire, _ = client(*[urllib.error.URLError(OSError(113, "No route to host"))] * 5)
    with pytest.raises(Unreachable, match=r"does not answer at https://hub.acme.example/x: .*No route") as error:
        hub.get("/x", api_key="hidden")
    assert "hidden" not in error.value.message
    assert "that the hub runs" in error.value.fix
    assert len(wire.requests) == 5


def test_the_hub_says_how_long_to_wait() -> None:
    hub, _, waits = client(refusal(429, Retry_After="17"), refusal(503, Retry_After="86400"), Answer(b"{}"))
    hub.get("/")
    assert waits == [17, 60]


@pytest.mark.parametrize(
    ("status", "fix"),
    [
        (401, "device_agent_rotate_key=true"),
        (403, "device_agent_rotate_key=true"),
        (404, "start the hub again"),
        (400, "see the hub's log"),
        (418, "see the hub's log"),
    ],
)
def test_a_refusal_is_told_with_a_fix_and_not_tried_again(status: int, fix: str) -> None:
    hub, wire, _ = client(refusal(status, error_body("this API key is not known here")))
    with pytest.raises(Refused, match=rf"refused {URL}/x \({status}\): this API key is not known here") as error:
        hub.get("/x")
    assert fix in error.value.fix
    assert error.value.status == status
    assert len(wire.requests) == 1


def test_a_signed_url_that_is_refused_needs_no_new_key() -> None:
    hub, _, _ = client(refusal(403, error_body("this URL has expired")))
    with pytest.raises(Refused, match="expired") as error, hub.download(f"{URL}/x?signature=hidden", 0):
        pass
    assert "signs anew" in error.value.fix
    assert "hidden" not in error.value.message


@pytest.mark.parametrize("code", [9, 10])
def test_a_clock_that_is_wrong_is_told(code: int) -> None:
    hub, _, _ = client(certificate_error(code))
    with pytest.raises(DeviceError, match=r"certificate of .* is not trusted") as error:
        hub.get("/x")
    assert "timedatectl" in error.value.fix
    assert not isinstance(error.value, Unreachable)


def test_a_foreign_authority_is_told() -> None:
    hub, _, _ = client(certificate_error(20))
    with pytest.raises(DeviceError, match="not trusted") as error:
        hub.get("/x")
    assert "update-ca-certificates" in error.value.fix


def test_https_where_the_hub_speaks_http_is_told() -> None:
    hub, _, _ = client(urllib.error.URLError(ssl.SSLError(1, "WRONG_VERSION_NUMBER")))
    with pytest.raises(DeviceError, match="no secure connection") as error:
        hub.get("/x")
    assert "hub.url" in error.value.fix


@pytest.mark.parametrize("body", [b"<html>sign in</html>", b"[]", b""])
def test_a_login_page_is_no_hub(body: bytes) -> None:
    hub, _, _ = client(Answer(body))
    with pytest.raises(DeviceError, match="is no visionfleet hub"):
        hub.get("/x")


def test_a_redirect_is_not_followed() -> None:
    hub, wire, _ = client(refusal(302, Location="https://login.acme.example/?next=hidden"))
    with pytest.raises(DeviceError, match=r"leads on to https://login\.acme\.example/$"):
        hub.get("/x")
    assert len(wire.requests) == 1


def test_a_range_is_asked_for_and_one_that_is_not_given_is_seen() -> None:
    hub, wire, _ = client(Answer(b"rest", status=206), Answer(b"all of it"))
    with hub.download("/f", 5) as download:
        assert (download.start, b"".join(download.chunks)) == (5, b"rest")
    with hub.download("/f", 5) as download:
        assert (download.start, b"".join(download.chunks)) == (0, b"all of it")
    assert wire.requests[0].get_header("Range") == "bytes=5-"


def test_a_body_that_ends_too_early_is_seen() -> None:
    hub, _, _ = client(Answer(b"half", missing=4))
    with hub.download("/f", 0) as download, pytest.raises(Unreachable, match="4 bytes too early"):
        list(download.chunks)


def test_a_device_knows_its_hub(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    with pytest.raises(DeviceError, match=r"names no hub"):
        Hub.of(paths)
    links.write_json(paths.device, {"name": "dock-01", "hub_url": URL})
    with pytest.raises(DeviceError, match="no key for the hub") as error:
        Hub.of(paths)
    assert "site.yml" in error.value.fix
    links.write(paths.key, f"{TOKEN}\n".encode(), 0o600)
    hub, wire = Hub.of(paths), Wire(Answer(b"{}"))
    hub._opener = cast("urllib.request.OpenerDirector", wire)
    hub.get("/")
    assert wire.requests[0].get_header("Authorization") == f"Bearer {TOKEN}"


@pytest.mark.parametrize("url", ["file:///etc/shadow", "hub.acme.example", 5])
def test_a_hub_is_reached_by_http_alone(tmp_path: Path, url: object) -> None:
    paths = Paths(tmp_path)
    links.write_json(paths.device, {"hub_url": url})
    with pytest.raises(DeviceError, match="names no hub"):
        Hub.of(paths)
