"""`visionfleet hub`: serve the hub, and its API keys."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Literal

import typer

from visionfleet.cli.files import BAD_INPUT, DEFAULT_FILE, FAILED, FileOption, load_or_exit
from visionfleet.cli.publish import fetch, publish

KEY_VARIABLE = "VISIONFLEET_KEY"

app = typer.Typer(help="The hub: workflows, models and batch processing for every deployment.", no_args_is_help=True)
keys = typer.Typer(help="API keys of the file's workspace.", no_args_is_help=True)
app.add_typer(keys, name="keys")
app.command()(publish)
app.command()(fetch)


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; hub.host unless given.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65_535, help="Port; hub.port unless given.")] = None,
    file: FileOption = DEFAULT_FILE,
) -> None:
    """Serve the hub until it is stopped."""
    config = load_or_exit(file)
    from visionfleet.hub.context import HubUnavailable  # noqa: PLC0415 - the web server is slow to import
    from visionfleet.hub.serve import serve as serve_hub  # noqa: PLC0415

    try:
        serve_hub(config, host, port)
    except HubUnavailable as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(FAILED) from error


@app.command()
def migrate(file: FileOption = DEFAULT_FILE) -> None:
    """Bring the database's schema up to date, as each start of the hub does; hubs of the release before go on."""
    config = load_or_exit(file)
    from visionfleet.hub.store import Store  # noqa: PLC0415 - slow to import

    with _database_errors():
        store = Store.open(config.hub)
        typer.echo(f"the database has revision {store.revision}")
        store.close()


def _check_name(name: str) -> str:
    from visionfleet.hub.keys import MAX_NAME  # noqa: PLC0415

    if not (0 < len(name) <= MAX_NAME and name.isprintable()):
        raise typer.BadParameter(f"a name has 1 to {MAX_NAME} printable characters")
    return name


NameOption = Annotated[str, typer.Option(help="What the key is for.", callback=_check_name)]
RoleOption = Annotated[
    Literal["client", "worker", "server", "fleet"],
    typer.Option(
        help="client: everything a client does; worker: leases tasks; server: reads workflows and models; "
        "fleet: enrols devices and lists them."
    ),
]


@keys.command()
def create(
    name: NameOption,
    role: RoleOption = "client",
    file: FileOption = DEFAULT_FILE,
) -> None:
    """Make a key and print it, this once: only its digest is kept."""
    config = load_or_exit(file)
    from visionfleet.hub.keys import create_key  # noqa: PLC0415

    with _database_errors():
        key_id, key = create_key(config, name=name, role=role)
    typer.echo(f"key {key_id} for {role} '{name}' in workspace '{config.workspace}'; it is not shown again:", err=True)
    typer.echo(key)


@keys.command("import")
def import_(name: NameOption, role: RoleOption, file: FileOption = DEFAULT_FILE) -> None:
    """Take the key that VISIONFLEET_KEY holds, as from a cluster's Secret; one that is there already stays as it is."""
    config = load_or_exit(file)
    from visionfleet.hub.errors import HubError  # noqa: PLC0415
    from visionfleet.hub.keys import import_key  # noqa: PLC0415

    try:
        with _database_errors():
            key_id, is_new = import_key(config, os.environ.get(KEY_VARIABLE, ""), name=name, role=role)
    except HubError as error:
        typer.echo(f"{KEY_VARIABLE}: {error}", err=True)
        raise typer.Exit(BAD_INPUT) from error
    typer.echo(f"key {key_id} for {role} '{name}' {'is taken' if is_new else 'was there already'}")


@keys.command("list")
def list_(file: FileOption = DEFAULT_FILE) -> None:
    """List the keys, without the keys themselves."""
    config = load_or_exit(file)
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    from visionfleet.hub.keys import list_keys  # noqa: PLC0415

    table = Table("id", "name", "role", "made", "state")
    with _database_errors():
        found = list_keys(config)
    for key in found:
        state = "active" if key.revoked_at is None else f"revoked {_date(key.revoked_at)}"
        table.add_row(key.id, key.name, key.role, _date(key.created_at), state)
    Console().print(table)


@keys.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="The key's id, as `list` shows it.")], file: FileOption = DEFAULT_FILE
) -> None:
    """Refuse a key from now on."""
    config = load_or_exit(file)
    from visionfleet.hub.errors import HubError  # noqa: PLC0415
    from visionfleet.hub.keys import revoke_key  # noqa: PLC0415

    try:
        with _database_errors():
            revoke_key(config, key_id)
    except HubError as error:
        typer.echo(f"{error}: `visionfleet hub keys list` shows them", err=True)
        raise typer.Exit(BAD_INPUT) from error
    typer.echo(f"key {key_id} is revoked")


@contextmanager
def _database_errors() -> Generator[None]:
    """A database that cannot be opened as its message, and exit code 1."""
    from visionfleet.hub.store import DatabaseUnavailable  # noqa: PLC0415

    try:
        yield
    except DatabaseUnavailable as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(FAILED) from error


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
