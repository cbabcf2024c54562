"""`visionfleet cost`: what a month of the deployment costs in AWS."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from visionfleet.cli.files import BAD_INPUT, DEFAULT_FILE, FAILED, FileOption, load_or_exit

if TYPE_CHECKING:
    from rich.table import Table

    from visionfleet.projections.cost import Estimate


def cost(
    file: FileOption = DEFAULT_FILE,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="JSON for machines.")] = False,
) -> None:
    """Estimate what a month of the deployment costs in AWS, at the fewest and at the most machines.

    Prices come from a table that is committed with its date. Exit code 1 where it lacks one, 2 where the file is wrong.
    """
    from visionfleet.projections.cloud import NoCloud  # noqa: PLC0415 - slow to import
    from visionfleet.projections.cost import monthly_cost  # noqa: PLC0415
    from visionfleet.projections.prices import PriceMissing  # noqa: PLC0415

    config = load_or_exit(file)
    try:
        estimate = monthly_cost(config)
    except NoCloud as error:
        typer.echo(f"{file}: {error}", err=True)
        raise typer.Exit(BAD_INPUT) from error
    except PriceMissing as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(FAILED) from error
    if as_json:
        typer.echo(json.dumps(_as_data(estimate), indent=2))
    else:
        _show(config.name, estimate)


def _as_data(estimate: Estimate) -> dict[str, Any]:
    return {
        "region": estimate.region,
        "currency": "USD",
        "pricesOf": estimate.prices.date.isoformat(),
        "least": round(estimate.least, 2),
        "most": round(estimate.most, 2),
        "lines": [
            {"section": line.section, "item": line.item, "least": round(line.least, 2), "most": round(line.most, 2)}
            for line in estimate.lines
        ],
    }


def _show(name: str, estimate: Estimate) -> None:
    from rich.console import Console  # noqa: PLC0415 - slow to import

    from visionfleet.projections.cost import HOURS, NOT_COUNTED  # noqa: PLC0415

    console = Console(highlight=False)
    console.print(f"{name} in {estimate.region}: US dollars for a month of {HOURS} hours")
    console.print(_table(estimate))
    console.print(f"Prices of {estimate.prices.date}, on demand, from {estimate.prices.source}: an estimate, no offer.")
    if estimate.has_spot:
        console.print(f"Spot is counted at {estimate.prices.spot_share:.0%} of the price on demand; it changes hourly.")
    console.print(f"Not counted: {'; '.join(NOT_COUNTED)}.")


def _table(estimate: Estimate) -> Table:
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415 - slow to import
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=SIMPLE_HEAD, show_footer=True)
    table.add_column("section", "all")
    table.add_column("what")
    table.add_column("fewest", _dollars(estimate.least), justify="right")
    table.add_column("most", _dollars(estimate.most), justify="right")
    for section, lines in estimate.sections().items():
        for index, line in enumerate(lines):
            table.add_row("" if index else section, line.item, _dollars(line.least), _dollars(line.most))
        if len(lines) > 1:
            least, most = sum(line.least for line in lines), sum(line.most for line in lines)
            table.add_row("", "", _dollars(least), _dollars(most), style="bold")
        table.add_section()
    return table


def _dollars(amount: float) -> str:
    return f"{amount:,.2f}"
