"""The commands of the cloud's pages, run as a reader would: by the real Pulumi engine, against moto.

They run in a copy of what a checkout has for them, beside the deployment's folder, with the file that the guide shows.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from tests.docs.console import commands, file_of
from tests.docs.pages import CLOUD_GUIDE, README, ROOT
from tests.docs.shell import Shell
from tests.engines.moto import Aws
from tests.engines.pulumi import Pulumi

pytestmark = pytest.mark.engine
pytest_plugins = ("tests.engines.cloud",)

DOMAIN = "vision.acme.example"
# moto knows no parameters of AWS's own, so none that names the newest machine image; it does know this image
WITH_IMAGE = ("instance_type: g6.xlarge", "instance_type: g6.xlarge, ami: ami-12c6146b")


@pytest.fixture
def shell(tmp_path: Path, aws: Aws, pulumi: Pulumi) -> Shell:
    """In a checkout, beside it the deployment's folder; the domain's zone is in the account."""
    aws.client("route53").create_hosted_zone(Name=DOMAIN, CallerReference="test")
    file = tmp_path / "acme" / "visionfleet.yaml"
    file.parent.mkdir()
    file.write_text(file_of(CLOUD_GUIDE).replace(*WITH_IMAGE))
    checkout = tmp_path / "visionfleet"
    checkout.mkdir()
    shutil.copy(ROOT / "Pulumi.yaml", checkout)
    shutil.copytree(ROOT / "infra", checkout / "infra")  # from where it lies the program finds the file
    (checkout / "examples").symlink_to(ROOT / "examples")
    (checkout / ".venv").symlink_to(sys.prefix)
    asks_nobody = {"PULUMI_SKIP_CONFIRMATIONS": "true", "COLUMNS": "160"}
    return Shell(checkout, tmp_path / "output.txt", {**pulumi.environment, **asks_nobody})


def test_the_guides_commands_do_what_it_says_and_leave_nothing(aws: Aws, shell: Shell) -> None:
    before = aws.inventory()
    shell.check(list(commands(CLOUD_GUIDE)))
    assert aws.inventory() == before


def test_the_commands_of_the_readme_do_what_it_says(shell: Shell) -> None:
    shell.check(list(commands(README)))
