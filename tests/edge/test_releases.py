"""From release to release and back, by the playbooks, and what goes on where hub and registry are gone."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from tests.edge.deployment import Site, deployed
from tests.edge.devices import (
    assert_nothing_stays,
    infer,
    info,
    run_workflow,
    system_state,
    wait_for,
    watched,
)
from tests.engines.debian import EDGE_DOCKER
from tests.engines.edge import EdgeHost
from tests.engines.edge_image import Behaviour
from visionfleet.config import load
from visionfleet.hub.keys import create_key
from visionfleet.hub.store import Store
from visionfleet.hub.store.tables import DeviceReport

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Two devices that site.yml has provisioned, on release 1.8.3; 1.8.4 is a larger image."""
    folder = tmp_path_factory.mktemp("releases")
    with deployed(folder, count=2, root=EDGE_DOCKER) as site:
        done = site.playbook("site.yml")
        assert done.code == 0, done.output
        site.push("1.8.4", Behaviour(padding_mb=60))
        yield site
    assert_nothing_stays(folder)


@pytest.fixture
def host(site: Site) -> EdgeHost:
    return site.hosts[0]


@pytest.fixture(scope="module")
def releases(site: Site) -> tuple[str, str]:
    """The one that the devices have, and the next one. The file asks for the next one from here on."""
    old = site.release_of(site.hosts[0])
    site.write(version="1.8.4")
    return old, site.release_of(site.hosts[0])


@pytest.fixture(scope="module")
def client_key(site: Site) -> str:
    """A key that the devices have heard of."""
    key = create_key(load(site.file), name="line-1")[1]
    report(site)
    return key


@pytest.fixture(scope="module")
def nobody(site: Site, client_key: str) -> None:
    """From here on there is neither hub nor registry."""
    site.hub.stop()
    site.fleet.registry.stop()


def test_status_shows_each_device_healthy_with_the_asked_release(site: Site) -> None:
    report(site)
    shown = {device["name"]: device for device in site.fleet_status()}
    assert list(shown) == [host.name for host in site.hosts]
    for host in site.hosts:
        device, said = shown[host.name], shown[host.name]["report"]
        assert (device["late"], said["health"], said["version"]) == (False, "healthy", "1.8.3")
        assert device["release"] == said["release"] == site.release_of(host)
        assert said["verdict"]["result"] == "accepted"


def test_check_mode_says_what_would_change_and_changes_nothing(site: Site, releases: tuple[str, str]) -> None:
    old, new = releases
    before = [info(host) for host in site.hosts]
    done = site.playbook("release.yml", "--check", "--diff")
    assert done.code == 0, done.output
    assert all(count > 0 for count in done.changed.values())
    assert f"-release: {old}" in done.output
    assert f"+release: {new}" in done.output
    assert "-server-cpu:1.8.3" in done.output
    assert "-server-cpu:1.8.4" in done.output
    assert [info(host) for host in site.hosts] == before
    assert [fetched(host, new) for host in site.hosts] == [False, False]


def test_fetching_ahead_switches_nothing_and_the_old_one_serves_on(
    site: Site, host: EdgeHost, releases: tuple[str, str], tmp_path: Path
) -> None:
    old, new = releases
    before = info(host)["container"]["id"]
    with watched(host, tmp_path / "answers") as answers:
        done = site.playbook("release.yml", "--tags", "model_cache", "--limit", host.name)
    assert done.code == 0, done.output
    assert done.changed == {host.name: 1}
    assert len(answers) > 10
    assert set(answers) == {"200"}, "no gap"
    said = info(host)
    assert (said["current"], said["previous"], said["container"]["id"]) == (old, None, before)
    assert [fetched(each, new) for each in site.hosts] == [True, False]
    assert site.playbook("release.yml", "--tags", "model_cache", "--limit", host.name).changed == {host.name: 0}


def test_limit_releases_to_one_device(site: Site, host: EdgeHost, releases: tuple[str, str]) -> None:
    old, new = releases
    done = site.playbook("release.yml", "--limit", host.name)
    assert done.code == 0, done.output
    assert list(done.recap) == [host.name]
    assert [info(each)["current"] for each in site.hosts] == [new, old]


