"""Where the hub keeps everything: a bucket for objects, PostgreSQL for the rest, and the roles that reach them.

- No secret passes through Pulumi: RDS makes the database's password in Secrets Manager and changes it there every week,
  so the hub reads it when it connects. What a worker's key is, an operator puts into the secret that is made for it.
- The hub's role reads and writes the bucket's objects and reads the database's secret.
- A worker's role reads its own key and nothing else. It needs no bucket: the hub signs a URL for each object of a task.
  So whoever takes a worker over reaches the images of the task that it holds, for as long as the URLs last.
"""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
import pulumi_aws as aws

from infra.components.arns import Scope
from infra.components.cluster import Cluster
from infra.components.common import (
    Statement,
    allow,
    encryption_key,
    is_protected,
    name_tags,
    policy_document,
    trust,
)
from infra.components.network import Network
from infra.components.pod_role import ServiceAccount, associate, pod_role
from visionfleet.projections.plans import HubStorePlan
from visionfleet.terms import NAMESPACE

POSTGRES_VERSION = "17"  # RDS picks the minor version, and keeps it up to date
POSTGRES_PORT = 5432
DATABASE = "hub"
DATABASE_LOGS = ("postgresql", "upgrade")
# RDS adds storage by itself, up to so many times what the file says: a full database stops the hub
STORAGE_HEADROOM = 5
# the chart's migration runs before the hub's own account is there, and fetches the deployment's folder from the bucket
FURTHER_ACCOUNTS = {"hub": ("hub-migration",)}
BATCHES = "batches/"  # where the hub keeps what expires; model packages and engines lie elsewhere
# Deleted batches are gone a day later; what else is overwritten or deleted can be brought back for a month.
BATCH_NONCURRENT_DAYS = 1
NONCURRENT_DAYS = 30
INCOMPLETE_UPLOAD_DAYS = 1  # signed URLs last for hours
SECRET_RECOVERY_DAYS = 30


