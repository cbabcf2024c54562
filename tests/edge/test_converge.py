"""Devices from the box to the file's state, and back: check, converge, converge again, verify, reboot, reset."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

import pytest

from tests.edge.deployment import Site, deployed
from tests.engines.debian import EDGE_DOCKER
from tests.engines.edge import EdgeHost
from tests.engines.registry import PASSWORD, USER
from tests.engines.tegra_standin import CALLS

pytestmark = pytest.mark.engine

# what a device is, but for what apt and the stand-ins keep, and for the mount of Docker's folder
FILES = (
    "find /etc /opt /root /home /usr /var/lib /run/visionfleet* -xdev"
    " -not -path '/var/lib/apt/*' -not -path '/var/lib/dpkg/*' -not -path '/var/lib/stand-in*'"
    " -not -path '/var/lib/systemd/*' -not -path '/var/lib/containerd/*'"
    " -not -path '/etc/g*' -not -path /var/lib/docker"
    r" \( -type d -printf '%p %m %u\n' -o -printf '%p %m %u %s %l\n' \) 2>/dev/null; true"
)
FOREIGN = '{"debug": false, "log-opts": {"labels": "shop"}, "log-driver": "json-file", "max-concurrent-downloads": 2}'


def state(host: EdgeHost) -> dict[str, list[str]]:
    """The files, packages, groups and units of a host."""
    commands = {
        "files": FILES,
        "packages": "dpkg-query --show --showformat '${Package} ${Version} ${db:Status-Abbrev}\n'",
        "groups": "cut --delimiter=: --fields=1 /etc/group",
        "units": "systemctl list-unit-files --no-legend",
        "services": "systemctl list-units --no-legend --plain --type=service --state=active | grep -o '^docker'; true",
    }
    return {name: sorted(host.check("sh", "-c", command).splitlines()) for name, command in commands.items()}


def differences(host: EdgeHost, before: dict[str, list[str]]) -> set[str]:
    """What is on a host and was not before, or was and is not."""
    now = state(host)
    return {line for name in now for line in set(now[name]) ^ set(before[name])}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with deployed(tmp_path_factory.mktemp("converge"), count=2, jetsons=1, login=True) as site:
        yield site


@pytest.fixture(scope="module")
def found(site: Site) -> dict[str, dict[str, list[str]]]:
    """How the hosts were at first."""
    return {host.name: state(host) for host in site.hosts}


@pytest.fixture
def jetson(site: Site) -> EdgeHost:
    return site.hosts[-1]


def test_a_device_that_is_another_one_is_left_alone(site: Site, found: dict[str, dict[str, list[str]]]) -> None:
    done = site.playbook("site.yml", "-e", "preflight_os=ubuntu-24.04", "-e", "preflight_memory_mb=99000000")
    assert done.code == 2
    for host in site.hosts:
        assert done.recap[host.name].failed == 1
        assert differences(host, found[host.name]) == set()
    assert "os: It runs debian-12, the file says ubuntu-24.04." in done.output
    assert "memory: Its kernel sees" in done.output


def test_check_mode_shows_what_it_would_do_and_does_nothing(site: Site, found: dict[str, dict[str, list[str]]]) -> None:
    done = site.playbook("site.yml", "--check", "--diff")
    assert done.code == 0, done.output
    assert min(done.changed.values()) > 10
    assert "ignored=0" in done.output
    for host in site.hosts:
        assert differences(host, found[host.name]) == set()
    assert "+++ after: /etc/docker/daemon.json" in done.output


def test_the_devices_converge_and_no_secret_is_shown(site: Site) -> None:
    done = site.playbook("site.yml", "--diff", "-vvv")
    assert done.code == 0, done.output
    login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    keys = [host.check("cat", "/etc/visionfleet/key").strip() for host in site.hosts]
    assert len(set(keys)) == len(site.hosts)
    shown = [secret for secret in (*site.secrets.values(), login, *keys) if secret in done.output]
    assert shown == []


def test_a_second_run_changes_nothing(site: Site) -> None:
    done = site.playbook("site.yml")
    assert done.code == 0, done.output
    assert set(done.changed.values()) == {0}, done.output


def test_check_mode_of_what_is_there_finds_nothing_to_do(site: Site) -> None:
    done = site.playbook("site.yml", "--check", "--diff", "--limit", site.hosts[0].name)
    assert (done.code, done.changed) == (0, {site.hosts[0].name: 0}), done.output


def test_what_runs_is_what_was_asked_for(site: Site) -> None:
    done = site.playbook("verify.yml")
    assert (done.code, set(done.changed.values())) == (0, {0}), done.output
    for host in site.hosts:
        seen = host.testinfra
        for unit in ("docker", "visionfleet-inference", "visionfleet-platform", "visionfleet-report.timer"):
            assert seen.service(unit).is_running, unit
        assert seen.socket("tcp://127.0.0.1:9001").is_listening
        assert not seen.socket("tcp://0.0.0.0:9001").is_listening
        assert seen.file("/etc/visionfleet/key").mode == 0o600
        assert seen.file("/etc/visionfleet/docker/config.json").mode == 0o600
        assert host.check("dpkg", "--get-selections", "docker.io").split() == ["docker.io", "hold"]
        settings = json.loads(host.check("cat", "/etc/docker/daemon.json"))
        assert settings["live-restore"] is True
        assert settings["log-opts"] == {"max-size": "10m", "max-file": "3"}
        assert (
            host.check("docker", "info", "--format", "{{.LiveRestoreEnabled}} {{.LoggingDriver}}") == "true json-file\n"
        )
        assert host.check("systemctl", "is-system-running").strip() == "running"


def test_a_jetson_has_its_runtime_its_power_mode_and_its_clocks(jetson: EdgeHost) -> None:
    runtime = ("docker", "inspect", "--format", "{{.HostConfig.Runtime}}", "visionfleet-inference")
    assert jetson.check(*runtime) == "nvidia\n"
    assert jetson.check("nvpmodel", "-q").splitlines()[-1] == "0"
    calls = jetson.check("cat", CALLS).splitlines()
    assert calls.count("nvpmodel -m 0") == 1
    assert "nvidia-container-runtime create" in calls
    assert jetson.testinfra.service("visionfleet-clocks").is_enabled


def test_a_server_that_was_stopped_is_told_of_and_started_by_a_release(site: Site) -> None:
    host = site.hosts[0]
    host.check("systemctl", "stop", "visionfleet-inference")
    told = site.playbook("verify.yml")
    assert [name for name, counts in told.recap.items() if counts.failed] == [host.name]
    assert "The unit is inactive" in told.output
    assert site.playbook("release.yml").changed == {one.name: int(one is host) for one in site.hosts}
    assert site.playbook("verify.yml").code == 0


def test_a_platform_whose_restart_was_lost_is_told_of_and_restarted_by_the_next_run(site: Site) -> None:
    """As a controller leaves it that was killed after it had installed the program: what runs is of an older one."""
    host = site.hosts[0]
    module = "/opt/visionfleet/lib/visionfleet_device/platform_server.py"
    installed = host.check("cat", module)
    host.check("sh", "-c", f"echo '# older' >>{module}")
    host.check("systemctl", "restart", "visionfleet-platform")
    host.check("sed", "--in-place", "$d", module)
    assert host.check("cat", module) == installed
    told = site.playbook("verify.yml", "--limit", host.name)
    assert told.recap[host.name].failed == 1
    assert "not started from the program that is installed" in " ".join(told.output.split())
    options = ("--tags", "device_agent", "--limit", host.name)
    assert site.playbook("site.yml", "--check", *options).changed == {host.name: 1}
    assert site.playbook("site.yml", *options).changed == {host.name: 1}
    assert site.playbook("site.yml", *options).changed == {host.name: 0}
    assert site.playbook("verify.yml", "--limit", host.name).code == 0


def test_a_part_of_it_is_run_by_its_tag(site: Site) -> None:
    host = site.hosts[0]
    options = ("--tags", "device_report", "--limit", host.name, "-e", "device_report_interval_seconds=77")
    assert site.playbook("site.yml", *options).changed == {host.name: 2}  # the file, and the timer's restart
    assert "OnUnitActiveUSec=1min 17s" in host.check("systemctl", "show", "visionfleet-report.timer")


def test_a_key_that_the_hub_does_not_know_is_made_anew(site: Site) -> None:
    host = site.hosts[0]
    before = host.check("cat", "/etc/visionfleet/key")
    options = ("--tags", "device_agent", "--limit", host.name, "-e", "device_agent_rotate_key=true")
    assert site.playbook("site.yml", *options).code == 0
    assert host.check("cat", "/etc/visionfleet/key") != before
    refused = site.playbook("site.yml", *options, VISIONFLEET_FLEET_KEY="rf_wrong")
    assert refused.code == 2
    assert "set VISIONFLEET_FLEET_KEY" in refused.output


def test_reboots_go_one_by_one_until_each_serves_again(site: Site) -> None:
    pids = {host.name: host.pid for host in site.hosts}
    done = site.playbook("reboot.yml")
    assert done.code == 0, done.output
    assert done.output.count("PLAY [Reboot") == len(site.hosts)
    assert all(host.pid != pids[host.name] for host in site.hosts)
    assert site.playbook("verify.yml").code == 0


def test_a_reset_leaves_the_hosts_as_found(site: Site, found: dict[str, dict[str, list[str]]]) -> None:
    assert site.playbook("reset.yml", "--check", "--diff").code == 0
    done = site.playbook("reset.yml")
    assert done.code == 0, done.output
    for host in site.hosts:
        assert differences(host, found[host.name]) == set()
    assert site.hosts[-1].check("nvpmodel", "-q").splitlines()[-1] == "1"  # as it was
    again = site.playbook("reset.yml")
    assert (again.code, set(again.changed.values())) == (0, {0}), again.output
    assert "The device's program is not there" in site.playbook("verify.yml").output


def test_a_reset_also_undoes_a_provisioning_that_was_cut_off(
    site: Site, found: dict[str, dict[str, list[str]]]
) -> None:
    """Docker had come, with the registry's login, and the first files of the program."""
    host = site.hosts[0]
    assert site.playbook("site.yml", "--tags", "container_engine", "--limit", host.name).code == 0
    assert host.testinfra.file("/etc/visionfleet/docker/config.json").exists
    host.check("mkdir", "--parents", "/opt/visionfleet/lib/visionfleet_device")
    done = site.playbook("reset.yml", "--limit", host.name)
    assert done.code == 0, done.output
    assert differences(host, found[host.name]) == set()


