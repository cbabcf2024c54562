"""The deployment file as every command takes it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from visionfleet.config import ConfigError, DeploymentConfig, load

DEFAULT_FILE = Path("visionfleet.yaml")
FAILED = 1
BAD_INPUT = 2

FileOption = Annotated[Path, typer.Option("--file", "-f", help="The deployment file.", show_default=True)]


def check_digest(digest: str | None) -> str | None:
    """For an option: the digest of a published folder, or bad input."""
    if digest is not None and not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        raise typer.BadParameter("write what `visionfleet hub publish` printed: 'sha256:' and 64 hexadecimal digits")
    return digest


DigestOption = Annotated[
    str | None,
    typer.Option(
        "--digest",
        help="Digest of the published folder; that of the folder as it is unless given.",
        callback=check_digest,
    ),
]


def load_or_exit(path: Path) -> DeploymentConfig:
    """The file, or its problems on standard error and exit code 2."""
    try:
        return load(path)
    except ConfigError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(BAD_INPUT) from error


def published_digest(file: Path, config: DeploymentConfig, given: str | None) -> str | None:
    """The digest of the folder that the hub's pods fetch: as it is given, else of the folder as it is.

    None where the hub does not run in the cluster. Raises what `deployment_digest` does.
    """
    from visionfleet.projections.published import deployment_digest  # noqa: PLC0415 - slow to import

    if given is not None or not config.serverless.hub.enabled:
        return given
    return deployment_digest(file, config)
