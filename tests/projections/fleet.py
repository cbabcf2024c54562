"""Deployments with devices for the tests, small and written in a moment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.config.support import WORKFLOW, changed, make_package, write_json
from visionfleet.config import DeploymentConfig, load
from visionfleet.projections.release import Release, release_of

MODELS = ("demo/1", "demo/2")


def make_fleet(folder: Path, *groups: dict[str, Any], edge: dict[str, Any] | None = None, **rest: Any) -> Path:
    """A file with two models, two workflows and these groups; returns its path."""
    if not (folder / "models").exists():
        for model in MODELS:
            make_package(folder / "models" / model)
        for name in ("count", "sort"):
            write_json(
                folder / f"workflows/{name}.json", changed(WORKFLOW, lambda it, name=name: it.update(version=name))
            )
    models = [{"id": model, "architecture": "yolov8", "package": f"./models/{model}"} for model in MODELS]
    deployment: dict[str, Any] = {"name": "acme-vision", "workspace": "acme", "models": models, **rest}
    return write_json(folder / "visionfleet.yaml", deployment | {"edge": {**(edge or {}), "groups": list(groups)}})


def group_of(*devices: dict[str, Any], hardware: str = "raspberry-pi-5", name: str = "docks", **rest: Any) -> Any:
    """A group with devices, each of which has an address unless it brings one."""
    numbered = [{"address": f"10.0.{name.encode()[-1]}.{n + 1}", **device} for n, device in enumerate(devices)]
    return {"name": name, "hardware": hardware, "devices": numbered, **rest}


def releases_of(config: DeploymentConfig) -> dict[str, Release]:
    """Each device's release."""
    return {device.name: release_of(config, group, device) for group in config.edge.groups for device in group.devices}


def release(folder: Path, group: dict[str, Any] | None = None, **fleet: Any) -> Release:
    """The release of the first device of a fleet of one group."""
    config = load(make_fleet(folder, group or group_of({"name": "dock-01"}), **fleet))
    return next(iter(releases_of(config).values()))
