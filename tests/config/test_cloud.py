"""The cloud's sections: what the fixtures do not show, one rule at a time."""

from pathlib import Path

import pytest

from tests.config.support import problems_of, write_file
from visionfleet.config import DeploymentConfig, load
from visionfleet.config.cluster import ADDONS
from visionfleet.config.machines import GPU_FAMILIES, Gpu, Machine, machine_of
from visionfleet.config.secrets import AwsSecretRef
from visionfleet.terms import Tier

CLOUD = "cloud: {region: eu-central-1, owner: vision-team}\n"
BASE = f"domain: vision.acme.example\nhub: {{url: 'https://hub.acme.example'}}\n{CLOUD}"


def config_of(folder: Path, text: str) -> DeploymentConfig:
    return load(write_file(folder, text))


def codes(folder: Path, text: str) -> list[tuple[str, str]]:
    return [(problem.path, problem.code) for problem in problems_of(write_file(folder, text))]


def endpoint(**keys: object) -> str:
    fields = {"name": "line-3", "tier": "development", "instance_type": "g6.xlarge", **keys}
    return f"dedicated:\n  - {{{', '.join(f'{key}: {value}' for key, value in fields.items())}}}\n"


@pytest.mark.parametrize(
    ("cidr", "rule"),
    [
        ("8.8.0.0/20", "is not in a private range"),
        ("172.16.0.0/11", "does not start where its range does"),
        ("10.0.0.0/15", "is not from /16 to /23"),
        ("10.0.0.0/24", "is not from /16 to /23"),
        ("172.17.128.0/20", "overlaps 172.17.0.0/16, which Docker takes on every machine"),
        ("fd00::/64", "is a range of IPv6, and the network here has no IPv6 addresses"),
        ("10.40.0.0", "has no '/' and the length of its prefix"),
        ("10.40.0.0/33", "is not a range of addresses"),
    ],
)
def test_ranges_that_no_vpc_can_have(cidr: str, rule: str, tmp_path: Path) -> None:
    text = f'cloud: {{region: eu-central-1, owner: a, network: {{kind: managed, cidr: "{cidr}"}}}}\n'
    (problem,) = problems_of(write_file(tmp_path, text))

    assert (problem.path, problem.rule) == ("cloud.network.cidr", rule)


@pytest.mark.parametrize("cidr", ["10.0.0.0/16", "172.20.0.0/16", "192.168.8.0/23", "100.64.0.0/20", "172.18.0.0/16"])
def test_ranges_that_a_vpc_can_have(cidr: str, tmp_path: Path) -> None:
    text = f"cloud: {{region: eu-central-1, owner: a, network: {{kind: managed, cidr: {cidr}}}}}\n"

    assert config_of(tmp_path, text).cloud is not None


@pytest.mark.parametrize(("prefix", "fits"), [(16, True), (20, True), (21, False), (23, False)])
def test_the_pods_of_a_cluster_need_addresses(prefix: int, *, fits: bool, tmp_path: Path) -> None:
    cluster = 'serverless: {cluster: {admins: ["arn:aws:iam::123456789012:role/admin"]}}\n'
    network = f"network: {{kind: managed, cidr: 10.40.0.0/{prefix}}}"
    text = f"cloud: {{region: eu-central-1, owner: a, {network}}}\n"

    assert codes(tmp_path, text) == []
    assert codes(tmp_path, text + cluster) == ([] if fits else [("cloud.network.cidr", "vpc-range")])


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-2", "ap-southeast-7", "il-central-1", "mx-central-1"])
def test_regions(region: str, tmp_path: Path) -> None:
    assert codes(tmp_path, f"cloud: {{region: {region}, owner: a}}\n") == []


@pytest.mark.parametrize("region", ["eu-central", "us-gov-west-1", "cn-north-1", "EU-CENTRAL-1", "eu_central_1"])
def test_what_is_no_region(region: str, tmp_path: Path) -> None:
    assert codes(tmp_path, f"cloud: {{region: {region}, owner: a}}\n") == [("cloud.region", "bad-text")]


@pytest.mark.parametrize(
    ("address", "fits"),
    [("a@b.example", True), ("a.b+c@d-e.example", True), ("a@b", False), ("a b@c.example", False), ("@c.de", False)],
)
def test_addresses_of_alarms(address: str, *, fits: bool, tmp_path: Path) -> None:
    text = f'cloud: {{region: eu-central-1, owner: a, budget: {{monthly_usd: 1, email: "{address}"}}}}\n'

    assert codes(tmp_path, text) == ([] if fits else [("cloud.budget.email", "bad-text")])


@pytest.mark.parametrize(
    ("arn", "fits"),
    [
        ("arn:aws:iam::123456789012:role/admin", True),
        ("arn:aws:iam::123456789012:role/team/ci/deploy", True),
        ("arn:aws:iam::123456789012:user/ada@acme.example", True),
        ("arn:aws:iam::123456789012:root", False),
        ("arn:aws:iam::12345:role/admin", False),
        ("arn:aws:sts::123456789012:assumed-role/admin/ada", False),
        ("arn:aws-cn:iam::123456789012:role/admin", False),
        ("admin", False),
    ],
)
def test_who_may_enter_a_cluster(arn: str, *, fits: bool, tmp_path: Path) -> None:
    text = f'{CLOUD}serverless: {{cluster: {{admins: ["{arn}"]}}}}\n'

    assert codes(tmp_path, text) == ([] if fits else [("serverless.cluster.admins[0]", "bad-text")])


