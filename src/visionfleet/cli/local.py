"""`visionfleet local`: hub, inference server and workers on this machine."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer

from visionfleet.cli.files import BAD_INPUT, DEFAULT_FILE, FileOption, load_or_exit
from visionfleet.local.errors import LocalError

if TYPE_CHECKING:
    from visionfleet.config import DeploymentConfig
    from visionfleet.local.stack import Stack

app = typer.Typer(help="The deployment on this machine.", no_args_is_help=True)

POLL_SECONDS = 0.5
EXIT_SIGNAL = 128  # plus the signal's number, as shells have it


@app.command()
def install(
    file: Annotated[Path | None, typer.Option("--file", "-f", help="The deployment file, for its version.")] = None,
) -> None:
    """Install the native inference runtime into the cache; where it is there already, say so."""
    from visionfleet.config.inference import Inference  # noqa: PLC0415
    from visionfleet.local import runtime  # noqa: PLC0415

    version = load_or_exit(file).inference.version if file else Inference().version
    with _failures():
        installed = runtime.install(version, _report)
    _report(f"inference runtime {version} is in {installed.folder}")


@app.command()
def up(
    file: FileOption = DEFAULT_FILE,
    runtime: Annotated[
        Literal["auto", "docker", "native"],
        typer.Option(help="What runs the inference server; auto: Docker where it can, else the native runtime."),
    ] = "auto",
) -> None:
    """Start hub, inference server and workers, and leave them running."""
    from visionfleet.local.servers import RuntimeKind  # noqa: PLC0415

    config = load_or_exit(file)
    with _failures():
        state, started = _stack(config, file).up(RuntimeKind(runtime))
    _report("running" if started else "is running already: nothing was changed")
    for name, url in state.urls.items():
        _report(f"{name}: {url}")
    _report(f"a key for clients: visionfleet hub keys create --name NAME --file {file}")
    _report(f"the end of it:     visionfleet local down --file {file}")


@app.command()
def status(file: FileOption = DEFAULT_FILE) -> None:
    """Show what runs. Exit code 1 where something has ended that should run."""
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    from visionfleet.local.processes import tail  # noqa: PLC0415
    from visionfleet.local.state import State  # noqa: PLC0415

    with _failures():
        state = State.read(load_or_exit(file).hub.state)
    if state is None:
        typer.echo("nothing was started here")
        return
    table = Table("name", "state", "pid", "for", "address")
    for process in state.processes:
        running = process.is_running
        age = f"{time.time() - process.started:.0f} s" if running else ""
        word = "running" if running else "[red]ended[/red]"
        table.add_row(process.name, word, str(process.pid), age, state.urls.get(process.name, ""))
    Console().print(table)
    ended = [process for process in state.processes if not process.is_running]
    for process in ended:
        typer.echo(f"{process.name} has ended; the last lines of its log:\n{tail(process.log)}", err=True)
    if ended:
        raise typer.Exit(1)


@app.command()
def logs(
    name: Annotated[str | None, typer.Argument(help="hub, inference, worker-1, …; all unless given.")] = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="Lines from the end of each log.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", help="Go on printing what is added.")] = False,  # noqa: FBT002 - typer's way of a flag
    file: FileOption = DEFAULT_FILE,
) -> None:
    """Print the last lines of the logs."""
    from visionfleet.local.processes import tail  # noqa: PLC0415

    folder = load_or_exit(file).hub.state / "logs"
    known = {path.stem: path for path in sorted(folder.glob("*.log"))}
    if not known or (name is not None and name not in known):
        typer.echo(f"no log of that name; known: {', '.join(known) or 'none, nothing was started yet'}", err=True)
        raise typer.Exit(BAD_INPUT)
    chosen = [known[name]] if name else list(known.values())
    sizes = {path: path.stat().st_size for path in chosen}
    for path in chosen:
        if name is None:
            typer.echo(f"==> {path.stem} <==")
        typer.echo(tail(path, lines))
    while follow:
        time.sleep(POLL_SECONDS)
        sizes = {path: _print_from(path, size) for path, size in sizes.items()}


@app.command()
def down(file: FileOption = DEFAULT_FILE) -> None:
    """Stop what runs; do nothing where nothing does."""
    config = load_or_exit(file)
    with _failures():
        stopped = _stack(config, file).down()
    _report("stopped" if stopped else "nothing runs here")


def _print_from(path: Path, size: int) -> int:
    """Prints what was added to the file, which may have been started anew; gives its size now."""
    with path.open("rb") as log:
        end = log.seek(0, 2)
        log.seek(size if size <= end else 0)
        sys.stdout.write(log.read().decode("utf-8", "replace"))
        sys.stdout.flush()
        return log.tell()


class _HubKeys:
    """The hub's keys, straight from its database: it need not run for that."""

    def __init__(self, config: DeploymentConfig) -> None:
        self._config = config

    def create(self, name: str, role: str) -> tuple[str, str]:
        from visionfleet.hub.keys import create_key  # noqa: PLC0415

        return create_key(self._config, name=name, role=role)

    def revoke(self, key_id: str) -> None:
        from visionfleet.hub.errors import HubError  # noqa: PLC0415
        from visionfleet.hub.keys import revoke_key  # noqa: PLC0415

        try:
            revoke_key(self._config, key_id)
        except HubError as error:
            if error.code != "key_not_found":  # the database may have been made anew since
                raise


def _stack(config: DeploymentConfig, file: Path) -> Stack:
    from visionfleet.local.stack import Stack  # noqa: PLC0415

    return Stack(config, file, _HubKeys(config), _report)


def _report(line: str) -> None:
    typer.echo(f"  {line}", err=True)


@contextmanager
def _failures() -> Generator[None]:
    """A failure as its message, with the log that matters, and exit code 1. SIGTERM ends a command as Ctrl-C does."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        yield
    except LocalError as error:
        typer.echo(str(error), err=True)
        if error.log:
            typer.echo(f"the last lines of the log:\n{error.log}", err=True)
        raise typer.Exit(1) from None


def _interrupt(number: int, _: object) -> NoReturn:
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)  # not in the middle of the cleaning up that follows
    typer.echo("interrupted: what was started is stopped", err=True)
    raise SystemExit(EXIT_SIGNAL + number)
