"""The commands of the guide to Kubernetes, run as a reader would: a real cluster with PostgreSQL, S3's API, the server.

The file is the one that the guide shows; its model and workflow are those of an example. The guide's addresses are put
in place of this machine's, and the images that nodes would pull in place of those that the node of the tests has.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from engines.build import locate as locate_engine
from PIL import Image, ImageDraw

from tests.charts.inference import inference_server
from tests.docs.console import commands, file_of
from tests.docs.pages import KUBERNETES_GUIDE, ROOT
from tests.docs.shell import Shell
from tests.engines import postgresql, versitygw
from tests.engines.cluster import Cluster
from tests.engines.cluster.images import VISIONFLEET, visionfleet_image
from tests.engines.engine import free_port, missing
from visionfleet.local.runtime import locate

pytestmark = pytest.mark.engine

EXAMPLE = ROOT / "examples" / "cluster"
NAMESPACE = "visionfleet"
PORTS = ("9500", "9001")  # that the guide forwards; each run gets free ones in their place
PHOTOS = 8
SMALL = {"requests": {"cpu": "100m", "memory": "500Mi"}, "limits": {"memory": "3Gi"}}


@pytest.fixture
def shell(real_cluster: Cluster, tmp_path: Path) -> Iterator[Shell]:
    """In a folder with the file and all that it names; a database and a bucket that pods reach as well."""
    host = real_cluster.host_address
    with versitygw.serving(tmp_path / "s3", host) as s3, postgresql.serving(host) as database:
        s3.make_bucket("vision")
        images = tmp_path / "images.json"
        translate = _translation(s3.endpoint, images)
        folder = tmp_path / "acme"
        _fill(folder, translate(file_of(KUBERNETES_GUIDE)))
        real_cluster.namespace(NAMESPACE)  # before the reader makes it: the server's volumes are in it
        real_cluster.load_image(visionfleet_image())
        images.write_text(json.dumps(_values(inference_server(real_cluster, NAMESPACE))))
        environment = {
            "PATH": ":".join(map(str, _path())),
            "KUBECONFIG": str(shutil.copy(real_cluster.kubeconfig, tmp_path / "kubeconfig")),
            "COLUMNS": "160",
            "DATABASE_URL": database.create("vision"),
            "S3_KEY_ID": versitygw.KEY_ID,
            "S3_KEY": versitygw.SECRET,
        }
        yield Shell(folder, tmp_path / "output.txt", environment, translate)
        real_cluster.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found")


def test_the_guides_commands_do_what_it_says(shell: Shell) -> None:
    shell.check(list(commands(KUBERNETES_GUIDE)))


def _translation(endpoint: str, images: Path) -> Callable[[str], str]:
    """What is here in place of what the guide has."""
    written = {
        "https://s3.acme.example": endpoint,
        "kubectl create namespace": "kubectl get namespace",
        "--values <(visionfleet render helm)": f"--values <(visionfleet render helm) --values {images}",
        **{port: str(free_port()) for port in PORTS},
    }

    anything = re.compile("|".join(map(re.escape, written)))
    return lambda text: anything.sub(lambda found: written[found[0]], text)


def _fill(folder: Path, file: str) -> None:
    """The file, the folders that it names, the chart beside it, and photographs."""
    for name in ("models", "workflows"):
        shutil.copytree(EXAMPLE / name, folder / name)
    (folder / "visionfleet.yaml").write_text(file)
    (folder / "charts").symlink_to(ROOT / "charts")
    (folder / "photos").mkdir()
    for number in range(PHOTOS):
        photo = Image.new("RGB", (320, 320), "black")
        draw = ImageDraw.Draw(photo)
        draw.rectangle((40, 40, 140 + number, 140), fill="red")
        draw.rectangle((180, 180, 280, 280 - number), fill="blue")
        photo.save(folder / "photos" / f"{number:03d}.jpg", quality=95)


def _values(server: Mapping[str, Any]) -> dict[str, Any]:
    """The images that the node of the tests has, in pods of which several fit on it."""
    repository, tag = VISIONFLEET.split(":")
    small = {**server, "resources": SMALL}
    return {
        "image": {"repository": repository, "tag": tag},
        "serving": {"pools": {"cpu": {**small, "drainSeconds": 5}}},
        "worker": {"templates": {kind: {"server": small} for kind in ("cpu", "gpu")}},
    }


def _path() -> Iterator[Path | str]:
    runtime = locate("1.8.3")
    if not runtime.is_installed:
        missing("the inference command line 1.8.3", "`make runtime` installs it")
    yield Path(sys.executable).parent
    for engine in ("helm", "kubernetes"):
        found = locate_engine(engine)
        if found is None:
            missing(engine, "make engines")
        assert found is not None
        yield found
    yield runtime.inference.parent
    yield os.environ["PATH"]