def test_the_gpus_of_instance_types() -> None:
    assert machine_of("g6.xlarge") == Machine(Gpu.L4, "NVIDIA-L4", 1)
    assert machine_of("g4dn.12xlarge") == Machine(Gpu.T4, "Tesla-T4", 4)
    assert machine_of("g5.48xlarge") == Machine(Gpu.A10G, "NVIDIA-A10G", 8)
    assert machine_of("g6e.4xlarge") == Machine(Gpu.L40S, "NVIDIA-L40S", 1)
    assert machine_of("p4d.24xlarge") == Machine(Gpu.A100, "NVIDIA-A100-SXM4-40GB", 8)
    assert machine_of("p5.48xlarge") == Machine(Gpu.H100, "NVIDIA-H100-80GB-HBM3", 8)
    assert set(Gpu) == {family.gpu for family in GPU_FAMILIES.values()}


@pytest.mark.parametrize("instance_type", ["m6i.large", "t3.micro", "c7i-flex.2xlarge", "r5dn.metal", "m7i.metal-24xl"])
def test_machines_without_a_gpu(instance_type: str) -> None:
    assert machine_of(instance_type) == Machine()


@pytest.mark.parametrize(
    "instance_type",
    [
        *("m7g.large", "c6gn.large", "t4g.small", "a1.large", "g5g.xlarge", "im4gn.large", "x2gd.large"),
        *("g4ad.xlarge", "p3.2xlarge", "inf2.xlarge", "trn1.2xlarge", "f1.2xlarge", "mac1.metal", "g6.medium"),
        *("g6", "large", "G6.xlarge", 6, None, []),
    ],
)
def test_machines_that_nothing_of_ours_runs_on(instance_type: object) -> None:
    assert machine_of(instance_type) is None


@pytest.mark.parametrize(("tier", "least"), [("production", 2), ("development", 1)])
def test_the_tier_gives_the_replicas(tier: str, least: int, tmp_path: Path) -> None:
    (dedicated,) = config_of(tmp_path, BASE + endpoint(tier=tier)).dedicated
    assert (dedicated.least, dedicated.most) == (least, least)

    (dedicated,) = config_of(tmp_path, BASE + endpoint(tier=tier, replicas="{max: 5}")).dedicated
    assert (dedicated.least, dedicated.most) == (least, 5)

    (dedicated,) = config_of(tmp_path, BASE + endpoint(tier=tier, replicas="{min: 3}")).dedicated
    assert (dedicated.least, dedicated.most) == (3, 3)


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"gpu": "nvidia-t4"}, ("gpu", "gpu-of-instance-type")),
        ({"instance_type": "m6i.large", "gpu": "nvidia-l4"}, ("gpu", "gpu-of-instance-type")),
        ({"image": "acme/server-cpu"}, ("image", "image-of-gpu")),
        ({"instance_type": "m6i.large", "image": "acme/server-gpu"}, ("image", "image-of-gpu")),
        ({"tier": "production", "replicas": "{min: 1, max: 2}"}, ("replicas.min", "tier-of-replicas")),
        ({"tier": "production", "capacity": "spot"}, ("capacity", "tier-of-capacity")),
        ({"tier": "production", "schedule": '{start: "07:00", stop: "19:00"}'}, ("schedule", "tier-of-schedule")),
        ({"warm_pool": "true", "capacity": "spot"}, ("warm_pool", "warm-pool-of-spot")),
        (
            {"instance_type": "m6i.large", "replicas": "{max: 2}", "scaling": "{kind: gpu, target: 70}"},
            ("scaling.kind", "scaling-of-gpu"),
        ),
        ({"scaling": "{kind: requests, target: 70}"}, ("scaling", "nothing-to-scale")),
        (
            {"tier": "production", "replicas": "{max: 2}", "scaling": "{kind: gpu, target: 70}"},
            ("scaling", "nothing-to-scale"),
        ),
        ({"replicas": "{min: 3, max: 2}"}, ("replicas.min", "min-over-max")),
    ],
    ids=str,
)
def test_rules_of_an_endpoint(keys: dict[str, object], problem: tuple[str, str], tmp_path: Path) -> None:
    path, code = problem
    assert codes(tmp_path, BASE + endpoint(**keys)) == [(f"dedicated[0].{path}", code)]


@pytest.mark.parametrize(
    ("start", "stop", "days", "hours"),
    [
        ("07:00", "19:00", "[mon, tue, wed, thu, fri]", 60),
        ("22:00", "06:30", "[fri]", 8.5),
        ("00:00", "23:59", "[sat, sun]", 47 + 58 / 60),
    ],
)
def test_office_hours_have_a_length(start: str, stop: str, days: str, hours: float, tmp_path: Path) -> None:
    schedule = f'{{start: "{start}", stop: "{stop}", days: {days}}}'
    (dedicated,) = config_of(tmp_path, BASE + endpoint(schedule=schedule)).dedicated

    assert dedicated.schedule is not None
    assert dedicated.schedule.weekly_hours == pytest.approx(hours)


