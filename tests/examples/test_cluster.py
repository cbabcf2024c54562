"""The smallest deployment for a cluster."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

from visionfleet.config import load
from visionfleet.projections.helm import helm_values

EXAMPLES = Path(__file__).parents[2] / "examples"
CLUSTER, QUICKSTART = EXAMPLES / "cluster", EXAMPLES / "quickstart"
FILE = CLUSTER / "visionfleet.yaml"


def test_its_package_is_what_the_quickstarts_script_makes(tmp_path: Path) -> None:
    runpy.run_path(str(QUICKSTART / "make_model.py"))["write_package"](tmp_path)

    assert contents(CLUSTER / "models" / "colour-cells") == contents(tmp_path)


def test_its_workflow_is_the_quickstarts() -> None:
    assert contents(CLUSTER / "workflows") == contents(QUICKSTART / "workflows")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_its_head_makes_the_secrets_that_its_pods_ask_for() -> None:
    values = helm_values(load(FILE))
    _, *commands = FILE.read_text(encoding="utf-8").split("create secret generic ")
    keys = {command.split()[0]: set(re.findall(r"--from-literal=([\w-]+)=", command)) for command in commands}

    assert keys == {
        values.hub.secret_name: set(values.hub.secret_keys),
        "vision-keys": {key.secret.key for key in values.hub.keys},
    }
    assert {key.secret.name for key in values.hub.keys} == {"vision-keys"}
