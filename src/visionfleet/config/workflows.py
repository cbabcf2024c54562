"""Workflow files: what the inference server runs on an image, as Roboflow's editor exports it.

Checked is what the hub, the worker and `inference` 1.8.3 rely on: the sections of a specification, unique names, one
image input to put the images of a batch in, outputs whose names can name files, and models that the deployment has.
What a block wants of its step is the server's to check: it alone knows the blocks.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from visionfleet.config.document import Place, find_places, nearest_place
from visionfleet.config.errors import ConfigError, Problem, display_path, near_miss, path_text, shown
from visionfleet.config.files import MEBIBYTE, read_json, read_text, refuse_file
from visionfleet.config.section import Breach, Location, peek

MAX_WORKFLOW_BYTES = 4 * MEBIBYTE
IMAGE_TYPES = ("WorkflowImage", "InferenceImage")
# Roboflow's workflow slugs; the id is part of URLs and file names
_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
# an output's name becomes the folder of its images, and a column of a table
_OUTPUT_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_SECTIONS = ("inputs", "steps", "outputs")


@dataclass(frozen=True, slots=True)
class Workflow:
    """A checked workflow; `image_inputs` holds one name. `model_ids` are those that steps name outright, in order."""

    id: str
    path: Path
    specification: dict[str, Any]
    image_inputs: tuple[str, ...]
    model_ids: tuple[str, ...]
    outputs: tuple[str, ...]


def read_workflows(folder: Path) -> dict[str, Workflow]:
    """The workflows in `folder` by id; none where there is no such folder.

    Raises:
        ConfigError: every problem of every file.
    """
    workflows, problems = _read_all(folder)
    if problems:
        raise ConfigError(problems)
    return workflows


def check_workflows(folder: Path, model_ids: Collection[str]) -> list[Problem]:
    """Every problem of the workflows in `folder`, in a deployment that has the models `model_ids`."""
    workflows, problems = _read_all(folder)
    for workflow in workflows.values():
        problems += _located(workflow.path, _unknown_models(workflow, model_ids))
    return problems


def workflow_ids(folder: Path) -> list[str] | None:
    """The ids of the workflows in `folder`, whatever is wrong with them; None where it cannot be read."""
    try:
        return [path.stem for path in _paths(folder)]
    except OSError:
        return None


def _read_all(folder: Path) -> tuple[dict[str, Workflow], list[Problem]]:
    workflows: dict[str, Workflow] = {}
    problems: list[Problem] = []
    try:
        paths = _paths(folder)
    except OSError as error:
        rule = f"cannot be read: {error.strerror}"
        fix = "mend its permissions"
        return workflows, [Problem(display_path(folder), None, None, "", None, rule, fix, "workflows-missing")]
    for path in paths:
        try:
            workflows[path.stem] = _read_workflow(path, folder)
        except ConfigError as error:
            problems += error.problems
    return workflows, problems


def _paths(folder: Path) -> list[Path]:
    """The files of workflows; none where there is no such folder. Hidden files are editors' and archivers' own."""
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == ".json" and not path.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _read_workflow(path: Path, folder: Path) -> Workflow:
    if not _ID.fullmatch(path.stem):
        fix = "rename the file: lower-case letters, digits, '-' and '_', at most 64"
        refuse_file(path, "workflow-id", f"'{shown(path.stem)}' is not a workflow id", fix)
    specification = _specification_of(read_json(path, MAX_WORKFLOW_BYTES))
    if not path.resolve().is_relative_to(folder.resolve()):
        refuse_file(path, "workflow-link", "is a link out of the folder of workflows", "copy the file into the folder")
    problems = _located(path, _breaches(specification))
    if problems:
        raise ConfigError(problems)
    return Workflow(
        id=path.stem,
        path=path,
        specification=specification,
        image_inputs=tuple(entry["name"] for entry in specification["inputs"] if entry["type"] in IMAGE_TYPES),
        model_ids=tuple(dict.fromkeys(model_id for _, model_id in _model_ids(specification))),
        outputs=tuple(entry["name"] for entry in specification["outputs"]),
    )


def _specification_of(content: dict[str, Any]) -> dict[str, Any]:
    """Roboflow's API wraps the specification in an object, its editor shows it bare."""
    wrapped = content.get("specification")
    return cast("dict[str, Any]", wrapped) if isinstance(wrapped, dict) else content


