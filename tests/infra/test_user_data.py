from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
import yaml

from infra.components.user_data import MAX_USER_DATA_BYTES, UserDataError, group_name, mirrored, render_user_data
from tests.infra.endpoints import DIGEST, HOSTNAME, MIRROR, SECRET, machine, production


def files(text: str) -> dict[str, str]:
    assert text.startswith("#cloud-config\n")
    return {item["path"]: item["content"] for item in yaml.safe_load(text)["write_files"]}


def test_it_is_less_than_ec2_takes() -> None:
    settings = {f"A_SETTING_OF_THE_INFERENCE_SERVER_{number}": "False" for number in range(100)}  # it has 60
    plan = production(environment=production().environment | settings)
    assert len(render_user_data(plan, machine()).encode()) < MAX_USER_DATA_BYTES


def test_more_than_ec2_takes_is_refused() -> None:
    plan = production(environment=production().environment | {"LONG": "x" * MAX_USER_DATA_BYTES})
    with pytest.raises(UserDataError, match=r"user data of line-3 is 2[0-9]{4} bytes, EC2 takes 16384"):
        render_user_data(plan, machine())


def test_every_file_is_whole_and_scripts_are_shell() -> None:
    rendered = files(render_user_data(production(), machine()))
    assert len(rendered) == 9
    for path, content in rendered.items():
        assert content.endswith("\n"), path
        assert "{%" not in content, path
        if content.startswith("#!"):
            subprocess.run(["bash", "-n"], input=content, text=True, check=True)


def test_the_environment_is_the_plans_but_for_where_a_container_listens() -> None:
    lines = files(render_user_data(production(port=9100), machine()))["/etc/visionfleet/inference.env"].splitlines()
    environment = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    plans = {**production().environment, "HOST": "0.0.0.0", "PORT": "9100"}
    assert environment == {**plans, "HOME": "/tmp", "MPLCONFIGDIR": "/tmp/matplotlib"}


def test_the_agents_settings_carry_what_scaling_and_the_role_name() -> None:
    agent = json.loads(files(render_user_data(production(), machine()))["/etc/visionfleet/cloudwatch-agent.json"])
    assert agent["metrics"]["namespace"] == "visionfleet"
    assert agent["metrics"]["aggregation_dimensions"] == [["Endpoint"]]
    assert agent["metrics"]["metrics_collected"]["nvidia_gpu"]["append_dimensions"] == {"Endpoint": HOSTNAME}
    logs = agent["logs"]["logs_collected"]["files"]["collect_list"]
    assert {item["log_group_name"] for item in logs} == {f"/visionfleet/{HOSTNAME}"}


def test_a_machine_without_a_gpu_asks_for_none() -> None:
    rendered = files(render_user_data(production(gpus=0), machine()))
    assert not [path for path, content in rendered.items() if "nvidia" in content or "--gpus" in content]
    agent = json.loads(rendered["/etc/visionfleet/cloudwatch-agent.json"])
    assert set(agent) == {"agent", "logs"}
    assert "    --read-only " in rendered["/etc/systemd/system/visionfleet-inference.service"]


def test_only_a_mirror_is_logged_in_to() -> None:
    assert "docker login" in render_user_data(production(), machine())
    assert "docker login" not in render_user_data(production(), machine(image=production().image))


@pytest.mark.parametrize(
    ("plan", "given"),
    [
        ({"environment": {"MODEL_CACHE_DIR": "/tmp/cache", "TWO": "lines\nKEY=x"}}, {}),
        ({"environment": {"MODEL_CACHE_DIR": "/tmp/cache; reboot"}}, {}),
        ({}, {"image": "$(reboot)"}),
        ({}, {"secret": "a secret"}),
    ],
    ids=["line break", "cache", "image", "secret"],
)
def test_what_the_shell_would_read_otherwise_is_refused(plan: dict[str, Any], given: dict[str, Any]) -> None:
    with pytest.raises(UserDataError):
        render_user_data(production(**plan), machine(**given))


def test_the_secret_is_named_and_never_a_value() -> None:
    text = render_user_data(production(), machine())
    assert f"secret={SECRET}\n" in text
    assert "--env ROBOFLOW_API_KEY" not in text


def test_an_endpoint_without_a_name_is_refused() -> None:
    with pytest.raises(UserDataError, match="set `domain` in the file"):
        group_name(production(hostname=None))


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("roboflow/server:1.8.3", f"{MIRROR}/roboflow/server:1.8.3"),
        (f"docker.io/roboflow/server@{DIGEST}", f"{MIRROR}/roboflow/server@{DIGEST}"),
        ("registry.acme.example:5000/a/server:1", f"{MIRROR}/a/server:1"),
        ("localhost/server:1", f"{MIRROR}/server:1"),
        ("server:1", f"{MIRROR}/server:1"),
    ],
)
def test_a_mirror_serves_the_image_under_its_own_host(image: str, expected: str) -> None:
    assert mirrored(image, MIRROR) == expected
    assert mirrored(image, None) == image
