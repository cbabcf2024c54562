"""The health gate: each thing that it looks at, and what it says when that is not so."""

from __future__ import annotations

import os
import shutil

import pytest

from tests.device.device import ANSWER, DIGEST, NEW, WEIGHTS, Device, a_release, image_of, sha256
from visionfleet_device import links, packages
from visionfleet_device.gate import GateFailed, judge


def judged(device: Device, **changes: object) -> None:
    """Start a release, and judge it."""
    release = a_release(NEW, **changes)
    device.fetch(release)
    device.paths.inference_unit.parent.mkdir(parents=True, exist_ok=True)
    device.paths.inference_unit.symlink_to(device.paths.bundle(NEW).unit)
    device.start()
    judge(device.paths, device.machine, release, {"id": image_of(NEW), "digest": DIGEST})


def failed(device: Device, **changes: object) -> str:
    """Why it does not pass."""
    with pytest.raises(GateFailed) as failure:
        judged(device, **changes)
    return str(failure.value)


def test_what_is_as_asked_passes_and_is_asked_twice(device: Device) -> None:
    judged(device)
    assert len(device.requests) == 2, "before and after the soak"
    assert 13 <= device.clock.now() <= 15, "3 s until it is ready, 10 s of soak"


def test_a_server_that_is_never_ready_fails_in_time(device: Device) -> None:
    device.server_of(NEW).ready_after = 1000
    device.server_of(NEW).log = ("Loading", "Waiting for the GPU")
    reason = (
        "the server was not ready within 60 s: it answers 503: not ready; it said last: Loading | Waiting for the GPU"
    )
    assert failed(device) == reason
    assert device.clock.now() == 60


def test_a_container_that_was_never_started_is_told_from_a_server_that_is_not_ready(device: Device) -> None:
    device.server_of(NEW).ready_after = 1000
    device.docker.container = lambda _: None  # type: ignore[method-assign]
    assert failed(device) == "the server was not ready within 60 s: its container has not been started"


def test_a_server_that_ends_fails_at_once_with_its_last_words(device: Device) -> None:
    device.server_of(NEW).ready_after = 1000
    device.server_of(NEW).log = ("ImportError: libcudnn.so.9: cannot open shared object file",)
    device.clock.events.append((2, lambda: device.end(code=1)))
    assert failed(device) == (
        "the server has ended by itself with exit code 1; "
        "it said last: ImportError: libcudnn.so.9: cannot open shared object file"
    )
    assert device.clock.now() == 2


def test_a_container_that_is_gone_fails(device: Device) -> None:
    def killed() -> None:
        device.running = None

    device.clock.events.append((5, killed))
    assert failed(device) == "the server's container has ended"


def test_a_container_that_somebody_started_anew_fails(device: Device) -> None:
    device.clock.events.append((8, device.start))
    assert failed(device) == "the server's container has been started anew"


def test_another_image_fails(device: Device) -> None:
    device.servers[NEW] = device.server_of("f" * 12)
    device.clock.events.append((1, lambda: setattr(device, "running", "f" * 12)))
    device.server_of(NEW).ready_after = 30
    assert failed(device) == f"the container runs image {image_of('f' * 12)}, asked was {image_of(NEW)}"


def test_another_digest_than_asked_fails(device: Device) -> None:
    other = "sha256:" + "9" * 64
    image = {"reference": f"registry.acme.example/server@{other}", "digest": other}
    assert failed(device, image=image) == f"the image that was fetched has the digest {DIGEST}, asked was {other}"


def test_an_image_that_is_gone_fails(device: Device) -> None:
    device.fetch(a_release(NEW))
    device.docker.image = lambda _: None  # type: ignore[method-assign]
    assert failed(device) == f"the image {image_of(NEW)} is not on this device any more"


