"""`visionfleet worker`: run a batch worker."""

from __future__ import annotations

import asyncio
import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from visionfleet.cli.files import BAD_INPUT, DEFAULT_FILE, load_or_exit

KEY_VARIABLE = "VISIONFLEET_WORKER_KEY"

app = typer.Typer(help="Batch workers: they run the hub's tasks on an inference server.", no_args_is_help=True)


@app.callback()
def _group() -> None:  # pyright: ignore[reportUnusedFunction] - typer calls it
    """Keeps `run` a command of its own: typer folds a single command into its group."""


@app.command()
def run(  # noqa: PLR0913 - one for each option
    *,
    hub: Annotated[str | None, typer.Option(help="URL of the hub; from the file unless given.")] = None,
    inference: Annotated[str | None, typer.Option(help="URL of the inference server; from the file, too.")] = None,
    machine_type: Annotated[Literal["cpu", "gpu"], typer.Option(help="Which tasks to lease.")] = "cpu",
    name: Annotated[
        str | None,
        typer.Option(
            help="The worker's name; host and process id unless given.",
            envvar="VISIONFLEET_WORKER_NAME",
            show_envvar=False,
        ),
    ] = None,
    stage: Annotated[
        str | None,
        typer.Option(
            help="Id of a job's stage: lease its tasks alone.", envvar="VISIONFLEET_WORKER_STAGE", show_envvar=False
        ),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="End when nothing is left to lease.")] = False,
    request_images: Annotated[
        int | None, typer.Option(min=1, max=256, help="Images in a request; from the file, else 8.")
    ] = None,
    requests_in_flight: Annotated[
        int | None, typer.Option(min=1, max=64, help="Requests at once; from the file, else 4.")
    ] = None,
    request_seconds: Annotated[
        float, typer.Option(min=1, help="Time for one request, the loading of a model included.")
    ] = 300,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help=f"The deployment file; {DEFAULT_FILE} where one is needed.")
    ] = None,
) -> None:
    """Lease tasks from the hub and run them on an inference server, until SIGTERM or Ctrl-C.

    The worker's key comes from the environment variable VISIONFLEET_WORKER_KEY; a stage and a name may come from
    VISIONFLEET_WORKER_STAGE and VISIONFLEET_WORKER_NAME.

    Exit codes: 0 well, 1 failed, 2 bad input, 3 the hub refuses the worker, 4 the hub does not answer, 143 stopped
    before --once was at its end.
    """
    # HTTP clients are slow to import
    from visionfleet.logs import log_to_stderr  # noqa: PLC0415
    from visionfleet.protocol import WORKER_STOPPED, MachineType  # noqa: PLC0415
    from visionfleet.worker.errors import WorkerError  # noqa: PLC0415
    from visionfleet.worker.run import Pace, WorkerSettings, run_worker  # noqa: PLC0415

    defaults = _from_file(file or DEFAULT_FILE, machine_type) if file or not (hub and inference) else _Defaults()
    settings = WorkerSettings(
        hub_url=hub or defaults.hub,
        inference_url=inference or defaults.inference,
        key=_key(),
        name=_check(name, r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", "--name: up to 128 letters, digits, '.', '_' and '-'")
        or _default_name(),
        machine_type=MachineType(machine_type),
        stage=_check(stage, r"[0-9a-f]{32}", "--stage: the id of a stage has 32 letters and digits"),
        once=once,
        pace=Pace(request_images or defaults.request_images, requests_in_flight or defaults.requests_in_flight),
        request_seconds=request_seconds,
    )
    log_to_stderr()
    try:
        nothing_left = asyncio.run(run_worker(settings))
    except WorkerError as error:
        typer.echo(f"the worker ends: {error}", err=True)
        raise typer.Exit(error.exit_code) from error
    if once and not nothing_left:
        raise typer.Exit(WORKER_STOPPED)


@dataclass(frozen=True)
class _Defaults:
    """What options leave open."""

    hub: str = ""
    inference: str = ""
    request_images: int = 8
    requests_in_flight: int = 4


def _from_file(file: Path, machine_type: str) -> _Defaults:
    config = load_or_exit(file)
    pools = config.batch.workers
    pool = (pools.gpu if machine_type == "gpu" else None) or pools.cpu
    host = f"[{config.inference.host}]" if ":" in config.inference.host else config.inference.host
    return _Defaults(
        hub=config.hub.public_url,
        inference=f"http://{host}:{config.inference.port}",
        request_images=pool.request_images,
        requests_in_flight=pool.requests_in_flight,
    )


def _key() -> str:
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if key and key.isascii() and key.isprintable():
        return key
    problem = "is not set" if not key else "is not a key"
    typer.echo(f"{KEY_VARIABLE} {problem}; `visionfleet hub keys create --role worker` makes one", err=True)
    raise typer.Exit(BAD_INPUT)


def _check(value: str | None, pattern: str, rule: str) -> str | None:
    if value is None or re.fullmatch(pattern, value):
        return value
    typer.echo(rule, err=True)
    raise typer.Exit(BAD_INPUT)


def _default_name() -> str:
    host = re.sub(r"[^A-Za-z0-9.-]|^[.-]", "-", socket.gethostname())[:100]
    return f"worker-{host}-{os.getpid()}"
