"""The commands of the guides that need one machine alone, run in order as a reader would.

They run in a copy of a small deployment folder. Hub, worker and the unmodified `inference` command line are real. What
`visionfleet local` takes for Docker is a stand-in that runs the stub of the inference server.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.console import commands
from tests.docs.pages import CLOUD_GUIDE, EDGE_GUIDE, GITOPS_GUIDE, GUIDES, KUBERNETES_GUIDE
from tests.docs.shell import Shell
from tests.engines.engine import free_port, missing
from tests.hub.support import jpeg
from tests.local import standins
from visionfleet.local.runtime import locate

pytestmark = pytest.mark.engine

DEPLOYMENT = Path(__file__).with_name("deployment")
PORTS = ("9500", "9001")  # as the guides have them; each run gets free ones in their place
PHOTOS = 40
ELSEWHERE = (CLOUD_GUIDE, EDGE_GUIDE, GITOPS_GUIDE, KUBERNETES_GUIDE)
LOCAL_GUIDES = [guide for guide in GUIDES if guide not in ELSEWHERE]


class Deployment:
    """A deployment folder of its own, and a shell in it."""

    def __init__(self, folder: Path, inference: Path) -> None:
        self._ports = {port: str(free_port()) for port in PORTS}
        shutil.copytree(DEPLOYMENT, folder / "acme")
        file = folder / "acme" / "visionfleet.yaml"
        file.write_text(self._translate(file.read_text()))
        (folder / "acme" / "photos").mkdir()
        for number in range(PHOTOS):
            (folder / "acme" / "photos" / f"{number:03d}.jpg").write_bytes(jpeg(number, (64, 48)))
        docker = standins.put(folder / "standins", "docker", standins.DOCKER)
        path = (docker.parent, Path(sys.executable).parent, inference.parent, os.environ["PATH"])
        environment = {
            "PATH": ":".join(map(str, path)),
            "STANDIN_LOG": str(folder / "docker.log"),
            "COLUMNS": "160",
        }
        self.shell = Shell(folder / "acme", folder / "output.txt", environment, self._translate)

    def _translate(self, text: str) -> str:
        for written, free in self._ports.items():
            text = text.replace(written, free)
        return text

    def clean(self) -> None:
        """End what a guide that failed half-way has left running."""
        environment = {**os.environ, **self.shell.environment}
        down = [sys.executable, "-m", "visionfleet", "local", "down"]
        subprocess.run(
            down,
            stdin=subprocess.DEVNULL,
            cwd=self.shell.folder,
            env=environment,
            capture_output=True,
            timeout=300,
            check=False,
        )


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    runtime = locate("1.8.3")
    if not runtime.is_installed:
        missing("the inference command line 1.8.3", "`make runtime` installs it")
    deployment = Deployment(tmp_path, runtime.inference)
    yield deployment.shell
    deployment.clean()


@pytest.mark.parametrize("guide", LOCAL_GUIDES, ids=lambda guide: guide.stem)
def test_the_commands_of_a_guide_do_what_it_says(shell: Shell, guide: Path) -> None:
    shell.check(list(commands(guide)))
