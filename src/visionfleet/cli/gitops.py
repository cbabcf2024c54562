"""`visionfleet render gitops`: the tree that Argo CD or Flux install."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from visionfleet.cli.files import BAD_INPUT, DEFAULT_FILE, FAILED, DigestOption, load_or_exit, published_digest

if TYPE_CHECKING:
    from visionfleet.config import DeploymentConfig
    from visionfleet.rendered import RenderedFolder

MOST_LINES = 40
"""Of a file's differences that are shown."""


def gitops(
    out: Annotated[Path, typer.Option("--out", help="Folder of the tree.", show_default=False)],
    file: Annotated[Path, typer.Argument(help="The deployment file.", show_default=True)] = DEFAULT_FILE,
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit code 1 where the tree is not as it would be written.")
    ] = False,
    digest: DigestOption = None,
) -> None:
    """Write the tree that Argo CD or Flux install: the same for the same file, without secrets.

    Files that this command made and that are needed no more are removed; others' are left, and named.
    """
    from visionfleet.projections.gitops import FOLDERS, MARK  # noqa: PLC0415 - slow to import
    from visionfleet.rendered import InTheWay, RenderedFolder  # noqa: PLC0415

    tree = _tree(file, load_or_exit(file), digest)
    rendered = RenderedFolder(out, MARK, FOLDERS)
    for name in rendered.foreign(tree):
        typer.echo(f"{out / name} was not made by this command, and is left alone", err=True)
    if check:
        _compare(rendered, tree, f"visionfleet render gitops {file} --out {out}")
        return
    try:
        changed = rendered.write(tree)
    except (InTheWay, OSError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(BAD_INPUT) from error
    for name in changed:
        typer.echo(f"{'wrote' if name in tree else 'removed'} {out / name}")
    if not changed:
        typer.echo(f"{out} is up to date")


def _tree(file: Path, config: DeploymentConfig, digest: str | None) -> dict[str, str]:
    """The tree, or why there is none on standard error and exit code 2."""
    from visionfleet.config import ConfigError  # noqa: PLC0415 - slow to import
    from visionfleet.projections.gitops import NoGitOps, gitops_tree  # noqa: PLC0415
    from visionfleet.projections.helm import NoChart  # noqa: PLC0415
    from visionfleet.projections.published import NotPublishable  # noqa: PLC0415

    try:
        return gitops_tree(config, published_digest(file, config, digest))
    except ConfigError as error:  # a package or workflow has changed meanwhile; its problems name their files
        typer.echo(str(error), err=True)
        raise typer.Exit(BAD_INPUT) from error
    except (NoChart, NoGitOps, NotPublishable) as error:
        typer.echo("\n".join(f"{file}: {line}" for line in str(error).splitlines()), err=True)
        raise typer.Exit(BAD_INPUT) from error


def _compare(rendered: RenderedFolder, tree: dict[str, str], command: str) -> None:
    differences = rendered.differences(tree)
    for difference in differences.values():
        lines = difference.splitlines()
        typer.echo("\n".join(lines[:MOST_LINES]))
        if len(lines) > MOST_LINES:
            typer.echo(f"… and {len(lines) - MOST_LINES} more lines")
    if differences:
        names = ", ".join(differences)
        typer.echo(
            f"not as the deployment's file has it: {names}\n  run `{command}`, and commit what it writes", err=True
        )
        raise typer.Exit(FAILED)
    typer.echo(f"{rendered.folder} is up to date")
