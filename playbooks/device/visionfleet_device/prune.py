"""What no release on this device needs any more: bundles, images, objects, packages in the server's cache.

The current release and the previous one are kept whole, so that the way back needs no network. So is the newest one of
those that were fetched ahead and never switched to: another release in between does not undo that. The others go when a
release is accepted, and before one is fetched: else those that fail, one after the other, would fill the disk.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Iterable

from visionfleet_device import links, packages, trial
from visionfleet_device.docker import Docker
from visionfleet_device.errors import DeviceError
from visionfleet_device.locks import held
from visionfleet_device.objects import PARTIAL
from visionfleet_device.paths import Bundle, Paths


def prune(paths: Paths, docker: Docker) -> list[str]:
    """Remove it; gives the releases that are gone. Raises Busy while a release is fetched."""
    with held(paths.fetch_lock, "a fetch"):
        return remove_but(paths, docker, _kept(paths))


def make_room(paths: Paths, docker: Docker, coming: dict[str, Any]) -> None:
    """Remove it for a release that is about to be fetched. For whoever holds the lock of the fetches.

    What there is already for that release stays: its image, and what an interrupted fetch has left.
    """
    remove_but(paths, docker, _kept(paths), coming)


def remove_but(paths: Paths, docker: Docker, names: set[str], coming: dict[str, Any] | None = None) -> list[str]:
    """Remove all that these releases do not need, nor one that is coming. For whoever holds the lock of the fetches."""
    kept = [paths.bundle(name) for name in sorted({*names, coming["id"]} if coming else names)]
    images = {_image(one) for one in kept} | _images_here(docker, coming)
    gone = [bundle for bundle in _bundles(paths) if bundle.id not in {one.id for one in kept}]
    for bundle in gone:
        _remove_bundle(docker, bundle, images)
    releases = [coming if coming and one.id == coming["id"] else links.read_json(one.release) for one in kept]
    # where one of them cannot be read, nobody knows what it needs
    whole = [release for release in releases if release is not None]
    if len(whole) == len(kept):
        _remove_objects(paths, whole)
        _remove_packages(paths, whole)
    return [bundle.id for bundle in gone]


def _kept(paths: Paths) -> set[str]:
    on_trial = trial.read(paths)
    names = {trial.current(paths), trial.previous(paths)}
    if on_trial is not None:
        names |= {on_trial.to, on_trial.before, on_trial.previous}
    ahead = [one for one in _bundles(paths) if one.release.is_file() and not one.tried.exists()]
    if ahead:
        names.add(max(ahead, key=lambda one: one.release.stat().st_mtime_ns).id)
    return {name for name in names if name}


def _bundles(paths: Paths) -> list[Bundle]:
    return [Bundle(folder) for folder in _entries(paths.releases)]


def _remove_bundle(docker: Docker, bundle: Bundle, kept_images: set[str]) -> None:
    image = _image(bundle)
    links.remove(bundle.release)  # from here on it is not whole
    if image and image not in kept_images:
        try:
            docker.remove_image(image)
        except DeviceError:
            return  # something uses it: next time
    links.remove_folder(bundle.folder)


def _image(bundle: Bundle) -> str:
    return str((links.read_json(bundle.image) or {}).get("id", ""))


def _images_here(docker: Docker, release: dict[str, Any] | None) -> set[str]:
    """The image that a release asks for, where another one has brought it."""
    found = docker.image(release["image"]["reference"]) if release else None
    return {str(found["Id"])} if found else set()


def _remove_objects(paths: Paths, releases: Iterable[dict[str, Any]]) -> None:
    wanted = {sha256 for release in releases for sha256 in objects_of(release)}
    for entry in _entries(paths.objects):
        if entry.name.replace(PARTIAL, "") not in wanted:
            links.remove(entry)


def objects_of(release: dict[str, Any]) -> set[str]:
    """SHA-256 of each file that a release needs."""
    files = {file["sha256"] for model in release["models"] for file in model["files"]}
    return files | {golden[part] for golden in release["goldens"] for part in ("image", "expected")}


def _remove_packages(paths: Paths, releases: Iterable[dict[str, Any]]) -> None:
    """What the server keeps of models that no release has, then what no package of it leads to.

    Its container writes there, and is kept apart from the device: no link of its making leads out of the cache.
    """
    models = [model for release in releases for model in release["models"]]
    wanted = {(packages.slug(model["id"]), model["package_id"]) for model in models}
    for model in _entries_apart(paths.cache / packages.MODELS):
        for package in _entries_apart(model):
            if (model.name, package.name) not in wanted:
                links.remove_all(package)
    used = {os.path.basename(target) for target in _targets(paths.cache / packages.MODELS)}  # noqa: PTH119
    for blob in _entries_apart(paths.cache / packages.BLOBS):
        if blob.name not in used and not blob.name.startswith("."):  # the server's locks
            links.remove_all(blob)


def _targets(folder: Path) -> Iterable[str]:
    for entry in _entries_apart(folder):
        target = links.target_of(entry)
        if target is None:
            yield from _targets(entry)
        else:
            yield target


def _entries_apart(folder: Path) -> Iterable[Path]:
    """What is in a folder of the cache, while it is looked at; nothing where it is a link."""
    if folder.is_dir() and not folder.is_symlink():
        with links.opened(folder) as same:
            yield from sorted(same.iterdir())


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []
