"""The whole program: every component of a file together, under every policy."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pulumi
import pytest

from infra.__main__ import ROOT, build, read_plan
from tests.infra.deployments import copied_acme
from tests.infra.endpoints import development, production
from tests.infra.policies import production_violations, violations
from tests.infra.support import ACCOUNT, REGION, TAGS, Recording, once, record
from tests.projections.plans import CLUSTER
from visionfleet.projections.outputs import StackOutputs, read_outputs
from visionfleet.projections.plans import BudgetPlan, CloudPlan, HubStorePlan, MirrorPlan, NetworkPlan
from visionfleet.terms import GpuAutoscaler, Tier

PLAN = CloudPlan(
    name="acme-vision",
    region=REGION,
    tags=TAGS,
    log_retention_days=30,
    network=NetworkPlan("10.40.0.0/16", 2, nat_per_zone=True, vpc_id=None, public_subnet_ids=(), private_subnet_ids=()),
    endpoints=(production(), production(name="line-4", hostname="line-4.vision.acme.example", api_key_secret=None)),
    cluster=CLUSTER,
    hub_store=HubStorePlan(
        Tier.PRODUCTION, retention_days=7, instance_class="db.t4g.small", storage_gb=20, backup_days=7
    ),
    mirror=MirrorPlan("registry-1.docker.io", ("roboflow/roboflow-inference-server-gpu",), "ecr-pullthroughcache/hub"),
    budget=BudgetPlan(2000, "vision@acme.example"),
)
LEAST = replace(PLAN, endpoints=(), cluster=None, hub_store=None, mirror=None, budget=None)
EXISTING = replace(
    PLAN,
    network=NetworkPlan(
        "",
        0,
        nat_per_zone=False,
        vpc_id="vpc-1",
        public_subnet_ids=("subnet-1", "subnet-2"),
        private_subnet_ids=("subnet-3", "subnet-4"),
    ),
)

STACK = "pulumi:pulumi:Stack"
BALANCER = "aws:lb/loadBalancer:LoadBalancer"


@once
def built(plan: CloudPlan) -> Recording:
    return record(lambda: build(plan))


@pytest.fixture(scope="module")
def recording() -> Recording:
    return built(PLAN)


@pytest.fixture(scope="module")
def acme(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """examples/acme with its models made, as `pulumi up` builds it."""
    file = copied_acme(tmp_path_factory.mktemp("example") / "acme")
    return record(lambda: build(read_plan(str(file))))


def test_every_policy_holds_in_the_example(acme: Recording) -> None:
    """Its one endpoint of the tier `development` may be deleted."""
    lab = f"protected: {BALANCER} 'acme-vision-lab'"
    assert set(production_violations(acme)) == {f"{lab} can be lost", f"{lab} is not protected by Pulumi"}


def test_the_example_is_built_with_all_that_there_is(acme: Recording) -> None:
    components = Counter(r.type.removeprefix("visionfleet:aws:") for r in acme.resources if r.parent_type == STACK)
    assert components.keys() == {
        "pulumi:providers:aws",
        "Network",
        "ImageMirror",
        "DedicatedEndpoint",
        "Cluster",
        "HubStore",
        "Budget",
    }
    outputs = read_outputs(acme.outputs)
    assert outputs.endpoints.keys() == {"line-3", "archive", "lab"}
    assert outputs.endpoints["line-3"] == "https://line-3.vision.acme.example"


@pytest.mark.parametrize(
    "plan",
    [
        PLAN,
        LEAST,
        EXISTING,
        replace(PLAN, cluster=replace(CLUSTER, gpu_autoscaler=GpuAutoscaler.KARPENTER)),
        replace(PLAN, cluster=None, mirror=None),
    ],
    ids=["everything", "a network alone", "an existing VPC", "Karpenter", "without a cluster"],
)
def test_every_policy_holds_for_every_resource(plan: CloudPlan) -> None:
    assert production_violations(built(plan)) == []


def test_every_policy_holds_in_development() -> None:
    plan = replace(
        PLAN,
        endpoints=(development(),),
        cluster=replace(CLUSTER, tier=Tier.DEVELOPMENT),
        hub_store=replace(PLAN.hub_store, tier=Tier.DEVELOPMENT) if PLAN.hub_store else None,
    )
    assert violations(record(lambda: build(plan))) == []


def test_no_two_resources_have_the_same_urn(recording: Recording) -> None:
    """The engine refuses them, and the mocks do not."""
    urns = Counter((resource.parent, resource.type, resource.name) for resource in recording.resources)
    assert [urn for urn, count in urns.items() if count > 1] == []


def test_the_provider_has_the_files_region_and_tags(recording: Recording) -> None:
    inputs = recording.one("pulumi:providers:aws").inputs
    assert inputs["region"] == REGION
    assert "profile" not in inputs


def test_every_component_stands_at_the_top(recording: Recording) -> None:
    components = [resource for resource in recording.resources if resource.parent_type == STACK]
    types = Counter(resource.type.removeprefix("visionfleet:aws:") for resource in components)
    assert types == {
        "pulumi:providers:aws": 1,
        "Network": 1,
        "ImageMirror": 1,
        "DedicatedEndpoint": 2,
        "Cluster": 1,
        "HubStore": 1,
        "Budget": 1,
    }


def test_the_outputs_are_what_others_read(recording: Recording) -> None:
    outputs = read_outputs(recording.outputs)
    assert outputs == StackOutputs(
        region=REGION,
        endpoints={"line-3": "https://line-3.vision.acme.example", "line-4": "https://line-4.vision.acme.example"},
        bucket="acme-vision-hub",
        database_address="acme-vision-hub.rds.amazonaws.com",
        database_secret=f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:rds!acme-vision-hub",
        cluster="acme-vision",
        registry=f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/acme-vision",
    )
    assert recording.outputs.keys() == StackOutputs.model_fields.keys()


def test_what_the_file_does_not_ask_for_has_no_output() -> None:
    assert read_outputs(built(LEAST).outputs) == StackOutputs(region=REGION)


def test_hub_and_workers_are_pods_where_there_is_a_cluster(recording: Recording) -> None:
    associations = recording.all("aws:eks/podIdentityAssociation:PodIdentityAssociation")
    accounts = {a.name: (a.inputs["namespace"], a.inputs["serviceAccount"]) for a in associations}
    assert accounts["acme-vision-hub"] == ("visionfleet", "hub")
    assert accounts["acme-vision-worker"] == ("visionfleet", "worker")
    assert accounts["acme-vision-hub-migration"] == ("visionfleet", "hub-migration")
    policy = recording.one("aws:iam/role:Role", "acme-vision-hub").inputs["assumeRolePolicy"]
    assert policy.count("pods.eks") == 1
    assert json.loads(policy)["Statement"][0]["Condition"]["StringEquals"][
        "aws:RequestTag/kubernetes-service-account"
    ] == ["hub", "hub-migration"]


def test_every_problem_of_the_file_is_told_without_a_traceback(tmp_path: Path) -> None:
    file = tmp_path / "visionfleet.yaml"
    file.write_text("name: acme\nworkspac: acme\ncloud: {region: nowhere}\n")
    with pytest.raises(pulumi.RunError) as refused:
        read_plan(str(file))
    told = str(refused.value)
    assert "did you mean 'workspace'?" in told
    assert "cloud.owner: is missing" in told
    assert "cloud.region: 'nowhere' is not a region" in told


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(pulumi.RunError, match=r"visionfleet\.yaml: does not exist"):
        read_plan(str(tmp_path / "visionfleet.yaml"))


def test_a_file_without_a_cloud_builds_nothing(tmp_path: Path) -> None:
    file = tmp_path / "visionfleet.yaml"
    file.write_text("name: acme\nworkspace: acme\nworkflows: .\n")
    with pytest.raises(pulumi.RunError, match="no section `cloud`"):
        read_plan(str(file))


def test_a_relative_path_starts_from_the_projects_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Pulumi runs the program in infra/, which is of no concern to who sets the path."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(pulumi.RunError, match=re.escape(str(ROOT / "examples" / "missing.yaml"))):
        read_plan("examples/missing.yaml")


def test_importing_the_program_loads_neither_the_files_models_nor_aws_services() -> None:
    loaded = "[name for name in ('visionfleet.config', 'pulumi_aws.ec2.vpc') if name in sys.modules]"
    code = f"import sys, infra.__main__; print({loaded})"
    done = subprocess.run(
        [sys.executable, "-c", code], stdin=subprocess.DEVNULL, cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
