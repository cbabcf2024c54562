"""What happens, and who hears of it: SQS, EventBridge, CloudWatch, budgets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.engines.aws.kinds import Call, Kind, Scope

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
RULE = Call("put_rule", auto=True, whole=True)
ALARM = Call("put_metric_alarm", auto=True, whole=True)


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


TARGET = Call("put_targets", {"Rule": "$rule", "EventBusName": "$eventBusName", "Targets": [_target]})

KINDS = (
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
        outputs={"arn": lambda found, _scope: found["arn"].removesuffix(":*")},
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
