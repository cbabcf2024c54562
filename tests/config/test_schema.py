from typing import Any

from visionfleet.config.schema import json_schema


def objects(schema: Any) -> list[dict[str, Any]]:
    return [schema, *(part for part in schema["$defs"].values() if "properties" in part)]


def test_every_key_is_described_and_no_other_is_allowed() -> None:
    schema = json_schema()

    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert len(objects(schema)) == 62
    for section in objects(schema):
        assert section["additionalProperties"] is False
        assert section["description"]
        for key, value in section["properties"].items():
            assert value.get("description"), key


def test_only_two_keys_must_be_given() -> None:
    assert json_schema()["required"] == ["name", "workspace"]


def test_closed_sets_are_listed() -> None:
    assert json_schema()["$defs"]["ApiVersion"]["enum"] == ["visionfleet/v1"]
    assert "yolov8" in json_schema()["$defs"]["Architecture"]["enum"]
