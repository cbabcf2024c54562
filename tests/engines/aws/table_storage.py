"""What is stored: S3, RDS, ECR."""

from __future__ import annotations

from typing import Any

from tests.engines.aws.kinds import Call, Kind, Scope

WEBSITE_ZONE = "Z21DNDUVLTQW6Q"  # S3's own hosted zone in Frankfurt
MASTER_SECRET = "{secretArn: SecretArn, secretStatus: SecretStatus, kmsKeyId: KmsKeyId}"
INSTANCE = {
    "identifier": "DBInstanceIdentifier",
    "instanceClass": "DBInstanceClass",
    "username": "MasterUsername",
    "password": "MasterUserPassword",
    "parameterGroupName": "DBParameterGroupName",
    "backupWindow": "PreferredBackupWindow",
    "maintenanceWindow": "PreferredMaintenanceWindow",
    "performanceInsightsEnabled": "EnablePerformanceInsights",
    "enabledCloudwatchLogsExports": "EnableCloudwatchLogsExports",
    "iamDatabaseAuthenticationEnabled": "EnableIAMDatabaseAuthentication",
    "caCertIdentifier": "CACertificateIdentifier",
}


def _empty(scope: Scope) -> None:
    """Removes all versions of all objects, where the program allows it: only an empty bucket can be deleted."""
    if scope.inputs.get("forceDestroy"):
        listed = scope.call("list_object_versions", Bucket=scope.id)
        for item in [*listed.get("Versions", []), *listed.get("DeleteMarkers", [])]:
            scope.call("delete_object", Bucket=scope.id, Key=item["Key"], VersionId=item["VersionId"])


def _location(scope: Scope) -> dict[str, str] | None:
    return None if scope.cloud.region == "us-east-1" else {"LocationConstraint": scope.cloud.region}


def _bucket_part(name: str, put: str, get: str, found: str, delete: Call, into: str = "", **more: Any) -> Kind:
    """A setting of a bucket that is a resource of its own."""
    call = Call(put, {"Bucket": "$bucket", **more.pop("fixed", {})}, auto=True, whole=True, into=into)
    return Kind(
        f"s3.{name}",
        "s3",
        id="={bucket}",
        create=(call,),
        update=(call,),
        read=Call(get, {"Bucket": "$bucket"}),
        found=found,
        delete=(delete,),
        replace="bucket",
        **more,
    )


def _description(scope: Scope) -> str:
    """The API asks for one."""
    return scope.inputs.get("description") or "Managed by Pulumi"


def _final_snapshot(scope: Scope) -> None:
    """A snapshot at the end, unless the program says that none is wanted."""
    how: dict[str, Any] = (
        {"SkipFinalSnapshot": True}
        if scope.inputs.get("skipFinalSnapshot")
        else {"FinalDBSnapshotIdentifier": scope.inputs["finalSnapshotIdentifier"]}
    )
    scope.call("delete_db_instance", DBInstanceIdentifier=scope.inputs["identifier"], **how)


