"""Buckets, a database, repositories."""

import json

import pulumi_aws as aws
from common import CHANGED, SECRET, document, opts
from identity import key
from network import group, ids

bucket = aws.s3.Bucket("store", force_destroy=True, opts=opts)
aws.s3.BucketVersioning("store", bucket=bucket.id, versioning_configuration={"status": "Enabled"}, opts=opts)
encryption = {"sse_algorithm": "aws:kms", "kms_master_key_id": key.arn}
aws.s3.BucketServerSideEncryptionConfiguration(
    "store",
    bucket=bucket.id,
    rules=[{"apply_server_side_encryption_by_default": encryption, "bucket_key_enabled": True}],
    opts=opts,
)
closed = aws.s3.BucketPublicAccessBlock(
    "store",
    bucket=bucket.id,
    block_public_acls=True,
    block_public_policy=True,
    ignore_public_acls=True,
    restrict_public_buckets=True,
    opts=opts,
)
aws.s3.BucketPolicy("store", bucket=bucket.id, policy=document, opts=opts)
aws.s3.BucketOwnershipControls("store", bucket=bucket.id, rule={"object_ownership": "BucketOwnerEnforced"}, opts=opts)
aws.s3.BucketLifecycleConfiguration(
    "store",
    bucket=bucket.id,
    rules=[
        {
            "id": "old",
            "status": "Enabled",
            "filter": {"prefix": "jobs/"},
            "expiration": {"days": 14 if CHANGED else 7},
            "noncurrent_version_expiration": {"noncurrent_days": 1},
            "abort_incomplete_multipart_upload": {"days_after_initiation": 1},
        }
    ],
    opts=opts,
)
group_of_subnets = aws.rds.SubnetGroup("hub", subnet_ids=ids, opts=opts)
parameters = aws.rds.ParameterGroup(
    "hub", family="postgres16", parameters=[{"name": "rds.force_ssl", "value": "1"}], opts=opts
)
database = aws.rds.Instance(
    "hub",
    engine="postgres",
    engine_version="16",
    instance_class="db.t4g.medium" if CHANGED else "db.t4g.small",
    allocated_storage=20,
    storage_type="gp3",
    storage_encrypted=True,
    kms_key_id=key.arn,
    db_name="hub",
    username="hub",
    password=SECRET,
    db_subnet_group_name=group_of_subnets.name,
    parameter_group_name=parameters.name,
    vpc_security_group_ids=[group.id],
    backup_retention_period=7,
    publicly_accessible=False,
    copy_tags_to_snapshot=True,
    skip_final_snapshot=True,
    opts=opts,
)
repository = aws.ecr.Repository(
    "mirror",
    name="mirror/inference",
    image_tag_mutability="IMMUTABLE",
    image_scanning_configuration={"scan_on_push": True},
    encryption_configurations=[{"encryption_type": "KMS", "kms_key": key.arn}],
    force_delete=True,
    opts=opts,
)
expired = {
    "rulePriority": 1,
    "selection": {"tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 7},
    "action": {"type": "expire"},
}
aws.ecr.LifecyclePolicy("mirror", repository=repository.name, policy=json.dumps({"rules": [expired]}), opts=opts)
aws.ecr.PullThroughCacheRule(
    "hub", ecr_repository_prefix="docker-hub", upstream_registry_url="registry.acme.example", opts=opts
)
