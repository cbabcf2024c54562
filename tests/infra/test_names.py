"""The longest names that the file may have make names that AWS takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.__main__ import build
from tests.config.support import problems_of, write_file
from tests.infra.support import Recording, Resource, record
from visionfleet.config import load
from visionfleet.projections.cloud import cloud_plan

PULUMI_CHARACTERS = 8  # what the provider appends where the program gives no name of its own
# https://docs.aws.amazon.com/general/latest/gr/aws-service-information.html, by service
LIMITS = {
    "aws:autoscaling/group:Group": 255,
    "aws:autoscaling/policy:Policy": 255,
    "aws:budgets/budget:Budget": 100,
    "aws:cloudwatch/eventRule:EventRule": 64,
    "aws:cloudwatch/logGroup:LogGroup": 512,
    "aws:ec2/launchTemplate:LaunchTemplate": 128,
    "aws:ec2/securityGroup:SecurityGroup": 255,
    "aws:ecr/repository:Repository": 256,
    "aws:eks/cluster:Cluster": 100,
    "aws:eks/nodeGroup:NodeGroup": 63,
    "aws:iam/instanceProfile:InstanceProfile": 128,
    "aws:iam/policy:Policy": 128,
    "aws:iam/role:Role": 64,
    "aws:iam/rolePolicy:RolePolicy": 128,
    "aws:kms/alias:Alias": 256,
    "aws:lb/loadBalancer:LoadBalancer": 32,
    "aws:lb/targetGroup:TargetGroup": 32,
    "aws:rds/instance:Instance": 63,
    "aws:rds/parameterGroup:ParameterGroup": 255,
    "aws:rds/subnetGroup:SubnetGroup": 255,
    "aws:s3/bucket:Bucket": 63,
    "aws:secretsmanager/secret:Secret": 512,
    "aws:sqs/queue:Queue": 80,
}
GIVEN = ("name", "nodeGroupName", "identifier", "bucket")


def deployment(autoscaler: str, endpoint: str, pool: str, domain: str = "v.example") -> str:
    return f"""
domain: {domain}
hub: {{url: "https://hub.acme.example", aws: {{tier: production}}}}
cloud:
  region: eu-central-1
  owner: vision-team
  mirror: {{credentials: "aws-secretsmanager:ecr-pullthroughcache/docker-hub"}}
  budget: {{monthly_usd: 1, email: vision@acme.example}}
dedicated: [{{name: {endpoint}, tier: production, instance_type: g6.xlarge}}]
serverless:
  cluster:
    admins: ["arn:aws:iam::123456789012:role/{"a" * 64}"]
    nodes: {{cpu: {{}}}}
    gpu: {{autoscaler: {autoscaler}, pools: [{{name: {pool}, min: 1, instance_types: [g6.xlarge]}}]}}
"""


def written(folder: Path, name: str, text: str) -> Path:
    file = write_file(folder, text)
    file.write_text(file.read_text(encoding="utf-8").replace("name: acme-vision", f"name: {name}"), encoding="utf-8")
    return file


def physical_name(resource: Resource) -> str:
    given = next((resource.inputs[key] for key in GIVEN if resource.inputs.get(key)), None)
    return str(given) if given else resource.name + "-" + "0" * (PULUMI_CHARACTERS - 1)


def too_long(recording: Recording) -> list[str]:
    names = [(each, physical_name(each)) for each in recording.of_aws() if each.type in LIMITS]
    return [f"{resource}: {name}" for resource, name in names if len(name) > LIMITS[resource.type]]


@pytest.mark.parametrize(("autoscaler", "lengths"), [("node-groups", (37, 18, 17)), ("karpenter", (28, 27, 26))])
def test_the_longest_names_fit(autoscaler: str, lengths: tuple[int, int, int], tmp_path: Path) -> None:
    name, endpoint, pool = (letter * length for letter, length in zip("nep", lengths, strict=True))
    file = written(tmp_path, name, deployment(autoscaler, endpoint, pool))

    assert too_long(record(lambda: build(cloud_plan(load(file))))) == []


@pytest.mark.parametrize(
    ("autoscaler", "lengths", "path"),
    [
        ("node-groups", (38, 1, 1), "name"),
        ("karpenter", (29, 1, 1), "name"),
        ("node-groups", (37, 19, 1), "dedicated[0].name"),
        ("node-groups", (37, 1, 18), "serverless.cluster.gpu.pools[0].name"),
    ],
)
def test_longer_ones_are_refused(autoscaler: str, lengths: tuple[int, int, int], path: str, tmp_path: Path) -> None:
    name, endpoint, pool = (letter * length for letter, length in zip("nep", lengths, strict=True))

    (problem,) = problems_of(written(tmp_path, name, deployment(autoscaler, endpoint, pool)))

    assert (problem.code, problem.path) == ("aws-name", path)