class HubStore(pulumi.ComponentResource):
    """Bucket, database and roles of the hub.

    With a cluster, hub and workers are pods of two service accounts, which get their roles from EKS Pod Identity; else
    they are EC2 machines, for which there are instance profiles.
    """

    bucket_name: pulumi.Output[str]
    bucket_arn: pulumi.Output[str]
    database_address: pulumi.Output[str]
    database_secret_arn: pulumi.Output[str]
    worker_secret_arn: pulumi.Output[str]
    hub_role_arn: pulumi.Output[str]
    worker_role_arn: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        plan: HubStorePlan,
        network: Network,
        cluster: Cluster | None,
        log_retention_days: int,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("visionfleet:aws:HubStore", name, None, opts)
        self._name, self._plan, self._cluster = name, plan, cluster
        self._protected = is_protected(plan.tier)
        self._key = encryption_key(f"{name}-hub", "Objects, database and secrets of the hub", plan.tier, self)
        bucket = self._bucket()
        database = self._database(network, log_retention_days)
        worker_secret = self._worker_secret()
        self.bucket_name, self.bucket_arn = bucket.bucket, bucket.arn
        self.database_address = database.address
        self.database_secret_arn = database.master_user_secrets.apply(lambda secrets: secrets[0].secret_arn or "")
        self.worker_secret_arn = worker_secret.arn
        self.hub_role_arn = self._role("hub", self._hub_statements()).arn
        self.worker_role_arn = self._role("worker", self._worker_statements()).arn
        self.register_outputs(
            {
                "bucket_name": self.bucket_name,
                "database_address": self.database_address,
                "database_secret_arn": self.database_secret_arn,
                "hub_role_arn": self.hub_role_arn,
                "worker_role_arn": self.worker_role_arn,
            }
        )

    def _bucket(self) -> aws.s3.Bucket:
        name = f"{self._name}-hub"
        bucket = aws.s3.Bucket(name, force_destroy=not self._protected, opts=self._child())
        child = pulumi.ResourceOptions(parent=bucket)
        aws.s3.BucketServerSideEncryptionConfiguration(
            name,
            bucket=bucket.id,
            rules=[
                {
                    "apply_server_side_encryption_by_default": {
                        "sse_algorithm": "aws:kms",
                        "kms_master_key_id": self._key.arn,
                    },
                    "bucket_key_enabled": True,  # one call to KMS for many objects
                }
            ],
            opts=child,
        )
        versioning = aws.s3.BucketVersioning(
            name, bucket=bucket.id, versioning_configuration={"status": "Enabled"}, opts=child
        )
        closed = aws.s3.BucketPublicAccessBlock(
            name,
            bucket=bucket.id,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=child,
        )
        aws.s3.BucketPolicy(
            name,
            bucket=bucket.id,
            policy=policy_document(*_tls_only(bucket.arn)),
            # S3 refuses to change both at once
            opts=pulumi.ResourceOptions(parent=bucket, depends_on=[closed]),
        )
        aws.s3.BucketLifecycleConfiguration(
            name,
            bucket=bucket.id,
            rules=_lifecycle(self._plan.retention_days),
            opts=pulumi.ResourceOptions(parent=bucket, depends_on=[versioning]),
        )
        return bucket

    def _database(self, network: Network, log_retention_days: int) -> aws.rds.Instance:
        name = f"{self._name}-hub"
        group = self._firewall(network)
        subnets = aws.rds.SubnetGroup(
            name, subnet_ids=network.private_subnet_ids, tags=name_tags(name), opts=self._child()
        )
        parameters = aws.rds.ParameterGroup(
            name,
            family=f"postgres{POSTGRES_VERSION}",
            parameters=[{"name": "rds.force_ssl", "value": "1"}],
            opts=self._child(),
        )
        return aws.rds.Instance(
            name,
            identifier=name,
            engine="postgres",
            engine_version=POSTGRES_VERSION,
            instance_class=self._plan.instance_class,
            multi_az=self._protected,
            storage_type="gp3",
            allocated_storage=self._plan.storage_gb,
            max_allocated_storage=self._plan.storage_gb * STORAGE_HEADROOM,
            storage_encrypted=True,
            kms_key_id=self._key.arn,
            db_name=DATABASE,
            username=DATABASE,
            manage_master_user_password=True,
            master_user_secret_kms_key_id=self._key.key_id,
            port=POSTGRES_PORT,
            publicly_accessible=False,
            db_subnet_group_name=subnets.name,
            vpc_security_group_ids=[group.id],
            parameter_group_name=parameters.name,
            backup_retention_period=self._plan.backup_days,
            copy_tags_to_snapshot=True,
            deletion_protection=self._protected,
            delete_automated_backups=not self._protected,
            skip_final_snapshot=not self._protected,
            final_snapshot_identifier=self._final_snapshot(group) if self._protected else None,
            auto_minor_version_upgrade=True,
            # in production, changes that restart the database wait for its weekly window
            apply_immediately=not self._protected,
            enabled_cloudwatch_logs_exports=list(DATABASE_LOGS),
            tags=name_tags(name),
            opts=self._child(depends_on=self._database_logs(name, log_retention_days)),
        )

    def _final_snapshot(self, group: aws.ec2.SecurityGroup) -> pulumi.Output[str]:
        """A name that no database before had: RDS deletes none whose snapshot's name is taken."""
        return group.id.apply(lambda group_id: f"{self._name}-hub-final-{group_id.removeprefix('sg-')}")

    def _database_logs(self, identifier: str, retention_days: int) -> list[aws.cloudwatch.LogGroup]:
        """Made before the database, which else makes them itself, to be kept for ever."""
        return [
            aws.cloudwatch.LogGroup(
                f"{identifier}-{log}",
                name=f"/aws/rds/instance/{identifier}/{log}",
                retention_in_days=retention_days,
                opts=self._child(),
            )
            for log in DATABASE_LOGS
        ]

    def _firewall(self, network: Network) -> aws.ec2.SecurityGroup:
        """The private subnets may connect, by PostgreSQL's port; the database itself connects to nobody."""
        name = f"{self._name}-hub-database"
        group = aws.ec2.SecurityGroup(
            name,
            description="PostgreSQL of the hub: from the private subnets",
            vpc_id=network.vpc_id,
            tags=name_tags(name),
            opts=self._child(),
        )
        for number, cidr in enumerate(network.private_cidrs, start=1):
            aws.vpc.SecurityGroupIngressRule(
                f"{name}-{number}",
                security_group_id=group.id,
                description=f"Private subnet {number}",
                ip_protocol="tcp",
                from_port=POSTGRES_PORT,
                to_port=POSTGRES_PORT,
                cidr_ipv4=cidr,
                opts=pulumi.ResourceOptions(parent=group),
            )
        return group

    def _worker_secret(self) -> aws.secretsmanager.Secret:
        return aws.secretsmanager.Secret(
            f"{self._name}-worker-key",
            description="A worker's key, as `visionfleet hub keys create --role worker` prints it",
            kms_key_id=self._key.arn,
            recovery_window_in_days=SECRET_RECOVERY_DAYS if self._protected else 0,
            opts=self._child(),
        )

    def _hub_statements(self) -> list[Statement]:
        objects = ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:PutObject"]
        return [
            allow(["s3:ListBucket"], [self.bucket_arn]),
            allow(objects, [pulumi.Output.concat(self.bucket_arn, "/*")]),
            allow(["secretsmanager:GetSecretValue"], [self.database_secret_arn]),
            allow(["kms:Decrypt", "kms:GenerateDataKey"], [self._key.arn]),
        ]

    def _worker_statements(self) -> list[Statement]:
        """The key opens objects too, so a worker may use it through Secrets Manager alone."""
        through = pulumi.Output.concat("secretsmanager.", Scope.of(self._key.arn).region, ".amazonaws.com")
        return [
            allow(["secretsmanager:GetSecretValue"], [self.worker_secret_arn]),
            allow(["kms:Decrypt"], [self._key.arn], {"StringEquals": {"kms:ViaService": through}}),
        ]

    def _role(self, kind: str, statements: Sequence[Statement]) -> aws.iam.Role:
        """A role for the pods of a service account called `kind`, or for EC2 machines."""
        name = f"{self._name}-{kind}"
        role = self._pod_role(name, kind, self._cluster) if self._cluster else self._machine_role(name)
        policy = policy_document(*statements)
        aws.iam.RolePolicy(name, role=role.name, policy=policy, opts=pulumi.ResourceOptions(parent=role))
        return role

    def _pod_role(self, name: str, service_account: str, cluster: Cluster) -> aws.iam.Role:
        account = ServiceAccount(cluster.name, NAMESPACE, service_account)
        others = FURTHER_ACCOUNTS.get(service_account, ())
        role = pod_role(name, account, self, others)
        associate(name, account, cluster.name, role, role)
        for other in others:
            further = ServiceAccount(cluster.name, NAMESPACE, other)
            associate(f"{self._name}-{other}", further, cluster.name, role, role)
        return role

    def _machine_role(self, name: str) -> aws.iam.Role:
        role = aws.iam.Role(name, assume_role_policy=policy_document(trust("ec2.amazonaws.com")), opts=self._child())
        aws.iam.InstanceProfile(name, role=role.name, opts=pulumi.ResourceOptions(parent=role))
        return role

    def _child(self, depends_on: Sequence[pulumi.Resource] = ()) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(parent=self, depends_on=depends_on)


