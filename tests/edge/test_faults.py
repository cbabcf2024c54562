"""What fails during a release, and what devices make of it: something serves, they say why, the next run ends well."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pytest

from tests.edge.deployment import Play, Run, Site, deployed
from tests.edge.devices import (
    assert_nothing_stays,
    hold_at,
    info,
    serves,
    shorten_waiting,
    start_release,
    system_state,
    wait_for,
    wait_for_verdict,
    wait_until_held,
)
from tests.engines.debian import EDGE_DOCKER
from tests.engines.edge import EdgeHost
from tests.engines.edge_image import CRASHES_AT_START, GOOD, NEVER_READY, WRONG_ANSWERS, Behaviour, crashes_after
from tests.engines.engine import wait_until

pytestmark = pytest.mark.engine

RESTARTED = "the device was restarted in the middle, by a power cut or a reboot"
QUICK = {"ready_seconds": 60, "soak_seconds": 2}
LONG_SOAK = {"ready_seconds": 60, "soak_seconds": 10}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Two devices that site.yml has provisioned, on release 1.8.3. They give up a silent hub sooner than others."""
    folder = tmp_path_factory.mktemp("faults")
    with deployed(folder, count=2, root=EDGE_DOCKER) as site:
        done = site.playbook("site.yml")
        assert done.code == 0, done.output
        for host in site.hosts:
            shorten_waiting(host)
        yield site
    assert_nothing_stays(folder)


def test_without_the_hub_the_old_one_serves_on(site: Site) -> None:
    before = ask_for(site, "2.0.0")
    site.hub.stop()
    done = site.playbook("release.yml")
    site.hub.start()
    for host in site.hosts:
        assert_failed(done, host, "the hub does not answer at .*Connection refused", "see that the hub runs")
    assert_unmoved(site, before)


def test_without_the_registry_too(site: Site) -> None:
    before = ask_for(site, "2.0.0")
    site.fleet.registry.stop()
    done = site.playbook("release.yml")
    site.fleet.registry.start()
    for host in site.hosts:
        assert_failed(done, host, r"image \S+2\.0\.0 could not be pulled", "see that the device reaches the registry")
    assert_unmoved(site, before)


def test_where_packets_are_lost_too_and_all_is_well_after_their_return(site: Site) -> None:
    """The first device does not reach the hub, the second not the registry."""
    before = ask_for(site, "2.0.0")
    first, second = site.hosts
    first.block(site.fleet.address)
    second.block(site.fleet.registry.address)
    done = site.playbook("release.yml")
    first.unblock(site.fleet.address)
    second.unblock(site.fleet.registry.address)
    assert_failed(done, first, "the hub does not answer at .*timed out", "see that the hub runs")
    assert_failed(done, second, r"image \S+2\.0\.0 could not be pulled", "see that the device reaches the registry")
    assert_unmoved(site, before)
    assert_released(site)


def test_a_full_disk_on_one_device_does_not_keep_the_other_from_its_release(site: Site) -> None:
    """There is room for what the device wants free, but not for the image, whose size nobody knows beforehand."""
    full, other = site.hosts
    before = ask_for(site, "2.1.0", Behaviour(padding_mb=140))
    full.fill_disk(leave_mb=265)
    done = site.playbook("release.yml")
    assert serves(full, before[full.name])
    full.free_disk()
    assert_failed(done, full, "no space left on device", "free space below /var/lib/docker")
    assert (done.recap[other.name].failed, done.recap[other.name].changed) == (0, 1)
    assert serves(other, site.release_of(other))
    assert_released(site)


