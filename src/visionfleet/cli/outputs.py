"""`visionfleet outputs`: show what Pulumi made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from visionfleet.cli.files import FAILED


def outputs(
    stack: Annotated[str, typer.Option("--stack", "-s", help="The Pulumi stack.")],
    project: Annotated[
        Path, typer.Option("--project", help="Folder of visionfleet's Pulumi.yaml.", show_default=True)
    ] = Path(),
    *,
    as_json: Annotated[bool, typer.Option("--json", help="JSON for machines.")] = False,
) -> None:
    """Show the outputs of a Pulumi stack: endpoints, bucket, database, cluster, registry.

    Secrets are no outputs: of a database, the address and the name of its secret are shown. Exit code 1 where the stack
    cannot be read.
    """
    from visionfleet.projections.outputs import OutputsDiffer  # noqa: PLC0415 - pydantic is slow to import
    from visionfleet.stacks import StackUnavailable, stack_outputs  # noqa: PLC0415

    try:
        found = stack_outputs(stack, project.absolute())
    except (StackUnavailable, OutputsDiffer) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(FAILED) from error
    if as_json:
        typer.echo(found.model_dump_json(indent=2))
        return
    rows = {f"endpoints.{name}": url for name, url in found.endpoints.items()}
    rows |= {name: value for name, value in found.model_dump(exclude={"endpoints"}).items() if value is not None}
    width = max(map(len, rows))
    for name, value in rows.items():
        typer.echo(f"{name:<{width}}  {value}")
