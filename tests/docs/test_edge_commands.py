"""The commands of the edge's guide, run as a reader would, from a checkout: two real hosts, a registry and the hub.

The file is the one that the guide shows. Addresses are put in place of the page's. The images are the stub of the
inference server, and version 1.8.5 is one that answers otherwise.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.docs.console import commands, file_of
from tests.docs.pages import EDGE_GUIDE, ROOT
from tests.docs.shell import Shell
from tests.engines.edge import Fleet, edge_fleet
from tests.engines.edge_image import GOOD, WRONG_ANSWERS, push_image

pytestmark = pytest.mark.engine

IMAGE = "roboflow/roboflow-inference-server-cpu"
VERSIONS = {"1.8.3": GOOD, "1.8.4": GOOD, "1.8.5": WRONG_ANSWERS}
OF_THE_EXAMPLE = ("models/screws-3", "workflows/count-screws.json", "golden/screw.png")
SECONDS = 3600  # two devices are brought up, released to, rebooted and reset


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """In a checkout, beside it the deployment's folder; the devices are as their makers hand them over."""
    with edge_fleet(tmp_path / "fleet", count=2) as fleet, tempfile.TemporaryDirectory(dir="/tmp") as controls:
        for version, behaviour in VERSIONS.items():
            push_image(fleet.registry, IMAGE, version, behaviour)
        names = {**names_of(fleet), "~/.cache/visionfleet": str(tmp_path / "cache")}
        put_deployment(tmp_path / "acme", fleet, translated(file_of(EDGE_GUIDE), names))
        checkout = put_checkout(tmp_path / "visionfleet")
        environment = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "COLUMNS": "160",
            "ANSIBLE_SSH_CONTROL_PATH_DIR": controls,  # a socket's path is short
            # hosts go, and others come at their addresses
            "ANSIBLE_SSH_ARGS": "-o ControlMaster=auto -o ControlPersist=10s",
        }
        yield Shell(checkout, tmp_path / "output.txt", environment, lambda text: translated(text, names), SECONDS)


def names_of(fleet: Fleet) -> Mapping[str, str]:
    """What the page has, and what is there in its place."""
    return {
        "hub.acme.example": fleet.address,  # this fleet's alone, so the port is free
        "0.0.0.0": fleet.address,
        "registry.acme.example": fleet.registry.host,
        "10.20.0.11": fleet.hosts[0].address,
        "10.20.0.12": fleet.hosts[1].address,
    }


def translated(text: str, names: Mapping[str, str]) -> str:
    for written, there in names.items():
        text = text.replace(written, there)
    return text


def put_deployment(folder: Path, fleet: Fleet, file: str) -> None:
    for name in OF_THE_EXAMPLE:
        source, target = ROOT / "examples/acme" / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
    shutil.copy(fleet.ssh_key, folder / "edge-key")
    shutil.copy(fleet.known_hosts, folder / "known_hosts")
    shutil.copy(fleet.registry_ca, folder / "registry-ca.crt")
    (folder / "visionfleet.yaml").write_text(file)


def put_checkout(folder: Path) -> Path:
    """What Ansible finds by the folder where it is started."""
    folder.mkdir()
    shutil.copy(ROOT / "ansible.cfg", folder)
    for name in ("inventory", "playbooks"):
        shutil.copytree(ROOT / name, folder / name)
    (folder / "examples").symlink_to(ROOT / "examples")
    return folder


def test_the_guides_commands_do_what_it_says(shell: Shell) -> None:
    shell.check(list(commands(EDGE_GUIDE)))
