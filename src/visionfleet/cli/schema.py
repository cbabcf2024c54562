"""`visionfleet schema`: print the JSON Schema of the deployment file."""

from __future__ import annotations

import json

import typer


def schema() -> None:
    """Print the JSON Schema of the deployment file, for editors."""
    from visionfleet.config.schema import json_schema  # noqa: PLC0415 - pydantic is slow to import

    typer.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))
