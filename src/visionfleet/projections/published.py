"""DeploymentConfig -> the folder that pods get: the files that the deployment uses, and one digest for all of them.

A manifest names each file by its path below the folder of the deployment's file, with size and SHA-256; the SHA-256 of
the manifest is the deployment's digest. The same contents make the same digest, wherever the folder lies.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import cast

from visionfleet.config import DeploymentConfig, SecretRef
from visionfleet.config.errors import display_path
from visionfleet.config.load import load_as_in
from visionfleet.config.packages import read_package
from visionfleet.config.section import Section
from visionfleet.config.workflows import read_workflows

FILE = "visionfleet.yaml"
"""The deployment's file in pods, whatever it is called here."""

POD_FOLDER = Path("/deployment")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_CHUNK_BYTES = 1024 * 1024


class NotPublishable(Exception):
    """The deployment's folder cannot be given to pods; the message says what keeps it from that."""


class BadManifest(Exception):
    """This is no manifest of a deployment's folder."""


@dataclass(frozen=True, slots=True)
class Blob:
    """A file's content: SHA-256 in hexadecimal, size in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True)
class PublishedFolder:
    """A deployment's folder: `blobs` by path in it, `sources` the same files on this machine."""

    blobs: Mapping[str, Blob]
    sources: Mapping[str, Path]

    @cached_property
    def manifest(self) -> bytes:
        """The manifest's text."""
        return manifest_text(self.blobs)

    @cached_property
    def digest(self) -> str:
        """`sha256:…`, what the deployment is called by."""
        return _digest(self.manifest)


def deployment_digest(file: Path, config: DeploymentConfig) -> str:
    """The digest of the folder of `config`, which was loaded from `file`. Raises what `published_folder` does."""
    return published_folder(file, config).digest


def published_folder(file: Path, config: DeploymentConfig) -> PublishedFolder:
    """The folder of `config`, which was loaded from `file`: this file, and what it names.

    Raises:
        NotPublishable: a path leads out of the folder, a secret lies among the files, or a file cannot be read.
        ConfigError: a package or workflow has become wrong since the file was loaded.
    """
    _refuse_outside(file, config)
    folder = file.absolute().parent
    paths = dict.fromkeys(_files(config))
    if folder / FILE in paths and file.name != FILE:
        raise NotPublishable(f"{FILE} is among the files that {file.name} uses, whose name in pods it is: rename it")
    sources = {FILE: file} | {path.relative_to(folder).as_posix(): path for path in paths}
    _refuse_secrets(config, sources)
    known = {file.path: Blob(file.sha256, file.size) for model in config.models for file in read_package(model).files}
    blobs = {name: known.get(path) or _readable_blob(path) for name, path in sorted(sources.items())}
    return PublishedFolder(blobs, sources)


def blob_of(path: Path) -> Blob:
    """The content of a file. Raises OSError."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
    return Blob(digest.hexdigest(), size)


def manifest_text(blobs: Mapping[str, Blob]) -> bytes:
    """The manifest as JSON, the same for the same files."""
    files = {path: {"sha256": blob.sha256, "size": blob.size} for path, blob in blobs.items()}
    return json.dumps(files, sort_keys=True, separators=(",", ":")).encode()


def read_manifest(text: bytes, digest: str) -> dict[str, Blob]:
    """The files of the manifest of `digest`, by path. Raises BadManifest, also where one would lie elsewhere."""
    if _digest(text) != digest:
        raise BadManifest("its content is not what its name says")
    try:
        data: object = json.loads(text)
    except ValueError as error:
        raise BadManifest("the manifest is not JSON") from error
    if not isinstance(data, dict) or FILE not in data:
        raise BadManifest(f"the manifest is of no deployment: {FILE} is not in it")
    return {path: _entry(path, entry) for path, entry in cast("dict[str, object]", data).items()}


def _digest(manifest: bytes) -> str:
    return f"sha256:{hashlib.sha256(manifest).hexdigest()}"


def _entry(path: str, entry: object) -> Blob:
    match entry:
        case {"sha256": str(sha256), "size": int(size)} if _SHA256.fullmatch(sha256) and _is_inside(path):
            return Blob(sha256, size)
        case _:
            raise BadManifest(f"the manifest has a file that cannot be: {path[:200]!r}")


def _is_inside(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return bool(parts) and path == "/".join(parts) and "\0" not in path and not {"..", "/"} & set(parts)


def _refuse_outside(file: Path, config: DeploymentConfig) -> None:
    """In pods the file lies elsewhere, so whatever it names must be found from there."""
    in_pod = dict(_named(load_as_in(file, POD_FOLDER)))
    outside = [
        f"{key} ({display_path(path)})" for key, path in _named(config) if not in_pod[key].is_relative_to(POD_FOLDER)
    ]
    if outside:
        raise NotPublishable(
            f"{', '.join(outside)} cannot be found in pods, which get the folder of {file.name} alone: "
            f"put it below, and write the path relative to {file.name}"
        )
    if "workflows" in config.model_fields_set and not read_workflows(config.workflows):
        raise NotPublishable(
            f"{display_path(config.workflows)} holds no workflow, and an empty folder is not published: "
            "remove the key 'workflows', or add one"
        )


def _named(config: DeploymentConfig) -> Iterator[tuple[str, Path]]:
    """The paths that the file names for reading, each with its key. A test compares them with the models' fields."""
    yield "workflows", config.workflows
    for index, model in enumerate(config.models):
        yield f"models[{index}].package", model.package
    for index, golden in enumerate(config.edge.goldens):
        yield f"edge.goldens[{index}].image", golden.image
        yield f"edge.goldens[{index}].expected", golden.expected
    if config.edge.registry.ca is not None:
        yield "edge.registry.ca", config.edge.registry.ca
    for index, group in enumerate(config.edge.groups):
        if group.ssh.known_hosts is not None:
            yield f"edge.groups[{index}].ssh.known_hosts", group.ssh.known_hosts
        if group.devices_from is not None:
            yield f"edge.groups[{index}].devices_from", group.devices_from


def _files(config: DeploymentConfig) -> Iterator[Path]:
    """The files themselves: of folders, those that are read."""
    folders = {config.workflows, *(model.package for model in config.models)}
    yield from (path for _, path in _named(config) if path not in folders)
    yield from (workflow.path for workflow in read_workflows(config.workflows).values())
    for model in config.models:
        yield from (file.path for file in read_package(model).files)


def _refuse_secrets(config: DeploymentConfig, sources: Mapping[str, Path]) -> None:
    """Whoever may read the storage would read the secret."""
    published = {path.resolve(): name for name, path in sources.items()}
    for reference in _references(config):
        kind, _, target = str(reference).partition(":")
        if kind == "file" and (name := published.get(Path(target).resolve())):
            raise NotPublishable(f"{name} would be published, and is the secret {reference}: keep it elsewhere")


def _references(value: object) -> Iterator[SecretRef]:
    if isinstance(value, SecretRef):
        yield value
    elif isinstance(value, Section):
        for name in type(value).model_fields:
            yield from _references(getattr(value, name))
    elif isinstance(value, tuple):
        for entry in cast("tuple[object, ...]", value):
            yield from _references(entry)


def _readable_blob(path: Path) -> Blob:
    try:
        return blob_of(path)
    except OSError as error:
        raise NotPublishable(f"{display_path(path)} cannot be read: {error.strerror}") from error