def test_a_machine_without_time_zones_leaves_them_to_aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoneinfo.available_timezones", set[str])
    schedule = '{start: "07:00", stop: "19:00", timezone: Mars/Olympus}'

    assert codes(tmp_path, BASE + endpoint(schedule=schedule)) == []


def test_a_secret_in_aws_is_named_and_never_read(tmp_path: Path) -> None:
    (dedicated,) = config_of(tmp_path, BASE + endpoint(api_key="aws-secretsmanager:acme/line-3")).dedicated

    assert dedicated.api_key == AwsSecretRef("acme/line-3")
    assert str(dedicated.api_key) == "aws-secretsmanager:acme/line-3"
    assert repr(dedicated.api_key) == "AwsSecretRef('aws-secretsmanager:acme/line-3')"
    assert len({dedicated.api_key, AwsSecretRef("acme/line-3")}) == 1
    assert dedicated.model_dump(mode="json")["api_key"] == "aws-secretsmanager:acme/line-3"


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("hunter2", "not-a-reference"),
        ("aws-secretsmanager:", "not-a-reference"),
        ("aws-secretsmanager:a b", "not-a-reference"),
        ("env:KEY", "secret-elsewhere"),
        ("file:./key", "secret-elsewhere"),
    ],
)
def test_other_secrets_are_refused_and_not_repeated(value: str, code: str, tmp_path: Path) -> None:
    (problem,) = problems_of(write_file(tmp_path, BASE + endpoint(api_key=f'"{value}"')))

    assert (problem.path, problem.code) == ("dedicated[0].api_key", code)
    assert "hunter2" not in str(problem)


def test_a_secret_in_aws_is_of_no_use_where_the_hub_reads_it(tmp_path: Path) -> None:
    text = "hub: {signing_key: aws-secretsmanager:acme/signing}\n"

    assert codes(tmp_path, text) == [("hub.signing_key", "secret-elsewhere")]


@pytest.mark.parametrize("name", ["sg-acme", "internal", "sthree-acme", "amzn-s3-demo-acme", "acme--vision"])
def test_names_that_aws_keeps_for_itself(name: str, tmp_path: Path) -> None:
    file = write_file(tmp_path, CLOUD)
    file.write_text(file.read_text(encoding="utf-8").replace("name: acme-vision", f"name: {name}"), encoding="utf-8")

    assert [(problem.path, problem.code) for problem in problems_of(file)] == [("name", "aws-name")]


def test_without_the_cloud_a_name_is_free(tmp_path: Path) -> None:
    file = write_file(tmp_path)
    file.write_text("name: sg--acme\nworkspace: acme\n", encoding="utf-8")

    assert problems_of(file) == ()


def test_an_endpoint_and_the_hub_have_hosts_of_their_own(tmp_path: Path) -> None:
    text = BASE.replace("hub.acme.example", "line-3.vision.acme.example")

    assert codes(tmp_path, text + endpoint()) == [("dedicated[0].name", "duplicate-name")]


def test_a_host_name_fits_into_a_certificate(tmp_path: Path) -> None:
    domain = ".".join(["a-long-name"] * 4 + ["example"])
    text = BASE.replace("vision.acme.example", domain)

    assert codes(tmp_path, text + endpoint(name="e" * 8)) == []
    assert codes(tmp_path, text + endpoint(name="e" * 9)) == [("dedicated[0].name", "aws-name")]


def test_the_defaults_of_a_cluster_are_for_production(tmp_path: Path) -> None:
    text = f'{CLOUD}serverless: {{cluster: {{admins: ["arn:aws:iam::123456789012:role/admin"]}}}}\n'
    cluster = config_of(tmp_path, text).serverless.cluster

    assert cluster is not None
    assert (cluster.tier, cluster.version, cluster.public_access_cidrs) == (Tier.PRODUCTION, "1.34", ())
    assert (cluster.nodes.system.min, cluster.nodes.cpu, cluster.gpu.pools) == (2, None, ())
    assert set(cluster.addons.model_dump(by_alias=True)) == set(ADDONS)
    assert cluster.addons.kube_proxy.startswith(f"v{cluster.version}.")


def test_a_pool_follows_its_types(tmp_path: Path) -> None:
    pools = "[{name: t4, instance_types: [g4dn.xlarge, g4dn.2xlarge]}, {name: b, instance_types: [g5.12xlarge]}]"
    admins = '["arn:aws:iam::123456789012:role/admin"]'
    cluster = config_of(
        tmp_path, f"{CLOUD}serverless: {{cluster: {{admins: {admins}, gpu: {{pools: {pools}}}}}}}\n"
    ).serverless.cluster

    assert cluster is not None
    assert [(pool.label, pool.machine.gpus) for pool in cluster.gpu.pools] == [("Tesla-T4", 1), ("NVIDIA-A10G", 4)]
