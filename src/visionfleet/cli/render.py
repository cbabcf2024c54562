"""`visionfleet render`: what other tools read, printed from the file."""

from __future__ import annotations

import typer

from visionfleet.cli.files import BAD_INPUT, DEFAULT_FILE, FileOption, load_or_exit

app = typer.Typer(help="Manifests for other tools, for pipelines to commit or apply.", no_args_is_help=True)


@app.callback()
def _group() -> None:  # pyright: ignore[reportUnusedFunction] - typer calls it
    """Keeps `karpenter` a command of its own: typer folds a single command into its group."""


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
