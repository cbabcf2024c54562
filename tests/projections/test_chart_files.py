"""The chart's files that are made from the typed values."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator
from jsonschema.exceptions import ValidationError

from visionfleet.projections.chart_files import entry_defaults, values_schema, values_yaml
from visionfleet.projections.chart_values import ChartValues, Pool, WorkerTemplate

SCHEMA = json.loads(values_schema())
IMAGE = {"repository": "registry.example/server", "tag": "1.8.3"}


def check(values: dict[str, Any]) -> None:
    Draft7Validator(SCHEMA).validate(values)


def test_the_schema_is_one_that_helm_reads() -> None:
    Draft7Validator.check_schema(SCHEMA)
    assert "$id" not in values_schema()


def test_the_defaults_are_those_of_the_models_and_keep_to_the_schema() -> None:
    defaults = yaml.safe_load(values_yaml())

    check(defaults)
    assert ChartValues.model_validate(defaults) == ChartValues()


def test_every_value_says_what_it_is_for() -> None:
    lines = values_yaml().splitlines()
    keys = [index for index, line in enumerate(lines) if line and not line.lstrip().startswith("#") and ":" in line]

    assert len(keys) > 50
    assert all(lines[index - 1].lstrip().startswith("# -- ") for index in keys)


def test_an_entry_that_says_nothing_has_the_defaults_of_the_models() -> None:
    defaults = yaml.safe_load(entry_defaults())

    assert Pool.model_validate({**defaults["pool"], "image": IMAGE}) == Pool.model_validate({"image": IMAGE})
    template = defaults["template"]
    whole = {**template, "server": {**template["server"], "image": IMAGE}}
    assert WorkerTemplate.model_validate(whole) == WorkerTemplate.model_validate({"server": {"image": IMAGE}})


def test_the_commented_entries_are_entries() -> None:
    text = "\n".join(line.removeprefix("  #   ") for line in values_yaml().splitlines() if line.startswith("  #   "))
    pool, template = (yaml.safe_load(f"example:{entry}") for entry in text.split("example:")[1:])

    check({"serving": {"pools": pool}, "worker": {"templates": template}})


@pytest.mark.parametrize(
    ("values", "wrong"),
    [
        ({"hubb": {}}, "hubb"),
        ({"hub": {"replica": 3}}, "replica"),
        ({"hub": {"replicas": "3"}}, "'3' is not of type 'integer'"),
        ({"hub": {"replicas": 0}}, "minimum"),
        ({"serving": {"pools": {"cpu": {}}}}, "'image' is a required property"),
        ({"serving": {"pools": {"cpu": {"image": IMAGE, "rollout": "recreate"}}}}, "recreate"),
        ({"serving": {"pools": {"cpu": {"image": IMAGE, "environment": {"PORT": 9001}}}}}, "9001 is not of type"),
        ({"deployment": {"digest": "sha256:1"}}, "does not match"),
        ({"monitoring": {"serviceMonitor": "yes"}}, "boolean"),
    ],
)
def test_what_the_chart_does_not_know_is_refused(values: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ValidationError, match=wrong):
        check(values)


def test_what_is_shared_by_charts_passes() -> None:
    check({"global": {"imageRegistry": "registry.example"}})
