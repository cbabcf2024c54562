from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from infra.components.hub_store import HubStore
from infra.components.network import Network
from tests.infra.policies import production_violations, violations
from tests.infra.support import ACCOUNT, REGION, Recording, once, options, record
from visionfleet.projections.plans import HubStorePlan, NetworkPlan
from visionfleet.terms import Tier

NETWORK = NetworkPlan(
    cidr="10.40.0.0/16", zones=2, nat_per_zone=False, vpc_id=None, public_subnet_ids=(), private_subnet_ids=()
)
PRODUCTION = HubStorePlan(
    tier=Tier.PRODUCTION, retention_days=7, instance_class="db.t4g.small", storage_gb=20, backup_days=14
)
DEVELOPMENT = replace(PRODUCTION, tier=Tier.DEVELOPMENT)


@once
def build(plan: HubStorePlan = PRODUCTION) -> Recording:
    def make() -> HubStore:
        given = options()
        network = Network("acme", NETWORK, opts=given)
        return HubStore("acme", plan, network, cluster=None, log_retention_days=14, opts=given)

    return record(make)


@pytest.fixture(scope="module")
def production() -> Recording:
    return build()


@pytest.fixture(scope="module")
def database(production: Recording) -> Any:
    return production.one("aws:rds/instance:Instance").inputs


def statements(recording: Recording, role: str) -> list[dict[str, Any]]:
    return json.loads(recording.one("aws:iam/rolePolicy:RolePolicy", role).inputs["policy"])["Statement"]


def test_every_policy_holds(production: Recording) -> None:
    assert production_violations(production) == []
    assert violations(build(DEVELOPMENT)) == []


def test_what_others_need_comes_out(production: Recording) -> None:
    outputs = production.outputs
    assert (outputs["bucket_name"], outputs["bucket_arn"]) == ("acme-hub", "arn:aws:s3:::acme-hub")
    assert outputs["database_address"] == "acme-hub.rds.amazonaws.com"
    assert outputs["database_secret_arn"] == f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:rds!acme-hub"
    assert outputs["hub_role_arn"].endswith("role/acme-hub")
    assert outputs["worker_role_arn"].endswith("role/acme-worker")


def test_batches_expire_with_the_hubs_retention_and_nothing_else_does(production: Recording) -> None:
    type_ = "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration"
    batches, leftovers = production.one(type_).inputs["rules"]
    assert (batches["filter"]["prefix"], batches["expiration"]["days"]) == ("batches/", 7)
    assert batches["noncurrentVersionExpiration"]["noncurrentDays"] == 1
    assert leftovers["expiration"] == {"expiredObjectDeleteMarker": True}
    assert leftovers["noncurrentVersionExpiration"]["noncurrentDays"] == 30
    assert leftovers["abortIncompleteMultipartUpload"]["daysAfterInitiation"] == 1


def test_objects_are_encrypted_with_the_stacks_own_key(production: Recording) -> None:
    type_ = "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
    (rule,) = production.one(type_).inputs["rules"]
    key = production.one("aws:kms/key:Key")
    assert rule["applyServerSideEncryptionByDefault"]["sseAlgorithm"] == "aws:kms"
    assert rule["applyServerSideEncryptionByDefault"]["kmsMasterKeyId"].endswith(f"key/{key.name}")
    assert rule["bucketKeyEnabled"] is True
    assert key.inputs["deletionWindowInDays"] == 30


def test_the_bucket_refuses_plain_http_and_old_tls_to_everybody(production: Recording) -> None:
    policy = json.loads(production.one("aws:s3/bucketPolicy:BucketPolicy").inputs["policy"])
    assert [statement["Effect"] for statement in policy["Statement"]] == ["Deny", "Deny"]
    assert {statement["Principal"] for statement in policy["Statement"]} == {"*"}
    plain, old = (statement["Condition"] for statement in policy["Statement"])
    assert plain == {"Bool": {"aws:SecureTransport": "false"}}
    assert old == {"NumericLessThan": {"s3:TlsVersion": "1.2"}}


def test_the_database_is_what_the_file_says(database: Any) -> None:
    assert (database["engine"], database["instanceClass"]) == ("postgres", "db.t4g.small")
    assert (database["allocatedStorage"], database["backupRetentionPeriod"]) == (20, 14)
    assert (database["dbName"], database["port"]) == ("hub", 5432)


def test_the_databases_password_is_made_by_rds_and_never_seen_here(database: Any) -> None:
    assert database["manageMasterUserPassword"] is True
    assert database["masterUserSecretKmsKeyId"] == "acme-hub-id"
    assert not database.keys() & {"password", "passwordWo"}


