"""The user data on a real host: Debian's cloud-init reads it (NoCloud), systemd runs what it set up, to a ready server.

Real: cloud-init, systemd, the scripts, the unit, curl. Stood in for, by tests/infra/standins: Docker with the image (a
stub of the inference server), the AWS command line and metadata, NVIDIA's tools, the CloudWatch agent.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.components.user_data import render_user_data
from tests.engines.debian import CLOUD, root_folder
from tests.engines.engine import wait_until
from tests.engines.nspawn import Host, made
from tests.infra.endpoints import DIGEST, HOSTNAME, MIRROR, SECRET, machine, production

pytestmark = pytest.mark.engine

KEY = "vf_a-Secret_of-the_test-0123456789"
NEW_KEY = "vf_another-Secret_of-the_test-987"
REGISTRY_TOKEN = "registry-token-of-the-stand-in"
UNIT = "visionfleet-inference.service"
AGENT = "/opt/aws/amazon-cloudwatch-agent/bin/amazon-cloudwatch-agent-ctl"
STANDINS = Path(__file__).parent / "standins"
STUB = Path(__file__).parents[1] / "engines" / "stub_inference.py"
READY_SECONDS = 300
# of the image, as it were; a locale is not made for a minute of life
CLOUD_CONFIG = "datasource_list: [NoCloud]\nnetwork: {config: disabled}\nlocale: false\n"


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A machine after its first boot."""
    host = made("line-3", root_folder(CLOUD), tmp_path_factory.mktemp("hosts"))
    equip(host)
    host.write("/etc/cloud/cloud.cfg.d/99-test.cfg", CLOUD_CONFIG)
    host.write("/var/lib/cloud/seed/nocloud/meta-data", "instance-id: i-0123456789abcdef0\nlocal-hostname: line-3\n")
    host.write("/var/lib/cloud/seed/nocloud/user-data", render_user_data(production(), machine()))
    try:
        host.start()
        wait_until_ready(host)
        yield host
    finally:
        host.stop()


def equip(host: Host) -> None:
    """The stand-ins, where the tools are that they stand in for."""
    for tool in ("docker", "aws", "nvidia-smi", "nvidia-ctk"):
        host.write(f"/usr/bin/{tool}", (STANDINS / tool).read_bytes(), 0o755)
    host.write(AGENT, (STANDINS / "amazon-cloudwatch-agent-ctl").read_bytes(), 0o755)
    host.write("/opt/standins/standin.py", (STANDINS / "standin.py").read_bytes())
    host.write("/opt/standins/metadata", (STANDINS / "metadata").read_bytes(), 0o755)
    host.write("/opt/standins/stub_inference.py", STUB.read_bytes())
    host.write("/opt/standins/secret", KEY, 0o600)
    for unit in ("docker", "metadata"):
        host.write(f"/etc/systemd/system/{unit}.service", (STANDINS / f"{unit}.service").read_bytes())
        host.link(f"/etc/systemd/system/multi-user.target.wants/{unit}.service", f"../{unit}.service")


def wait_until_ready(host: Host) -> None:
    """cloud-init is done, well, and the unit is active: it is not before its server is ready."""
    status = host.run("cloud-init", "status", "--wait", "--long", seconds=READY_SECONDS)
    assert status.returncode == 0, status.stdout + host.check("cat", "/var/log/cloud-init-output.log")
    wait_until(lambda: is_active(host), f"{UNIT} is active", READY_SECONDS)


def is_active(host: Host) -> bool:
    return host.run("systemctl", "is-active", UNIT).returncode == 0


def main_pid(host: Host) -> str:
    """Of the server, as the host counts; 0 while there is none."""
    return host.check("systemctl", "show", "--property=MainPID", "--value", UNIT).strip()


def calls(host: Host, tool: str) -> list[list[str]]:
    """The arguments of each call of a stand-in, in order."""
    lines = host.check("cat", "/opt/standins/calls.jsonl").splitlines()
    return [arguments for name, *arguments in map(json.loads, lines) if name == tool]


def snapshot(host: Host) -> dict[str, str]:
    """A digest of each file that user data is about, and its mode and owner."""
    found = "find /etc /usr/local /opt/aws -type f -printf '%m %u:%g ' -exec sha256sum {} ';'"
    lines = host.check("sh", "-c", found, seconds=360).splitlines()
    return {line.split(maxsplit=3)[3]: line for line in lines}


def test_cloud_init_finds_nothing_wrong(host: Host) -> None:
    assert "Valid" in host.check("cloud-init", "schema", "--system")
    assert json.loads(host.check("cat", "/run/cloud-init/result.json"))["v1"]["errors"] == []
    assert host.run("systemctl", "--failed", "--plain", "--no-legend").stdout == ""


def test_the_unit_runs_and_the_server_is_ready(host: Host) -> None:
    unit = host.testinfra.service(UNIT)
    assert unit.is_running
    assert unit.is_enabled
    assert host.testinfra.socket("tcp://127.0.0.1:9001").is_listening
    assert json.loads(host.check("curl", "--silent", "http://127.0.0.1:9001/readiness")) == {"status": "ready"}
    assert host.check("systemd-analyze", "verify", f"/etc/systemd/system/{UNIT}") == ""


