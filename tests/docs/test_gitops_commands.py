"""The commands of the guide to GitOps, run as a reader would: a real server of S3's API, real Git, real kustomize.

The file is the one that the guide shows; its model and workflow are those of an example. The guide's addresses are put
in place of this machine's.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from engines.build import locate

from tests.docs.console import commands, file_of
from tests.docs.pages import GITOPS_GUIDE, ROOT
from tests.docs.shell import Shell
from tests.engines import versitygw
from tests.engines.engine import missing

pytestmark = pytest.mark.engine

EXAMPLE = ROOT / "examples" / "cluster"
IDENTITY = {f"GIT_{who}_{what}": "test@acme.example" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """In a repository that holds the file and its folders, with a bucket that both addresses of the guide lead to."""
    kubernetes = locate("kubernetes")
    if kubernetes is None:
        missing("kubectl", "make engines")
    with versitygw.serving(tmp_path / "s3") as server:
        server.make_bucket("vision")
        addresses = {"http://minio.storage:9000": server.endpoint, "http://127.0.0.1:9000": server.endpoint}

        def translate(text: str) -> str:
            for written, there in addresses.items():
                text = text.replace(written, there)
            return text

        folder = tmp_path / "gitops"
        for name in ("models", "workflows"):
            shutil.copytree(EXAMPLE / name, folder / name)
        (folder / "visionfleet.yaml").write_text(translate(file_of(GITOPS_GUIDE)))
        subprocess.run(["git", "init", "--quiet", str(folder)], stdin=subprocess.DEVNULL, check=True)
        environment = {
            "PATH": f"{Path(sys.executable).parent}:{kubernetes}:{os.environ['PATH']}",
            "COLUMNS": "160",
            "S3_KEY_ID": versitygw.KEY_ID,
            "S3_KEY": versitygw.SECRET,
            "AWS_REGION": versitygw.REGION,
            **IDENTITY,
        }
        yield Shell(folder, tmp_path / "output.txt", environment, translate)


def test_the_guides_commands_do_what_it_says(shell: Shell) -> None:
    shell.check(list(commands(GITOPS_GUIDE)))