@pytest.mark.parametrize(
    ("health", "broken"),
    [
        (
            {"ready_seconds": 10, "soak_seconds": 1},
            {
                "3.0.1": (NEVER_READY, "the server was not ready within 10 s: it answers 503"),
                "3.0.2": (CRASHES_AT_START, "a fault that was asked for: the server crashes at its start"),
            },
        ),
        (
            {"ready_seconds": 60, "soak_seconds": 60},
            {
                "3.0.3": (WRONG_ANSWERS, "golden 'screw' is answered otherwise than expected"),
                "3.0.4": (crashes_after(15), "the server has ended by itself|container has ended|not any more"),
            },
        ),
    ],
    ids=["no start", "no good"],
)
def test_a_broken_release_goes_back_by_itself(
    site: Site, health: Mapping[str, float], broken: Mapping[str, tuple[Behaviour, str]]
) -> None:
    """One on each device, at the same time."""
    file, before = site.file.read_text(), currents(site)
    for version, (behaviour, _) in broken.items():
        site.push(version, behaviour)
    site.health = dict(health)
    site.write(own={host.name: {"version": version} for host, version in zip(site.hosts, broken, strict=True)})
    done = site.playbook("release.yml")
    for host, (_, reason) in zip(site.hosts, broken.values(), strict=True):
        assert_failed(done, host, reason, rf"Release {before[host.name]} \(version \S+\) serves again")
        said = info(host)["verdict"]
        assert (said["result"], said["serving"]) == ("returned", before[host.name])
    assert_unmoved(site, before)
    site.file.write_text(file)
    verified = site.playbook("verify.yml")
    assert verified.code == 0, verified.output


def test_two_controllers_at_once_do_no_harm(site: Site) -> None:
    ask_for(site, "2.2.0")
    host = site.hosts[0]
    plays = [site.begin("release.yml", "--limit", host.name) for _ in range(2)]
    ended = [play.end() for play in plays]
    assert 0 in [done.code for done in ended]
    for done in ended:
        if done.code:
            assert_failed(done, host, "is under way on this device already", "wait until it has ended")
    wait_for(host, site.release_of(host))
    assert_released(site)


def test_without_its_controller_a_device_ends_the_release_by_itself(site: Site) -> None:
    ask_for(site, "2.3.0", health=LONG_SOAK)
    host = site.hosts[0]
    play = begin_trial(site, host)
    play.kill()
    assert info(host)["trial"] is not None
    wait_for_verdict(host, site.release_of(host), "accepted")
    assert site.playbook("release.yml", "--limit", host.name).changed == {host.name: 0}


def test_without_its_connection_too(site: Site) -> None:
    ask_for(site, "2.3.0", health=LONG_SOAK)
    host = site.hosts[1]
    play = begin_trial(site, host)
    host.cut_network()
    assert play.end().recap[host.name].unreachable == 1
    wait_for_verdict(host, site.release_of(host), "accepted")
    host.restore_network()
    assert site.playbook("release.yml", "--limit", host.name).changed == {host.name: 0}


@pytest.mark.parametrize(
    "steps",
    [
        ("rename trial.json", "rename previous"),
        ("rename current", "systemctl daemon-reload"),
        ("systemctl restart", "ask readiness"),
        ("rename verdict.json", "remove trial.json"),
        ("open fetch.lock",),
    ],
    ids=" & ".join,
)
def test_a_power_cut_at_any_step_of_the_switch_leaves_old_or_new(site: Site, steps: tuple[str, ...]) -> None:
    """Right before each step, which is right after the one before it: the program is held there. One on each device."""
    hosts = site.hosts[: len(steps)]
    before = {host.name: info(host) for host in hosts}
    for host, step in zip(hosts, steps, strict=True):
        hold_at(host, step)
        start_release(host, before[host.name]["previous"])
    for host, step in zip(hosts, steps, strict=True):
        wait_until_held(host)
        link = "current" if step.startswith("rename") and step != "rename verdict.json" else "previous"
        assert points_to(host, "current") == before[host.name][link], "it has been switched from `rename current` on"
    cut_power(hosts)
    for host, step in zip(hosts, steps, strict=True):
        was = before[host.name]
        is_decided = step in {"remove trial.json", "open fetch.lock"}
        current, previous = (was["previous"], was["current"]) if is_decided else (was["current"], was["previous"])
        wait_for(host, current)
        said = info(host)
        assert (said["current"], said["previous"], said["trial"]) == (current, previous, None)
        assert said["verdict"]["serving"] == current
        if is_decided:
            assert (said["verdict"]["result"], said["verdict"]["reason"]) == ("accepted", "it is healthy")
        elif step == "rename trial.json":
            assert said["verdict"] == was["verdict"], "nothing was begun"
        else:
            assert said["verdict"]["result"] == "recovered"
            assert RESTARTED in said["verdict"]["reason"]
        assert system_state(host) == "running"


