"""The platform on a device answers the inference server as the hub did, and strangers not at all."""

from __future__ import annotations

import http.client
import json
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any

import pytest

from tests.device.device import NEW, OLD, sha256
from tests.device.fetching import CLIENT_KEY, NAMES, PICTURE, WEIGHTS, HubStandIn, RegistryStandIn, release
from visionfleet_device import client_keys, links, platform_server, server_key
from visionfleet_device.errors import DeviceError
from visionfleet_device.fetch import fetch
from visionfleet_device.paths import Paths
from visionfleet_device.platform_server import Platform, Refusal, Server, bridge
from visionfleet_device.ranges import window
from visionfleet_device.server import read_key

STAT, ALL_WEIGHTS = "/models/v1/external/stat", "/models/v1/external/weights"
WORKFLOW = "/acme/workflows/count-screws"


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """A device that serves a release."""
    paths = Paths(tmp_path)
    fetch(paths, release(), RegistryStandIn(), HubStandIn())
    links.point(paths.current, f"releases/{NEW}")
    server_key.write(paths)
    return paths


@pytest.fixture
def platform(paths: Paths) -> Platform:
    return Platform(paths)


def ask(platform: Platform, path: str, key: str = CLIENT_KEY, **query: str) -> Any:
    """The answer, or status and code of its refusal."""
    try:
        return platform.answer(path, query, key)
    except Refusal as refusal:
        return refusal.status, refusal.body["error"]["code"]


def package(platform: Platform) -> Any:
    weights = ask(platform, ALL_WEIGHTS, modelId="screws/3")
    return weights["modelMetadata"]["modelPackages"][0]


def token_of(platform: Platform, name: str) -> tuple[str, str]:
    """Digest and token in the URL of a file."""
    [url] = [file["downloadUrl"] for file in package(platform)["packageFiles"] if file["fileHandle"] == name]
    assert url.startswith("http://visionfleet-device:9501/files/")
    digest, _, token = url.rsplit("/", 1)[-1].partition("?token=")
    return digest, token


def test_it_answers_as_the_hub_did(platform: Platform) -> None:
    hub = HubStandIn()
    assert ask(platform, "/") == {"workspace": "acme"}
    assert ask(platform, STAT, modelId="screws/3") == hub.get(STAT)
    assert ask(platform, WORKFLOW) == hub.get(WORKFLOW)
    assert package(platform)["packageManifest"] == {"backendType": "onnx"}


def test_the_servers_own_key_and_the_clients_are_known_and_no_others(paths: Paths, platform: Platform) -> None:
    for key in (read_key(paths), CLIENT_KEY):
        assert ask(platform, "/", key) == {"workspace": "acme"}
    for key in ("", "vf_other", sha256(CLIENT_KEY.encode())):
        for path in ("/", STAT, ALL_WEIGHTS, WORKFLOW):
            assert ask(platform, path, key, modelId="screws/3") == (401, "key_unknown")


def test_a_key_that_was_revoked_is_refused_as_soon_as_the_device_knows(paths: Paths, platform: Platform) -> None:
    hub = HubStandIn()
    hub.client_keys = []
    assert client_keys.refresh(paths, hub)
    assert not client_keys.refresh(paths, hub)
    assert ask(platform, "/") == (401, "key_unknown")


def test_without_a_key_of_its_own_the_server_is_nobody(paths: Paths, platform: Platform) -> None:
    links.remove(paths.server_env)
    assert ask(platform, "/", "") == (401, "key_unknown")


def test_what_the_release_does_not_have_is_not_found(platform: Platform) -> None:
    assert ask(platform, STAT, modelId="bolts/1") == (404, "model_not_found")
    assert ask(platform, ALL_WEIGHTS) == (404, "model_not_found")
    assert ask(platform, "/acme/workflows/other") == (404, "workflow_not_found")
    assert ask(platform, "/other/workflows/count-screws") == (403, "workspace_not_allowed")
    for path in ("/usage/plan", "/..", "/files/", "/acme/workflows/..%2f..%2fetc", "//", "/acme/workflows/"):
        assert ask(platform, path) in {(404, "not_found"), (404, "workflow_not_found")}


