"""Which files of a deployment pods get, and the digest that these are called by."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionfleet.config import DeploymentConfig, load
from visionfleet.config.fields import fields_of, sections_of
from visionfleet.config.section import Section
from visionfleet.projections import published
from visionfleet.projections.published import (
    FILE,
    BadManifest,
    Blob,
    NotPublishable,
    PublishedFolder,
    deployment_digest,
    published_folder,
    read_manifest,
)

ACME = Path(__file__).parents[2] / "examples" / "acme"
# of the acme example, what its file names and what stands in the folders that it names
USED = {
    *("visionfleet.yaml", "known_hosts", "registry-ca.crt", "devices/greenhouse.csv"),
    *("golden/counted.json", "golden/screw.json", "golden/screw.png"),
    *("workflows/count-screws.json", "workflows/pallets-on-photo.json"),
    *(
        f"models/{model}/{name}"
        for model in ("pallets-1", "screws-3")
        for name in ("class_names.txt", "inference_config.json", "weights.onnx")
    ),
}
# they are of one machine, and nobody reads them elsewhere
OF_ONE_MACHINE = {"hub.state", "hub.storage"}


@pytest.fixture
def acme(tmp_path: Path) -> Path:
    """A copy of the example's folder; gives its file."""
    shutil.copytree(ACME, tmp_path / "acme")
    return tmp_path / "acme" / FILE


def small(folder: Path, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / FILE
    file.write_text(f"name: small\nworkspace: acme\n{text}")
    return file


def folder_of(file: Path) -> PublishedFolder:
    return published_folder(file, load(file))


def test_what_the_deployment_uses_is_published_and_nothing_else(acme: Path) -> None:
    assert set(folder_of(acme).blobs) == USED


def test_secrets_state_and_tools_of_the_folder_are_left_out(acme: Path) -> None:
    for name in (
        ".env",
        "state/signing.key",
        "state/hub.sqlite3",
        "id_ed25519",
        "models/screws-3/.env",
        "workflows/.x",
    ):
        path = acme.parent / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("secret")
    assert set(folder_of(acme).blobs) == USED


def test_the_digest_is_of_the_contents_alone(acme: Path, tmp_path: Path) -> None:
    digest = folder_of(acme).digest
    os.utime(acme.parent / "golden/screw.png", (1, 1))
    moved = acme.parent.rename(tmp_path / "elsewhere") / FILE
    assert deployment_digest(moved, load(moved)) == digest
    (moved.parent / "golden/screw.json").write_text("{}")
    assert deployment_digest(moved, load(moved)) != digest


def test_the_file_has_one_name_in_pods(acme: Path) -> None:
    renamed = acme.rename(acme.with_name("production.yaml"))
    assert set(folder_of(renamed).blobs) == USED
    assert folder_of(renamed).sources[FILE] == renamed


def test_a_file_that_has_that_name_already_is_refused(tmp_path: Path) -> None:
    hosts = "edge: {groups: [{name: line, hardware: generic-x86_64, ssh: {known_hosts: ./visionfleet.yaml}}]}\n"
    file = small(tmp_path, hosts)
    renamed = file.rename(tmp_path / "production.yaml")
    (tmp_path / FILE).write_text("host key")
    with pytest.raises(NotPublishable, match="rename it"):
        folder_of(renamed)


@pytest.mark.parametrize("written", ["../models/screws-3", "{absolute}", "~/models/screws-3"])
def test_what_pods_would_not_find_is_refused_by_its_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    """An absolute path is not found either, though it leads into the folder on this machine."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for parent in (tmp_path, tmp_path / "deployment"):
        shutil.copytree(ACME / "models", parent / "models")
    written = written.format(absolute=tmp_path / "deployment/models/screws-3")
    model = f"models: [{{id: screws/3, architecture: yolov8, package: {written}}}]\n"
    file = small(tmp_path / "deployment", model)
    with pytest.raises(NotPublishable, match=r"models\[0\]\.package \(.*screws-3\) cannot be found in pods"):
        folder_of(file)


def test_links_are_followed(acme: Path, tmp_path: Path) -> None:
    """Weights often lie on another disk."""
    before = folder_of(acme)
    shutil.move(acme.parent / "models", tmp_path / "disk")
    (acme.parent / "models").symlink_to(tmp_path / "disk")
    assert folder_of(acme).digest == before.digest


def test_a_secret_among_the_files_is_refused(acme: Path) -> None:
    text = acme.read_text().replace("signing_key: env:ACME_HUB_SIGNING_KEY", "signing_key: file:./golden/screw.json")
    acme.write_text(text)
    with pytest.raises(NotPublishable, match=r"golden/screw\.json would be published, and is the secret"):
        folder_of(acme)


def test_an_empty_folder_of_workflows_is_refused(tmp_path: Path) -> None:
    (tmp_path / "flows").mkdir()
    file = small(tmp_path, "workflows: ./flows\n")
    with pytest.raises(NotPublishable, match=r"flows holds no workflow.*remove the key"):
        folder_of(file)


def test_a_folder_without_workflows_needs_none(tmp_path: Path) -> None:
    assert set(folder_of(small(tmp_path, "")).blobs) == {FILE}


def test_every_path_of_the_file_is_published_or_known_to_be_of_one_machine() -> None:
    """A new field with a path that pods need would be missing in them."""
    config = load(ACME / FILE)
    keys = {re.sub(r"\[\d+\]", "", key) for key, _ in published._named(config)}
    assert set(paths(DeploymentConfig)) - OF_ONE_MACHINE == keys


def paths(section: type[Section], above: str = "") -> Iterator[str]:
    """The keys of the file whose values are paths."""
    for name, field in fields_of(section).items():
        if "resolve_path" in repr((field.annotation, field.metadata)):
            yield above + name
        for inner in sections_of(field.annotation):
            yield from paths(inner, f"{above}{name}.")


NAMES = st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=20).filter(
    lambda name: name not in (".", "..")
)
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
BLOBS = st.builds(Blob, st.binary(min_size=32, max_size=32).map(bytes.hex), st.integers(0, 2**40))


@given(st.dictionaries(PATHS, BLOBS, max_size=5), BLOBS)
def test_a_manifest_is_read_as_it_was_written(blobs: dict[str, Blob], file: Blob) -> None:
    folder = PublishedFolder({**blobs, FILE: file}, {})
    assert read_manifest(folder.manifest, folder.digest) == folder.blobs


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a//b", "a/../b", "./a", "", ".", "a/", "a\0b"])
def test_a_path_out_of_the_folder_is_refused(path: str) -> None:
    blob = Blob("0" * 64, 1)
    folder = PublishedFolder({FILE: blob, path: blob}, {})
    with pytest.raises(BadManifest, match="that cannot be"):
        read_manifest(folder.manifest, folder.digest)


@given(st.binary())
def test_what_is_no_manifest_is_refused(text: bytes) -> None:
    folder = PublishedFolder({}, {})
    vars(folder)["manifest"] = text  # whatever somebody put under its digest
    with pytest.raises(BadManifest):
        read_manifest(text, folder.digest)


def test_a_manifest_under_another_digest_is_refused() -> None:
    folder = PublishedFolder({FILE: Blob("0" * 64, 1)}, {})
    with pytest.raises(BadManifest, match="not what its name says"):
        read_manifest(folder.manifest, f"sha256:{'0' * 64}")
