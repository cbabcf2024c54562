"""examples/acme on the real engine, against moto: with the cluster, and with what production protects."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.engines.moto import Aws
from tests.engines.pulumi import ROOT, Pulumi, Stack
from tests.infra.deployments import acme, furnish
from visionfleet.projections.outputs import read_outputs

pytestmark = pytest.mark.engine
pytest_plugins = ("tests.engines.cloud",)

ENDPOINTS = ["acme-vision-archive", "acme-vision-lab", "acme-vision-line-3"]


def test_a_whole_deployment_comes_stays_and_goes(aws: Aws, pulumi: Pulumi, tmp_path: Path) -> None:
    furnish(aws)
    before = aws.inventory()
    file = acme(tmp_path / "acme")
    stack = pulumi.stack(ROOT, {"visionfleet:file": str(file)})
    up = stack.up()
    assert set(up.changes) == {"create"}
    assert stack.up().is_unchanged

    outputs = read_outputs(stack.outputs())
    assert outputs.cluster in aws.client("eks").list_clusters()["clusters"]
    assert outputs.endpoints.keys() == {"line-3", "archive", "lab"}
    assert "ciphertext" not in str(stack.resources()), "no value is a secret"

    file.write_text(file.read_text().replace('version: "1.8.3"', 'version: "1.8.4"'))
    newer = stack.up()
    assert newer.names("update", "ec2/launchTemplate") == newer.names("update", "autoscaling/group") == ENDPOINTS
    assert newer.changes == {"update": 2 * len(ENDPOINTS)}, "the cluster's nodes stay"
    there = aws.inventory()

    refused = destroy_as_a_user(stack)
    assert refused.returncode != 0
    assert "cannot be deleted" in refused.stderr + refused.stdout, refused
    assert aws.inventory() == there, "not even a part of it goes"

    file.write_text(file.read_text().replace("tier: production", "tier: development"))
    stack.up()
    stack.destroy()
    assert aws.inventory() == before


def destroy_as_a_user(stack: Stack) -> subprocess.CompletedProcess[str]:
    """`pulumi destroy` with its preview: where Pulumi refuses. Without one it does, with half of the stack gone."""
    command = ["pulumi", "destroy", "--yes", "--stack", stack.name, "--color", "never"]
    return subprocess.run(
        [*command, "--config-file", str(stack.folder / f"Pulumi.{stack.name}.yaml")],
        stdin=subprocess.DEVNULL,
        cwd=stack.project,
        env=stack.environment,
        capture_output=True,
        text=True,
        check=False,
    )
