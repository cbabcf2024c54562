"""The way from a file to a checked, frozen `DeploymentConfig`."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import cast

from pydantic import ValidationError

from visionfleet.config.assets import models_of, package_findings, workflow_problems
from visionfleet.config.deployment import DeploymentConfig
from visionfleet.config.devices import with_devices
from visionfleet.config.document import Document, Fault, Place, find_places, nearest_place, read
from visionfleet.config.edge_assets import edge_findings
from visionfleet.config.errors import ConfigError, Problem, display_path, path_text, shown
from visionfleet.config.files import MEBIBYTE, read_text
from visionfleet.config.rows import row_at
from visionfleet.config.section import Location
from visionfleet.config.serving_assets import serving_findings
from visionfleet.config.translate import Finding, findings_of

# 10,000 devices written out are about 1 MB
MAX_FILE_BYTES = 8 * MEBIBYTE
MAX_PROBLEMS = 1000
_HINT = "'name' and 'workspace' are all that a file must have"


def load(path: Path | str) -> DeploymentConfig:
    """Read and check the file at `path`, and what it names. Relative paths in it are taken from its folder.

    Raises:
        ConfigError: everything that is wrong with the file, and with the model packages and workflows that it names.
    """
    path = Path(path)
    text = read_text(path, MAX_FILE_BYTES, _HINT).removeprefix("\ufeff")
    document = read(text)
    folder = path.absolute().parent
    if () in document.unknown:
        raise ConfigError(_placed([], document, display_path(path), text))
    data, problems = _whole(document.data, folder)
    config, found = _validate(data, folder, devices_known=not problems)
    problems += found
    if config is None or problems or document.faults:
        raise ConfigError(_placed(problems, replace(document, data=data), display_path(path), text))
    return config


def load_as_in(path: Path, folder: Path) -> DeploymentConfig:
    """The right file at `path` as it reads where it lies in `folder`: its paths lead there. Nothing is looked up there.

    The devices of `devices_from` are left out.
    """
    text = read_text(path, MAX_FILE_BYTES, _HINT).removeprefix("\ufeff")
    return DeploymentConfig.model_validate(read(text).data, context={"folder": folder})


def _whole(data: object, folder: Path) -> tuple[object, list[Finding | Problem]]:
    """The data with the devices of the files that it names, and what is wrong with these."""
    return with_devices(cast("dict[str, object]", data), folder) if isinstance(data, dict) else (data, [])


def _validate(
    data: object, folder: Path, *, devices_known: bool
) -> tuple[DeploymentConfig | None, list[Finding | Problem]]:
    """The configuration where the data makes one, and all that is wrong with the data and the files that it names."""
    if not isinstance(data, dict):
        rule = "is empty" if data is None else "is no mapping of keys to values"
        return None, [Finding((), "not-a-mapping", rule, f"write 'key: value' lines; {_HINT}", shows_value=False)]
    data = cast("dict[str, object]", data)
    config, problems = None, list[Finding | Problem]()
    try:
        config = DeploymentConfig.model_validate(data, context={"folder": folder})
    except ValidationError as error:
        problems.extend(_first_findings(error))
    models = list(enumerate(config.models) if config else models_of(data, folder))
    problems += package_findings(models)
    problems += workflow_problems(data, folder)
    problems += serving_findings(data, models)
    problems += edge_findings(data, folder, models, devices_known=devices_known)
    return config, problems


def _first_findings(error: ValidationError) -> list[Finding]:
    findings = list(islice(findings_of(error, DeploymentConfig), MAX_PROBLEMS))
    if len(findings) == MAX_PROBLEMS:
        rule = f"has more problems than the {MAX_PROBLEMS} that are shown"
        findings.append(Finding((), "too-many-problems", rule, "mend these first", shows_value=False))
    return findings


def _placed(problems: list[Finding | Problem], document: Document, file: str, text: str) -> list[Problem]:
    """The faults of the document, and every problem at its place, except where a fault says that nothing is known."""
    placed = [_fault_problem(file, fault) for fault in document.faults]
    places = find_places(text) if problems else {}
    for problem in problems:
        if isinstance(problem, Problem):
            placed.append(problem)
        elif row := row_at(document.data, problem.location):
            of_row = replace(problem, location=row[1])
            placed.append(_finding_problem(display_path(row[0].path), of_row, row[0].places()))
        elif not _is_unknown(problem.location, document):
            placed.append(_finding_problem(file, problem, places))
    return placed


def _is_unknown(location: Location, document: Document) -> bool:
    return any(location[:length] in document.unknown for length in range(len(location) + 1))


def _fault_problem(file: str, fault: Fault) -> Problem:
    path = path_text(fault.location)
    value = shown(fault.value, path) if fault.value is not None else None
    return Problem(file, fault.line, fault.column, path, value, fault.rule, fault.fix, fault.code)


def _finding_problem(file: str, finding: Finding, places: Mapping[Location, Place]) -> Problem:
    """A missing key is shown at its section, a wrong key where it stands, and a wrong value at the value."""
    path = path_text(finding.location)
    place = nearest_place(places, finding.location)
    at_key = finding.of_key or finding.location not in places
    line, column = (place.key_line, place.key_column) if at_key else (place.line, place.column)
    value = None
    if finding.of_key:
        value = shown(str(finding.location[-1]))
    elif not at_key and place.text and finding.shows_value:
        value = shown(place.text, path)
    return Problem(file, line, column, path, value, finding.rule, finding.fix, finding.code)
