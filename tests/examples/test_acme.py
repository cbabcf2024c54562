"""The example that uses every section of the file."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from visionfleet.config import DeploymentConfig, load
from visionfleet.config.cloud import ExistingNetwork
from visionfleet.config.fields import fields_of, kind_of, sections_of
from visionfleet.config.section import Section
from visionfleet.projections.cloud import cloud_plan
from visionfleet.projections.cost import monthly_cost

ACME = Path(__file__).parents[2] / "examples" / "acme"
FILE = ACME / "visionfleet.yaml"


def test_it_is_valid_as_it_is_committed() -> None:
    config = load(FILE)
    assert [model.id for model in config.models] == ["screws/3", "pallets/1"]
    assert len(cloud_plan(config).endpoints) == len(config.dedicated) == 3


def test_its_packages_are_what_its_script_makes(tmp_path: Path) -> None:
    runpy.run_path(str(ACME / "make_models.py"))["write_packages"](tmp_path)
    made = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    models = ACME / "models"
    assert {path.relative_to(models): path.read_bytes() for path in models.rglob("*") if path.is_file()} == made


def test_every_section_is_used() -> None:
    used = set(sections_used(DeploymentConfig, yaml.safe_load(FILE.read_text(encoding="utf-8"))))
    assert sections_below(DeploymentConfig) - used == {ExistingNetwork}


def test_it_costs_less_than_its_budget_at_the_least() -> None:
    config = load(FILE)
    assert config.cloud is not None
    assert config.cloud.budget is not None
    assert monthly_cost(config).least < config.cloud.budget.monthly_usd


def sections_below(section: type[Section]) -> set[type[Section]]:
    below = {inner for field in fields_of(section).values() for inner in sections_of(field.annotation)}
    return below.union(*map(sections_below, below))


def sections_used(section: type[Section], data: Any) -> Iterator[type[Section]]:
    for key, field in fields_of(section).items():
        choices, value = sections_of(field.annotation), data.get(key)
        for entry in value if isinstance(value, list) else [value]:
            if isinstance(entry, dict) and choices:
                chosen = next(each for each in choices if len(choices) == 1 or kind_of(each) == entry["kind"])
                yield chosen
                yield from sections_used(chosen, entry)
