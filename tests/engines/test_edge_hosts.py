"""Edge hosts are as devices: Docker pulls and runs; power, network and disk fail; and nothing is left of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines.cgroups import own_groups, remove_groups
from tests.engines.debian import EDGE_DOCKER
from tests.engines.edge import EdgeHost, Fleet, edge_fleet
from tests.engines.edge_image import CRASHES_AT_START, NEVER_READY, Behaviour, crashes_after, push_image
from tests.engines.engine import wait_until
from tests.engines.tegra_standin import CALLS, MODEL

pytestmark = pytest.mark.engine

REPOSITORY = "roboflow/roboflow-inference-server-cpu"
HARDENED = ("--init", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--pids-limit=64")
ORPHAN = """
import sys
from pathlib import Path
from tests.engines.debian import EDGE_DOCKER
from tests.engines.edge import edge_fleet
with edge_fleet(Path(sys.argv[1]), count=1, root=EDGE_DOCKER) as fleet:
    print(fleet.hosts[0].name, fleet.hosts[0].pid, fleet.address, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with edge_fleet(tmp_path_factory.mktemp("edge"), count=2, jetsons=1, root=EDGE_DOCKER) as fleet:
        for host in fleet.hosts:
            trust(host, fleet)
        yield fleet


@pytest.fixture
def host(fleet: Fleet) -> EdgeHost:
    return fleet.hosts[0]


def test_docker_is_installed_from_the_local_repository(tmp_path: Path) -> None:
    with edge_fleet(tmp_path / "edge", count=1) as bare:
        host = bare.hosts[0]
        assert host.run("docker", "--version").returncode != 0
        done = host.ssh("sudo apt-get update && sudo apt-get install --yes docker.io", seconds=600)
        assert done.returncode == 0, done.stdout + done.stderr
        assert host.testinfra.service("docker").is_running


def test_an_image_is_pulled_by_digest_and_runs_hardened(fleet: Fleet, host: EdgeHost) -> None:
    digest = push_image(fleet.registry, REPOSITORY, "1.8.3")
    run(host, f"{fleet.registry.host}/{REPOSITORY}@{digest}", "good")
    wait_until(lambda: status(host, "readiness") == "200", "the stub is ready")
    assert json.loads(host.check("curl", "-s", "http://127.0.0.1:9001/info"))["version"] == "1.8.3"
    # the other host has containers of its own, and its units are its own
    other = fleet.hosts[1]
    assert other.check("docker", "ps", "--quiet") == ""
    other.check("systemctl", "restart", "docker", seconds=120)
    host.check("docker", "stop", "good")


def test_images_misbehave_as_asked(fleet: Fleet, host: EdgeHost) -> None:
    forms = {"unready": NEVER_READY, "crashing": CRASHES_AT_START, "dying": crashes_after(2)}
    digests = {name: push_image(fleet.registry, REPOSITORY, name, form) for name, form in forms.items()}
    assert len(set(digests.values())) == 3
    run(host, f"{fleet.registry.host}/{REPOSITORY}:unready", "unready")
    wait_until(lambda: status(host, "healthz") == "200", "the stub is up")
    assert status(host, "readiness") == "503"
    host.check("docker", "stop", "unready")
    run(host, f"{fleet.registry.host}/{REPOSITORY}:crashing", "crashing")
    wait_until(lambda: not is_running(host, "crashing"), "the stub crashed")
    run(host, f"{fleet.registry.host}/{REPOSITORY}:dying", "dying")
    wait_until(lambda: status(host, "readiness") == "200", "the stub is ready")
    wait_until(lambda: not is_running(host, "dying"), "the stub died")


def test_files_survive_a_power_cut_and_a_reboot(fleet: Fleet, host: EdgeHost) -> None:
    push_image(fleet.registry, REPOSITORY, "1.8.4")
    run(host, f"{fleet.registry.host}/{REPOSITORY}:1.8.4", "kept", "--restart=always")
    host.check("sh", "-c", "echo kept >/etc/mark; sync")
    host.kill()
    host.start()
    assert host.check("cat", "/etc/mark") == "kept\n"
    wait_until(lambda: status(host, "readiness") == "200", "the container is back")
    before = host.pid
    host.ssh("sudo systemctl reboot")
    wait_until(lambda: host._systemd() not in (None, before), "it boots anew")
    host.wait_until_up()
    wait_until(lambda: status(host, "readiness") == "200", "the container is back")
    host.check("docker", "rm", "--force", "kept")


def test_the_network_and_the_disk_fail(fleet: Fleet, host: EdgeHost) -> None:
    registry = f"https://{fleet.registry.host}/v2/"
    host.cut_network()
    assert curl(host, registry) in ("7", "28")
    host.restore_network()
    wait_until(lambda: curl(host, registry) == "0", "the network is back")
    host.block(fleet.registry.address)
    assert curl(host, registry) == "28"
    host.unblock(fleet.registry.address)
    fleet.registry.stop()
    assert curl(host, registry) == "7"
    fleet.registry.start()
    assert curl(host, registry) == "0"
    host.fill_disk(leave_mb=5)
    push_image(fleet.registry, REPOSITORY, "large", Behaviour(padding_mb=40))
    image = f"{fleet.registry.host}/{REPOSITORY}:large"
    full = host.run("docker", "pull", image)
    assert "no space left on device" in full.stderr
    host.free_disk()
    host.check("docker", "pull", image)


def test_a_jetson_is_stood_in_for(fleet: Fleet) -> None:
    jetson = fleet.hosts[-1]
    assert jetson.check("cat", "/etc/nv_tegra_release").startswith("# R36 (release), REVISION: 4.3,")
    assert jetson.check("cat", "/sys/firmware/devicetree/base/model") == f"{MODEL}\0"
    jetson.check("nvidia-ctk", "runtime", "configure", "--runtime=docker")
    jetson.check("systemctl", "restart", "docker")
    push_image(fleet.registry, REPOSITORY, "1.8.3")
    run(jetson, f"{fleet.registry.host}/{REPOSITORY}:1.8.3", "tegra", "--runtime=nvidia")
    wait_until(lambda: status(jetson, "readiness") == "200", "the stub is ready")
    jetson.check("nvpmodel", "-m", "2")
    assert jetson.check("nvpmodel", "-q").splitlines()[-1] == "2"
    jetson.check("jetson_clocks")
    calls = ["nvidia-ctk runtime configure --runtime=docker", "nvidia-container-runtime create", "nvpmodel -m 2"]
    assert jetson.check("cat", CALLS).splitlines() == [*calls, "nvpmodel -q", "jetson_clocks "]


def test_nothing_is_left_when_the_test_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ORPHAN, str(tmp_path / "edge")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as test:
        assert test.stdout is not None
        name, pid, address = test.stdout.readline().split()
        os.kill(int(pid), 0)
        test.kill()
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), "the host's end")
    addresses = subprocess.run(
        ["ip", "addr"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True
    ).stdout
    assert f"{address}/" not in addresses
    processes = subprocess.run(
        ["ps", "-eo", "args"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True
    ).stdout
    assert str(tmp_path) not in processes
    assert str(tmp_path) not in Path("/proc/mounts").read_text()
    wait_until(lambda: str(tmp_path) not in loops(), "the disk's end")
    remove_groups(own_groups(name))  # empty ones stay


def trust(host: EdgeHost, fleet: Fleet) -> None:
    folder = f"/etc/docker/certs.d/{fleet.registry.host}"
    host.check("mkdir", "--parents", folder)
    host.check("sh", "-c", f"cat >{folder}/ca.crt <<'.'\n{fleet.registry_ca.read_text()}.")


def run(host: EdgeHost, image: str, name: str, restart: str = "--rm") -> None:
    options = [*HARDENED, "--tmpfs=/tmp", "--publish=9001:9001", restart, f"--name={name}"]
    host.check("docker", "run", "--detach", *options, image)


def is_running(host: EdgeHost, name: str) -> bool:
    return host.check("docker", "ps", "--quiet", f"--filter=name={name}") != ""


def status(host: EdgeHost, route: str) -> str:
    return host.run("curl", "-s", "-o/dev/null", "-w%{http_code}", f"http://127.0.0.1:9001/{route}").stdout


def curl(host: EdgeHost, url: str) -> str:
    """Its exit status: 7 is refused, 28 no answer in time."""
    return str(host.run("curl", "-sk", "-o/dev/null", "--max-time", "2", url).returncode)


def loops() -> str:
    return subprocess.run(
        ["losetup", "--all"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True
    ).stdout
