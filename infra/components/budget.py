"""An alarm before the money is gone.

It counts the whole account: a budget over the tags of the stack would count nothing, and tell nobody so, until someone
activates the tags for billing.
"""

from __future__ import annotations

import pulumi
import pulumi_aws as aws

from visionfleet.projections.plans import BudgetPlan

ALARM_PERCENT = (80, 100)
ALARM_KINDS = ("ACTUAL", "FORECASTED")


class Budget(pulumi.ComponentResource):
    """A monthly budget that writes to an address when 80 and 100 % are spent, and when they are going to be."""

    def __init__(self, name: str, plan: BudgetPlan, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("visionfleet:aws:Budget", name, None, opts)
        aws.budgets.Budget(
            name,
            budget_type="COST",
            time_unit="MONTHLY",
            limit_amount=str(plan.monthly_usd),
            limit_unit="USD",
            notifications=[
                {
                    "notification_type": kind,
                    "comparison_operator": "GREATER_THAN",
                    "threshold": percent,
                    "threshold_type": "PERCENTAGE",
                    "subscriber_email_addresses": [plan.email],
                }
                for kind in ALARM_KINDS
                for percent in ALARM_PERCENT
            ],
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({})
