"""The commands of the guides, run in order as a reader would, in a copy of a small deployment folder.

Hub, worker and the unmodified `inference` command line are real. What `visionfleet local` takes for Docker is a
stand-in that runs the stub of the inference server.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.console import Command, commands, matches
from tests.docs.pages import GUIDES
from tests.engines.engine import free_port, missing, running
from tests.hub.support import jpeg
from tests.local import standins
from visionfleet.local.runtime import locate

pytestmark = pytest.mark.engine

DEPLOYMENT = Path(__file__).with_name("deployment")
PORTS = ("9500", "9001")  # as the guides have them; each run gets free ones in their place
PHOTOS = 40
GUIDE_SECONDS = 180  # several times what a guide takes: the machine may be busy
TIMED_OUT = 124  # as timeout(1) has it
MARK = "--- command"
# it ends at the first command that fails, and takes with it what the guide has put into the background
START = "set -e\ntrap 'kill $(jobs -p) 2> /dev/null || true; wait' EXIT\n"


class Shell:
    """One shell in a deployment folder of its own."""

    def __init__(self, folder: Path, inference: Path) -> None:
        self.folder = folder / "acme"
        self.log = folder / "output.txt"
        self._ports = {port: str(free_port()) for port in PORTS}
        shutil.copytree(DEPLOYMENT, self.folder)
        file = self.folder / "visionfleet.yaml"
        file.write_text(self.translate(file.read_text()))
        (self.folder / "photos").mkdir()
        for number in range(PHOTOS):
            (self.folder / "photos" / f"{number:03d}.jpg").write_bytes(jpeg(number, (64, 48)))
        docker = standins.put(folder / "standins", "docker", standins.DOCKER)
        path = (docker.parent, Path(sys.executable).parent, inference.parent, os.environ["PATH"])
        self.environment = {
            "PATH": ":".join(map(str, path)),
            "STANDIN_LOG": str(folder / "docker.log"),
            "COLUMNS": "160",
        }

    def translate(self, text: str) -> str:
        for written, free in self._ports.items():
            text = text.replace(written, free)
        return text

    def run(self, wanted: list[Command]) -> tuple[int, list[str]]:
        """Run the commands until one fails; gives the exit code, and the output of each that was begun."""
        steps = (f"echo '{MARK}'\n{self.translate(command.text)}\n" for command in wanted)
        script = self.log.with_name("script.sh")
        script.write_text("".join((f"{START}cd {self.folder}\n", *steps)))
        with running(["bash", str(script)], self.log, self.environment) as bash:
            try:
                code = bash.wait(GUIDE_SECONDS)
            except subprocess.TimeoutExpired:
                code = TIMED_OUT
        return code, self.log.read_text().split(f"{MARK}\n")[1:]

    def clean(self) -> None:
        """End what a guide that failed half-way has left running."""
        environment = {**os.environ, **self.environment}
        down = [sys.executable, "-m", "visionfleet", "local", "down"]
        subprocess.run(down, cwd=self.folder, env=environment, capture_output=True, timeout=60, check=False)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    runtime = locate("1.8.3")
    if not runtime.is_installed:
        missing("the inference command line 1.8.3", "`make runtime` installs it")
    shell = Shell(tmp_path, runtime.inference)
    yield shell
    shell.clean()


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
def test_the_commands_of_a_guide_do_what_it_says(shell: Shell, guide: Path) -> None:
    wanted = list(commands(guide))
    code, outputs = shell.run(wanted)
    assert code == 0, f"{wanted[len(outputs) - 1].place} ended with {code}: {outputs[-1]}"
    for command, output in zip(wanted, outputs, strict=True):
        missed = matches(map(shell.translate, command.shown), output)
        assert missed is None, f"{command.place} does not print {missed!r}, but:\n{output}"
