"""Devices from the box to the file's state, and back: check, converge, converge again, verify, release, reset."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.edge.deployment import Site, deployed

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with deployed(tmp_path_factory.mktemp("converge"), count=2, jetsons=1, login=True) as site:
        yield site


def test_check_mode_shows_what_it_would_do_and_does_nothing(site: Site) -> None:
    done = site.playbook("site.yml", "--check", "--diff")
    assert done.code == 0, done.output
    for host in site.hosts:
        assert not host.testinfra.file("/opt/visionfleet").exists
        assert not host.testinfra.package("docker.io").is_installed