def test_files_are_given_by_the_urls_of_the_answer_alone(platform: Platform) -> None:
    digest, token = token_of(platform, "class_names.txt")
    assert platform.file(digest, token).read_bytes() == NAMES
    for wrong in ("", token[:-1], "0" * 64):
        with pytest.raises(Refusal) as refusal:
            platform.file(digest, wrong)
        assert refusal.value.status == 403
    other = token_of(platform, "weights.onnx")[1]
    with pytest.raises(Refusal):
        platform.file(digest, other)


def test_without_a_key_nothing_is_signed(paths: Paths, platform: Platform) -> None:
    digest, _ = token_of(platform, "weights.onnx")
    links.remove(paths.server_env)
    with pytest.raises(Refusal) as refusal:
        platform.file(digest, platform._token(digest))
    assert refusal.value.status == 403


def test_no_file_but_the_packages_of_the_current_release_is_given(platform: Platform) -> None:
    digest = sha256(PICTURE)
    with pytest.raises(Refusal) as refusal:
        platform.file(digest, platform._token(digest))
    assert refusal.value.status == 404


def test_a_switch_is_seen_at_once(paths: Paths, platform: Platform) -> None:
    assert ask(platform, WORKFLOW) == HubStandIn().get(WORKFLOW)
    fetch(paths, release(id=OLD, workflows=[]), RegistryStandIn(), HubStandIn())
    links.point(paths.current, f"releases/{OLD}")
    assert ask(platform, WORKFLOW) == (404, "workflow_not_found")
    links.point(paths.current, f"releases/{NEW}")
    assert ask(platform, WORKFLOW) == HubStandIn().get(WORKFLOW)


def test_a_device_without_a_release_says_so(paths: Paths, platform: Platform) -> None:
    links.remove(paths.current)
    assert ask(platform, "/") == (404, "release_missing")
    links.point(paths.current, f"releases/{OLD}")
    assert ask(platform, "/") == (503, "release_damaged")


def test_the_servers_key_is_made_once_and_is_roots_alone(paths: Paths) -> None:
    key = read_key(paths)
    assert len(key) > 40
    assert stat.S_IMODE(paths.server_env.stat().st_mode) == 0o600
    server_key.write(paths)
    assert read_key(paths) == key
    paths.server_env.write_bytes(b"")  # what a full disk leaves
    server_key.write(paths)
    assert read_key(paths) not in {"", key}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ([{"Subnet": "172.17.0.0/16", "Gateway": "172.17.0.1"}], "172.17.0.1/16"),
        ([{"Subnet": "10.5.0.0/24"}], "10.5.0.1/24"),
        (
            [{"Subnet": "fd00::/64", "Gateway": "fd00::1"}, {"Subnet": "10.5.0.0/24", "Gateway": "10.5.0.9"}],
            "10.5.0.9/24",
        ),
    ],
)
def test_containers_reach_it_at_the_bridge(monkeypatch: pytest.MonkeyPatch, config: Any, expected: str) -> None:
    said = json.dumps([{"IPAM": {"Config": config}}])
    monkeypatch.setattr(platform_server, "run", lambda *_: said)
    assert str(bridge()) == expected


