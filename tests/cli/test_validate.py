import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from tests.config.support import write_file
from visionfleet.cli.validate import validate

app = typer.Typer()
app.command()(validate)
run = CliRunner().invoke


def test_a_right_file(tmp_path: Path) -> None:
    result = run(app, [str(write_file(tmp_path))])

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"{tmp_path}/visionfleet.yaml is valid: deployment 'acme-vision'\n"


def test_a_wrong_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_file(tmp_path, "hub: {port: 0}\ninference: {prot: 1}\n")

    result = run(app, [])

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines() == [
        "visionfleet.yaml:3:13: hub.port: '0' is not from 1 to 65535",
        "  port that the hub listens on",
        "visionfleet.yaml:4:13: inference.prot: 'prot' is not a key of section 'inference'",
        "  did you mean 'port'? Known: version, image, digest, registry, host, port",
        "2 problems",
    ]


def test_problems_for_machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_file(tmp_path, "hub: {port: 0}\n")

    result = run(app, ["visionfleet.yaml", "--format", "json"])

    assert result.exit_code == 2
    assert json.loads(result.stdout) == [
        {
            "file": "visionfleet.yaml",
            "line": 3,
            "column": 13,
            "path": "hub.port",
            "value": "0",
            "rule": "is not from 1 to 65535",
            "fix": "port that the hub listens on",
            "code": "out-of-range",
        }
    ]


def test_no_problems_for_machines(tmp_path: Path) -> None:
    result = run(app, [str(write_file(tmp_path)), "--format", "json"])

    assert (result.exit_code, json.loads(result.stdout)) == (0, [])


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    result = run(app, [str(tmp_path / "none.yaml")])

    assert result.exit_code == 2
    assert result.stderr.startswith(f"{tmp_path}/none.yaml: does not exist\n")


def test_another_format(tmp_path: Path) -> None:
    assert run(app, ["--format", "xml"]).exit_code == 2
