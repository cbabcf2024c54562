"""A device's release: everything that its inference server is, as Ansible carries it and the device keeps it.

A release is called by what is in it, so devices that are alike have one release, and any change makes another.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from visionfleet.config import DeploymentConfig, Model
from visionfleet.config.dedicated import GPU_IMAGE
from visionfleet.config.device_classes import DEVICE_CLASSES, JETPACKS, Runtime
from visionfleet.config.edge import Device, DeviceGroup, Exposure, Golden, Override
from visionfleet.config.packages import read_package
from visionfleet.config.workflows import Workflow, read_workflows
from visionfleet.projections.images import Pin, server_image
from visionfleet.projections.server import container_environment

ID_CHARACTERS = 12
PLATFORM_URL = "http://visionfleet-device:9501"
"""Where the container finds the device's own platform, which answers in the hub's place."""

SERVERS_MODELS = 8  # MAX_ACTIVE_MODELS of inference/core/env.py
_BINDS = {Exposure.LOCALHOST: "127.0.0.1", Exposure.LAN: "0.0.0.0"}  # noqa: S104 - asked for by `exposure: lan`


@dataclass(frozen=True, slots=True)
class Image:
    """What the device pulls: `[registry/]repository@digest`, or `…:version` without a digest."""

    reference: str
    digest: str | None


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A file of a model's package."""

    name: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class ReleasedModel:
    """A model, by the package that it is in this release."""

    id: str
    package_id: str
    files: tuple[ModelFile, ...]


@dataclass(frozen=True, slots=True)
class ReleasedWorkflow:
    """A workflow, by the digest of its specification's canonical JSON."""

    id: str
    sha256: str


@dataclass(frozen=True, slots=True)
class ReleasedGolden:
    """A picture whose answer is known. `image` and `expected` are digests; `task` and `model` go together."""

    name: str
    model: str | None
    task: str | None
    workflow: str | None
    image_input: str | None
    image: str
    expected: str
    tolerance: float


@dataclass(frozen=True, slots=True)
class Gate:
    """How long a release may take to be ready, and must then stay well."""

    ready_seconds: int
    soak_seconds: int


@dataclass(frozen=True)
class Release:
    """What a device runs. No part of it is a secret."""

    workspace: str
    version: str
    image: Image
    runtime: str
    isolation: str
    bind: str
    port: int
    environment: Mapping[str, str]
    models: tuple[ReleasedModel, ...]
    workflows: tuple[ReleasedWorkflow, ...]
    goldens: tuple[ReleasedGolden, ...]
    health: Gate

    @cached_property
    def id(self) -> str:
        """The first characters of the SHA-256 of all the rest."""
        return hashlib.sha256(canonical(asdict(self))).hexdigest()[:ID_CHARACTERS]

    def as_dict(self) -> dict[str, Any]:
        """The release as JSON has it."""
        return {"id": self.id, **json.loads(canonical(asdict(self)))}


def canonical(value: object) -> bytes:
    """JSON that is the same for the same value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def release_of(config: DeploymentConfig, group: DeviceGroup, device: Device) -> Release:
    """The release of a device in a group of the file.

    Packages, workflows and goldens are read at most once for all devices of a configuration, when one first needs them.

    Raises:
        ConfigError: a package or workflow has become wrong since the file was loaded.
    """
    releases = _RELEASES.get(id(config))
    if releases is None:
        _RELEASES.clear()
        releases = _RELEASES[id(config)] = _Releases(config)
    return releases.of(group, device)


@dataclass(frozen=True, slots=True)
class _Settings:
    """What the file says of a device's server. None: as the deployment has it."""

    version: str | None
    image: str | None
    digest: str | None
    models: tuple[str, ...] | None
    workflows: tuple[str, ...] | None
    exposure: Exposure

    def under(self, layer: Override | Device) -> _Settings:
        """These settings, where `layer` has none of its own. A digest goes with its version."""
        return replace(
            self,
            version=layer.version or self.version,
            digest=layer.digest if layer.version or layer.digest else self.digest,
            models=self.models if layer.models is None else layer.models,
            workflows=self.workflows if layer.workflows is None else layer.workflows,
            exposure=layer.exposure or self.exposure,
        )


