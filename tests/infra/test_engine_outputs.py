"""`visionfleet outputs` on a stack that the real engine made."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engines.pulumi import Pulumi, Stack, program
from visionfleet.stacks import StackUnavailable, find_pulumi, stack_outputs

pytestmark = pytest.mark.engine
pytest_plugins = ("tests.engines.cloud",)

PROGRAM = """
import pulumi

pulumi.export("region", "eu-central-1")
pulumi.export("endpoints", {"line-3": "https://line-3.vision.acme.example"})
pulumi.export("bucket", None)
pulumi.export("database_secret", pulumi.Output.secret("hunter2"))
"""


@pytest.fixture
def stack(tmp_path: Path, pulumi: Pulumi) -> Stack:
    return pulumi.stack(program(tmp_path / "program", PROGRAM))


def visionfleet(stack: Stack, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "visionfleet", "outputs", "--stack", *arguments, "--project", str(stack.project)]
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        env=stack.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=360,
    )


def test_a_stack_before_and_after_up(stack: Stack) -> None:
    before = visionfleet(stack, "test")
    assert (before.returncode, before.stdout) == (1, "")
    assert before.stderr == "error: the stack 'test' has no outputs\n  bring it up first: pulumi up --stack test\n"

    stack.up()

    shown = visionfleet(stack, "test")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "endpoints.line-3  https://line-3.vision.acme.example\n" in shown.stdout
    data = json.loads(visionfleet(stack, "test", "--json").stdout)
    assert (data["region"], data["bucket"], data["cluster"]) == ("eu-central-1", None, None)
    assert "hunter2" not in shown.stdout + json.dumps(data)


def test_a_stack_that_is_not_there(stack: Stack) -> None:
    found = visionfleet(stack, "prod")

    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr.startswith("error: there is no stack 'prod'\n")


def test_outputs_of_another_version(stack: Stack) -> None:
    program(stack.project, PROGRAM + 'pulumi.export("queue", "q")\n')
    stack.up()

    found = visionfleet(stack, "test")

    assert found.returncode == 1
    assert "another version of visionfleet: 'queue' is unknown" in found.stderr


def test_the_built_engine_is_found_without_path(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("pulumi"):
        pytest.skip("pulumi is on PATH")
    found = find_pulumi()
    assert found is not None
    assert os.access(found, os.X_OK)
    for name in ("PULUMI_BACKEND_URL", "PULUMI_CONFIG_PASSPHRASE", "PULUMI_HOME"):
        monkeypatch.setenv(name, stack.environment[name])
    with pytest.raises(StackUnavailable, match="has no outputs"):
        stack_outputs("test", stack.project)
