"""`visionfleet hub publish` and `visionfleet hub fetch`: the deployment's folder, on its way to pods."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from visionfleet.cli.files import BAD_INPUT, DEFAULT_FILE, FAILED, FileOption, check_digest, load_or_exit

if TYPE_CHECKING:
    from visionfleet.config.hub import Hub as HubSection
    from visionfleet.hub.objects.storage import Storage

STORAGE = "VISIONFLEET_STORAGE_"
URL = f"{STORAGE}URL"


def publish(
    file: FileOption = DEFAULT_FILE,
    *,
    again: Annotated[bool, typer.Option("--again", help="Upload also what is there: it may be damaged.")] = False,
) -> None:
    """Upload the folder of the file to the hub's storage, for pods to fetch, and print its digest.

    Of the folder goes what the deployment uses: the file, workflows, model packages, golden pictures, lists of devices.
    What the storage has already is left out. The storage is that of the file, or that of VISIONFLEET_STORAGE_URL, as
    `visionfleet hub fetch` has it, where this is set.
    """
    config = load_or_exit(file)
    from visionfleet.hub.deployments import publish as publish_folder  # noqa: PLC0415 - slow to import
    from visionfleet.projections.published import NotPublishable, published_folder  # noqa: PLC0415

    try:
        folder = published_folder(file, config)
    except NotPublishable as error:
        typer.echo(f"{file}: {error}", err=True)
        raise typer.Exit(BAD_INPUT) from error
    with _failures():
        storage = _open(_from_environment() if os.environ.get(URL) else config.hub)
        publish_folder(storage, folder, _report, again=again)
    typer.echo(folder.digest)


def fetch(
    digest: Annotated[str, typer.Option(help="What `visionfleet hub publish` printed.", callback=check_digest)],
    to: Annotated[Path, typer.Option(help="Folder to fill: empty, not there yet, or filled before.")],
) -> None:
    """Fill a folder with a published deployment, every file checked. Pods do before the hub starts in them.

    The storage comes from the environment: VISIONFLEET_STORAGE_URL, and where it is a bucket, _ENDPOINT, _REGION,
    _ACCESS_KEY_ID and _SECRET_ACCESS_KEY, or what AWS's own tools read.
    """
    from visionfleet.hub.deployments import fetch as fetch_folder  # noqa: PLC0415 - slow to import
    from visionfleet.hub.deployments import patiently  # noqa: PLC0415

    settings = _from_environment()
    with _failures():
        fetch_folder(patiently(lambda: _open(settings)), digest, to, _report)


def _from_environment() -> HubSection:
    """The storage that the environment names, as the file would have it; problems are told by variable."""
    from pydantic import ValidationError  # noqa: PLC0415 - slow to import

    from visionfleet.config.hub import Hub as HubSection  # noqa: PLC0415
    from visionfleet.config.translate import findings_of  # noqa: PLC0415

    url = os.environ.get(URL)
    if not url:
        typer.echo(f"{URL} is not set: it is the hub's storage, as in 's3://bucket/prefix'", err=True)
        raise typer.Exit(BAD_INPUT)
    try:
        return HubSection.model_validate({"storage": url, **_bucket()}, context={"folder": Path.cwd()})
    except ValidationError as error:
        for found in findings_of(error, HubSection):
            name = STORAGE + str(found.location[-1] if len(found.location) > 1 else "url").upper()
            typer.echo(f"{name} {found.rule}\n  {found.fix}", err=True)
        raise typer.Exit(BAD_INPUT) from error


def _bucket() -> dict[str, dict[str, str]]:
    """What the environment says of the bucket, as the file's `hub.s3`."""
    plain = {key: os.environ[name] for key in ("endpoint", "region") if os.environ.get(name := STORAGE + key.upper())}
    names = {key: STORAGE + key.upper() for key in ("access_key_id", "secret_access_key")}
    secrets = {key: f"env:{name}" for key, name in names.items() if os.environ.get(name)}
    return {"s3": plain | secrets} if plain or secrets else {}


def _open(settings: HubSection) -> Storage:
    """The storage. It signs nothing here, so any key does."""
    from visionfleet.hub.objects.signing import MIN_KEY_BYTES, Signer  # noqa: PLC0415 - slow to import
    from visionfleet.hub.objects.storage import Storage  # noqa: PLC0415

    return Storage.open(settings, Signer(os.urandom(MIN_KEY_BYTES)))


@contextmanager
def _failures() -> Generator[None]:
    """What can fail on the way, as a message and exit code 1."""
    from visionfleet.config import ConfigError, SecretUnavailable  # noqa: PLC0415 - slow to import
    from visionfleet.hub.deployments import DeploymentError  # noqa: PLC0415
    from visionfleet.hub.objects.storage import StorageError  # noqa: PLC0415
    from visionfleet.logs import log_to_stderr  # noqa: PLC0415

    log_to_stderr()  # tries that are repeated show there
    try:
        yield
    except (ConfigError, DeploymentError, OSError, SecretUnavailable, StorageError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(FAILED) from error


def _report(line: str) -> None:
    typer.echo(line, err=True)
