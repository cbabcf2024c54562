"""What is stored and watched: S3, RDS, SQS, ECR, CloudWatch, EventBridge, budgets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.engines.aws.kinds import Call, Kind, Scope

WEBSITE_ZONE = "Z21DNDUVLTQW6Q"  # one of S3's own hosted zones
QUEUE_ATTRIBUTES = {
    "contentBasedDeduplication": "ContentBasedDeduplication",
    "delaySeconds": "DelaySeconds",
    "fifoQueue": "FifoQueue",
    "kmsDataKeyReusePeriodSeconds": "KmsDataKeyReusePeriodSeconds",
    "kmsMasterKeyId": "KmsMasterKeyId",
    "maxMessageSize": "MaximumMessageSize",
    "messageRetentionSeconds": "MessageRetentionPeriod",
    "policy": "Policy",
    "receiveWaitTimeSeconds": "ReceiveMessageWaitTimeSeconds",
    "redrivePolicy": "RedrivePolicy",
    "sqsManagedSseEnabled": "SqsManagedSseEnabled",
    "visibilityTimeoutSeconds": "VisibilityTimeout",
}


def _empty(scope: Scope) -> None:
    """Removes all versions of all objects, where the program allows it; a bucket that is not empty cannot be deleted."""
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


def _final_snapshot(scope: Scope) -> None:
    """A snapshot at the end, unless the program says that none is wanted."""
    how: dict[str, Any] = (
        {"SkipFinalSnapshot": True}
        if scope.inputs.get("skipFinalSnapshot")
        else {"FinalDBSnapshotIdentifier": scope.inputs["finalSnapshotIdentifier"]}
    )
    scope.call("delete_db_instance", DBInstanceIdentifier=scope.inputs["identifier"], **how)


def _find_instance(response: Any, scope: Scope) -> Any:
    return next(iter(response["DBInstances"]), None)


def _queue_attributes(scope: Scope) -> dict[str, Any]:
    attributes = {name: scope.inputs.get(key) for key, name in QUEUE_ATTRIBUTES.items()}
    return {name: value for name, value in attributes.items() if value is not None}


def _target(scope: Scope) -> dict[str, Any]:
    names = {"Id": "targetId", "Arn": "arn", "RoleArn": "roleArn", "Input": "input", "InputPath": "inputPath"}
    return {name: scope.inputs[key] for name, key in names.items() if scope.inputs.get(key) is not None}


def _budget(scope: Scope) -> dict[str, Any]:
    filters = {item["name"]: item["values"] for item in scope.inputs.get("costFilters") or []}
    return {
        "BudgetName": scope.inputs["name"],
        "BudgetType": scope.inputs["budgetType"],
        "TimeUnit": scope.inputs["timeUnit"],
        "BudgetLimit": {"Amount": str(scope.inputs["limitAmount"]), "Unit": scope.inputs["limitUnit"]},
        **({"CostFilters": filters} if filters else {}),
    }


def _notifications(scope: Scope) -> list[dict[str, Any]]:
    return [
        {
            "Notification": {
                "NotificationType": item["notificationType"],
                "ComparisonOperator": item["comparisonOperator"],
                "Threshold": float(item["threshold"]),
                "ThresholdType": item["thresholdType"],
            },
            "Subscribers": [
                *(
                    {"SubscriptionType": "EMAIL", "Address": address}
                    for address in item.get("subscriberEmailAddresses") or []
                ),
                *({"SubscriptionType": "SNS", "Address": arn} for arn in item.get("subscriberSnsTopicArns") or []),
            ],
        }
        for item in scope.inputs.get("notifications") or []
    ]


def _named(path: str) -> Callable[[Any, Scope], Any]:
    """The one of several that has the scope's name: these operations search by prefix."""
    listed, key = path.split(".")
    return lambda response, scope: next((item for item in response[listed] if item[key] == scope.id), None)


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
RULE = Call("put_rule", auto=True, whole=True)
TARGET = Call("put_targets", {"Rule": "$rule", "EventBusName": "$eventBusName", "Targets": [_target]})
ALARM = Call("put_metric_alarm", auto=True, whole=True)

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
            "hostedZoneId": lambda found, scope: WEBSITE_ZONE,
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
        found=_find_instance,
        delete=(_final_snapshot,),
        replace="identifier identifierPrefix username dbName engine storageEncrypted kmsKeyId availabilityZone",
        rename=INSTANCE,
        by_hand="skipFinalSnapshot finalSnapshotIdentifier applyImmediately deleteAutomatedBackups allowMajorVersionUpgrade",
        outputs={
            "arn": "DBInstanceArn",
            "resourceId": "={id}",
            "address": "Endpoint.Address",
            "port": "Endpoint.Port",
            "hostedZoneId": "Endpoint.HostedZoneId",
            "endpoint": lambda found, scope: "{Address}:{Port}".format_map(found["Endpoint"]),
            "status": "DBInstanceStatus",
            "dbName": "DBName",
            "engineVersionActual": "EngineVersion",
            "masterUserSecrets": "MasterUserSecret && [MasterUserSecret.{secretArn: SecretArn, secretStatus: SecretStatus, kmsKeyId: KmsKeyId}]",
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
                {"DBSubnetGroupDescription": lambda scope: scope.inputs.get("description") or "Managed by Pulumi"},
                auto=True,
            ),
        ),
        update=(Call("modify_db_subnet_group", {"DBSubnetGroupName": "$name", "SubnetIds": "$subnetIds"}),),
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
                    "Description": lambda scope: scope.inputs.get("description") or "Managed by Pulumi",
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
        "sqs.Queue",
        "sqs",
        id="QueueUrl",
        create=(Call("create_queue", {"QueueName": "$name", "Attributes": _queue_attributes}),),
        update=(
            Call(
                "set_queue_attributes",
                {"QueueUrl": "$id", "Attributes": _queue_attributes},
                only=" ".join(QUEUE_ATTRIBUTES),
            ),
        ),
        read=Call("get_queue_attributes", {"QueueUrl": "$id", "AttributeNames": ["All"]}),
        found="Attributes",
        delete=(Call("delete_queue", {"QueueUrl": "$id"}),),
        replace="name namePrefix fifoQueue",
        outputs={"arn": "QueueArn", "url": "={id}"},
        tags=True,
        named="name",
        name_limit=80,
    ),
    Kind(
        "sqs.QueuePolicy",
        "sqs",
        id="={queueUrl}",
        create=(Call("set_queue_attributes", {"QueueUrl": "$queueUrl", "Attributes": {"Policy": "$policy"}}),),
        update=(Call("set_queue_attributes", {"QueueUrl": "$queueUrl", "Attributes": {"Policy": "$policy"}}),),
        read=Call("get_queue_attributes", {"QueueUrl": "$queueUrl", "AttributeNames": ["Policy"]}),
        found="Attributes.Policy",
        delete=(Call("set_queue_attributes", {"QueueUrl": "$queueUrl", "Attributes": {"Policy": ""}}),),
        replace="queueUrl",
    ),
    Kind(
        "cloudwatch.LogGroup",
        "logs",
        id="={name}",
        create=(Call("create_log_group", {"logGroupName": "$name"}, auto=True),),
        settings=(
            Call(
                "put_retention_policy",
                {"logGroupName": "$name", "retentionInDays": "$retentionInDays"},
                only="retentionInDays",
            ),
        ),
        read=Call("describe_log_groups", {"logGroupNamePrefix": "$id"}),
        found=_named("logGroups.logGroupName"),
        delete=(Call("delete_log_group", {"logGroupName": "$id"}),),
        replace="name namePrefix logGroupClass",
        by_hand="skipDestroy",
        outputs={"arn": lambda found, scope: found["arn"].removesuffix(":*")},
        tags=True,
        named="name",
    ),
    Kind(
        "cloudwatch.EventRule",
        "events",
        id="={name}",
        create=(RULE,),
        update=(RULE,),
        read=Call("describe_rule", {"Name": "$id", "EventBusName": "$eventBusName"}),
        found="@",
        delete=(Call("delete_rule", {"Name": "$id", "EventBusName": "$eventBusName"}),),
        replace="name namePrefix eventBusName",
        by_hand="forceDestroy",
        outputs={"arn": "Arn"},
        tags=True,
        named="name",
        name_limit=64,
    ),
    Kind(
        "cloudwatch.EventTarget",
        "events",
        id="={rule}-{targetId}",
        create=(TARGET,),
        update=(TARGET,),
        read=Call("list_targets_by_rule", {"Rule": "$rule", "EventBusName": "$eventBusName"}),
        found="Targets[?Id=='{targetId}'] | [0]",
        delete=(Call("remove_targets", {"Rule": "$rule", "EventBusName": "$eventBusName", "Ids": ["$targetId"]}),),
        replace="rule targetId eventBusName",
        by_hand="targetId arn roleArn input inputPath forceDestroy",
        named="targetId",
        name_limit=64,
    ),
    Kind(
        "cloudwatch.MetricAlarm",
        "cloudwatch",
        id="={name}",
        create=(ALARM,),
        update=(ALARM,),
        read=Call("describe_alarms", {"AlarmNames": ["$id"]}),
        found="MetricAlarms[0]",
        delete=(Call("delete_alarms", {"AlarmNames": ["$id"]}),),
        replace="name",
        rename={"name": "AlarmName", "metricQueries": "Metrics"},
        outputs={"arn": "AlarmArn"},
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
    Kind(
        "budgets.Budget",
        "budgets",
        id="={account}:{name}",
        create=(
            Call(
                "create_budget",
                {"AccountId": "$account", "Budget": _budget, "NotificationsWithSubscribers": _notifications},
            ),
        ),
        read=Call("describe_budget", {"AccountId": "$account", "BudgetName": "$name"}),
        found="Budget",
        delete=(Call("delete_budget", {"AccountId": "$account", "BudgetName": "$name"}),),
        replace="name namePrefix accountId",
        by_hand="name budgetType timeUnit limitAmount limitUnit costFilters notifications timePeriodStart",
        outputs={"arn": "=arn:aws:budgets::{account}:budget/{name}"},
        tags=True,
        named="name",
        name_limit=100,
    ),
)