def test_after_all_these_a_release_ends_well(site: Site) -> None:
    ask_for(site, "2.4.0")
    assert_released(site)


def test_a_power_cut_during_the_fetch_and_during_a_rollback_lead_to_what_served(site: Site) -> None:
    """The first device is fetching, the second is going back, and serves the one before on trial already."""
    fetching, returning = site.hosts
    before = ask_for(site, "2.5.0", Behaviour(padding_mb=60))
    hold_at(returning, "ask readiness")
    plays = [
        site.begin("rollback.yml", "--limit", returning.name),
        site.begin("release.yml", "--limit", fetching.name),
    ]
    wait_until(lambda: is_pulling(fetching), "the image comes", 360)
    fetching.kill()
    wait_until_held(returning)
    cut_power(site.hosts)
    for play, host in zip(plays, (returning, fetching), strict=True):
        assert play.end().recap[host.name].unreachable == 1
    for host in site.hosts:
        wait_for(host, before[host.name])
        assert system_state(host) == "running"
    assert RESTARTED in info(returning)["verdict"]["reason"]
    back = info(returning)["previous"]
    done = site.playbook("rollback.yml", "--limit", returning.name)
    assert done.code == 0, done.output
    assert serves(returning, back)
    assert_released(site)


def ask_for(
    site: Site, version: str, behaviour: Behaviour = GOOD, health: Mapping[str, float] = QUICK
) -> dict[str, str]:
    """Let the file ask for a version that the registry has; gives what serves."""
    site.push(version, behaviour)
    site.health = dict(health)
    site.write(version=version)
    return currents(site)


def currents(site: Site) -> dict[str, str]:
    """What serves, by device."""
    return {host.name: info(host)["current"] for host in site.hosts}


def assert_released(site: Site) -> None:
    """The next run ends well, and each device serves what the file asks for."""
    done = site.playbook("release.yml")
    assert done.code == 0, done.output
    for host in site.hosts:
        assert serves(host, site.release_of(host))


def assert_failed(done: Run, host: EdgeHost, *patterns: str) -> None:
    """The playbook failed on a device, and its message there says these."""
    assert done.recap[host.name].failed == 1, done.output
    message = next(line for line in done.output.splitlines() if line.startswith(f"fatal: [{host.name}]"))
    for pattern in patterns:
        assert re.search(pattern, message, re.IGNORECASE), f"{pattern} is not in {message}"


def assert_unmoved(site: Site, before: Mapping[str, str]) -> None:
    """Each device serves what it did."""
    for host in site.hosts:
        assert serves(host, before[host.name])
        assert info(host)["trial"] is None
        assert system_state(host) == "running"


def begin_trial(site: Site, host: EdgeHost) -> Play:
    """A run whose release serves on one device, and is in its soak."""
    before = info(host)["container"]["id"]
    play = site.begin("release.yml", "--limit", host.name)
    wait_until(lambda: serves_in(info(host), before), "another container serves", 360)
    assert info(host)["trial"]["to"] == site.release_of(host)
    return play


def serves_in(said: dict[str, Any], before: str) -> bool:
    """Whether a server is ready, in another container than before."""
    return said["readiness"] and (said["container"] or {}).get("id", before) != before


def points_to(host: EdgeHost, link: str) -> str:
    """The release that a link leads to."""
    return host.check("readlink", f"/opt/visionfleet/{link}").strip().removeprefix("releases/")


def is_pulling(host: EdgeHost) -> bool:
    return host.run("pgrep", "--full", "docker pull").returncode == 0


def cut_power(hosts: Iterable[EdgeHost]) -> None:
    """From all at once, and give it back."""
    for host in hosts:
        if host.is_up:
            host.kill()
    for host in hosts:
        host.start()
