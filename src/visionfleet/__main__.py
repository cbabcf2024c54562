"""`python -m visionfleet`: the same as the `visionfleet` command."""

from visionfleet.cli import app

app()