KINDS = (
    Kind(
        "s3.Bucket",
        "s3",
        id="={bucket}",
        create=(Call("create_bucket", {"Bucket": "$bucket", "CreateBucketConfiguration": _location}, auto=True),),
        read=Call("head_bucket", {"Bucket": "$id"}),
        found="ResponseMetadata",
        delete=(_empty, Call("delete_bucket", {"Bucket": "$id"})),
        replace="bucket bucketPrefix objectLockEnabled",
        rename={"objectLockEnabled": "ObjectLockEnabledForBucket"},
        by_hand="forceDestroy",
        outputs={
            "arn": "=arn:aws:s3:::{id}",
            "bucketDomainName": "={id}.s3.amazonaws.com",
            "bucketRegionalDomainName": "={id}.s3.{region}.amazonaws.com",
            "bucketRegion": "={region}",
            "hostedZoneId": f"={WEBSITE_ZONE}",
        },
        tags=True,
        named="bucket",
        name_limit=63,
    ),
    _bucket_part(
        "BucketVersioning",
        "put_bucket_versioning",
        "get_bucket_versioning",
        "Status",
        Call("put_bucket_versioning", {"Bucket": "$bucket", "VersioningConfiguration": {"Status": "Suspended"}}),
    ),
    _bucket_part(
        "BucketServerSideEncryptionConfiguration",
        "put_bucket_encryption",
        "get_bucket_encryption",
        "ServerSideEncryptionConfiguration",
        Call("delete_bucket_encryption", {"Bucket": "$bucket"}),
        into="ServerSideEncryptionConfiguration",
    ),
    _bucket_part(
        "BucketPublicAccessBlock",
        "put_public_access_block",
        "get_public_access_block",
        "PublicAccessBlockConfiguration",
        Call("delete_public_access_block", {"Bucket": "$bucket"}),
        into="PublicAccessBlockConfiguration",
        by_hand="skipDestroy",
    ),
    _bucket_part(
        "BucketPolicy",
        "put_bucket_policy",
        "get_bucket_policy",
        "Policy",
        Call("delete_bucket_policy", {"Bucket": "$bucket"}),
    ),
    _bucket_part(
        "BucketLifecycleConfiguration",
        "put_bucket_lifecycle_configuration",
        "get_bucket_lifecycle_configuration",
        "Rules",
        Call("delete_bucket_lifecycle", {"Bucket": "$bucket"}),
        into="LifecycleConfiguration",
        by_hand="transitionDefaultMinimumObjectSize",
    ),
    _bucket_part(
        "BucketOwnershipControls",
        "put_bucket_ownership_controls",
        "get_bucket_ownership_controls",
        "OwnershipControls",
        Call("delete_bucket_ownership_controls", {"Bucket": "$bucket"}),
        fixed={
            "OwnershipControls": lambda scope: {"Rules": [{"ObjectOwnership": scope.inputs["rule"]["objectOwnership"]}]}
        },
        by_hand="rule",
    ),
    Kind(
        "rds.Instance",
        "rds",
        id="DBInstance.DbiResourceId",
        create=(
            Call("create_db_instance", auto=True),
            Call(
                "describe_db_instances",
                {"DBInstanceIdentifier": "$identifier"},
                until="DBInstances[0].DBInstanceStatus=='available'",
            ),
        ),
        update=(
            Call("modify_db_instance", {"DBInstanceIdentifier": "$identifier", "ApplyImmediately": True}, auto=True),
        ),
        read=Call("describe_db_instances", {"DBInstanceIdentifier": "$identifier"}),
        found="DBInstances[0]",
        delete=(_final_snapshot,),
        replace="identifier identifierPrefix username dbName engine storageEncrypted kmsKeyId availabilityZone",
        rename=INSTANCE,
        by_hand="skipFinalSnapshot finalSnapshotIdentifier applyImmediately deleteAutomatedBackups "
        "allowMajorVersionUpgrade",
        outputs={
            "arn": "DBInstanceArn",
            "resourceId": "={id}",
            "address": "Endpoint.Address",
            "port": "Endpoint.Port",
            "hostedZoneId": "Endpoint.HostedZoneId",
            "endpoint": lambda found, _scope: "{Address}:{Port}".format_map(found["Endpoint"]),
            "status": "DBInstanceStatus",
            "dbName": "DBName",
            "engineVersionActual": "EngineVersion",
            "masterUserSecrets": f"MasterUserSecret && [MasterUserSecret.{MASTER_SECRET}]",
        },
        tags=True,
        named="identifier",
        name_limit=63,
    ),
    Kind(
        "rds.SubnetGroup",
        "rds",
        id="={name}",
        create=(
            Call(
                "create_db_subnet_group",
                {"DBSubnetGroupDescription": _description},
                auto=True,
            ),
        ),
        read=Call("describe_db_subnet_groups", {"DBSubnetGroupName": "$id"}),
        found="DBSubnetGroups[0]",
        delete=(Call("delete_db_subnet_group", {"DBSubnetGroupName": "$id"}),),
        replace="name namePrefix",
        rename={"name": "DBSubnetGroupName"},
        by_hand="description",
        outputs={"arn": "DBSubnetGroupArn", "vpcId": "VpcId"},
        tags=True,
        named="name",
    ),
    Kind(
        "rds.ParameterGroup",
        "rds",
        id="={name}",
        create=(
            Call(
                "create_db_parameter_group",
                {
                    "DBParameterGroupFamily": "$family",
                    "Description": _description,
                },
                auto=True,
            ),
        ),
        settings=(Call("modify_db_parameter_group", {"DBParameterGroupName": "$name"}, auto=True, only="parameters"),),
        read=Call("describe_db_parameter_groups", {"DBParameterGroupName": "$id"}),
        found="DBParameterGroups[0]",
        delete=(Call("delete_db_parameter_group", {"DBParameterGroupName": "$id"}),),
        replace="name namePrefix family description",
        rename={"name": "DBParameterGroupName"},
        by_hand="description skipDestroy",
        outputs={"arn": "DBParameterGroupArn"},
        tags=True,
        named="name",
    ),
    Kind(
        "ecr.Repository",
        "ecr",
        id="={name}",
        create=(Call("create_repository", {"repositoryName": "$name"}, auto=True),),
        update=(
            Call(
                "put_image_scanning_configuration",
                {"repositoryName": "$id"},
                auto=True,
                only="imageScanningConfiguration",
            ),
            Call("put_image_tag_mutability", {"repositoryName": "$id"}, auto=True, only="imageTagMutability"),
        ),
        read=Call("describe_repositories", {"repositoryNames": ["$id"]}),
        found="repositories[0]",
        delete=(Call("delete_repository", {"repositoryName": "$id", "force": "$forceDelete"}),),
        replace="name encryptionConfigurations",
        by_hand="forceDelete",
        outputs={"arn": "repositoryArn", "registryId": "registryId", "repositoryUrl": "repositoryUri"},
        tags=True,
        named="name",
    ),
    Kind(
        "ecr.LifecyclePolicy",
        "ecr",
        id="={repository}",
        create=(Call("put_lifecycle_policy", {"repositoryName": "$repository", "lifecyclePolicyText": "$policy"}),),
        update=(Call("put_lifecycle_policy", {"repositoryName": "$repository", "lifecyclePolicyText": "$policy"}),),
        read=Call("get_lifecycle_policy", {"repositoryName": "$repository"}),
        found="lifecyclePolicyText",
        delete=(Call("delete_lifecycle_policy", {"repositoryName": "$repository"}),),
        replace="repository",
        outputs={"registryId": "={account}"},
    ),
    Kind(
        "ecr.PullThroughCacheRule",
        "ecr",
        id="={ecrRepositoryPrefix}",
        replace="*",
        outputs={"registryId": "={account}"},
    ),
)
