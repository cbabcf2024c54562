"""`visionfleet render`: what other tools read, printed from the file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from visionfleet.cli.files import BAD_INPUT, DEFAULT_FILE, DigestOption, FileOption, load_or_exit, published_digest
from visionfleet.cli.gitops import gitops

app = typer.Typer(help="Manifests for other tools, for pipelines to commit or apply.", no_args_is_help=True)
app.command()(gitops)


@app.command()
def karpenter(file: FileOption = DEFAULT_FILE) -> None:
    """Print the NodePools and EC2NodeClasses of the file's cluster: the same text for the same file."""
    from visionfleet.projections.cloud import NoCloud, cloud_plan  # noqa: PLC0415 - slow to import
    from visionfleet.projections.karpenter import karpenter_yaml  # noqa: PLC0415
    from visionfleet.terms import GpuAutoscaler  # noqa: PLC0415

    config = load_or_exit(file)
    try:
        plan = cloud_plan(config)
    except NoCloud as error:
        typer.echo(f"{file}: {error}", err=True)
        raise typer.Exit(BAD_INPUT) from error
    if plan.cluster is None or plan.cluster.gpu_autoscaler != GpuAutoscaler.KARPENTER:
        typer.echo(f"{file}: no cluster with 'serverless.cluster.gpu.autoscaler: karpenter' is in it", err=True)
        raise typer.Exit(BAD_INPUT)
    typer.echo(karpenter_yaml(plan.cluster, plan.tags), nl=False)


@app.command()
def helm(
    file: Annotated[Path, typer.Argument(help="The deployment file.", show_default=True)] = DEFAULT_FILE,
    *,
    digest: DigestOption = None,
) -> None:
    """Print the values of the chart: the same text for the same file, without secrets.

    `helm upgrade --install NAME charts/visionfleet --values <(visionfleet render helm)`. Exit code 2 where the file
    cannot run in a cluster; every reason is shown.
    """
    from visionfleet.config import ConfigError  # noqa: PLC0415 - slow to import
    from visionfleet.projections.helm import NoChart, check_chart, helm_values, helm_yaml  # noqa: PLC0415
    from visionfleet.projections.published import NotPublishable  # noqa: PLC0415

    config = load_or_exit(file)
    try:
        check_chart(config)  # before the folder is read, which may be large
        values = helm_values(config, published_digest(file, config, digest))
    except NoChart as error:
        typer.echo("\n".join(f"{file}: {reason}" for reason in error.reasons), err=True)
        raise typer.Exit(BAD_INPUT) from error
    except (NotPublishable, ConfigError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(BAD_INPUT) from error
    typer.echo(helm_yaml(values), nl=False)
