"""How the inference server is started here: in Docker, or from the native runtime."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from visionfleet.config import DeploymentConfig
from visionfleet.local import docker, runtime
from visionfleet.local.runtime import Report
from visionfleet.projections.server import server_environment

SCRIPT = Path(__file__).with_name("serve_inference.py")

# What a server may see of the user's environment: not the keys and passwords in it, nor proxies.
_PASSED = frozenset(
    {"HOME", "LANG", "LD_LIBRARY_PATH", "LOGNAME", "PATH", "SHELL", "SSL_CERT_FILE", "TMPDIR", "TZ", "USER"}
)
_PASSED_PREFIXES = ("LC_", "MKL_", "OMP_", "OPENBLAS_", "XDG_")


class RuntimeKind(StrEnum):
    """What runs the inference server."""

    AUTO = "auto"
    DOCKER = "docker"
    NATIVE = "native"


@dataclass(frozen=True, slots=True)
class Server:
    """The command that runs the inference server in the foreground, and its environment without the key."""

    kind: RuntimeKind
    command: list[str]
    environment: dict[str, str]
    container: str | None = None


def choose_server(config: DeploymentConfig, hub_url: str, kind: RuntimeKind, report: Report) -> Server:
    """Docker where a daemon answers and the image can be had, else the native runtime, installed when it is missing."""
    if kind is RuntimeKind.NATIVE:
        return _native(config, hub_url, report)
    reason = docker.why_not(config.inference.image_reference, report)
    if reason is None:
        return _docker(config, hub_url)
    if kind is RuntimeKind.DOCKER:
        raise docker.DockerUnavailableError(reason)
    report(f"no Docker ({reason}): the native runtime it is")
    return _native(config, hub_url, report)


def _native(config: DeploymentConfig, hub_url: str, report: Report) -> Server:
    environment = {
        **base_environment(os.environ),
        **server_environment(config, hub_url, config.hub.state / "model-cache"),
        "CUDA_VISIBLE_DEVICES": "",  # the runtime's ONNX Runtime is the CPU build
        "PYTHONUNBUFFERED": "1",
    }
    installed = runtime.install(config.inference.version, report)
    return Server(RuntimeKind.NATIVE, [str(installed.python), str(SCRIPT)], environment)


def _docker(config: DeploymentConfig, hub_url: str) -> Server:
    settings = server_environment(config, hub_url, docker.CACHE_DIR)
    container = f"{config.name}-inference"
    command = docker.run_command(config.inference.image_reference, container, [*settings, "ROBOFLOW_API_KEY"])
    return Server(RuntimeKind.DOCKER, command, {**os.environ, **settings}, container)


def base_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The part of the user's environment that a server needs."""
    return {name: value for name, value in environment.items() if name in _PASSED or name.startswith(_PASSED_PREFIXES)}


def without_proxy(environment: Mapping[str, str], *urls: str) -> dict[str, str]:
    """The environment of a client of `urls` on this machine, to which the user's proxies do not lead."""
    hosts = [str(urlsplit(url).hostname) for url in urls]
    known = environment.get("NO_PROXY") or environment.get("no_proxy", "")
    no_proxy = ",".join(dict.fromkeys([*filter(None, known.split(",")), *hosts]))
    return {**environment, "NO_PROXY": no_proxy, "no_proxy": no_proxy}
