"""What AWS asks for, from the table beside this file: a snapshot with its date and source."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from functools import cache
from importlib.resources import files
from typing import NoReturn

import yaml
from pydantic import BaseModel, ConfigDict

TABLE = "src/visionfleet/projections/prices/aws.yaml"


class PriceMissing(Exception):
    """The table has no price for something in the file; the message names the table, and the line to add."""


class RegionPrices(BaseModel):
    """The prices of a region, in US dollars. `*_hour` is for an hour, `*_month` for a month."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    nat_hour: float
    balancer_hour: float
    cluster_hour: float
    address_hour: float
    disk_gb_month: float
    database_gb_month: float
    key_month: float
    secret_month: float
    monitoring_month: float
    instances: Mapping[str, float]
    databases: Mapping[str, float]


class Prices(BaseModel):
    """The table."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    date: date
    source: str
    spot_share: float
    regions: Mapping[str, RegionPrices]

    def of_region(self, region: str) -> RegionPrices:
        """The prices of a region. Raises PriceMissing."""
        if region not in self.regions:
            known = ", ".join(sorted(self.regions))
            raise PriceMissing(
                f"there are no prices for {region} in {TABLE}\n"
                f"  add regions.{region} with the same keys as the regions that are there: {known}"
            )
        return self.regions[region]

    def instance(self, region: str, instance_type: str) -> float:
        """What an hour of a machine costs. Raises PriceMissing."""
        price = self.of_region(region).instances.get(instance_type)
        return price if price is not None else _refuse(f"regions.{region}.instances", instance_type)

    def database(self, region: str, instance_class: str) -> float:
        """What an hour of a database in one zone costs. Raises PriceMissing."""
        price = self.of_region(region).databases.get(instance_class)
        return price if price is not None else _refuse(f"regions.{region}.databases", instance_class)


@cache
def read_prices() -> Prices:
    """The committed table."""
    text = files(__name__).joinpath("aws.yaml").read_text(encoding="utf-8")
    return Prices.model_validate(yaml.safe_load(text))


def _refuse(place: str, name: str) -> NoReturn:
    raise PriceMissing(f"there is no price of {name} in {TABLE}\n  add it to {place}, in US dollars an hour")
