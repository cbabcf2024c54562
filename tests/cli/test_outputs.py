import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from visionfleet.cli import app
from visionfleet.projections.outputs import OutputsDiffer, StackOutputs
from visionfleet.stacks import StackUnavailable

run = CliRunner().invoke
OUTPUTS = StackOutputs(
    region="eu-central-1",
    endpoints={"line-3": "https://line-3.vision.acme.example"},
    bucket="acme-vision-hub-1234567",
    cluster="acme-vision",
)


def answer(monkeypatch: pytest.MonkeyPatch, result: StackOutputs | Exception) -> list[tuple[str, Path]]:
    asked: list[tuple[str, Path]] = []

    def stack_outputs(stack: str, project: Path) -> StackOutputs:
        asked.append((stack, project))
        if isinstance(result, Exception):
            raise result
        return result

    monkeypatch.setattr("visionfleet.stacks.stack_outputs", stack_outputs)
    return asked


def test_what_there_is_is_shown_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    asked = answer(monkeypatch, OUTPUTS)

    result = run(app, ["outputs", "--stack", "prod"])

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "endpoints.line-3  https://line-3.vision.acme.example",
        "region            eu-central-1",
        "bucket            acme-vision-hub-1234567",
        "cluster           acme-vision",
    ]
    assert asked == [("prod", tmp_path)]


def test_outputs_for_machines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = answer(monkeypatch, OUTPUTS)

    result = run(app, ["outputs", "-s", "acme/prod", "--project", str(tmp_path), "--json"])

    assert json.loads(result.stdout) == OUTPUTS.model_dump()
    assert asked == [("acme/prod", tmp_path)]


@pytest.mark.parametrize(
    "error", [StackUnavailable("there is no stack 'prod'\n  make it"), OutputsDiffer("another version\n  run it")]
)
def test_why_there_are_none(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, error)

    result = run(app, ["outputs", "--stack", "prod"])

    assert (result.exit_code, result.stdout, result.stderr) == (1, "", f"error: {error}\n")


def test_a_stack_must_be_named() -> None:
    assert run(app, ["outputs"]).exit_code == 2
