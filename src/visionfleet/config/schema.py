"""The JSON Schema of the file, made from the models: for editors, and for checks that know no Python."""

from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from visionfleet.config.deployment import DeploymentConfig


class _Untitled(GenerateJsonSchema):
    """Without a title on every key: it would repeat the key."""

    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002 - pydantic's hook
        return False


def json_schema() -> dict[str, Any]:
    """The schema, Draft 2020-12. Rules across fields and over files are beyond it: `load` checks those."""
    schema = DeploymentConfig.model_json_schema(schema_generator=_Untitled)
    return {"$schema": GenerateJsonSchema.schema_dialect, **schema, "title": "visionfleet.yaml"}