def test_the_rest_follows_and_a_second_run_changes_nothing(site: Site, releases: tuple[str, str]) -> None:
    old, new = releases
    done = site.playbook("release.yml")
    assert done.code == 0, done.output
    assert [count > 0 for _, count in sorted(done.changed.items())] == [False, True]
    containers = [info(host)["container"]["id"] for host in site.hosts]
    assert set(site.playbook("release.yml").changed.values()) == {0}
    for host, container in zip(site.hosts, containers, strict=True):
        said = info(host)
        assert (said["current"], said["previous"], said["container"]["id"]) == (new, old, container)


@pytest.mark.usefixtures("nobody")
def test_rollback_needs_nobody_and_twice_leads_forth(site: Site, releases: tuple[str, str]) -> None:
    old, new = releases
    for current, previous in ((old, new), (new, old)):
        done = site.playbook("rollback.yml")
        assert done.code == 0, done.output
        assert all(count > 0 for count in done.changed.values())
        for host in site.hosts:
            said = info(host)
            assert (said["current"], said["previous"], said["readiness"]) == (current, previous, True)
            assert said["verdict"]["reason"] == "it is healthy"


@pytest.mark.usefixtures("nobody")
def test_what_is_there_needs_nobody_either(site: Site) -> None:
    for name in ("release.yml", "verify.yml"):
        done = site.playbook(name)
        assert (done.code, set(done.changed.values())) == (0, {0}), done.output


@pytest.mark.usefixtures("nobody")
def test_clients_are_answered_without_the_hub_and_strangers_are_not(site: Site, client_key: str) -> None:
    for host in site.hosts:
        assert infer(host, client_key)[0] == 200
        assert infer(host, f"{client_key}x")[0] == 401
        assert infer(host, site.secrets["VISIONFLEET_FLEET_KEY"])[0] == 401


@pytest.mark.usefixtures("nobody")
def test_models_and_workflows_answer_after_a_boot_without_a_network(
    site: Site, host: EdgeHost, releases: tuple[str, str], client_key: str, request: pytest.FixtureRequest
) -> None:
    seen, counted = (json.loads((site.folder / "golden" / name).read_text()) for name in ("screw.json", "counted.json"))
    host.stop()
    host.start()
    host.cut_network()
    request.addfinalizer(host.restore_network)
    host.check("systemctl", "restart", "docker")
    wait_for(host, releases[1])
    status, answer = infer(host, client_key)
    assert (status, answer["predictions"]) == (200, seen["predictions"])
    status, answer = run_workflow(host, client_key)
    assert status == 200
    assert predictions(answer) == predictions(counted)
    assert system_state(host) == "running"


@pytest.mark.usefixtures("nobody")
def test_reports_wait_for_the_hub_and_arrive_with_their_own_times(site: Site, host: EdgeHost) -> None:
    for _ in range(3):
        report(site)
    made = [one["reported_at"] for one in waiting(host)]
    assert len(made) >= 3
    back = time.time()
    site.hub.start()
    report(site)
    assert waiting(host) == []
    received = {one.reported_at: one.received_at for one in reports_of(site, host)}
    assert all(received[each] > back > each for each in made)
    newest = next(device["report"] for device in site.fleet_status() if device["name"] == host.name)
    assert newest["reported_at"] > back


def report(site: Site) -> None:
    """As the timer has it done."""
    for host in site.hosts:
        host.check("systemctl", "start", "visionfleet-report.service", seconds=360)


def waiting(host: EdgeHost) -> list[dict[str, Any]]:
    """The reports that the hub has not taken."""
    names = host.check("ls", "/var/lib/visionfleet/reports").split()
    return [json.loads(host.check("cat", f"/var/lib/visionfleet/reports/{name}")) for name in names]


def reports_of(site: Site, host: EdgeHost) -> list[DeviceReport]:
    """All that the hub has of a device."""
    with closing(Store.open(load(site.file).hub)) as store, store.read() as session:
        return list(session.scalars(select(DeviceReport).where(DeviceReport.device == host.name)))


def fetched(host: EdgeHost, release: str) -> bool:
    return host.testinfra.file(f"/opt/visionfleet/releases/{release}/release.json").exists


def predictions(answer: dict[str, Any]) -> list[Any]:
    """What a workflow has counted."""
    return answer["outputs"][0]["predictions"]["predictions"]