def test_docker_of_others_stays_with_its_settings_and_containers(tmp_path_factory: pytest.TempPathFactory) -> None:
    with deployed(tmp_path_factory.mktemp("docker"), count=1, root=EDGE_DOCKER) as site:
        host = site.hosts[0]
        write(host, "/etc/docker/daemon.json", FOREIGN)
        host.check("systemctl", "restart", "docker")
        found = state(host)
        assert site.playbook("site.yml").code == 0
        settings = json.loads(host.check("cat", "/etc/docker/daemon.json"))
        ours = {"live-restore": True, "log-opts": {"labels": "shop", "max-size": "10m", "max-file": "3"}}
        assert settings == {**json.loads(FOREIGN), **ours}
        write(host, "/etc/docker/daemon.json", json.dumps({**settings, "shutdown-timeout": 20}))
        assert site.playbook("site.yml", "--tags", "container_engine").code == 0
        assert site.playbook("reset.yml").code == 0
        left = json.loads(host.check("cat", "/etc/docker/daemon.json"))
        assert left == {**json.loads(FOREIGN), "shutdown-timeout": 20}
        write(host, "/etc/docker/daemon.json", FOREIGN)
        assert differences(host, found) == set()
        assert host.check("docker", "images", "--quiet") == ""


def write(host: EdgeHost, path: str, text: str) -> None:
    host.check("sh", "-c", f"printf %s '{text}' >{path}")
