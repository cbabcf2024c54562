"""The real buildah, which builds a Dockerfile without a daemon, on bases that are made here: no registry is needed.

with buildah(folder) as engine:
    image = engine.build(Path("images/visionfleet/Dockerfile"), {"BASE": engine.base(PYTHON)})
    engine.run(image, "python3", "-c", "…")
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.engines.cluster.images import CHECKOUT, python_image
from tests.engines.debian import Root
from tests.engines.engine import missing, printed

SECONDS = 600


@dataclass(frozen=True)
class Buildah:
    """An installation with images of its own."""

    folder: Path

    def base(self, root: Root) -> str:
        """A Debian root as an image; its name."""
        name = f"{root.name}:test"
        archive = self.folder / f"{root.name}.tar"
        with archive.open("wb") as file:
            python_image(name, entrypoint=["/usr/bin/python3"], base=root).write(file)
        self._run("pull", "--quiet", f"oci-archive:{archive}")
        archive.unlink()
        return f"docker.io/library/{name}"

    def build(self, dockerfile: Path, arguments: Mapping[str, str]) -> str:
        """The image that the Dockerfile makes of this checkout; its name."""
        given = [f"--build-arg={name}={value}" for name, value in arguments.items()]
        options = ["--isolation=chroot", "--network=host", "--pull-never", "--tag=built:test", *given, *self._pip()]
        self._run("build", *options, f"--file={dockerfile}", str(CHECKOUT))
        return "localhost/built:test"

    def run(self, image: str, *command: str) -> str:
        """What a command prints in a container of the image, as the image's own user."""
        container = self._run("from", "--pull-never", image).strip()
        try:
            return self._run("run", "--isolation=chroot", container, "--", *command)
        finally:
            self._run("rm", container)

    def settings(self, image: str) -> str:
        """The image's configuration, as JSON."""
        return self._run("inspect", "--type=image", "--format={{.Config}}", image)

    def _pip(self) -> Iterator[str]:
        """How pip of this machine finds packages, for the pip of the build."""
        lines = printed([sys.executable, "-m", "pip", "config", "list"]).splitlines()
        said = dict(line.split("=", 1) for line in lines)
        settings = {name.rsplit(".", 1)[-1]: value.strip("'") for name, value in said.items()}
        file = self.folder / "pip.conf"
        file.write_text("\n".join(("[global]", *(f"{name} = {value}" for name, value in settings.items()))))
        yield f"--volume={file}:/etc/pip.conf:ro"
        if "cert" in settings:
            yield f"--volume={settings['cert']}:{settings['cert']}:ro"

    def _run(self, *arguments: str) -> str:
        places = [f"--root={self.folder / 'images'}", f"--runroot={self.folder / 'run'}"]
        return printed(["buildah", *places, *arguments], seconds=SECONDS)


@contextmanager
def buildah(folder: Path) -> Iterator[Buildah]:
    """buildah with a store in the folder, gone at the end. Skips the test where it is not installed."""
    if shutil.which("buildah") is None:
        missing("buildah", "apt-get install buildah")
    try:
        yield Buildah(folder)
    finally:
        shutil.rmtree(folder / "images", ignore_errors=True)
