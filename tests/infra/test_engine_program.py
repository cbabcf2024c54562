"""The program itself on the real engine, against moto: a deployment from its first preview to the end.

The tests are the chapters of that life, in order, on one stack: each but the last leaves it up, as the file says.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.engines.moto import Aws
from tests.engines.pulumi import ROOT, Run, Stack, engine
from tests.infra.deployments import GIVEN_KEY, SMALL, furnish
from visionfleet.projections.outputs import read_outputs

pytestmark = pytest.mark.engine
pytest_plugins = ("tests.engines.cloud",)

RESOURCES_BEFORE_CTRL_C = 30
GROUP = "lab.vision.acme.example"
MACHINES = {"aws:ec2/launchTemplate:LaunchTemplate", "aws:autoscaling/group:Group"}
LOG_GROUP = "aws:cloudwatch/logGroup:LogGroup"
BUCKET = {
    "aws:s3/bucket:Bucket",
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration",
    "aws:s3/bucketPolicy:BucketPolicy",
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock",
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
    "aws:s3/bucketVersioning:BucketVersioning",
}
KEY = "a-key-set-by-hand"


@dataclass(frozen=True)
class Life:
    """A stack that is up, and how it came to be."""

    aws: Aws
    stack: Stack
    file: Path
    account_before: dict[str, list[str]]
    account_after_preview: dict[str, list[str]]
    preview: Run
    resources_when_interrupted: int
    resumed: Run


@pytest.fixture(scope="module")
def life(moto: Aws, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    """Previewed, brought up, interrupted on the way as by Ctrl-C, and brought up again."""
    moto.reset()
    furnish(moto)
    folder = tmp_path_factory.mktemp("program")
    file = folder / "visionfleet.yaml"
    file.write_text(SMALL)
    stack = engine(folder / "pulumi", moto).stack(ROOT, {"visionfleet:file": str(file)})
    before = moto.inventory()
    preview = stack.preview()
    after_preview = moto.inventory()
    assert stack.interrupted_up(after=RESOURCES_BEFORE_CTRL_C).code != 0
    interrupted = len(stack.resources())
    yield Life(moto, stack, file, before, after_preview, preview, interrupted, stack.up())
    moto.reset()


def test_a_preview_makes_nothing(life: Life) -> None:
    assert life.account_after_preview == life.account_before
    assert set(life.preview.changes) == {"create"}


def test_an_interrupted_up_goes_on_where_it_stopped(life: Life) -> None:
    planned = life.preview.changes["create"]
    assert RESOURCES_BEFORE_CTRL_C <= life.resources_when_interrupted < planned
    assert life.resumed.changes == {"create": planned - life.resources_when_interrupted}
    assert not life.stack.export()["deployment"].get("pending_operations"), "the engine ends what it has begun"
    assert {(step.type, step.name) for step in life.preview.steps} == _in_state(life.stack)


def test_a_second_up_changes_nothing(life: Life) -> None:
    assert life.stack.up().is_unchanged
    assert life.stack.refresh().is_unchanged


def test_what_is_up_is_what_the_file_says(life: Life) -> None:
    (group,) = life.aws.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    assert (group["AutoScalingGroupName"], group["MinSize"], group["MaxSize"]) == (GROUP, 1, 1)
    (machine,) = _machines(life.aws)
    tags = {tag["Key"]: tag["Value"] for tag in machine["Tags"]}
    assert {"Name": "small-lab", "owner": "vision-team", "cost-centre": "4711"}.items() <= tags.items()


def test_visionfleet_reads_the_outputs_of_the_stack(life: Life) -> None:
    command = [sys.executable, "-m", "visionfleet", "outputs", "--stack", life.stack.name, "--json"]
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        cwd=life.stack.folder,
        env=life.stack.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    outputs = read_outputs(json.loads(done.stdout))
    assert outputs.endpoints == {"lab": f"https://{GROUP}"}
    assert [outputs.bucket] == [bucket["Name"] for bucket in life.aws.client("s3").list_buckets()["Buckets"]]
    assert outputs.database_secret in [secret["ARN"] for secret in _secrets(life.aws)]
    assert (outputs.cluster, outputs.region) == (None, "eu-central-1")


def test_no_secret_is_in_the_state(life: Life) -> None:
    """The database's password is RDS's, the endpoint's key is set by hand: Pulumi knows neither, refreshed or not."""
    manager = life.aws.client("secretsmanager")
    (endpoint_key,) = [secret["ARN"] for secret in _secrets(life.aws) if secret["Name"].startswith("small-lab-api-key")]
    manager.put_secret_value(SecretId=endpoint_key, SecretString=KEY)
    assert life.stack.refresh().is_unchanged

    state = life.stack.call("stack", "export", "--show-secrets")
    assert "small-lab-api-key" in state
    given = [secret["ARN"] for secret in _secrets(life.aws) if secret.get("SecretVersionsToStages")]
    values = {manager.get_secret_value(SecretId=arn)["SecretString"] for arn in given}
    assert {KEY, GIVEN_KEY} < values, "and the database's"
    assert [name for name in (*values, "secretString", '"password":') if name in state] == []
    assert "ciphertext" not in json.dumps(life.stack.export()["deployment"]["resources"]), "so nothing is encrypted"


