"""The unit of a release."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.device.device import NEW, a_release
from visionfleet_device import container
from visionfleet_device.errors import DeviceError
from visionfleet_device.paths import Paths

IMAGE = "sha256:" + "a" * 64
UNITS = Path(__file__).parents[2] / "playbooks/device/units"


def run_line(**changes: Any) -> list[str]:
    """The words of `docker run`."""
    unit = container.unit(Paths(), a_release(NEW, **changes), IMAGE).decode().replace("\\\n", " ")
    found = re.search(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    assert found
    return shlex.split(found.group(1))


def test_runs_the_image_that_was_pulled_and_pulls_none() -> None:
    words = run_line()
    assert words[-1] == IMAGE
    assert words[words.index("--pull") + 1] == "never"


def test_is_hardened() -> None:
    words = " ".join(run_line())
    for option in ("--read-only", "--cap-drop ALL", "--security-opt no-new-privileges", "--pids-limit 8192"):
        assert option in words
    assert "--privileged" not in words


def test_privileged_is_what_it_says() -> None:
    words = run_line(isolation="privileged")
    assert "--privileged" in words
    assert "--read-only" not in words
    assert "--cap-drop" not in words


@pytest.mark.parametrize(("runtime", "option"), [("nvidia", "--gpus all"), ("jetson", "--runtime nvidia")])
def test_gives_the_gpu_where_there_is_one(runtime: str, option: str) -> None:
    assert option in " ".join(run_line(runtime=runtime))
    assert "nvidia" not in " ".join(run_line())


@pytest.mark.parametrize("bind", ["127.0.0.1", "0.0.0.0"])
def test_is_reached_from_where_the_file_says(bind: str) -> None:
    assert f"--publish {bind}:9001:9001" in " ".join(run_line(bind=bind))


def test_has_no_key_among_its_variables_or_words() -> None:
    unit = container.unit(Paths(), a_release(NEW), IMAGE).decode()
    assert "API_KEY" not in unit
    assert "source=/run/visionfleet/server.env,target=/app/.env,readonly" in unit


def test_names_its_release_alone_and_no_link() -> None:
    unit = container.unit(Paths(), a_release(NEW), IMAGE).decode()
    assert f"--env-file /opt/visionfleet/releases/{NEW}/inference.env" in unit
    assert "current" not in unit


def test_variables_are_a_line_each() -> None:
    release = a_release(NEW, environment={"PORT": "9001", "A": 'x "y" #z'})
    assert container.environment_file(release) == b'A=x "y" #z\nPORT=9001\n'


def test_a_variable_of_two_lines_is_refused() -> None:
    with pytest.raises(DeviceError, match="more than one line"):
        container.environment_file(a_release(NEW, environment={"A": "x\nB=y"}))


@pytest.mark.parametrize("key", ["runtime", "isolation"])
def test_what_a_newer_release_has_is_refused(key: str) -> None:
    with pytest.raises(DeviceError, match=f"knows no {key} 'new'"):
        run_line(**{key: "new"})


def test_waits_for_the_disks_that_it_needs() -> None:
    recover = (UNITS / "visionfleet-recover.service").read_text()
    for unit in (container.unit(Paths(), a_release(NEW), IMAGE).decode(), recover):
        assert "RequiresMountsFor=/opt/visionfleet /var/lib/visionfleet\n" in unit


def test_no_unit_needs_a_folder_to_be_there_that_nobody_may_have_made() -> None:
    for unit in UNITS.glob("*.service"):
        assert "ReadWritePaths=" not in unit.read_text(), unit.name


def test_the_units_name_the_program_where_it_is() -> None:
    for unit in UNITS.glob("*.service"):
        commands = re.findall(r"^Exec\w+=(\S+)", unit.read_text(), re.MULTILINE)
        assert commands
        assert set(commands) == {str(Paths().program)}, unit.name
