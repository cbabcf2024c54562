"""How the number of a dedicated endpoint's machines changes: by requests, by GPU utilisation, by office hours."""

from __future__ import annotations

import pulumi
import pulumi_aws as aws

from infra.components.user_data import GPU_METRIC, METRICS_DIMENSION, METRICS_NAMESPACE, group_name
from visionfleet.projections.plans import EndpointPlan, SchedulePlan
from visionfleet.terms import Scaling


class EndpointScaling(pulumi.ComponentResource):
    """A target to hold, where the plan has one; a start and a stop, where it has office hours. Manual: neither."""

    def __init__(
        self,
        name: str,
        plan: EndpointPlan,
        group_name: pulumi.Output[str],
        resource_label: pulumi.Output[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("visionfleet:aws:EndpointScaling", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        if plan.scaling is not Scaling.MANUAL:
            aws.autoscaling.Policy(
                name,
                autoscaling_group_name=group_name,
                policy_type="TargetTrackingScaling",
                target_tracking_configuration=_target(plan, resource_label),
                opts=child,
            )
        if plan.schedule is not None:
            self._office_hours(name, plan, plan.schedule, group_name)
        self.register_outputs({})

    def _office_hours(
        self, name: str, plan: EndpointPlan, schedule: SchedulePlan, group_name: pulumi.Output[str]
    ) -> None:
        sizes = {"start": (schedule.start, plan.min_size, plan.max_size), "stop": (schedule.stop, 0, 0)}
        for action, (recurrence, min_size, max_size) in sizes.items():
            aws.autoscaling.Schedule(
                f"{name}-{action}",
                scheduled_action_name=action,
                autoscaling_group_name=group_name,
                recurrence=recurrence,
                time_zone=schedule.timezone,
                min_size=min_size,
                max_size=max_size,
                desired_capacity=min_size,
                opts=pulumi.ResourceOptions(parent=self),
            )


def _target(
    plan: EndpointPlan, resource_label: pulumi.Output[str]
) -> aws.autoscaling.PolicyTargetTrackingConfigurationArgsDict:
    if plan.scaling_target is None:
        raise ValueError(f"{plan.name} scales by {plan.scaling} and has no target to hold")
    if plan.scaling is Scaling.REQUESTS:
        return {
            "target_value": plan.scaling_target,
            "predefined_metric_specification": {
                "predefined_metric_type": "ALBRequestCountPerTarget",
                "resource_label": resource_label,
            },
        }
    return {
        "target_value": plan.scaling_target,
        "customized_metric_specification": {
            "namespace": METRICS_NAMESPACE,
            "metric_name": GPU_METRIC,
            "statistic": "Average",
            "metric_dimensions": [{"name": METRICS_DIMENSION, "value": group_name(plan)}],
        },
    }
