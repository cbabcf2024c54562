"""What the file says, as the plan that the Pulumi program builds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.config.support import write_file
from visionfleet.config import load
from visionfleet.config.dedicated import Day, Schedule
from visionfleet.projections.cloud import NoCloud, cloud_plan
from visionfleet.projections.plans import BudgetPlan, CloudPlan, MirrorPlan, NetworkPlan, SchedulePlan
from visionfleet.terms import GpuAutoscaler, Scaling, Tier

EVERYTHING = Path(__file__).parents[1] / "config/fixtures/everything.valid.yaml"
DIGEST = f"sha256:{'0123456789abcdef' * 4}"
CLOUD = "domain: vision.acme.example\ncloud: {region: eu-central-1, owner: vision-team}\n"
URL = "hub: {url: 'https://hub.acme.example/'}\n"
ADMIN = '"arn:aws:iam::123456789012:role/admin"'


def plan_of(folder: Path, text: str) -> CloudPlan:
    return cloud_plan(load(write_file(folder, text)))


def endpoints(*keys: str) -> str:
    """Endpoints in development, each with keys of its own."""
    entries = [f"  - {{name: line-{n}, tier: development, {each}}}" for n, each in enumerate(keys)]
    return "\n".join([f"{CLOUD}{URL}dedicated:", *entries, ""])


def images(folder: Path, text: str) -> list[str]:
    return [endpoint.image.removeprefix("roboflow/roboflow-inference-") for endpoint in plan_of(folder, text).endpoints]


@pytest.fixture(scope="module")
def plan() -> CloudPlan:
    return cloud_plan(load(EVERYTHING))


def test_without_the_section_there_is_nothing_to_build(tmp_path: Path) -> None:
    with pytest.raises(NoCloud, match="has no section `cloud`"):
        plan_of(tmp_path, "")


def test_the_least_is_a_network(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, CLOUD)

    assert plan == CloudPlan(
        name="acme-vision",
        region="eu-central-1",
        tags={"visionfleet": "acme-vision", "owner": "vision-team"},
        log_retention_days=30,
        network=NetworkPlan(
            "10.40.0.0/16", 2, nat_per_zone=False, vpc_id=None, public_subnet_ids=(), private_subnet_ids=()
        ),
        endpoints=(),
        cluster=None,
        hub_store=None,
        mirror=None,
        budget=None,
    )


def test_what_is_common_to_all(plan: CloudPlan) -> None:
    assert (plan.name, plan.region, plan.log_retention_days) == ("acme-vision", "ap-southeast-2", 90)
    assert plan.tags == {"visionfleet": "acme-vision", "owner": "Vision team", "cost-centre": "4711"}
    assert (plan.network.cidr, plan.network.zones, plan.network.nat_per_zone) == ("172.20.0.0/16", 3, True)
    assert plan.budget == BudgetPlan(2000, "vision@acme.example")


def test_a_vpc_that_is_there(tmp_path: Path) -> None:
    plan = cloud_plan(load(EVERYTHING.with_name("existing-network.valid.yaml")))

    assert plan.network.vpc_id == "vpc-0123456789abcdef0"
    assert (plan.network.cidr, plan.network.zones) == ("", 0)
    assert len(plan.network.public_subnet_ids) == len(plan.network.private_subnet_ids) == 2


def test_an_endpoint_in_production(plan: CloudPlan) -> None:
    endpoint = plan.endpoints[0]

    assert (endpoint.name, endpoint.tier) == ("line-3", Tier.PRODUCTION)
    assert (endpoint.hostname, endpoint.zone) == ("line-3.vision.acme.example", "acme.example")
    assert (endpoint.instance_type, endpoint.gpus, endpoint.spot) == ("g6e.xlarge", 1, False)
    assert (endpoint.min_size, endpoint.max_size, endpoint.volume_gb) == (3, 6, 200)
    assert (endpoint.scaling, endpoint.scaling_target, endpoint.warm_pool) == (Scaling.GPU, 70.0, True)
    assert (endpoint.api_key_secret, endpoint.ami) == ("acme/line-3", "ami-0123456789abcdef0")
    assert endpoint.allowed_cidrs == ("198.51.100.0/24", "203.0.113.0/24")
    assert endpoint.schedule is None


def test_endpoints_in_development(plan: CloudPlan) -> None:
    _, night, plain = plan.endpoints

    assert (night.gpus, night.spot, night.min_size, night.max_size) == (0, True, 1, 2)
    assert (night.scaling, night.scaling_target) == (Scaling.REQUESTS, 60.0)
    # Friday, Saturday, Sunday, each until the morning after
    assert night.schedule == SchedulePlan("0 22 * * 0,5,6", "30 6 * * 0,1,6", "Australia/Sydney")
    assert (plain.scaling, plain.scaling_target, plain.api_key_secret) == (Scaling.MANUAL, None, None)
    assert (plain.min_size, plain.max_size) == (1, 1)


def test_the_server_knows_the_hub_and_no_key(plan: CloudPlan) -> None:
    for endpoint in plan.endpoints:
        assert endpoint.port == 9101
        assert endpoint.environment["API_BASE_URL"] == "https://hub.acme.example"
        assert endpoint.environment["MODEL_CACHE_DIR"] == "/tmp/cache"
        assert not [name for name in endpoint.environment if "KEY" in name and "REGISTRY" not in name]


@pytest.mark.parametrize(
    ("inference", "endpoint", "image"),
    [
        ("{}", "instance_type: g6.xlarge", "server-gpu:1.8.3"),
        ("{}", "instance_type: m6i.xlarge", "server-cpu:1.8.3"),
        ('{version: "1.9.0"}', "instance_type: g6.xlarge", "server-gpu:1.9.0"),
        ("{image: acme/server}", "instance_type: g6.xlarge", "acme/server:1.8.3"),
        (f"{{image: acme/server, digest: '{DIGEST}'}}", "instance_type: g6.xlarge", f"acme/server@{DIGEST}"),
        ("{}", f"instance_type: g6.xlarge, image: acme/new, digest: '{DIGEST}'", f"acme/new@{DIGEST}"),
        (f"{{digest: '{DIGEST}'}}", "instance_type: g6.xlarge, image: acme/new", "acme/new:1.8.3"),
        (f"{{digest: '{DIGEST}'}}", "instance_type: m6i.xlarge", f"server-cpu@{DIGEST}"),
        ("{registry: 'r.example/m', image: server}", "instance_type: m6i.xlarge", "r.example/m/server:1.8.3"),
    ],
)
def test_the_image_follows_the_machine_unless_it_is_named(
    inference: str, endpoint: str, image: str, tmp_path: Path
) -> None:
    assert images(tmp_path, f"inference: {inference}\n{endpoints(endpoint)}") == [image]


def test_a_mirror_holds_what_machines_and_nodes_pull(tmp_path: Path) -> None:
    mirror = "mirror: {credentials: 'aws-secretsmanager:ecr-pullthroughcache/hub'}"
    text = endpoints("instance_type: g6.xlarge", "instance_type: g6.xlarge, image: acme/server")
    text = text.replace("owner: vision-team", f"owner: vision-team, {mirror}")
    repositories = ("roboflow/roboflow-inference-server-gpu", "acme/server")

    plan = plan_of(tmp_path, f"inference: {{registry: 'r.example/m'}}\n{text}")
    assert plan.mirror == MirrorPlan("registry-1.docker.io", repositories, "ecr-pullthroughcache/hub")
    # the mirror takes the registry's place
    assert [endpoint.image for endpoint in plan.endpoints] == [f"{repository}:1.8.3" for repository in repositories]

    cluster = f"serverless: {{cluster: {{admins: [{ADMIN}], nodes: {{cpu: {{}}}}}}}}\n"
    plan = plan_of(tmp_path, text + cluster)
    assert plan.mirror is not None
    assert plan.mirror.repositories == (*repositories, "roboflow/roboflow-inference-server-cpu")


def test_a_mirror_alone_holds_the_server(tmp_path: Path) -> None:
    text = CLOUD.replace("owner: vision-team", "owner: vision-team, mirror: {upstream: quay.io}")
    plan = plan_of(tmp_path, text)

    assert plan.mirror == MirrorPlan("quay.io", ("roboflow/roboflow-inference-server-cpu",), None)


def test_a_cluster(plan: CloudPlan) -> None:
    cluster = plan.cluster
    assert cluster is not None
    assert cluster.cpu is not None

    assert (cluster.name, cluster.version, cluster.tier) == ("acme-vision", "1.35", Tier.DEVELOPMENT)
    assert cluster.admins == (
        "arn:aws:iam::123456789012:role/team/vision-admin",
        "arn:aws:iam::123456789012:user/ada@acme.example",
    )
    assert cluster.public_access_cidrs == ("203.0.113.0/24",)
    assert (cluster.system.name, cluster.system.min_size, cluster.system.max_size) == ("system", 1, 5)
    assert (cluster.system.spot, cluster.system.gpu_product, cluster.system.gpus) == (False, None, 0)
    assert (cluster.cpu.name, cluster.cpu.instance_types, cluster.cpu.spot) == ("cpu", ("c7i-flex.2xlarge",), True)
    assert cluster.gpu_autoscaler is GpuAutoscaler.KARPENTER
    assert [(pool.name, pool.gpu_product, pool.gpus) for pool in cluster.gpu] == [
        ("l4-shared", "NVIDIA-L4-SHARED", 1),
        ("h100", "NVIDIA-H100-80GB-HBM3", 8),
    ]
    assert (cluster.gpu[1].min_size, cluster.gpu[1].max_size, cluster.gpu[1].volume_gb) == (0, 4, 100)
    assert cluster.addons["kube-proxy"] == "v1.35.0-eksbuild.1"
    assert len(cluster.addons) == 5


def test_the_store_of_the_hub(plan: CloudPlan) -> None:
    store = plan.hub_store
    assert store is not None
    assert (store.tier, store.retention_days, store.backup_days) == (Tier.PRODUCTION, 30, 14)
    assert (store.instance_class, store.storage_gb) == ("db.m7g.large", 100)


def test_devices_of_the_edge_never_enter_the_plan(tmp_path: Path) -> None:
    group = "edge: {{groups: [{{name: docks, hardware: raspberry-pi-5, devices: [{devices}]}}]}}\n"
    one, many = (
        ", ".join(f"{{name: device-{number}, address: device-{number}.acme.example}}" for number in range(count))
        for count in (1, 1000)
    )
    text = endpoints("instance_type: g6.xlarge")

    plan = plan_of(tmp_path, text + group.format(devices=many))

    assert plan == plan_of(tmp_path, text + group.format(devices=one)) == plan_of(tmp_path, text)
    assert "device-1" not in repr(plan)


CLOCKS = st.builds("{:02}:{:02}".format, st.integers(0, 23), st.integers(0, 59))
SCHEDULES = st.builds(
    dict,
    start=CLOCKS,
    stop=CLOCKS,
    days=st.lists(st.sampled_from([day.value for day in Day]), min_size=1, max_size=7, unique=True),
).filter(lambda schedule: schedule["start"] != schedule["stop"])
quick = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@quick
@given(SCHEDULES)
def test_machines_run_for_as_long_as_the_schedule_says(tmp_path: Path, schedule: dict[str, object]) -> None:
    """The cron expressions, played for a week, against the hours that the cost is made of."""
    data = {"name": "line-3", "tier": "development", "instance_type": "g6.xlarge", "schedule": schedule}
    text = yaml.safe_dump(
        {"dedicated": [{**data, "schedule": {**schedule, "days": [str(d) for d in schedule["days"]]}}]}
    )  # pyright: ignore[reportGeneralTypeIssues]
    config = load(write_file(tmp_path, CLOUD + URL + text))
    planned = cloud_plan(config).endpoints[0].schedule
    assert planned is not None
    starts, stops = minutes_of_week(planned.start), minutes_of_week(planned.stop)

    running = sum(min((stop - start) % WEEK for stop in stops) for start in starts)

    given_schedule = config.dedicated[0].schedule
    assert isinstance(given_schedule, Schedule)
    assert running == pytest.approx(given_schedule.weekly_hours * 60)


WEEK = 7 * 24 * 60


def minutes_of_week(cron: str) -> list[int]:
    match = re.fullmatch(r"(\d+) (\d+) \* \* ([0-6](?:,[0-6])*)", cron)
    assert match, cron
    minute, hour, days = match.groups()
    return [(int(day) * 24 + int(hour)) * 60 + int(minute) for day in days.split(",")]


@quick
@given(
    st.fixed_dictionaries(
        {"zones": st.integers(2, 3), "nat": st.sampled_from(["single", "per-zone"])},
        optional={"cidr": st.builds("10.{}.0.0/{}".format, st.integers(0, 255), st.integers(16, 20))},
    )
)
def test_plans_are_made_of_the_file_alone(tmp_path: Path, network: dict[str, object]) -> None:
    text = yaml.safe_dump(
        {"cloud": {"region": "eu-central-1", "owner": "a", "network": {"kind": "managed", **network}}}
    )
    config = load(write_file(tmp_path, text))

    assert cloud_plan(config) == cloud_plan(config)
    assert cloud_plan(config).network.zones == network["zones"]
    assert cloud_plan(config).network.nat_per_zone is (network["nat"] == "per-zone")
    assert cloud_plan(config).network.cidr == network.get("cidr", "10.40.0.0/16")
