"""The deployment file as every command takes it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from visionfleet.config import ConfigError, DeploymentConfig, load

DEFAULT_FILE = Path("visionfleet.yaml")
FAILED = 1
BAD_INPUT = 2

FileOption = Annotated[Path, typer.Option("--file", "-f", help="The deployment file.", show_default=True)]


def load_or_exit(path: Path) -> DeploymentConfig:
    """The file, or its problems on standard error and exit code 2."""
    try:
        return load(path)
    except ConfigError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(BAD_INPUT) from error
