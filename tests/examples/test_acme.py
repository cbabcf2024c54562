"""The example that uses every section of the file."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from visionfleet.config import DeploymentConfig, load
from visionfleet.config.cloud import ExistingNetwork
from visionfleet.config.edge import Edge
from visionfleet.config.fields import fields_of, kind_of, sections_of
from visionfleet.config.gitops import GitChart
from visionfleet.config.models import TensorRt
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
    assert sections_below(DeploymentConfig) - used == {ExistingNetwork, GitChart, TensorRt}


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


def test_its_samples_are_what_its_script_makes(tmp_path: Path) -> None:
    runpy.run_path(str(ACME / "make_samples.py"))["write_samples"](tmp_path)
    made = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.name for path in made} == {"screw.png", "greenhouse.csv"}
    for path in made:
        committed = ACME / path.relative_to(tmp_path)
        if path.suffix == ".png":  # another release of Pillow may compress otherwise
            assert Image.open(path).tobytes() == Image.open(committed).tobytes()
        else:
            assert path.read_bytes() == committed.read_bytes()


def test_its_devices_come_from_both_places() -> None:
    docks, greenhouse, offices = load(FILE).edge.groups
    assert [len(group.devices) for group in (docks, greenhouse, offices)] == [3, 12, 1]
    assert greenhouse.devices[6].labels == {"ring": "canary"}


@pytest.mark.parametrize(
    "section",
    sorted({Edge, *sections_below(Edge)}, key=lambda section: section.__name__),
    ids=lambda section: section.__name__,
)
def test_every_key_of_the_edge_is_used(section: type[Section]) -> None:
    data = yaml.safe_load(FILE.read_text(encoding="utf-8"))["edge"]
    used = {key for given, entry in entries_used(Edge, data) if given is section for key in entry}
    assert set(fields_of(section)) == used


def entries_used(section: type[Section], data: Any) -> Iterator[tuple[type[Section], Any]]:
    yield section, data
    for key, field in fields_of(section).items():
        value = data.get(key)
        for inner in sections_of(field.annotation):
            for entry in value if isinstance(value, list) else [value]:
                yield from entries_used(inner, entry) if entry is not None else ()
