"""Rules of the section `edge` over what lies beside the file: pictures, packages, workflows, and all devices together.

Like those of models and workflows, they look at data that may be wrong elsewhere, so that one run shows everything.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path

from visionfleet.config import model_memory
from visionfleet.config.device_classes import facts_of
from visionfleet.config.edge_rules import MOST_UNKNOWN, named
from visionfleet.config.errors import ConfigError, Problem, near_miss
from visionfleet.config.files import MEBIBYTE, file_fault, read_json, read_text
from visionfleet.config.kinds import LABEL, WORKFLOW_ID, absolute_path, is_path
from visionfleet.config.models import Model
from visionfleet.config.section import Location, entries, mapping, peek
from visionfleet.config.translate import Finding
from visionfleet.config.workflows import workflow_ids

MAX_EXPECTED_BYTES = 4 * MEBIBYTE
MAX_CERTIFICATE_BYTES = MEBIBYTE


def edge_findings(
    data: object, folder: Path, models: Iterable[tuple[int, Model]], *, devices_known: bool
) -> Iterator[Finding | Problem]:
    """What is wrong with the devices' side of the file. `devices_known`: every file of devices could be read."""
    if not isinstance(peek(data, "edge"), dict):
        return
    yield from _golden_findings(data, folder)
    yield from _file_findings(data, folder)
    yield from _workflow_findings(data, folder)
    yield from _memory_findings(data, models)
    if devices_known:
        yield from _label_findings(data)


def _golden_findings(data: object, folder: Path) -> Iterator[Finding | Problem]:
    for index, golden in enumerate(entries(peek(data, "edge", "goldens"))):
        location = ("edge", "goldens", index)
        for key in ("image", "expected"):
            path = _path(peek(golden, key), folder)
            if path is None:
                continue
            if fault := file_fault(path):
                yield Finding((*location, key), "golden-missing", fault, "make the file, or mend the path")
            elif key == "expected":
                yield from _problems_of_json(path)


def _problems_of_json(path: Path) -> tuple[Problem, ...]:
    try:
        read_json(path, MAX_EXPECTED_BYTES)
    except ConfigError as error:
        return error.problems
    return ()


def _file_findings(data: object, folder: Path) -> Iterator[Finding | Problem]:
    """The files that the controller gives to ssh, or to devices."""
    ca = _path(peek(data, "edge", "registry", "ca"), folder)
    if ca is not None:
        fault = file_fault(ca) or _certificate_fault(ca)
        if fault:
            fix = "name the certificate of the authority, in PEM"
            yield Finding(("edge", "registry", "ca"), "registry-ca", fault, fix)
    for number, group in enumerate(entries(peek(data, "edge", "groups"))):
        hosts = _path(peek(group, "ssh", "known_hosts"), folder)
        if hosts is not None and (fault := file_fault(hosts)):
            location = ("edge", "groups", number, "ssh", "known_hosts")
            yield Finding(location, "known-hosts-missing", fault, "write it with ssh-keyscan, or mend the path")


def _certificate_fault(path: Path) -> str | None:
    try:
        text = read_text(path, MAX_CERTIFICATE_BYTES)
    except ConfigError as error:
        return error.problems[0].rule
    return None if "-----BEGIN CERTIFICATE-----" in text else "holds no certificate"


def _workflow_findings(data: object, folder: Path) -> Iterator[Finding]:
    path = _path(peek(data, "workflows", default="./workflows"), folder)
    known = workflow_ids(path) if path is not None else None
    if known is None:
        return
    unknown = (found for found in named(data, "workflows", WORKFLOW_ID) if found[1] not in known)
    for location, workflow in islice(unknown, MOST_UNKNOWN):
        rule = "is not a workflow of the deployment"
        yield Finding(location, "unknown-workflow", rule, near_miss(workflow, known))


