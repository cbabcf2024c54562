"""Plans of dedicated endpoints, for tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from infra.components.user_data import Machine
from visionfleet.projections.plans import EndpointPlan, SchedulePlan
from visionfleet.terms import Scaling, Tier

HOSTNAME = "line-3.vision.acme.example"
MIRROR = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/docker-hub"
SECRET = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:acme-key-AbCdEf"
DIGEST = f"sha256:{'0123456789abcdef' * 4}"
OFFICE_HOURS = SchedulePlan(start="0 7 * * 1-5", stop="0 19 * * 1-5", timezone="Europe/Berlin")

_PRODUCTION = EndpointPlan(
    name="line-3",
    tier=Tier.PRODUCTION,
    hostname=HOSTNAME,
    zone="vision.acme.example",
    instance_type="g6.xlarge",
    spot=False,
    min_size=2,
    max_size=4,
    scaling=Scaling.REQUESTS,
    scaling_target=600,
    schedule=None,
    warm_pool=False,
    volume_gb=100,
    image=f"docker.io/roboflow/roboflow-inference-server-gpu@{DIGEST}",
    environment={
        "API_BASE_URL": "https://hub.acme.example:9500",
        "MODEL_CACHE_DIR": "/tmp/cache",
        "DEDICATED_DEPLOYMENT_WORKSPACE_URL": "acme",
        "HOST": "127.0.0.1",
        "ODD": "a: b # 'c' \"d\" {{ e }} $f %g",
    },
    port=9001,
    api_key_secret="acme-key",
    allowed_cidrs=("0.0.0.0/0",),
)


def production(**changes: Any) -> EndpointPlan:
    """An endpoint that must not fail."""
    return replace(_PRODUCTION, **changes)


def development(**changes: Any) -> EndpointPlan:
    """An endpoint for office hours."""
    plan = production(
        tier=Tier.DEVELOPMENT, spot=True, min_size=1, max_size=1, scaling=Scaling.MANUAL, scaling_target=None
    )
    return replace(plan, schedule=OFFICE_HOURS, api_key_secret=None, **changes)


def machine(**changes: Any) -> Machine:
    """What AWS gives to the production endpoint."""
    made = Machine(
        region="eu-central-1",
        image=f"{MIRROR}/roboflow/roboflow-inference-server-gpu@{DIGEST}",
        secret=SECRET,
        log_group=f"/visionfleet/{HOSTNAME}",
        group=HOSTNAME,
    )
    return replace(made, **changes)
