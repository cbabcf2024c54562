"""The table of device classes against the command line of the real inference server."""

from __future__ import annotations

import re

import pytest

from tests.engines.engine import missing
from visionfleet.config.device_classes import JETPACKS
from visionfleet.local.runtime import locate

ENTRY = re.compile(r'_JetsonImage\(\s*(\d+), (\d+), "[^"]+", "([^":]+):latest"\s*\)')

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def images() -> list[tuple[int, int, str]]:
    """L4T's major and least minor version with the image, the newest first, as `inference server start` has them."""
    runtime = locate("1.8.3")
    if not runtime.is_installed:
        missing("the inference runtime 1.8.3", "`make runtime` installs it")
    [source] = runtime.folder.glob("lib/python3*/site-packages/inference_cli/lib/container_adapter.py")
    found = ENTRY.findall(source.read_text(encoding="utf-8"))
    return [(int(major), int(minor), image) for major, minor, image in found]


@pytest.mark.parametrize("jetpack", JETPACKS)
def test_a_jetpack_has_the_image_that_the_server_s_command_line_takes(
    jetpack: str, images: list[tuple[int, int, str]]
) -> None:
    asked_major, asked_minor = JETPACKS[jetpack].l4t
    fitting = [image for major, minor, image in images if major == asked_major and minor <= asked_minor]
    assert JETPACKS[jetpack].image == fitting[0]