def test_the_database_speaks_tls_alone(production: Recording) -> None:
    group = production.one("aws:rds/parameterGroup:ParameterGroup").inputs
    assert group["parameters"] == [{"name": "rds.force_ssl", "value": "1"}]
    assert group["family"] == f"postgres{production.one('aws:rds/instance:Instance').inputs['engineVersion']}"


def test_only_private_subnets_reach_the_database(production: Recording) -> None:
    rules = production.all("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule")
    assert {rule.inputs["cidrIpv4"] for rule in rules} == {"10.40.0.0/18", "10.40.64.0/18"}
    assert {(rule.inputs["fromPort"], rule.inputs["toPort"], rule.inputs["ipProtocol"]) for rule in rules} == {
        (5432, 5432, "tcp")
    }
    group = production.one("aws:ec2/securityGroup:SecurityGroup")
    assert not group.inputs.get("ingress")
    assert not group.inputs.get("egress")
    assert production.one("aws:rds/instance:Instance").inputs["vpcSecurityGroupIds"] == [group.id]
    subnets = production.one("aws:rds/subnetGroup:SubnetGroup").inputs["subnetIds"]
    assert subnets == ["acme-private-1-id", "acme-private-2-id"]


def test_production_survives_a_zone_and_a_mistake(database: Any) -> None:
    assert database["multiAz"] is database["deletionProtection"] is True
    assert database["skipFinalSnapshot"] is database["deleteAutomatedBackups"] is False
    # the security group is new with each stack, so that a snapshot's name is never taken
    assert database["finalSnapshotIdentifier"] == "acme-hub-final-acme-hub-database-id"


def test_development_costs_little_and_goes_without_a_trace() -> None:
    recording = build(DEVELOPMENT)
    database = recording.one("aws:rds/instance:Instance").inputs
    assert database["multiAz"] is database["deletionProtection"] is False
    assert database["skipFinalSnapshot"] is database["deleteAutomatedBackups"] is True
    assert "finalSnapshotIdentifier" not in database
    assert recording.one("aws:s3/bucket:Bucket").inputs["forceDestroy"] is True
    assert recording.one("aws:kms/key:Key").inputs["deletionWindowInDays"] == 7
    assert recording.one("aws:secretsmanager/secret:Secret").inputs["recoveryWindowInDays"] == 0


def test_the_databases_logs_are_kept_as_long_as_the_file_says(production: Recording) -> None:
    database = production.one("aws:rds/instance:Instance")
    assert database.inputs["enabledCloudwatchLogsExports"] == ["postgresql", "upgrade"]
    for log in ("postgresql", "upgrade"):
        group = production.one("aws:cloudwatch/logGroup:LogGroup", f"acme-hub-{log}")
        assert group.inputs["name"] == f"/aws/rds/instance/{database.inputs['identifier']}/{log}"
        assert group.inputs["retentionInDays"] == 14
        assert any(dependency.endswith(f"::{group.name}") for dependency in database.dependencies)


def test_the_hub_reads_and_writes_objects_and_reads_one_secret(production: Recording) -> None:
    listing, objects, secret, key = statements(production, "acme-hub")
    assert (listing["Action"], listing["Resource"]) == (["s3:ListBucket"], ["arn:aws:s3:::acme-hub"])
    assert objects["Resource"] == ["arn:aws:s3:::acme-hub/*"]
    assert objects["Action"] == ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:PutObject"]
    assert secret["Resource"] == [production.outputs["database_secret_arn"]]
    assert key["Action"] == ["kms:Decrypt", "kms:GenerateDataKey"]


def test_a_worker_reads_its_own_key_and_no_object(production: Recording) -> None:
    secret, key = statements(production, "acme-worker")
    assert (secret["Action"], secret["Resource"]) == (
        ["secretsmanager:GetSecretValue"],
        [production.outputs["worker_secret_arn"]],
    )
    assert key["Condition"] == {"StringEquals": {"kms:ViaService": f"secretsmanager.{REGION}.amazonaws.com"}}


def test_without_a_cluster_the_roles_are_those_of_machines(production: Recording) -> None:
    for role in ("acme-hub", "acme-worker"):
        document = json.loads(production.one("aws:iam/role:Role", role).inputs["assumeRolePolicy"])
        assert [statement["Principal"] for statement in document["Statement"]] == [{"Service": "ec2.amazonaws.com"}]
        assert production.one("aws:iam/instanceProfile:InstanceProfile", role).inputs["role"] == role
