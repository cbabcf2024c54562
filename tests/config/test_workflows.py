import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.config.support import WORKFLOW, changed, write_json
from visionfleet.config import ConfigError, Problem
from visionfleet.config.workflows import check_workflows, read_workflows

Change = Callable[[Any], object]


def problems(folder: Path) -> list[Problem]:
    return check_workflows(folder, ["demo/1"])


def test_a_workflow_is_read(tmp_path: Path) -> None:
    path = write_json(tmp_path / "count-things.json", WORKFLOW)

    (workflow,) = read_workflows(tmp_path).values()

    assert workflow.id == "count-things"
    assert workflow.path == path
    assert workflow.specification == WORKFLOW
    assert workflow.image_inputs == ("image",)
    assert workflow.model_ids == ("demo/1",)
    assert workflow.outputs == ("predictions",)
    assert problems(tmp_path) == []


def test_a_specification_may_be_wrapped(tmp_path: Path) -> None:
    write_json(tmp_path / "wrapped.json", {"specification": WORKFLOW})

    assert read_workflows(tmp_path)["wrapped"].specification == WORKFLOW


def test_other_files_and_folders_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("what they do", encoding="utf-8")
    write_json(tmp_path / "old/broken.json", [])
    write_json(tmp_path / ".hidden.json", [])

    assert read_workflows(tmp_path) == {}
    assert read_workflows(tmp_path / "none") == {}


def test_a_folder_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)

    with pytest.raises(ConfigError, match="cannot be read: Permission denied"):
        read_workflows(tmp_path)


def first_input(**fields: str) -> Change:
    return lambda s: s["inputs"][0].update(fields)


@pytest.mark.parametrize(
    ("change", "path", "rule"),
    [
        (lambda s: s.pop("version"), "version", "is missing or no text"),
        (lambda s: s.update(version=1.0), "version", "is missing or no text"),
        (lambda s: s.pop("inputs"), "inputs", "is missing or no list"),
        (lambda s: s.update(steps={}), "steps", "is missing or no list"),
        (lambda s: s.pop("outputs"), "outputs", "is missing or no list"),
        (first_input(type="WorkflowParameter"), "inputs", "has no image inputs where exactly one is needed"),
        (
            lambda s: s["inputs"].append({"type": "InferenceImage", "name": "second"}),
            "inputs",
            "has 2 image inputs where exactly one is needed",
        ),
        (first_input(name="model"), "inputs[1].name", "is also the name of inputs[0]"),
        (lambda s: s["steps"][1].update(name="detector"), "steps[1].name", "is also the name of steps[0]"),
        (lambda s: s["outputs"].append(dict(s["outputs"][0])), "outputs[1].name", "is also the name of outputs[0]"),
        (lambda s: s["outputs"][0].update(name="../x"), "outputs[0].name", "cannot name a file"),
        (lambda s: s["outputs"][0].update(name=".hidden"), "outputs[0].name", "cannot name a file"),
        (lambda s: s["outputs"][0].update(name="x" * 129), "outputs[0].name", "cannot name a file"),
        (lambda s: s["outputs"][0].pop("selector"), "outputs[0].selector", "is missing or no text"),
        (lambda s: s["steps"][0].pop("type"), "steps[0].type", "is missing or no text"),
        (lambda s: s["steps"][0].update(model_id="demo/3"), "steps[0].model_id", "is not a model of the deployment"),
    ],
)
def test_rules(change: Change, path: str, rule: str, tmp_path: Path) -> None:
    write_json(tmp_path / "bare.json", changed(WORKFLOW, change))
    write_json(tmp_path / "wrapped.json", {"specification": changed(WORKFLOW, change)})

    bare, wrapped = problems(tmp_path)

    assert (bare.path, bare.rule) == (path, rule)
    assert (wrapped.path, wrapped.rule) == (f"specification.{path}", rule)
    assert bare.fix


def test_a_problem_has_its_line(tmp_path: Path) -> None:
    change: Change = lambda s: s["steps"][0].update(model_id="demo/3")  # noqa: E731
    text = json.dumps(changed(WORKFLOW, change), indent="\t")
    path = tmp_path / "tabs.json"
    path.write_text(text, encoding="utf-8")

    (problem,) = problems(tmp_path)

    lines = text.splitlines()
    assert '"demo/3"' in lines[problem.line - 1 if problem.line else 0]
    assert problem.column == lines[problem.line - 1 if problem.line else 0].index('"demo/3"') + 1
    assert (problem.value, problem.fix) == ("demo/3", "did you mean 'demo/1'? Known: demo/1")


def test_text_that_yaml_cannot_read_loses_its_line_only(tmp_path: Path) -> None:
    """JSON writes characters beyond 16 bits as two escapes, which YAML refuses."""
    specification = changed(WORKFLOW, lambda s: s["steps"][0].update(note="\U0001f600", model_id="demo/3"))
    write_json(tmp_path / "emoji.json", specification)

    (problem,) = problems(tmp_path)

    assert (problem.path, problem.code) == ("steps[0].model_id", "unknown-model")


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "json-syntax"),
        (b"{", "json-syntax"),
        (b"[]", "json-kind"),
        (b"null", "json-kind"),
        (b'{"version": "1.0", "version": "1.0"}', "duplicate-key"),
        (b"\xff", "file-encoding"),
        (b'{"a":' * 100_000, "json-syntax"),
        (b'{"specification": []}', "workflow-shape"),
        (b'{"version": "1.0", "inputs": [{"type": [], "name": {}}], "steps": [], "outputs": []}', "workflow-shape"),
        (b'{"version": "1.0", "inputs": [1, null, []], "steps": [[]], "outputs": ["x"]}', "workflow-shape"),
    ],
)
def test_files_that_are_no_workflow(content: bytes, code: str, tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_bytes(content)

    found = problems(tmp_path)

    assert code in {problem.code for problem in found}
    assert found[0].file.endswith("broken.json")
    with pytest.raises(ConfigError):
        read_workflows(tmp_path)


@pytest.mark.parametrize("name", ["Upper", "with space", "-dash", "x" * 65, "dot.dot", "é"])
def test_ids_that_are_not_safe(name: str, tmp_path: Path) -> None:
    write_json(tmp_path / f"{name}.json", WORKFLOW)

    assert [problem.code for problem in problems(tmp_path)] == ["workflow-id"]


def test_links_may_not_leave_the_folder(tmp_path: Path) -> None:
    write_json(tmp_path / "elsewhere.json", WORKFLOW)
    (tmp_path / "workflows").mkdir()
    (tmp_path / "workflows/linked.json").symlink_to("../elsewhere.json")
    (tmp_path / "workflows/nowhere.json").symlink_to("none.json")

    assert [problem.code for problem in problems(tmp_path / "workflows")] == ["workflow-link", "file-missing"]