def _breaches(specification: dict[str, Any]) -> Iterator[Breach]:
    if not isinstance(specification.get("version"), str):
        yield Breach(
            ("version",), None, "workflow-shape", "is missing or no text", 'a specification has "version": "1.0"'
        )
    for section in _SECTIONS:
        entries = specification.get(section)
        if isinstance(entries, list):
            yield from _entry_breaches(section, cast("list[object]", entries))
        else:
            fix = f"a specification has the lists {', '.join(_SECTIONS)}"
            yield Breach((section,), None, "workflow-shape", "is missing or no list", fix)
    yield from _image_input_breaches(specification.get("inputs"))


def _entry_breaches(section: str, entries: list[object]) -> Iterator[Breach]:
    """Inputs, steps and outputs have names, each its own; other parts point to them by name."""
    needed = ("type", "name", "selector") if section == "outputs" else ("type", "name")
    first: dict[str, int] = {}
    for index, entry in enumerate(entries):
        for key in needed:
            if not isinstance(peek(entry, key), str):
                fix = f"each of the {section} has {', '.join(needed)}"
                yield Breach((section, index, key), None, "workflow-shape", "is missing or no text", fix)
        name = peek(entry, "name")
        if not isinstance(name, str):
            continue
        at = (section, index, "name")
        if first.setdefault(name, index) != index:
            rule = f"is also the name of {path_text((section, first[name]))}"
            yield Breach(at, name, "workflow-name", rule, "give each a name of its own")
        elif section == "outputs" and not _OUTPUT_NAME.fullmatch(name):
            fix = "results are filed under it: use letters, digits, '_', '-' and '.', at most 128"
            yield Breach(at, name, "workflow-name", "cannot name a file", fix)


def _image_input_breaches(inputs: object) -> Iterator[Breach]:
    if not isinstance(inputs, list):
        return
    images = [entry for entry in cast("list[object]", inputs) if peek(entry, "type") in IMAGE_TYPES]
    if len(images) != 1:
        rule = f"has {len(images) or 'no'} image inputs where exactly one is needed"
        fix = f"an input of type {' or '.join(IMAGE_TYPES)} takes the images of a batch"
        yield Breach(("inputs",), None, "workflow-image-input", rule, fix)


def _unknown_models(workflow: Workflow, model_ids: Collection[str]) -> Iterator[Breach]:
    for index, model_id in _model_ids(workflow.specification):
        if model_id not in model_ids:
            at, rule = ("steps", index, "model_id"), "is not a model of the deployment"
            yield Breach(at, model_id, "unknown-model", rule, near_miss(model_id, model_ids))


def _model_ids(specification: dict[str, Any]) -> Iterator[tuple[int, str]]:
    """The models that steps name outright, by step; `$inputs.…` is known only when a request comes."""
    for index, step in enumerate(specification["steps"]):
        model_id = peek(step, "model_id")
        if isinstance(model_id, str) and not model_id.startswith("$"):
            yield index, model_id


def _located(path: Path, breaches: Iterable[Breach]) -> list[Problem]:
    """The breaches at their places. JSON is YAML, near enough for our reader to know where things stand."""
    breaches = list(breaches)
    places = find_places(read_text(path, MAX_WORKFLOW_BYTES)) if breaches else {}
    root: Location = ("specification",) if ("specification",) in places else ()
    return [_problem(path, breach, (*root, *breach.location), places) for breach in breaches]


def _problem(path: Path, breach: Breach, location: Location, places: Mapping[Location, Place]) -> Problem:
    place = nearest_place(places, location)
    value = shown(breach.value) if isinstance(breach.value, str) else None
    where = path_text(location)
    return Problem(display_path(path), place.line, place.column, where, value, breach.rule, breach.fix, breach.code)
