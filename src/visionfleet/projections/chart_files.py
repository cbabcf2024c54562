"""The chart's own files that follow from its typed values: their schema, their documented defaults, those of entries.

Helm knows defaults of what stands in values.yaml alone. What an entry of `serving.pools` or `worker.templates` leaves
out, the chart takes from `files/defaults.yaml`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, cast, get_args, get_origin

import yaml
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema

from visionfleet.projections.chart_values import ChartValues, Image, Pool, Server, Values, WorkerTemplate

HEAD = "Generated from src/visionfleet/projections/chart_values.py by `make generate`; do not edit."
DIALECT = "http://json-schema.org/draft-07/schema#"  # what every Helm since 3.0 reads
MOST_COLUMNS = 120

_IMAGE = Image(repository="roboflow/roboflow-inference-server-cpu", tag="1.8.3")
_EXAMPLES: Mapping[type[Values], Values] = {
    Pool: Pool(image=_IMAGE),
    WorkerTemplate: WorkerTemplate(server=Server(image=_IMAGE)),
}


def values_schema() -> str:
    """`values.schema.json`: unknown keys are refused wherever the chart gives the keys their names."""
    schema = ChartValues.model_json_schema(ref_template="#/definitions/{model}", schema_generator=_Untitled)
    schema["definitions"] = schema.pop("$defs")
    # Helm passes what charts share to each of them, whether it is asked for or not
    schema["properties"]["global"] = {"type": "object", "description": "Values that charts share; none are read."}
    whole = {"$schema": DIALECT, **schema, "title": "Values of the chart visionfleet"}
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def values_yaml() -> str:
    """`values.yaml`: each value with its default, and what it is for."""
    text = "\n".join((f"# {HEAD}", *_lines(ChartValues())))
    return text.replace("\n# --", "\n\n# --") + "\n"  # a blank line before each at the top


def entry_defaults() -> str:
    """`files/defaults.yaml`: what entries of the maps have where they say nothing."""
    defaults = {"pool": _pool_defaults(), "template": _template_defaults()}
    return f"# {HEAD}\n{yaml.safe_dump(defaults, sort_keys=False, width=MOST_COLUMNS)}"


def difference(values: ChartValues) -> dict[str, Any]:
    """What the chart must be told of these values: all that is not as its own files have it."""
    plain, defaults = _plain(values), _plain(ChartValues())
    defaults["serving"]["pools"] = dict.fromkeys(values.serving.pools, _pool_defaults())
    defaults["worker"]["templates"] = dict.fromkeys(values.worker.templates, _template_defaults())
    return _difference(plain, defaults)


class _Untitled(GenerateJsonSchema):
    """Without a title on every key: it would repeat the key."""

    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002 - pydantic's hook
        return False


def _plain(values: Values, exclude: Any = None) -> dict[str, Any]:
    return values.model_dump(mode="json", by_alias=True, exclude=exclude)


def _pool_defaults() -> dict[str, Any]:
    """The image has no default."""
    return _plain(_EXAMPLES[Pool], exclude={"image"})


def _template_defaults() -> dict[str, Any]:
    return _plain(_EXAMPLES[WorkerTemplate], exclude={"server": {"image": True}})


def _difference(plain: dict[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in plain.items():
        if isinstance(value, dict) and isinstance(defaults.get(key), dict):
            below = _difference(cast("dict[str, Any]", value), defaults[key])
            found |= {key: below} if below else {}
        elif key not in defaults or value != defaults[key]:
            found[key] = value
    return found


def _lines(values: Values) -> Iterator[str]:
    """The values in YAML, a comment before each."""
    plain = _plain(values)
    for name, field in type(values).model_fields.items():
        key, value = str(field.alias), getattr(values, name)
        yield f"# -- {field.description}"
        if isinstance(value, Values):
            yield f"{key}:"
            yield from (f"  {line}" for line in _lines(value))
            continue
        yield f"{key}: {_flow(plain[key])}"
        example = _entry_example(field)
        if example is not None:
            yield "# An entry, with what it has where it says nothing:"
            yield from (f"#   {line}" for line in ("example:", *(f"  {inner}" for inner in _lines(example))))


def _entry_example(field: FieldInfo) -> Values | None:
    """What an entry of a map looks like; None where the field is no map of values."""
    if get_origin(field.annotation) is not dict:
        return None
    return _EXAMPLES.get(cast("type[Values]", get_args(field.annotation)[1]))


def _flow(value: object) -> str:
    """A value on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000)
    return text.removesuffix("...\n").strip()
