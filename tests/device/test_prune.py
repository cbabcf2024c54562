"""What goes with a release that is not needed any more."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.device.device import NEW, NEXT, OLD, WEIGHTS, Device, a_release, image_of, sha256, take_package
from visionfleet_device import links, packages, trial
from visionfleet_device.errors import Busy, DeviceError
from visionfleet_device.locks import held
from visionfleet_device.objects import PARTIAL
from visionfleet_device.prune import make_room, objects_of, prune


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_the_current_and_the_previous_release_stay_whole(device: Device) -> None:
    device.released(OLD, NEW)
    assert prune(device.paths, device.docker) == []
    assert names(device.paths.releases) == [OLD, NEW]
    assert device.images == {image_of(OLD), image_of(NEW)}
    assert set(names(device.paths.objects)) == objects_of(a_release(NEW))


def test_what_is_on_trial_stays_with_what_it_would_go_back_to(device: Device) -> None:
    device.released(OLD, NEW)
    device.fetch(a_release(NEXT))
    trial.begin(device.paths, NEXT, 0)
    assert prune(device.paths, device.docker) == []


def test_what_was_fetched_ahead_stays_until_something_newer_is(device: Device) -> None:
    ahead = "0" * 11 + "d", "0" * 11 + "e"
    device.released(OLD)
    for age, name in enumerate(reversed(ahead)):
        device.fetch(a_release(name))
        os.utime(device.paths.bundle(name).release, (2e9 - age, 2e9 - age))
    device.released(NEW, NEXT)
    assert names(device.paths.releases) == [NEW, NEXT, ahead[1]]
    device.switch.release(ahead[1])
    assert names(device.paths.releases) == [NEXT, ahead[1]]


def test_what_was_tried_and_failed_was_not_fetched_ahead(device: Device) -> None:
    device.released(OLD)
    device.fetch(a_release(NEXT))
    device.server_of(NEXT).status = 500
    with pytest.raises(DeviceError):
        device.switch.release(NEXT)
    prune(device.paths, device.docker)
    assert names(device.paths.releases) == [OLD]


def test_objects_that_no_release_needs_go(device: Device) -> None:
    device.released(OLD)
    links.write(device.paths.object("f" * 64), b"of a release that is gone")
    links.write(device.paths.objects / (f"{'e' * 64}.part"), b"half of a download")
    prune(device.paths, device.docker)
    assert set(names(device.paths.objects)) == objects_of(a_release(OLD))


def test_an_image_that_another_release_has_too_stays(device: Device) -> None:
    device.released(OLD)
    device.fetch(a_release(NEXT))
    device.paths.bundle(NEXT).tried.touch()
    same = device.paths.bundle(OLD).image.read_bytes()
    device.paths.bundle(NEXT).image.write_bytes(same)
    prune(device.paths, device.docker)
    assert names(device.paths.releases) == [OLD]
    assert image_of(OLD) in device.images


def test_a_bundle_whose_image_something_uses_is_tried_again_and_not_released(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    device.released(OLD)
    device.fetch(a_release(NEXT))
    device.paths.bundle(NEXT).tried.touch()

    def used(_: str) -> None:
        raise DeviceError("it is used")

    with monkeypatch.context() as patched:
        patched.setattr(device.docker, "remove_image", used)
        prune(device.paths, device.docker)
    with pytest.raises(DeviceError, match="not on this device, or not as a whole"):
        device.switch.release(NEXT)
    prune(device.paths, device.docker)
    assert names(device.paths.releases) == [OLD]


def test_packages_in_the_servers_cache_that_no_release_has_go_with_their_files(device: Device) -> None:
    device.released(OLD)
    other = packages.folder_of(device.paths, "bolts/1", "pkg9")
    other.mkdir(parents=True)
    blob = device.paths.cache / packages.BLOBS / "abcd"
    blob.write_bytes(b"bolts")
    (blob.parent / ".abcd.lock").touch()
    (other / "weights.onnx").symlink_to("/cache/shared-blobs/abcd")
    prune(device.paths, device.docker)
    assert not other.exists()
    assert not blob.exists()
    assert (blob.parent / ".abcd.lock").exists(), "the server's"
    assert packages.problem(device.paths, a_release(OLD)["models"][0]) is None


def test_nothing_goes_while_a_release_is_fetched(device: Device) -> None:
    device.released(OLD)
    device.fetch(a_release(NEXT))
    with held(device.paths.fetch_lock, "a fetch"), pytest.raises(Busy, match="a fetch is under way"):
        prune(device.paths, device.docker)
    assert names(device.paths.releases) == [OLD, NEXT]


def test_a_release_is_no_failure_where_nothing_can_be_tidied_up(device: Device) -> None:
    with held(device.paths.fetch_lock, "a fetch"):
        device.released(OLD, NEW, NEXT)
    assert names(device.paths.releases) == [OLD, NEW, NEXT]


def test_where_a_kept_release_cannot_be_read_its_files_stay(device: Device) -> None:
    device.released(OLD)
    before = names(device.paths.objects)
    device.paths.bundle(OLD).release.write_text("{")
    prune(device.paths, device.docker)
    assert names(device.paths.objects) == before


def test_objects_are_files_of_packages_and_goldens() -> None:
    release: dict[str, Any] = a_release(NEW)
    golden = release["goldens"][0]
    assert objects_of(release) == {sha256(WEIGHTS), golden["image"], golden["expected"]}


def test_the_stand_in_keeps_packages_as_the_server_does(device: Device) -> None:
    take_package(device.paths, WEIGHTS)
    assert packages.problem(device.paths, a_release(NEW)["models"][0]) is None


class TestMakeRoom:
    def test_a_release_that_failed_goes_before_the_next_is_fetched(self, device: Device) -> None:
        device.released(OLD)
        device.fetch(a_release(NEXT))
        device.server_of(NEXT).status = 500
        with pytest.raises(DeviceError):
            device.switch.release(NEXT)
        make_room(device.paths, device.docker, a_release(NEW))
        assert names(device.paths.releases) == [OLD]
        assert device.images == {image_of(OLD)}

    def test_what_the_next_has_in_common_with_it_stays(self, device: Device) -> None:
        coming = a_release(NEW)
        image, half = coming["image"]["reference"], device.paths.objects / (f"{sha256(b'picture')}{PARTIAL}")
        device.released(OLD)
        device.fetch(a_release(NEXT))
        device.paths.bundle(NEXT).tried.touch()
        device.images.add(image)
        links.write_json(device.paths.bundle(NEXT).image, {"id": image})
        links.write(half, b"pic")
        make_room(device.paths, device.docker, coming)
        assert names(device.paths.releases) == [OLD]
        assert image in device.images
        assert set(names(device.paths.objects)) == {*objects_of(coming), half.name}

    def test_what_is_fetched_anew_stays(self, device: Device) -> None:
        device.released(OLD, NEW)
        device.paths.bundle(NEW).release.write_text("{")
        make_room(device.paths, device.docker, a_release(NEW))
        assert names(device.paths.releases) == [OLD, NEW]
        assert device.images == {image_of(OLD), image_of(NEW)}


@pytest.mark.parametrize(
    "place",
    [packages.MODELS, f"{packages.MODELS}/model", f"{packages.MODELS}/model/package", packages.BLOBS, packages.CHOICES],
)
def test_no_link_that_the_container_has_made_leads_out_of_the_cache(device: Device, place: str) -> None:
    device.released(OLD)
    others = device.paths.root / "etc/others"
    for name in ("folder/deeper/file", "folder/file", "file"):
        links.write(others / name, b"of somebody else")
    link = device.paths.cache / place
    links.remove_all(link)
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(others)
    packages.forget_choices(device.paths)
    prune(device.paths, device.docker)
    assert sorted(path.name for path in others.rglob("*")) == ["deeper", "file", "file", "file", "folder"]


def test_a_folder_in_the_place_of_a_file_keeps_nothing_from_going(device: Device) -> None:
    device.released(OLD)
    blobs = device.paths.cache / packages.BLOBS
    (blobs / "0-folder/within").mkdir(parents=True)
    (blobs / "1-file").touch()
    prune(device.paths, device.docker)
    assert not {"0-folder", "1-file"} & set(names(blobs))