def test_a_new_version_changes_the_machines_and_nothing_else(life: Life) -> None:
    life.file.write_text(SMALL.replace("1.8.3", "1.8.4"))
    preview, up = life.stack.preview(), life.stack.up()
    assert preview.changes == up.changes == {"update": len(MACHINES)}
    assert {step.type for step in up.steps} == MACHINES
    assert {step.changed for step in up.steps} == {("userData",), ("launchTemplate",)}
    (group,) = life.aws.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    assert group["LaunchTemplate"]["Version"] == "2", "to which the group's instance refresh moves the machines"


def test_what_was_removed_behind_its_back_comes_back(life: Life) -> None:
    logs, s3, bucket = life.aws.client("logs"), life.aws.client("s3"), life.stack.outputs()["bucket"]
    before = _in_state(life.stack)
    logs.delete_log_group(logGroupName=f"/visionfleet/{GROUP}")
    s3.delete_bucket(Bucket=bucket)
    refreshed = life.stack.refresh()
    assert set(refreshed.changes) == {"delete"}
    gone = before - _in_state(life.stack)
    assert gone == {(LOG_GROUP, "small-lab"), *((kind, "small-hub") for kind in BUCKET)}

    again = life.stack.up()
    assert {(step.type, step.name) for step in again.steps if step.operation == "create"} == gone
    assert again.names("update") == ["small-hub"], "the hub's role, since the bucket has a new name"
    assert again.changes == {"create": len(gone), "update": 1}
    assert logs.describe_log_groups(logGroupNamePrefix=f"/visionfleet/{GROUP}")["logGroups"]
    assert s3.get_bucket_versioning(Bucket=life.stack.outputs()["bucket"])["Status"] == "Enabled"
    assert life.stack.up().is_unchanged


def test_destroy_leaves_nothing(life: Life) -> None:
    made = len(life.stack.resources())
    assert life.stack.destroy().changes == {"delete": made}
    assert life.stack.resources() == []
    assert _machines(life.aws) == []
    assert life.aws.inventory() == life.account_before


def _in_state(stack: Stack) -> set[tuple[str, str]]:
    return {(resource["type"], resource["urn"].rpartition("::")[2]) for resource in stack.resources()}


def _machines(aws: Aws) -> list[dict[str, Any]]:
    running = [{"Name": "instance-state-name", "Values": ["pending", "running"]}]
    reservations = aws.client("ec2").describe_instances(Filters=running)["Reservations"]
    return [machine for reservation in reservations for machine in reservation["Instances"]]


def _secrets(aws: Aws) -> list[dict[str, Any]]:
    return aws.client("secretsmanager").list_secrets()["SecretList"]