class TestPackages:
    def test_other_content_fails(self, device: Device) -> None:
        device.server_of(NEW).weights = b"other weights"
        assert failed(device) == (
            "weights.onnx of model screws/3 in the server's cache is not the asked one: "
            f"SHA-256 {sha256(b'other weights')}"
        )

    def test_another_package_fails_and_is_named(self, device: Device) -> None:
        model = {"id": "screws/3", "package_id": "pkg2", "files": []}
        reason = "the server has not taken package pkg2 of model screws/3, but pkg1"
        assert failed(device, models=[model]) == reason

    def test_a_server_that_keeps_them_elsewhere_fails_and_says_so(self, device: Device) -> None:
        device.server_of(NEW).weights = None
        assert "this version of it keeps its packages elsewhere" in failed(device)

    def test_a_link_out_of_the_container_is_followed_on_this_machine(self, device: Device) -> None:
        judged(device)
        file = packages.folder_of(device.paths, "screws/3", "pkg1") / "weights.onnx"
        assert packages.on_this_machine(device.paths, file).read_bytes() == WEIGHTS

    def test_a_link_that_leads_nowhere_fails(self, device: Device) -> None:
        device.clock.events.append((1, lambda: shutil.rmtree(device.paths.cache / packages.BLOBS)))
        assert failed(device) == "weights.onnx of model screws/3 is not in the server's cache"

    def test_links_in_a_circle_end(self, device: Device) -> None:
        link = device.paths.cache / "a"
        link.parent.mkdir(parents=True)
        link.symlink_to("/cache/a")
        assert packages.sha256_of(packages.on_this_machine(device.paths, link)) is None

    def test_a_link_that_leads_out_of_the_cache_is_no_file_of_it(self, device: Device) -> None:
        judged(device)
        links.write(device.paths.root / "etc/weights.onnx", WEIGHTS)
        folder = packages.folder_of(device.paths, "screws/3", "pkg1")
        for target in ("../../../../../../etc", str(device.paths.root / "etc")):
            links.remove_all(folder)
            folder.symlink_to(target)
            assert (folder / "weights.onnx").read_bytes() == WEIGHTS
            said = packages.problem(device.paths, a_release(NEW)["models"][0])
            assert said == "weights.onnx of model screws/3 is not in the server's cache"

    def test_nobody_waits_for_a_pipe_in_a_files_place(self, device: Device) -> None:
        judged(device)
        file = packages.folder_of(device.paths, "screws/3", "pkg1") / "weights.onnx"
        file.unlink()
        os.mkfifo(file)
        said = packages.problem(device.paths, a_release(NEW)["models"][0])
        assert said == "weights.onnx of model screws/3 is not in the server's cache"

    def test_the_slug_is_the_servers(self) -> None:
        """As slugify_model_id_to_os_safe_format of inference 1.8.3 says it."""
        assert packages.slug("screws/3") == "v2-screws-3-0806d6648102e67335169e9dd90b9421"
        assert packages.slug("a__b//c").startswith("v2-a-b-c-")
        assert packages.slug("x" * 60).startswith(f"v2-{'x' * 48}-")


def test_ready_is_not_loaded(device: Device) -> None:
    """Server 1.8.3 says that it is ready also where a model could not be loaded."""
    device.server_of(NEW).loaded = ("bolts/1",)
    device.server_of(NEW).log = ("Preload: error loading model 'screws/3' after 0.2s: no backend",)
    assert failed(device) == (
        "the server has not loaded screws/3; "
        "it said last: Preload: error loading model 'screws/3' after 0.2s: no backend"
    )


class TestGoldens:
    def test_another_answer_fails_and_says_where(self, device: Device) -> None:
        device.server_of(NEW).answer = {"predictions": [{"class": "screw", "confidence": 0.2}]}
        assert failed(device) == (
            "golden 'screw' is answered otherwise than expected: "
            "the answer.predictions[0].confidence is 0.2, expected 0.9 within 0.05"
        )

    def test_an_error_fails_with_what_the_server_said(self, device: Device) -> None:
        device.server_of(NEW).status = 500
        assert failed(device) == "golden 'screw' was not answered by the server: it answers 500: no"

    def test_one_that_is_answered_well_only_at_first_fails(self, device: Device) -> None:
        wrong = {**ANSWER, "predictions": []}
        device.clock.events.append((8, lambda: setattr(device.server_of(NEW), "answer", wrong)))
        assert "the answer.predictions has 0 entries, expected 1" in failed(device)

    def test_one_whose_picture_is_gone_fails(self, device: Device) -> None:
        device.clock.events.append((1, device.paths.object(sha256(b"picture")).unlink))
        assert failed(device).startswith("golden 'screw' cannot be read on this device")


class TestSoak:
    def test_a_server_that_misses_a_question_or_two_passes(self, device: Device) -> None:
        server = device.server_of(NEW)
        ready_after = server.ready_after
        device.clock.events.append((7, lambda: setattr(server, "ready_after", 1000)))
        device.clock.events.append((15, lambda: setattr(server, "ready_after", ready_after)))
        judged(device)

    def test_a_server_that_is_not_ready_any_more_fails(self, device: Device) -> None:
        device.clock.events.append((7, lambda: setattr(device.server_of(NEW), "ready_after", 1000)))
        assert failed(device) == ("the server was ready for 3 s, then for 15 s not any more: it answers 503: not ready")

    def test_a_server_that_was_started_anew_fails_though_it_is_ready(self, device: Device) -> None:
        device.server_of(NEW).ready_after = 0
        device.clock.events.append((7, lambda: device.end(code=137)))
        assert failed(device) == "the server has ended by itself with exit code 137"
