"""The `visionfleet` command: one file a command. Each parses, calls and prints; the work is done elsewhere."""

from __future__ import annotations

import typer

from visionfleet.cli import fleet, hub, local, render, worker
from visionfleet.cli.cost import cost
from visionfleet.cli.outputs import outputs
from visionfleet.cli.schema import schema
from visionfleet.cli.validate import validate

app = typer.Typer(
    name="visionfleet",
    help="Roboflow Inference on infrastructure that you own, from one typed file.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,  # a traceback with locals prints secrets
)
app.command()(validate)
app.command()(schema)
app.command()(cost)
app.command()(outputs)
app.add_typer(render.app, name="render")
app.add_typer(hub.app, name="hub")
app.add_typer(fleet.app, name="fleet")
app.add_typer(worker.app, name="worker")
app.add_typer(local.app, name="local")