def _tls_only(bucket_arn: pulumi.Output[str]) -> list[Statement]:
    """Nobody, with whatever rights, reads or writes without TLS 1.2."""
    refused: Statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [bucket_arn, pulumi.Output.concat(bucket_arn, "/*")],
    }
    plain = {**refused, "Sid": "PlainHttp", "Condition": {"Bool": {"aws:SecureTransport": "false"}}}
    old = {**refused, "Sid": "OldTls", "Condition": {"NumericLessThan": {"s3:TlsVersion": "1.2"}}}
    return [plain, old]


def _lifecycle(retention_days: int) -> list[aws.s3.BucketLifecycleConfigurationRuleArgsDict]:
    """The hub deletes what has expired; the rules see to what it did not get to, and to what deleting leaves behind."""
    return [
        {
            "id": "batches",
            "status": "Enabled",
            "filter": {"prefix": BATCHES},
            "expiration": {"days": retention_days},
            "noncurrent_version_expiration": {"noncurrent_days": BATCH_NONCURRENT_DAYS},
        },
        {
            "id": "leftovers",
            "status": "Enabled",
            "filter": {"prefix": ""},
            "expiration": {"expired_object_delete_marker": True},
            "noncurrent_version_expiration": {"noncurrent_days": NONCURRENT_DAYS},
            "abort_incomplete_multipart_upload": {"days_after_initiation": INCOMPLETE_UPLOAD_DAYS},
        },
    ]
