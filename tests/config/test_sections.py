"""What the sections work out of their fields."""

import pytest

from visionfleet.config.hub import Hub
from visionfleet.config.inference import Inference
from visionfleet.config.models import TASKS, Architecture


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({}, "http://127.0.0.1:9500"),
        ({"host": "::1", "port": 80}, "http://[::1]:80"),
        ({"host": "0.0.0.0", "url": "https://hub.acme.example/"}, "https://hub.acme.example"),
        ({"url": "http://[::1]:9500"}, "http://[::1]:9500"),
    ],
)
def test_the_hub_has_a_public_url(fields: dict[str, object], url: str) -> None:
    assert Hub.model_validate(fields).public_url == url


def test_the_server_has_an_image() -> None:
    digest = f"sha256:{'0' * 64}"

    assert Inference.model_validate({}).image_reference == "roboflow/roboflow-inference-server-cpu:1.8.3"
    pinned = Inference.model_validate({"registry": "registry:5000/mirror", "image": "server", "digest": digest})
    assert pinned.image_reference == f"registry:5000/mirror/server@{digest}"


def test_every_architecture_does_something() -> None:
    assert set(TASKS) == set(Architecture)
    assert all(TASKS.values())
