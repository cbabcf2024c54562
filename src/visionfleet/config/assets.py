"""The files that the deployment's file names: model packages and workflows.

They are checked for every entry that is right in itself, whatever is wrong elsewhere, so that one run shows everything.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import ValidationError

from visionfleet.config.errors import Problem, display_path
from visionfleet.config.files import folder_fault
from visionfleet.config.kinds import absolute_path, is_path
from visionfleet.config.models import Model
from visionfleet.config.packages import check_package
from visionfleet.config.section import entries, peek
from visionfleet.config.translate import Finding
from visionfleet.config.workflows import check_workflows


def package_findings(models: Iterable[tuple[int, Model]]) -> Iterator[Finding]:
    """What is wrong with the packages of the models, given with their places in the list."""
    checked: dict[tuple[object, ...], tuple[Problem, ...]] = {}
    for index, model in models:
        key = (model.package, model.architecture, model.task)
        if key not in checked:
            checked[key] = check_package(model)
        for problem in checked[key]:
            rule = _package_rule(problem, model.package)
            yield Finding(("models", index, "package"), problem.code, rule, problem.fix)


def workflow_problems(data: object, folder: Path) -> Iterator[Problem | Finding]:
    """What is wrong with the workflows: a Finding about the key `workflows`, Problems of the files themselves."""
    named = peek(data, "workflows")
    if named is not None and not (isinstance(named, str) and is_path(named)):
        return
    path = absolute_path(named or "./workflows", folder)
    fault = folder_fault(path) if named else None
    if fault:
        yield Finding(("workflows",), "workflows-missing", fault, "make the folder, or remove the key")
    yield from check_workflows(path, _model_ids(data))


def models_of(data: object, folder: Path) -> Iterator[tuple[int, Model]]:
    """The entries of `models` that are right in themselves, in data that is not right as a whole."""
    for index, entry in enumerate(entries(peek(data, "models"))):
        try:
            yield index, Model.model_validate(entry, context={"folder": folder})
        except ValidationError:
            continue


def _model_ids(data: object) -> dict[str, None]:
    """Every id that is written, right or not, in order: a workflow that names it is not what is wrong."""
    ids = (peek(entry, "id") for entry in entries(peek(data, "models")))
    return dict.fromkeys(model_id for model_id in ids if isinstance(model_id, str))


def _package_rule(problem: Problem, folder: Path) -> str:
    if problem.file == display_path(folder):
        return problem.rule
    line = f":{problem.line}" if problem.line else ""
    return f"is no package to serve: {Path(problem.file).name}{line} {problem.rule}"
