"""`visionfleet fleet`: the devices at the edge, as the hub knows them."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from visionfleet.cli.files import BAD_INPUT, DEFAULT_FILE, FAILED, FileOption, load_or_exit
from visionfleet.protocol import VerdictResult

if TYPE_CHECKING:
    from rich.table import Table

    from visionfleet.config import DeploymentConfig
    from visionfleet.protocol import DeviceState

UNKNOWN = "-"
HEALTHY, UNREADY, LATE, NEVER_SEEN = "healthy", "unready", "late", "never seen"
STYLES = {HEALTHY: "green", UNREADY: "red", LATE: "red", NEVER_SEEN: "dim"}
MAKE_A_KEY = "`visionfleet hub keys create --name fleet --role fleet` makes one"

app = typer.Typer(help="The devices at the edge, as the hub knows them.", no_args_is_help=True)


@app.callback()
def _group() -> None:  # pyright: ignore[reportUnusedFunction] - typer calls it
    """Keeps `status` a command of its own: typer folds a single command into its group."""


@app.command()
def status(
    file: FileOption = DEFAULT_FILE,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="JSON for machines: a list, an object a device.")] = False,
    group: Annotated[str | None, typer.Option(help="Show the devices of this group alone.")] = None,
) -> None:
    """Show each device: the release that it runs and the one that the file asks for, its health, when it was seen.

    Exit code 0 whatever the devices' state, 1 where the hub does not tell it, 2 where file, group or key are wrong.
    """
    config = load_or_exit(file)
    _check_group(config, group)
    from visionfleet.hub.fleet.client import FleetUnavailable, fetch_devices  # noqa: PLC0415 - slow to import

    try:
        devices = fetch_devices(config.hub.public_url, _key(config))
    except FleetUnavailable as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(FAILED) from error
    shown = [device for device in devices if group is None or device.group == group]
    if as_json:
        typer.echo(json.dumps([device.model_dump(mode="json") for device in shown], indent=2))
    else:
        _show(shown)


def _check_group(config: DeploymentConfig, group: str | None) -> None:
    known = [entry.name for entry in config.edge.groups]
    if group is not None and group not in known:
        typer.echo(f"edge.groups has no group '{group}'; known are: {', '.join(known) or 'none'}", err=True)
        raise typer.Exit(BAD_INPUT)


def _key(config: DeploymentConfig) -> str:
    from visionfleet.config import SecretUnavailable  # noqa: PLC0415

    reference = config.edge.fleet_key
    try:
        key = reference.resolve().strip()
    except SecretUnavailable as error:
        typer.echo(f"edge.fleet_key: {error}; {MAKE_A_KEY}", err=True)
        raise typer.Exit(BAD_INPUT) from error
    if not (key and key.isascii() and key.isprintable()):
        typer.echo(f"edge.fleet_key: {reference} is not a key; {MAKE_A_KEY}", err=True)
        raise typer.Exit(BAD_INPUT)
    return key


def _show(devices: Sequence[DeviceState]) -> None:
    from rich.console import Console  # noqa: PLC0415 - slow to import

    console = Console(highlight=False)
    if devices:
        console.print(_table(devices, time.time()))
    for device in devices:
        if device.report and device.report.verdict and _has_failed(device):
            verdict = device.report.verdict
            console.print(f"{device.name}: release {verdict.release} {verdict.result}: {verdict.reason}", markup=False)
    console.print(_summary(devices))


def _table(devices: Sequence[DeviceState], now: float) -> Table:
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415 - slow to import
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=SIMPLE_HEAD)
    for name in ("device", "group", "release", "version", "health"):
        table.add_column(name)
    for name in ("°C", "GiB disk free", "GiB memory free", "seen"):
        table.add_column(name, justify="right")
    for device in devices:
        report = device.report
        table.add_row(
            device.name,
            device.group or "not in the file",
            _release(device),
            (report and report.version) or UNKNOWN,
            _marked(report.health, STYLES[_state(device)]) if report else UNKNOWN,
            UNKNOWN if report is None or report.temperature_celsius is None else f"{report.temperature_celsius:.0f}",
            _share(report.disk_free_mb, report.disk_total_mb) if report else UNKNOWN,
            _share(report.memory_available_mb, report.memory_total_mb) if report else UNKNOWN,
            _seen(device, now),
        )
    return table


def _summary(devices: Sequence[DeviceState]) -> str:
    """Each device is counted in one state; those on another release, and those that went back, are among these."""
    states = Counter(_state(device) for device in devices)
    counted = ", ".join(f"{states[state]:,} {state}" for state in STYLES)
    other, back = sum(map(_is_on_another, devices)), sum(map(_went_back, devices))
    noun = "device" if len(devices) == 1 else "devices"
    return f"{len(devices):,} {noun}: {counted}; {other:,} on another release than asked, {back:,} returned"


def _state(device: DeviceState) -> str:
    if device.report is None:
        return NEVER_SEEN
    if device.late:
        return LATE
    return HEALTHY if device.report.health == HEALTHY else UNREADY


def _is_on_another(device: DeviceState) -> bool:
    return device.in_file and device.report is not None and device.report.release != device.release


def _has_failed(device: DeviceState) -> bool:
    """Whether the last release that the device was told to make was not accepted."""
    return _result(device) not in (None, VerdictResult.ACCEPTED)


def _went_back(device: DeviceState) -> bool:
    """Whether that release had been switched to; one that was refused never was."""
    return _result(device) in (VerdictResult.RETURNED, VerdictResult.RECOVERED)


def _result(device: DeviceState) -> VerdictResult | None:
    """What became of the last release on the device; None where it says nothing of one."""
    verdict = device.report and device.report.verdict
    return verdict and verdict.result


def _release(device: DeviceState) -> str:
    running = (device.report and device.report.release) or UNKNOWN
    if not device.in_file or device.release == running:
        return running
    return _marked(f"{running}, asked {device.release}", "yellow")


def _seen(device: DeviceState, now: float) -> str:
    if device.seen_at is None:
        return "never"
    text = _ago(max(now - device.seen_at, 0.0))
    return _marked(text, STYLES[LATE]) if device.late else text


def _ago(seconds: float) -> str:
    """How long ago, in the largest unit that there is one of."""
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


def _share(free_mb: int | None, total_mb: int | None) -> str:
    if free_mb is None or total_mb is None:
        return UNKNOWN
    return f"{free_mb / 1024:.1f} of {total_mb / 1024:.1f}"


def _marked(text: str, style: str) -> str:
    # none of the texts can hold markup: protocol.py has their patterns
    return f"[{style}]{text}[/]"