@pytest.mark.parametrize("said", ["", "[]", '[{"IPAM": {"Config": null}}]', '[{"IPAM": {"Config": []}}]'])
def test_a_docker_without_a_bridge_is_told(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    monkeypatch.setattr(platform_server, "run", lambda *_: said)
    with pytest.raises(DeviceError, match="does not say which address its bridge has"):
        bridge()


@pytest.mark.parametrize(
    ("peer", "is_heard"), [("172.17.0.2", True), ("172.17.0.1", True), ("192.168.1.5", False), ("172.18.0.2", False)]
)
def test_who_is_not_on_the_bridge_is_not_heard(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, peer: str, *, is_heard: bool
) -> None:
    monkeypatch.setattr(platform_server.ThreadingHTTPServer, "__init__", lambda *_: None)
    server = Server(paths, IPv4Interface("172.17.0.1/16"), 0)
    assert server.verify_request(None, (peer, 40000)) is is_heard


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, (0, 10)),
        ("bytes=0-3", (0, 4)),
        ("bytes=4-", (4, 10)),
        ("bytes=-3", (7, 10)),
        ("bytes=-30", (0, 10)),
        ("bytes=8-99", (8, 10)),
        ("bytes=10-", None),
        ("bytes=5-4", (0, 10)),
        ("bytes=0-1,3-4", (0, 10)),
        ("lines=1-2", (0, 10)),
    ],
)
def test_a_range_is_what_http_says(header: str | None, expected: tuple[int, int] | None) -> None:
    assert window(header, 10) == expected


# over a socket


@contextmanager
def listening(paths: Paths) -> Iterator[int]:
    with Server(paths, IPv4Interface("127.0.0.1/8"), 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def request(
    port: int, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, bytes, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read(), dict(answer.headers)
    finally:
        connection.close()


@pytest.mark.engine
def test_over_http_it_takes_the_key_from_header_or_query(paths: Paths, capfd: pytest.CaptureFixture[str]) -> None:
    with listening(paths) as port:
        assert request(port, "GET", f"/?api_key={CLIENT_KEY}&nocache=true")[0] == 200
        assert request(port, "GET", "/", Authorization=f"Bearer {CLIENT_KEY}")[0] == 200
        assert request(port, "GET", f"/?api_key={CLIENT_KEY}", Authorization="Bearer vf_other")[0] == 401
        assert request(port, "GET", "/?api_key=vf_secret")[0] == 401
        assert request(port, "HEAD", f"/?api_key={CLIENT_KEY}")[:2] == (200, b"")
    logged = capfd.readouterr().err
    assert "GET '/' 401" in logged
    assert "vf_secret" not in logged


@pytest.mark.engine
def test_over_http_usage_is_refused_without_harm(paths: Paths, capfd: pytest.CaptureFixture[str]) -> None:
    with listening(paths) as port:
        for body in (None, b"{}", b"x" * 3_000):
            assert request(port, "POST", "/usage/inference", body)[0] == 404
    assert "usage" not in capfd.readouterr().err


@pytest.mark.engine
def test_over_http_files_are_given_in_parts(paths: Paths) -> None:
    digest, token = token_of(Platform(paths), "weights.onnx")
    path = f"/files/{digest}?token={token}"
    with listening(paths) as port:
        status, body, headers = request(port, "HEAD", path)
        assert (status, body, headers["Accept-Ranges"]) == (200, b"", "bytes")
        assert headers["Content-Length"] == str(len(WEIGHTS))
        assert request(port, "GET", path)[1] == WEIGHTS
        status, body, headers = request(port, "GET", path, Range="bytes=100-199")
        assert (status, body) == (206, WEIGHTS[100:200])
        assert headers["Content-Range"] == f"bytes 100-199/{len(WEIGHTS)}"
        assert request(port, "GET", path, Range=f"bytes={len(WEIGHTS)}-")[0] == 416
        assert request(port, "GET", f"/files/{digest}")[0] == 403
        paths.object(digest).unlink()
        assert request(port, "GET", path)[0] == 404


@pytest.mark.engine
def test_it_binds_to_an_address_that_is_not_there_yet(paths: Paths) -> None:
    with Server(paths, IPv4Interface("192.0.2.1/24"), 0) as server:
        assert server.server_address[0] == "192.0.2.1"


@pytest.mark.engine
def test_over_http_nonsense_is_refused(paths: Paths) -> None:
    with listening(paths) as port:
        for path in ("//[", "/%00", "/" + "a" * 5000, f"/acme/workflows/%ff?api_key={CLIENT_KEY}"):
            assert request(port, "GET", path)[0] in {401, 404}
        assert request(port, "DELETE", "/")[0] == 501
