"""Docker or the native runtime, and what either is given."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from visionfleet.config import DeploymentConfig, load
from visionfleet.local import docker, servers
from visionfleet.local.runtime import Runtime
from visionfleet.local.servers import RuntimeKind, base_environment, choose_server, without_proxy

HUB = "http://127.0.0.1:9500"


@pytest.fixture
def config(tmp_path: Path) -> DeploymentConfig:
    (tmp_path / "workflows").mkdir()
    file = tmp_path / "visionfleet.yaml"
    document = {"name": "acme-vision", "workspace": "acme", "inference": {"registry": "registry.example/mirror"}}
    file.write_text(json.dumps(document))
    return load(file)


@pytest.fixture
def said() -> list[str]:
    return []


def docker_says(monkeypatch: pytest.MonkeyPatch, reason: str | None) -> None:
    monkeypatch.setattr(docker, "why_not", lambda _image, _report: reason)
    installed = Runtime(Path("/runtime"))
    monkeypatch.setattr(servers.runtime, "install", lambda _version, _report: installed)


def test_docker_runs_it_where_it_can(
    monkeypatch: pytest.MonkeyPatch, config: DeploymentConfig, said: list[str]
) -> None:
    docker_says(monkeypatch, None)
    server = choose_server(config, HUB, RuntimeKind.AUTO, said.append)
    assert server.kind is RuntimeKind.DOCKER
    assert server.container == "acme-vision-inference"
    assert server.command[-1] == "registry.example/mirror/roboflow/roboflow-inference-server-cpu:1.8.3"


def test_the_native_runtime_runs_it_where_docker_cannot(
    monkeypatch: pytest.MonkeyPatch, config: DeploymentConfig, said: list[str]
) -> None:
    docker_says(monkeypatch, "its daemon does not answer")
    server = choose_server(config, HUB, RuntimeKind.AUTO, said.append)
    assert server.kind is RuntimeKind.NATIVE
    assert server.command == ["/runtime/bin/python", str(servers.SCRIPT)]
    assert server.environment["MODEL_CACHE_DIR"] == str(config.hub.state / "model-cache")
    assert said == ["no Docker (its daemon does not answer): the native runtime it is"]


def test_docker_that_was_asked_for_is_not_replaced(
    monkeypatch: pytest.MonkeyPatch, config: DeploymentConfig, said: list[str]
) -> None:
    docker_says(monkeypatch, "it is not installed")
    with pytest.raises(docker.DockerUnavailableError, match="it is not installed"):
        choose_server(config, HUB, RuntimeKind.DOCKER, said.append)


def test_native_does_not_ask_docker(monkeypatch: pytest.MonkeyPatch, config: DeploymentConfig, said: list[str]) -> None:
    docker_says(monkeypatch, None)
    assert choose_server(config, HUB, RuntimeKind.NATIVE, said.append).kind is RuntimeKind.NATIVE
    assert said == []


def test_the_server_sees_none_of_the_user_s_secrets() -> None:
    users = {"PATH": "/bin", "LC_ALL": "C", "OMP_NUM_THREADS": "2", "AWS_SECRET_ACCESS_KEY": "s", "HTTP_PROXY": "p"}
    assert base_environment(users) == {"PATH": "/bin", "LC_ALL": "C", "OMP_NUM_THREADS": "2"}


def test_the_container_is_confined_and_its_key_is_named_only() -> None:
    command = docker.run_command("image:1", "acme-inference", ["PORT", "ROBOFLOW_API_KEY"])
    assert command[:3] == ["docker", "run", "--rm"]
    assert {"--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--network=host"} <= set(command)
    assert command[-3:] == ["--env=PORT", "--env=ROBOFLOW_API_KEY", "image:1"]


def test_docker_that_is_not_installed_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert docker.why_not("image:1", print) == "it is not installed"


def test_the_user_s_proxies_are_not_asked_for_this_machine() -> None:
    environment = without_proxy({"NO_PROXY": "corp,::1", "PATH": "/bin"}, "http://127.0.0.1:1", "http://[::1]:2")
    assert environment == {"PATH": "/bin", "NO_PROXY": "corp,::1,127.0.0.1", "no_proxy": "corp,::1,127.0.0.1"}
    assert without_proxy({}, "http://127.0.0.1:1")["NO_PROXY"] == "127.0.0.1"
    assert without_proxy({"no_proxy": "corp"}, "http://127.0.0.1:1")["NO_PROXY"] == "corp,127.0.0.1"
