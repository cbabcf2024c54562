import json

import typer
from typer.testing import CliRunner

from visionfleet.cli.schema import schema
from visionfleet.config.schema import json_schema


def test_the_schema_is_printed() -> None:
    app = typer.Typer()
    app.command()(schema)

    result = CliRunner().invoke(app)

    assert result.exit_code == 0
    assert json.loads(result.stdout) == json_schema()
