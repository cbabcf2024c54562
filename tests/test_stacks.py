"""Stacks as `pulumi` tells them. A script stands in for it; tests/infra/test_engine_outputs.py has the real one."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

import pytest

from visionfleet import stacks
from visionfleet.projections.outputs import OutputsDiffer
from visionfleet.stacks import StackUnavailable, find_pulumi, stack_outputs


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project, and nothing on PATH or in the cache."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "Pulumi.yaml").write_text("name: visionfleet\n", encoding="utf-8")
    return folder


def stand_in(folder: Path, *, prints: str = "", says: str = "", code: int = 0, first: str = "") -> Path:
    """A STAND-IN for `pulumi`: a script that prints, complains and ends as it is told."""
    folder.mkdir(parents=True, exist_ok=True)
    script = folder / "pulumi"
    lines = ["#!/bin/sh", first, f"printf %s {shlex.quote(prints)}", f"printf %s {shlex.quote(says)} >&2"]
    script.write_text("\n".join([*lines, f"exit {code}", ""]), encoding="utf-8")
    script.chmod(0o755)
    return script


def test_outputs_come_from_the_stack_that_is_asked_for(project: Path, tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    stand_in(tmp_path / "bin", prints='{"region": "eu-central-1"}', first=f'echo "$@" > {asked}')

    assert stack_outputs("acme/prod", project).region == "eu-central-1"
    command = "stack output --json --stack acme/prod --cwd"
    assert asked.read_text(encoding="utf-8") == f"{command} {project} --non-interactive\n"


def test_what_a_loop_reads_its_stacks_from_stays_the_loop_s(project: Path, tmp_path: Path) -> None:
    """As in `while read stack; do visionfleet outputs --stack "$stack"; done <stacks.txt`."""
    stand_in(tmp_path / "bin", prints='{"region": "eu-central-1"}', first="read -r line || true")
    (tmp_path / "stacks.txt").write_text("prod\nstaging\n", encoding="utf-8")
    before = os.dup(0)
    with (tmp_path / "stacks.txt").open() as stacks_file:
        os.dup2(stacks_file.fileno(), 0)
        try:
            stack_outputs("prod", project)
            assert os.read(0, 100) == b"prod\nstaging\n"
        finally:
            os.dup2(before, 0)
            os.close(before)


def test_the_project_may_lie_above(project: Path, tmp_path: Path) -> None:
    stand_in(tmp_path / "bin", prints='{"region": "eu-central-1"}')
    (project / "infra").mkdir()

    assert stack_outputs("prod", project / "infra").region == "eu-central-1"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"prints": "{}"}, "the stack 'prod' has no outputs\n  bring it up first: pulumi up --stack prod"),
        ({"says": "error: no stack named 'prod' found", "code": 255}, "there is no stack 'prod'\n  `pulumi stack ls`"),
        ({"says": "error: passphrase must be set", "code": 255}, "pulumi cannot read the stack 'prod':\nerror: pass"),
        ({"prints": "no JSON"}, "pulumi answered with something else than outputs\n  update pulumi"),
        ({"prints": "[]"}, "pulumi answered with something else than outputs\n  update pulumi"),
    ],
)
def test_why_there_are_none(answer: dict[str, object], message: str, project: Path, tmp_path: Path) -> None:
    stand_in(tmp_path / "bin", **answer)  # pyright: ignore[reportArgumentType] - of the parameters' kinds

    with pytest.raises(StackUnavailable) as caught:
        stack_outputs("prod", project)

    assert str(caught.value).startswith(message)


def test_outputs_of_another_version(project: Path, tmp_path: Path) -> None:
    stand_in(tmp_path / "bin", prints=json.dumps({"region": "eu-central-1", "url": "https://a.example"}))

    with pytest.raises(OutputsDiffer, match="'url' is unknown"):
        stack_outputs("prod", project)


def test_without_pulumi(project: Path) -> None:
    with pytest.raises(StackUnavailable, match="there is no pulumi on PATH\n  install it"):
        stack_outputs("prod", project)


def test_without_a_project(tmp_path: Path) -> None:
    with pytest.raises(StackUnavailable, match="is no Pulumi project"):
        stack_outputs("prod", tmp_path)


def test_a_command_that_does_not_run(project: Path, tmp_path: Path) -> None:
    stand_in(tmp_path / "bin").write_text("#!/no/such/shell\n", encoding="utf-8")

    with pytest.raises(StackUnavailable, match="pulumi cannot be run: No such file or directory\n  try `"):
        stack_outputs("prod", project)


def test_a_command_that_does_not_end(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacks, "TIMEOUT_SECONDS", 0.1)
    stand_in(tmp_path / "bin", first="exec /bin/sleep 5")

    with pytest.raises(StackUnavailable, match=r"pulumi cannot be run: it took over 0\.1 s"):
        stack_outputs("prod", project)


def test_the_newest_of_the_cache_serves_where_path_has_none(project: Path, tmp_path: Path) -> None:
    engines = tmp_path / "cache/visionfleet/engines"
    stand_in(engines / "pulumi-3.99.0")
    newest = stand_in(engines / "pulumi-3.259.0")
    stand_in(engines / "pulumi-language-python-4.0.0")
    stand_in(engines / "pulumi-4.0.0").chmod(0o644)  # half built

    assert find_pulumi() == newest
    on_path = stand_in(tmp_path / "bin")
    assert find_pulumi() == on_path
