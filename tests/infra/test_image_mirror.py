from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from infra.components.image_mirror import ImageMirror
from tests.infra.policies import production_violations
from tests.infra.support import ACCOUNT, REGION, Recording, options, record
from visionfleet.projections.plans import MirrorPlan

CPU, GPU = "roboflow/roboflow-inference-server-cpu", "roboflow/roboflow-inference-server-gpu"
PLAN = MirrorPlan(
    upstream="registry-1.docker.io", repositories=(CPU, GPU), credentials_secret="ecr-pullthroughcache/docker-hub"
)
SECRET_ARN = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:ecr-pullthroughcache/docker-hub-AbCdEf"
CALLS: dict[str, Any] = {
    "aws:secretsmanager/getSecret:getSecret": lambda args: {"arn": f"{SECRET_ARN}", "name": args["name"], "id": "x"}
}


def build(plan: MirrorPlan = PLAN, name: str = "acme") -> Recording:
    return record(lambda: ImageMirror(name, plan, opts=options()), calls=CALLS)


def test_every_policy_holds() -> None:
    assert production_violations(build()) == []


def test_images_keep_their_names_behind_the_registry() -> None:
    recording = build()
    assert recording.outputs["registry"] == f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/acme"
    names = {repository.inputs["name"] for repository in recording.all("aws:ecr/repository:Repository")}
    assert names == {f"acme/{CPU}", f"acme/{GPU}"}


def test_the_upstream_is_asked_with_the_secrets_address_alone() -> None:
    recording = build()
    rule = recording.one("aws:ecr/pullThroughCacheRule:PullThroughCacheRule").inputs
    assert (rule["ecrRepositoryPrefix"], rule["upstreamRegistryUrl"]) == ("acme", "registry-1.docker.io")
    assert rule["credentialArn"] == SECRET_ARN
    ((_, asked),) = recording.calls
    assert asked == {"name": "ecr-pullthroughcache/docker-hub"}


def test_an_open_upstream_needs_no_secret() -> None:
    recording = build(replace(PLAN, upstream="public.ecr.aws", credentials_secret=None))
    assert "credentialArn" not in recording.one("aws:ecr/pullThroughCacheRule:PullThroughCacheRule").inputs
    assert recording.calls == []


def test_images_are_scanned_and_their_tags_stay() -> None:
    for repository in build().all("aws:ecr/repository:Repository"):
        assert repository.inputs["imageScanningConfiguration"] == {"scanOnPush": True}
        assert repository.inputs["imageTagMutability"] == "IMMUTABLE"


def test_old_images_go() -> None:
    policies = build().all("aws:ecr/lifecyclePolicy:LifecyclePolicy")
    assert {policy.inputs["repository"] for policy in policies} == {f"acme/{CPU}", f"acme/{GPU}"}
    untagged, rest = json.loads(policies[0].inputs["policy"])["rules"]
    assert (untagged["selection"]["tagStatus"], untagged["selection"]["countNumber"]) == ("untagged", 1)
    assert (rest["selection"]["countType"], rest["selection"]["countNumber"]) == ("imageCountMoreThan", 10)


@pytest.mark.parametrize("name", ["a" * 40, "a-" * 20 + "b", "acme"])
def test_the_prefix_is_one_that_ecr_takes(name: str) -> None:
    prefix = build(name=name).one("aws:ecr/pullThroughCacheRule:PullThroughCacheRule").inputs["ecrRepositoryPrefix"]
    assert 2 <= len(prefix) <= 30
    assert name.startswith(prefix)
    assert not prefix.endswith("-")
