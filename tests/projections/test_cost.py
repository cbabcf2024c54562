"""What a month costs, against sums made by hand from the committed prices."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.config.support import write_file
from visionfleet.config import load
from visionfleet.config.machines import GPU_FAMILIES, machine_of
from visionfleet.projections.cloud import NoCloud
from visionfleet.projections.cost import HOURS, Estimate, monthly_cost
from visionfleet.projections.prices import TABLE, PriceMissing, Prices, RegionPrices, read_prices

PRICES = Prices(
    date="2026-01-02",  # pyright: ignore[reportArgumentType] - as the table has it
    source="a test",
    spot_share=0.5,
    regions={
        "eu-central-1": RegionPrices(
            nat_hour=0.05,
            balancer_hour=0.03,
            cluster_hour=0.1,
            address_hour=0.01,
            disk_gb_month=0.1,
            database_gb_month=0.2,
            key_month=1,
            secret_month=0.5,
            monitoring_month=2,
            instances={"g6.xlarge": 1, "g6.2xlarge": 2, "m6i.large": 0.1},
            databases={"db.t4g.small": 0.03},
        )
    },
)
CLOUD = "domain: vision.acme.example\ncloud: {region: eu-central-1, owner: vision-team}\n"
HUB = "hub: {url: 'https://hub.acme.example'}\n"


def estimate(folder: Path, text: str) -> Estimate:
    return monthly_cost(load(write_file(folder, text)), PRICES)


def lines(found: Estimate, section: str) -> dict[str, tuple[float, float]]:
    return {line.item: (line.least, line.most) for line in found.sections().get(section, ())}


def endpoint(**keys: str) -> str:
    fields = {"name": "line-3", "tier": "production", "instance_type": "g6.xlarge", **keys}
    return f"{CLOUD}{HUB}dedicated:\n  - {{{', '.join(f'{key}: {value}' for key, value in fields.items())}}}\n"


def test_the_network(tmp_path: Path) -> None:
    assert lines(estimate(tmp_path, CLOUD), "cloud.network") == {"1 NAT gateway": pytest.approx((43.8, 43.8))}

    zones = CLOUD.replace("vision-team}", "a, network: {kind: managed, zones: 3, nat: per-zone}}")
    found = estimate(tmp_path, zones)
    assert list(lines(found, "cloud.network")) == ["3 NAT gateways"]
    assert found.least == found.most == pytest.approx(3 * 0.06 * HOURS)


def test_a_vpc_that_is_there_costs_nothing_here(tmp_path: Path) -> None:
    ids = (
        "private_subnet_ids: [subnet-01234567, subnet-01234568], public_subnet_ids: [subnet-0123456a, subnet-0123456b]"
    )
    existing = f"network: {{kind: existing, vpc_id: vpc-01234567, {ids}}}"
    found = estimate(tmp_path, endpoint().replace("owner: vision-team", f"owner: a, {existing}"))

    assert lines(found, "cloud.network") == {}
    assert lines(found, "dedicated line-3")["load balancer"][0] == pytest.approx((0.03 + 2 * 0.01) * HOURS)


def test_an_endpoint(tmp_path: Path) -> None:
    found = lines(estimate(tmp_path, endpoint(replicas="{min: 2, max: 4}", warm_pool="true")), "dedicated line-3")
    machine = HOURS * 1 + 100 * 0.1 + 2

    assert found["2 to 4 x g6.xlarge"] == (2 * machine, 4 * machine)
    assert found["1 to 2 x stopped in the warm pool"] == (10, 20)
    assert found["load balancer"] == pytest.approx(((0.03 + 2 * 0.01) * HOURS,) * 2)
    assert found["secret"] == (0.5, 0.5)


def test_a_secret_that_is_there_costs_nothing_here(tmp_path: Path) -> None:
    found = lines(estimate(tmp_path, endpoint(api_key="aws-secretsmanager:acme/key")), "dedicated line-3")
    assert "secret" not in found


def test_office_hours_and_spot(tmp_path: Path) -> None:
    schedule = '{start: "08:00", stop: "20:00", days: [mon, tue, wed, thu, fri, sat, sun]}'
    found = lines(
        estimate(tmp_path, endpoint(tier="development", capacity="spot", schedule=schedule)), "dedicated line-3"
    )
    assert found["1 x g6.xlarge, spot, 365 h"] == pytest.approx(((0.5 * HOURS + 10 + 2) / 2,) * 2)


def test_a_cluster(tmp_path: Path) -> None:
    pools = "[{name: l4, instance_types: [g6.2xlarge, g6.xlarge], min: 1, max: 3, volume_gb: 50}]"
    cluster = f"{{admins: ['arn:aws:iam::123456789012:role/admin'], gpu: {{pools: {pools}}}}}"
    found = lines(estimate(tmp_path, f"{CLOUD}serverless: {{cluster: {cluster}}}\n"), "serverless.cluster")

    assert found["control plane"] == (74, 74)
    assert found["system: 2 to 3 x m6i.large"] == pytest.approx((2 * (73 + 5), 3 * (73 + 5)))
    # AWS takes either: the cheaper one for the least, the dearer one for the most
    assert found["l4: 1 to 3 x g6.2xlarge or g6.xlarge"] == (HOURS + 5, 3 * (2 * HOURS + 5))


@pytest.mark.parametrize(("tier", "zones"), [("production", 2), ("development", 1)])
def test_the_store_of_the_hub(tier: str, zones: int, tmp_path: Path) -> None:
    found = lines(estimate(tmp_path, f"{CLOUD}hub: {{aws: {{tier: {tier}, storage_gb: 50}}}}\n"), "hub.aws")
    database = next(value for item, value in found.items() if item.startswith("db.t4g.small, 50 GB"))

    assert database == pytest.approx((zones * (0.03 * HOURS + 50 * 0.2),) * 2)
    assert found["key and secrets"] == (2, 2)


def test_the_sum_is_of_all_sections(tmp_path: Path) -> None:
    found = estimate(tmp_path, endpoint(replicas="{min: 2, max: 4}"))

    assert list(found.sections()) == ["cloud.network", "dedicated line-3"]
    assert found.least == pytest.approx(sum(line.least for line in found.lines))
    assert found.most > found.least
    assert not found.has_spot


def test_nothing_in_the_cloud(tmp_path: Path) -> None:
    with pytest.raises(NoCloud):
        estimate(tmp_path, "")


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        (endpoint(instance_type="g5.xlarge"), "there is no price of g5.xlarge in"),
        (f"{CLOUD}hub: {{aws: {{tier: production, instance_class: db.r6g.large}}}}\n", "there is no price of db.r6g."),
        (CLOUD.replace("eu-central-1", "eu-west-1"), "there are no prices for eu-west-1 in"),
    ],
)
def test_a_missing_price_names_the_table(text: str, missing: str, tmp_path: Path) -> None:
    with pytest.raises(PriceMissing) as caught:
        estimate(tmp_path, text)

    message = str(caught.value)
    assert message.startswith(missing)
    assert TABLE in message
    assert "\n  add " in message
    assert "eu-central-1" in message


def test_the_committed_table() -> None:
    prices = read_prices()

    assert (Path(__file__).parents[2] / TABLE).is_file()
    assert {"us-east-1", "eu-central-1"} <= set(prices.regions)
    for name, region in prices.regions.items():
        assert all(price > 0 for price in [*region.instances.values(), *region.databases.values()])
        assert not [each for each in region.instances if machine_of(each) is None], name
        # what the file can ask for most
        families = {instance_type.partition(".")[0] for instance_type in region.instances}
        assert {"g4dn", "g5", "g6", "g6e", "m6i"} <= families
        for family in families & set(GPU_FAMILIES):
            assert {f"{family}.{size}" for size in GPU_FAMILIES[family].sizes} <= set(region.instances), (name, family)


def test_larger_machines_of_a_family_cost_more() -> None:
    for region in read_prices().regions.values():
        for family in ("g6", "g5", "g6e", "g4dn", "m6i"):
            sizes = ["xlarge", "2xlarge", "4xlarge", "8xlarge"]
            hours = [region.instances[f"{family}.{size}"] for size in sizes]
            assert hours == sorted(hours)