def _memory_findings(data: object, models: Iterable[tuple[int, Model]]) -> Iterator[Finding]:
    """Models that do not fit, once for each list of them: where one is named there, else at the devices' hardware."""
    groups = entries(peek(data, "edge", "groups"))
    if not groups:
        return
    sizes = model_memory.model_sizes(models)
    overrides = [
        (("edge", "overrides", index, "models"), override)
        for index, override in enumerate(entries(peek(data, "edge", "overrides")))
        if isinstance(peek(override, "models"), list)
    ]
    for number, group in enumerate(groups):
        facts = facts_of(peek(group, "hardware"))
        given = peek(group, "memory_gb")
        memory = facts.memory_gb if facts and given is None else given
        if not isinstance(memory, int):
            continue
        for location, served in _served(("edge", "groups", number), group, overrides).items():
            of_list = {name: size for name, size in sizes.items() if served is None or name in served}
            yield from _too_large(location, of_list, memory, group)


def _served(
    place: Location, group: object, overrides: list[tuple[Location, object]]
) -> dict[Location, list[object] | None]:
    """The lists of models that a group's devices serve, by the key that says so; None are all models."""
    found: dict[Location, list[object] | None] = {}
    if isinstance(peek(group, "models"), list):
        found[(*place, "models")] = entries(peek(group, "models"))
    else:
        found[(*place, "hardware" if peek(group, "memory_gb") is None else "memory_gb")] = None
    for index, device in enumerate(entries(peek(group, "devices"))):
        if isinstance(peek(device, "models"), list):
            found[(*place, "devices", index, "models")] = entries(peek(device, "models"))
            continue
        labels = labels_of(group, device) if overrides else {}
        for location, override in reversed(overrides):
            if _matches(peek(override, "match"), labels):
                found[location] = entries(peek(override, "models"))
                break
    return found


def labels_of(group: object, device: object) -> dict[str, object]:
    """The labels of a device with those of its group, in data that nothing has checked yet."""
    return mapping(peek(group, "labels")) | mapping(peek(device, "labels"))


def _matches(match: object, labels: Mapping[str, object]) -> bool:
    wanted = mapping(match)
    return bool(wanted) and all(labels.get(key) == value for key, value in wanted.items())


def _too_large(location: Location, sizes: Mapping[str, int], memory: int, group: object) -> Iterator[Finding]:
    if model_memory.fit(sizes, memory):
        return
    need = model_memory.need(sizes)
    if location[-1] == "models":
        rule = f"need {need}; {peek(group, 'hardware')} of group {peek(group, 'name')} has {memory} GB"
    else:
        rule = f"has {memory} GB of memory, and the models need {need}"
    largest = model_memory.largest(sizes)
    fix = f"serve fewer models ({largest} is the largest), or write memory_gb where the devices have more"
    yield Finding(location, "models-too-large", rule, fix)


def _label_findings(data: object) -> Iterator[Finding]:
    overrides = entries(peek(data, "edge", "overrides"))
    known = _known_labels(data) if overrides else {}
    for index, override in enumerate(overrides):
        for key, value in mapping(peek(override, "match")).items():
            location = ("edge", "overrides", index, "match", key)
            if key not in known and re.fullmatch(LABEL.pattern, key):
                rule, fix = "is a label of no device", near_miss(key, known)
                yield Finding(location, "unknown-label", rule, fix, of_key=True)
            elif key in known and isinstance(value, str) and value not in known[key]:
                rule, fix = f"is the label '{key}' of no device", near_miss(value, known[key])
                yield Finding(location, "unknown-label", rule, fix)


def _known_labels(data: object) -> dict[str, dict[str, None]]:
    known: dict[str, dict[str, None]] = {}
    for group in entries(peek(data, "edge", "groups")):
        for device in entries(peek(group, "devices")):
            for key, value in labels_of(group, device).items():
                known.setdefault(key, {})[str(value)] = None
    return known


def _path(named: object, folder: Path) -> Path | None:
    return absolute_path(named, folder) if isinstance(named, str) and is_path(named) else None
