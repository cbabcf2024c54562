"""Logs, queues, events, alarms, a budget."""

import json

import pulumi_aws as aws
from common import CHANGED, allow, opts, trust
from network import vpc

logs = aws.cloudwatch.LogGroup("machine", name="/acme/machine", retention_in_days=60 if CHANGED else 30, opts=opts)
flow = aws.iam.Role("flow", assume_role_policy=trust("vpc-flow-logs.amazonaws.com"), opts=opts)
aws.ec2.FlowLog("net", vpc_id=vpc.id, traffic_type="ALL", log_destination=logs.arn, iam_role_arn=flow.arn, opts=opts)
queue = aws.sqs.Queue("interruptions", message_retention_seconds=300, sqs_managed_sse_enabled=True, opts=opts)
aws.sqs.QueuePolicy("interruptions", queue_url=queue.url, policy=allow("sqs:SendMessage", "*"), opts=opts)
pattern = {"source": ["aws.ec2"], "detail-type": ["EC2 Spot Instance Interruption Warning"]}
rule = aws.cloudwatch.EventRule("spot", event_pattern=json.dumps(pattern), opts=opts)
aws.cloudwatch.EventTarget("spot", rule=rule.name, arn=queue.arn, opts=opts)
aws.cloudwatch.MetricAlarm(
    "errors",
    comparison_operator="GreaterThanThreshold",
    evaluation_periods=3,
    metric_name="HTTPCode_Target_5XX_Count",
    namespace="AWS/ApplicationELB",
    period=60,
    statistic="Sum",
    threshold=20 if CHANGED else 10,
    dimensions={"LoadBalancer": "app/acme"},
    opts=opts,
)
aws.budgets.Budget(
    "month",
    budget_type="COST",
    limit_amount="2000",
    limit_unit="USD",
    time_unit="MONTHLY",
    cost_filters=[{"name": "TagKeyValue", "values": ["user:visionfleet$acme"]}],
    notifications=[
        {
            "comparison_operator": "GREATER_THAN",
            "notification_type": "ACTUAL",
            "threshold": 80,
            "threshold_type": "PERCENTAGE",
            "subscriber_email_addresses": ["ops@acme.example"],
        }
    ],
    opts=opts,
)