def test_the_container_is_the_pinned_one_and_has_no_more_rights_than_it_needs(host: Host) -> None:
    (run,) = [arguments for arguments in calls(host, "docker") if arguments[0] == "run"]
    assert run[-1] == f"{MIRROR}/roboflow/roboflow-inference-server-gpu@{DIGEST}"
    for flag, value in {"--cap-drop": "ALL", "--security-opt": "no-new-privileges", "--gpus": "all"}.items():
        assert run[run.index(flag) + 1] == value
    assert "--read-only" in run
    assert "--privileged" not in run
    assert "host" not in run
    (login,) = [arguments for arguments in calls(host, "docker") if arguments[0] == "login"]
    assert login[-1] == MIRROR.partition("/")[0]


def test_the_server_gets_the_plans_environment_as_it_stands(host: Host) -> None:
    environment = host.check("cat", f"/proc/{main_pid(host)}/environ").split("\0")
    assert "ODD=a: b # 'c' \"d\" {{ e }} $f %g" in environment
    assert "DEDICATED_DEPLOYMENT_WORKSPACE_URL=acme" in environment
    assert "HOST=0.0.0.0" in environment
    assert not any(KEY in variable for variable in environment)


def test_the_key_is_in_memory_and_for_root_alone(host: Host) -> None:
    key = host.testinfra.file("/run/visionfleet/key.env")
    assert (key.user, key.mode) == ("root", 0o600)
    assert host.testinfra.file("/run/visionfleet").mode == 0o700
    assert host.testinfra.mount_point("/run").filesystem == "tmpfs"
    assert key.content_string == f"ROBOFLOW_API_KEY={KEY}\n"


@pytest.mark.parametrize("secret", [KEY, REGISTRY_TOKEN], ids=["key", "registry token"])
def test_no_secret_is_kept(host: Host, secret: str) -> None:
    kept = host.run(
        "grep", "--recursive", "--files-with-matches", secret, "/var", "/etc", "/usr/local", "/root", "/tmp"
    )
    assert kept.stdout == ""
    assert secret not in host.check("cat", "/opt/standins/calls.jsonl")
    assert secret not in host.check("journalctl", "--no-pager", "--output=cat")


def test_the_group_learns_that_the_machine_is_ready(host: Host) -> None:
    (action,) = [arguments for arguments in calls(host, "aws") if arguments[0] == "autoscaling"]
    options = dict(zip(action[2::2], action[3::2], strict=True))
    assert options["--auto-scaling-group-name"] == HOSTNAME
    assert options["--instance-id"] == "i-0123456789abcdef0"
    assert options["--lifecycle-action-result"] == "CONTINUE"


def test_logs_are_written_where_they_are_shipped_from(host: Host) -> None:
    assert len(calls(host, "amazon-cloudwatch-agent-ctl")) == 1
    agent = json.loads(host.check("cat", "/etc/visionfleet/cloudwatch-agent.json"))
    shipped = [item["file_path"] for item in agent["logs"]["logs_collected"]["files"]["collect_list"]]
    assert '"port": 9001' in host.check("cat", shipped[0])
    assert host.testinfra.file("/var/log/visionfleet").mode == 0o750
    assert all(host.testinfra.file(path).size for path in shipped)
    host.check("logrotate", "--debug", "/etc/logrotate.d/visionfleet")


def test_a_second_boot_changes_nothing(host: Host) -> None:
    before, tools = snapshot(host), {tool: len(calls(host, tool)) for tool in ("nvidia-ctk", AGENT.rpartition("/")[2])}
    pulls = [arguments for arguments in calls(host, "docker") if arguments[0] in ("pull", "login")]
    host.stop()
    host.start()
    wait_until_ready(host)
    assert ["stop", "--time", "30", "visionfleet-inference"] in calls(host, "docker")
    assert snapshot(host) == before
    assert {tool: len(calls(host, tool)) for tool in tools} == tools
    assert [arguments for arguments in calls(host, "docker") if arguments[0] in ("pull", "login")] == pulls
    assert host.testinfra.file("/run/visionfleet/key.env").contains(KEY)  # fetched again: memory was lost
    assert len([arguments for arguments in calls(host, "aws") if arguments[0] == "secretsmanager"]) == 2


def test_a_key_that_is_set_later_or_changed_is_taken(host: Host) -> None:
    host.check("mv", "/opt/standins/secret", "/opt/standins/secret.away")
    assert host.run("systemctl", "restart", UNIT).returncode != 0
    host.check("sh", "-c", 'echo \'{"key": "json"}\' >/opt/standins/secret')
    log = "/var/log/visionfleet/inference.log"
    wait_until(lambda: "holds no key; set it" in host.check("cat", log), "the log says what to do")
    assert f"put-secret-value --secret-id {SECRET}" in host.check("cat", log)
    host.check("sh", "-c", f"echo {NEW_KEY} >/opt/standins/secret")
    wait_until(lambda: is_active(host), "the unit tries again")
    assert host.check("cat", "/run/visionfleet/key.env") == f"ROBOFLOW_API_KEY={NEW_KEY}\n"


def test_a_server_that_dies_is_started_again(host: Host) -> None:
    before = main_pid(host)
    host.check("kill", "-KILL", before)
    wait_until(lambda: main_pid(host) not in ("0", before) and is_active(host), "the server is back")