class _Releases:
    """The releases of one configuration. It keeps the configuration, so that no other gets its `id()`."""

    def __init__(self, config: DeploymentConfig) -> None:
        self._config = config
        self._found: dict[tuple[object, ...], Release] = {}
        self._models: dict[str, ReleasedModel] = {}

    def of(self, group: DeviceGroup, device: Device) -> Release:
        settings = _settings(group, self._config.edge.overrides, device)
        key = (group.hardware, group.jetpack, group.isolation, settings)
        if key not in self._found:
            self._found[key] = self._release(group, settings)
        return self._found[key]

    def _release(self, group: DeviceGroup, settings: _Settings) -> Release:
        config = self._config
        models = tuple(map(self._model, _chosen(config.models, settings.models)))
        workflows = tuple(_chosen(self._workflows.values(), settings.workflows))
        environment = container_environment(config, PLATFORM_URL)
        if models:
            environment["PRELOAD_MODELS"] = ",".join(model.id for model in models)
            # the server puts the oldest away at its own limit of 8, and the gate asks for all
            environment["MAX_ACTIVE_MODELS"] = str(max(len(models), SERVERS_MODELS))
        return Release(
            workspace=config.workspace,
            version=settings.version or config.inference.version,
            image=_image(config, group, settings),
            runtime=DEVICE_CLASSES[group.hardware].runtime,
            isolation=group.isolation,
            bind=_BINDS[settings.exposure],
            port=config.inference.port,
            environment=environment,
            models=models,
            workflows=tuple(_released_workflow(workflow) for workflow in workflows),
            goldens=tuple(self._goldens(models, workflows)),
            health=Gate(config.edge.health.ready_seconds, config.edge.health.soak_seconds),
        )

    @cached_property
    def _workflows(self) -> Mapping[str, Workflow]:
        return read_workflows(self._config.workflows)

    def _model(self, model: Model) -> ReleasedModel:
        if model.id not in self._models:
            package = read_package(model)
            files = tuple(ModelFile(file.name, file.sha256, file.size) for file in package.files)
            self._models[model.id] = ReleasedModel(model.id, package.package_id, files)
        return self._models[model.id]

    def _goldens(self, models: Iterable[ReleasedModel], workflows: Iterable[Workflow]) -> Iterator[ReleasedGolden]:
        """The goldens of what a device serves: of the rest it could not be asked."""
        inputs = {workflow.id: workflow.image_inputs[0] for workflow in workflows}
        served = {model.id for model in models}
        tasks = {model.id: model.task for model in self._config.models if model.id in served}
        for golden, (image, expected) in self._golden_digests:
            if golden.model in tasks or golden.workflow in inputs:
                yield ReleasedGolden(
                    name=golden.name,
                    model=golden.model,
                    task=tasks[golden.model] if golden.model else None,
                    workflow=golden.workflow,
                    image_input=inputs[golden.workflow] if golden.workflow else None,
                    image=image,
                    expected=expected,
                    tolerance=golden.tolerance,
                )

    @cached_property
    def _golden_digests(self) -> tuple[tuple[Golden, tuple[str, str]], ...]:
        goldens = self._config.edge.goldens
        return tuple((golden, (_sha256(golden.image), _sha256(golden.expected))) for golden in goldens)


_RELEASES: dict[int, _Releases] = {}  # of the configuration that was asked for last


def _settings(group: DeviceGroup, overrides: Iterable[Override], device: Device) -> _Settings:
    """The group's, then of each override whose labels the device has, in order, then the device's own."""
    settings = _Settings(group.version, group.image, group.digest, group.models, group.workflows, group.exposure)
    labels = {**group.labels, **device.labels}
    for override in overrides:
        if override.match.items() <= labels.items():
            settings = settings.under(override)
    return settings.under(device)


def _chosen(known: Iterable[Any], ids: tuple[str, ...] | None) -> Iterator[Any]:
    """Those of `ids`, in the order of `known`: how they are listed makes no other release."""
    return (one for one in known if ids is None or one.id in ids)


def _image(config: DeploymentConfig, group: DeviceGroup, settings: _Settings) -> Image:
    pin = Pin(settings.image, settings.version, settings.digest)
    image = server_image(config, pin, _repository(config, group), config.inference.registry)
    return Image(image.reference, image.digest)


def _repository(config: DeploymentConfig, group: DeviceGroup) -> str:
    """The image for devices whose group names none."""
    if group.jetpack is not None:
        return JETPACKS[group.jetpack].image
    runtime = DEVICE_CLASSES[group.hardware].runtime
    return GPU_IMAGE if runtime is Runtime.NVIDIA else config.inference.image


def _released_workflow(workflow: Workflow) -> ReleasedWorkflow:
    return ReleasedWorkflow(workflow.id, hashlib.sha256(canonical(workflow.specification)).hexdigest())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
