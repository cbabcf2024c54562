"""A fetch brings a release onto the device, whatever breaks meanwhile, and touches nothing that serves."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.device.device import NEW, sha256
from tests.device.fetching import (
    CLIENT_KEY,
    EXPECTED,
    IMAGE_ID,
    NAMES,
    PICTURE,
    WEIGHTS,
    HubStandIn,
    RegistryStandIn,
    release,
)
from visionfleet_device import answers, bundle, client_keys, fetch, links
from visionfleet_device.errors import Busy, DeviceError
from visionfleet_device.fetch import fetch as run
from visionfleet_device.hub import Refused, Unreachable
from visionfleet_device.locks import held
from visionfleet_device.paths import Paths


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path)


@pytest.fixture
def hub() -> HubStandIn:
    return HubStandIn()


@pytest.fixture
def docker() -> RegistryStandIn:
    return RegistryStandIn()


def test_all_that_a_release_needs_is_here_afterwards(paths: Paths, hub: HubStandIn, docker: RegistryStandIn) -> None:
    assert run(paths, release(), docker, hub)
    found, image = bundle.read(paths, NEW)
    assert found == release()
    assert image == {"id": IMAGE_ID, "digest": docker.digest}
    for content in (WEIGHTS, NAMES, PICTURE, EXPECTED):
        assert paths.object(sha256(content)).read_bytes() == content
    assert client_keys.read(paths) == [sha256(CLIENT_KEY.encode())]
    assert IMAGE_ID in paths.bundle(NEW).unit.read_text()
    assert not links.exists(paths.current)


def test_a_second_fetch_asks_nobody_and_changes_nothing(paths: Paths, hub: HubStandIn, docker: RegistryStandIn) -> None:
    run(paths, release(), docker, hub)
    before = _tree(paths)
    hub.is_away, docker.fault = True, "no route to host"
    assert not run(paths, release(), docker, hub)
    assert _tree(paths) == before


def test_a_fetch_without_a_hub_says_so_and_leaves_no_release(
    paths: Paths, hub: HubStandIn, docker: RegistryStandIn
) -> None:
    hub.is_away = True
    with pytest.raises(Unreachable):
        run(paths, release(), docker, hub)
    assert not bundle.is_whole(paths, NEW)


def test_a_fetch_that_was_interrupted_goes_on_where_it_was(
    paths: Paths, hub: HubStandIn, docker: RegistryStandIn
) -> None:
    hub.breaks = [1000, 500, 0, 0]
    run(paths, release(), docker, hub)
    weights = [start for address, start in hub.downloads if "weights" in address]
    assert weights == [0, 1000, 1500, 1500, 1500]
    assert paths.object(sha256(WEIGHTS)).read_bytes() == WEIGHTS


def test_a_fetch_gives_up_where_nothing_comes_and_the_next_goes_on(
    paths: Paths, hub: HubStandIn, docker: RegistryStandIn
) -> None:
    hub.breaks = [1000, *[0] * 100]
    with pytest.raises(Unreachable):
        run(paths, release(), docker, hub)
    hub.breaks, hub.downloads = [], []
    assert run(paths, release(), docker, hub)
    assert hub.downloads[0][1] == 1000


def test_a_url_that_expires_in_the_middle_is_signed_anew(
    paths: Paths, hub: HubStandIn, docker: RegistryStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    def time_goes_by(_: float) -> None:
        hub.expired, hub.signature = ["secret"], "another"

    hub.breaks = [1000]
    monkeypatch.setattr(hub, "_sleep", time_goes_by)
    run(paths, release(), docker, hub)
    weights = [(address.rpartition("=")[2], start) for address, start in hub.downloads if "weights" in address]
    assert weights == [("secret", 0), ("secret", 1000), ("another", 1000)]
    assert paths.object(sha256(WEIGHTS)).read_bytes() == WEIGHTS


def test_a_url_that_is_refused_although_it_is_new_is_an_error(
    paths: Paths, hub: HubStandIn, docker: RegistryStandIn
) -> None:
    hub.expired = ["secret"]
    with pytest.raises(Refused, match="has expired"):
        run(paths, release(), docker, hub)
    assert len(hub.downloads) == 2


def test_a_url_of_something_else_than_the_web_is_refused(
    paths: Paths, hub: HubStandIn, docker: RegistryStandIn
) -> None:
    hub.signed = "file:///etc/"
    with pytest.raises(DeviceError, match=r"neither http nor https: file:///etc/weights\.onnx"):
        run(paths, release(), docker, hub)
    assert hub.downloads == []


def test_no_more_is_taken_than_the_release_asks_for(paths: Paths, hub: HubStandIn, docker: RegistryStandIn) -> None:
    hub.files["weights.onnx"] = WEIGHTS + b"more" * 100_000
    run(paths, release(), docker, hub)
    assert paths.object(sha256(WEIGHTS)).read_bytes() == WEIGHTS


def test_a_hub_that_takes_no_ranges_sends_all_again(paths: Paths, hub: HubStandIn, docker: RegistryStandIn) -> None:
    hub.takes_ranges, hub.breaks = False, [1000]
    run(paths, release(), docker, hub)
    assert paths.object(sha256(WEIGHTS)).read_bytes() == WEIGHTS


@pytest.mark.parametrize("left", [b"x" * 50, WEIGHTS[:50], WEIGHTS, WEIGHTS + b"more"])
def test_what_an_earlier_fetch_left_may_be_anything(
    paths: Paths, hub: HubStandIn, docker: RegistryStandIn, left: bytes
) -> None:
    path = paths.object(sha256(WEIGHTS))
    links.write(path.with_name(path.name + ".partial"), left)
    run(paths, release(), docker, hub)
    assert path.read_bytes() == WEIGHTS
    assert not list(paths.objects.glob("*.partial"))


def test_a_damaged_file_is_fetched_again(paths: Paths, hub: HubStandIn, docker: RegistryStandIn) -> None:
    run(paths, release(), docker, hub)
    paths.object(sha256(WEIGHTS)).write_bytes(b"\0" * len(WEIGHTS))
    hub.downloads = []
    assert run(paths, release(), docker, hub)
    assert len(hub.downloads) == 1
    assert paths.object(sha256(WEIGHTS)).read_bytes() == WEIGHTS


def test_files_that_an_earlier_release_has_are_not_fetched_again(
    paths: Paths, hub: HubStandIn, docker: RegistryStandIn
) -> None:
    run(paths, release(), docker, hub)
    hub.downloads = []
    assert run(paths, release(id="0" * 11 + "c", port=9002), docker, hub)
    assert hub.downloads == []


def test_other_bytes_than_asked_are_refused(paths: Paths, hub: HubStandIn, docker: RegistryStandIn) -> None:
    hub.files["weights.onnx"] = b"other"
    with pytest.raises(DeviceError, match=r"weights\.onnx of model screws/3 has not the SHA-256") as error:
        run(paths, release(), docker, hub)
    assert "start the hub again" in error.value.fix
    assert not paths.object(sha256(WEIGHTS)).exists()
    assert not list(paths.objects.glob("*.partial"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"package_id": "pkg2"}, "the hub serves package pkg2 of model screws/3, and the release asks for pkg1"),
        ({"files": {"weights.onnx": WEIGHTS}}, r"has no class_names\.txt"),
        ({"specification": {"version": "1.1"}}, "serves workflow count-screws otherwise"),
    ],
)
def test_a_hub_of_another_state_is_told_before_anything_is_fetched(
    paths: Paths, hub: HubStandIn, docker: RegistryStandIn, change: dict[str, Any], said: str
) -> None:
    vars(hub).update(change)
    with pytest.raises(DeviceError, match=said) as error:
        run(paths, release(), docker, hub)
    assert "start the hub again" in error.value.fix
    assert (hub.downloads, docker.pulled) == ([], [])


@pytest.mark.parametrize("answer", [{"workflow": {}}, {}, {"workflow": {"config": "{"}}])
def test_an_answer_that_is_not_understood_is_told(
    paths: Paths, hub: HubStandIn, docker: RegistryStandIn, monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    real = HubStandIn.get
    monkeypatch.setattr(hub, "get", lambda path, **query: answer if "workf" in path else real(hub, path, **query))
    with pytest.raises(DeviceError, match="workflow count-screws is not understood"):
        run(paths, release(), docker, hub)


def test_client_keys_that_are_none_are_refused(paths: Paths, hub: HubStandIn, docker: RegistryStandIn) -> None:
    hub.client_keys = ["no digest"]
    with pytest.raises(DeviceError, match="client-keys"):
        run(paths, release(), docker, hub)


def test_no_signed_url_is_kept(paths: Paths, hub: HubStandIn, docker: RegistryStandIn) -> None:
    run(paths, release(), docker, hub)
    assert all(b"signature=" not in content for content in _tree(paths).values())
    kept = answers.read(paths.bundle(NEW))
    assert kept is not None
    assert kept.are_for(release())


def test_a_disk_that_is_too_small_is_told_before_anything_is_fetched(
    paths: Paths, hub: HubStandIn, docker: RegistryStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "free_bytes", lambda _: 100 * 1024 * 1024)
    with pytest.raises(DeviceError, match=r"has 100 MiB free, and the release needs 257 MiB") as error:
        run(paths, release(), docker, hub)
    assert "free space" in error.value.fix
    assert (hub.downloads, docker.pulled) == ([], [])


def test_what_has_come_already_needs_no_space(
    paths: Paths, hub: HubStandIn, docker: RegistryStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = paths.object(sha256(WEIGHTS))
    links.write(path.with_name(path.name + ".partial"), WEIGHTS)
    free = fetch.RESERVE_BYTES + len(WEIGHTS) + 2 * len(NAMES)
    monkeypatch.setattr(fetch, "free_bytes", lambda _: free)
    assert run(paths, release(), docker, hub)


def test_what_nothing_needs_goes_before_more_comes(paths: Paths, hub: HubStandIn, docker: RegistryStandIn) -> None:
    failed = paths.bundle("f" * 12)
    links.write_json(failed.release, release(id=failed.id))
    failed.tried.touch()
    docker.fault = "no space left on device"
    with pytest.raises(DeviceError, match="no space left"):
        run(paths, release(), docker, hub)
    assert not failed.folder.exists()


@pytest.mark.parametrize(
    ("fault", "fix"),
    [
        ("write /var/lib/docker/tmp/x: no space left on device", "free space"),
        ("pull access denied for acme/server", "edge.registry"),
        ("manifest unknown", "inference.registry"),
        ("tls: failed to verify certificate: x509: certificate signed by unknown authority", r"edge.registry.ca"),
        ("dial tcp 10.0.0.1:443: i/o timeout", "reaches the registry"),
    ],
)
def test_why_an_image_cannot_be_pulled_is_told_with_a_fix(
    paths: Paths, hub: HubStandIn, docker: RegistryStandIn, fault: str, fix: str
) -> None:
    docker.fault = fault
    with pytest.raises(DeviceError, match="could not be pulled") as error:
        run(paths, release(), docker, hub)
    assert fix in error.value.fix
    assert not bundle.is_whole(paths, NEW)


def test_an_image_of_another_digest_is_refused(paths: Paths, hub: HubStandIn, docker: RegistryStandIn) -> None:
    docker.digest = "sha256:" + "9" * 64
    with pytest.raises(DeviceError, match="was asked for"):
        run(paths, release(), docker, hub)


def test_an_image_that_is_gone_is_pulled_again(paths: Paths, hub: HubStandIn, docker: RegistryStandIn) -> None:
    run(paths, release(), docker, hub)
    docker.pulled.clear()
    assert run(paths, release(), docker, hub)
    assert docker.pulled


def test_a_unit_that_a_newer_program_writes_otherwise_needs_no_hub(
    paths: Paths, hub: HubStandIn, docker: RegistryStandIn
) -> None:
    run(paths, release(), docker, hub)
    paths.bundle(NEW).unit.write_text("of an older program")
    hub.is_away = True
    assert run(paths, release(), docker, hub)
    assert IMAGE_ID in paths.bundle(NEW).unit.read_text()


def test_a_release_without_models_needs_no_files(paths: Paths, hub: HubStandIn, docker: RegistryStandIn) -> None:
    bare = release(models=[], workflows=[], goldens=[])
    assert run(paths, bare, docker, hub)
    assert not run(paths, bare, docker, hub)
    assert hub.downloads == []


def test_two_fetches_do_not_meet(paths: Paths, hub: HubStandIn, docker: RegistryStandIn) -> None:
    with held(paths.fetch_lock, "a fetch"), pytest.raises(Busy):
        run(paths, release(), docker, hub)


def _tree(paths: Paths) -> dict[str, bytes]:
    found = (Path(folder, name) for folder, _, names in os.walk(paths.root) for name in names)
    return {str(file): file.read_bytes() for file in found}
