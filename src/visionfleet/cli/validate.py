"""`visionfleet validate`: check the deployment file and everything that it names."""

from __future__ import annotations

import json
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from visionfleet.cli.files import BAD_INPUT, DEFAULT_FILE


class OutputFormat(StrEnum):
    """For whom the problems are written."""

    TEXT = "text"
    JSON = "json"


def validate(
    file: Annotated[Path, typer.Argument(help="The deployment file.", show_default=True)] = DEFAULT_FILE,
    *,
    output_format: Annotated[OutputFormat, typer.Option("--format", help="text, or json for machines.")] = (
        OutputFormat.TEXT
    ),
) -> None:
    """Check the deployment file, its model packages and its workflows; show every problem at once.

    Exit code 0 where all is well, else 2. With --format json: a list of objects, empty where all is well.
    """
    from visionfleet.config import ConfigError, load  # noqa: PLC0415 - pydantic is slow to import

    try:
        config = load(file)
    except ConfigError as error:
        if output_format is OutputFormat.JSON:
            typer.echo(json.dumps([asdict(problem) for problem in error.problems], indent=2))
        else:
            typer.echo(str(error), err=True)
            typer.echo(f"{len(error.problems)} problem{'s' if len(error.problems) > 1 else ''}", err=True)
        raise typer.Exit(BAD_INPUT) from error
    typer.echo("[]" if output_format is OutputFormat.JSON else f"{file} is valid: deployment '{config.name}'")
