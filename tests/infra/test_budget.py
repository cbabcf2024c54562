from __future__ import annotations

from infra.components.budget import Budget
from tests.infra.policies import production_violations
from tests.infra.support import options, record
from visionfleet.projections.plans import BudgetPlan

PLAN = BudgetPlan(monthly_usd=2000, email="vision@acme.example")


def test_it_warns_of_what_is_spent_and_of_what_will_be() -> None:
    recording = record(lambda: Budget("acme", PLAN, opts=options()))
    budget = recording.one("aws:budgets/budget:Budget").inputs
    assert (budget["limitAmount"], budget["limitUnit"], budget["timeUnit"]) == ("2000", "USD", "MONTHLY")
    alarms = {(alarm["notificationType"], alarm["threshold"]) for alarm in budget["notifications"]}
    assert alarms == {("ACTUAL", 80), ("ACTUAL", 100), ("FORECASTED", 80), ("FORECASTED", 100)}
    assert {tuple(alarm["subscriberEmailAddresses"]) for alarm in budget["notifications"]} == {("vision@acme.example",)}
    assert {alarm["thresholdType"] for alarm in budget["notifications"]} == {"PERCENTAGE"}
    assert production_violations(recording) == []
