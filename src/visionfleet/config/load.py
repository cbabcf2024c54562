"""The way from a file to a checked, frozen `DeploymentConfig`."""

from pathlib import Path

from pydantic import ValidationError

from visionfleet.config.deployment import DeploymentConfig
from visionfleet.config.document import Document, Fault, Place, find_places, line_and_column, read
from visionfleet.config.errors import ConfigError, Problem, display_path, path_text, shown
from visionfleet.config.section import Location
from visionfleet.config.translate import SECRET_CODES, Finding, findings_of

# 10,000 devices written out are about 1 MB
MAX_FILE_BYTES = 8 * 1024 * 1024
NOWHERE = Place(1, 1, 1, 1, None)


def load(path: Path | str) -> DeploymentConfig:
    """Read and check the file at `path`. Relative paths in it are taken from its folder.

    Raises:
        ConfigError: whatever is wrong with the file, or with a model package or workflow that it names.
    """
    path = Path(path)
    file = display_path(path)
    text = _read_text(path, file)
    document = read(text)
    findings = _check_shape(document)
    config = None
    if not findings:
        try:
            config = DeploymentConfig.model_validate(document.data, context={"folder": path.absolute().parent})
        except ValidationError as error:
            findings = list(findings_of(error, DeploymentConfig))
    if config is None or document.faults:
        raise ConfigError(_problems(file, text, document, findings))
    return config


def _read_text(path: Path, file: str) -> str:
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        fix = "name the file, or make one: 'name' and 'workspace' are enough"
        raise _file_error(file, "file-missing", "does not exist", fix) from None
    except IsADirectoryError:
        raise _file_error(
            file, "file-is-folder", "is a folder", "name the file in it, as in 'visionfleet.yaml'"
        ) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no file has such a name"
        raise _file_error(file, "file-unreadable", f"cannot be read: {reason}", "mend its name or its rights") from None
    if len(content) > MAX_FILE_BYTES:
        rule = f"is over {MAX_FILE_BYTES // 1024**2} MiB"
        raise _file_error(file, "file-too-large", rule, "make it smaller: 10,000 entries take about 1 MB")
    return _decode(content, file)


def _decode(content: bytes, file: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8", "replace")
        line, column = line_and_column(before, len(before))
        rule = f"byte {error.start} of the file (0x{content[error.start]:02x}) is not UTF-8"
        problem = Problem(file, line, column, "", None, rule, "save the file as UTF-8", "file-encoding")
        raise ConfigError([problem]) from None


def _file_error(file: str, code: str, rule: str, fix: str) -> ConfigError:
    return ConfigError([Problem(file, None, None, "", None, rule, fix, code)])


def _check_shape(document: Document) -> list[Finding]:
    if isinstance(document.data, dict) or () in document.unknown:
        return []
    fix = "write 'key: value' lines; 'name' and 'workspace' are enough"
    rule = "the file is empty" if document.data is None else "the file is no mapping of keys to values"
    return [Finding((), "not-a-mapping", rule, fix)]


def _problems(file: str, text: str, document: Document, findings: list[Finding]) -> list[Problem]:
    """The faults of the document, and the findings except where a fault already says that nothing is known."""
    problems = [_fault_problem(file, fault) for fault in document.faults]
    places = find_places(text) if findings else {}
    known = (finding for finding in findings if not _is_unknown(finding.location, document))
    return [*problems, *(_finding_problem(file, finding, places) for finding in known)]


def _is_unknown(location: Location, document: Document) -> bool:
    return any(location[:length] in document.unknown for length in range(len(location) + 1))


def _fault_problem(file: str, fault: Fault) -> Problem:
    path = path_text(fault.location)
    value = shown(fault.value, path) if fault.value is not None else None
    return Problem(file, fault.line, fault.column, path, value, fault.rule, fault.fix, fault.code)


def _finding_problem(file: str, finding: Finding, places: dict[Location, Place]) -> Problem:
    """The place of a missing key is its section's; of a key, the key's; else the value's."""
    path = path_text(finding.location)
    if finding.code == "missing":
        place = places.get(finding.location[:-1], NOWHERE)
        return Problem(file, place.key_line, place.key_column, path, None, finding.rule, finding.fix, finding.code)
    place = places.get(finding.location, NOWHERE)
    if finding.of_key:
        value = shown(str(finding.location[-1]))
        return Problem(file, place.key_line, place.key_column, path, value, finding.rule, finding.fix, finding.code)
    value = None if finding.code in SECRET_CODES or not place.text else shown(place.text, path)
    return Problem(file, place.line, place.column, path, value, finding.rule, finding.fix, finding.code)
