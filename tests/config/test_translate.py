"""No wrong value of any field may show its reader a sentence of pydantic's."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_origin

import pytest
import yaml
from pydantic_core._pydantic_core import list_all_errors

from tests.config.support import problems_of
from visionfleet.config.deployment import DeploymentConfig
from visionfleet.config.fields import fields_of, value_type
from visionfleet.config.section import Location, Section
from visionfleet.config.translate import DESCRIPTIONS

BAD_VALUES: list[Any] = [
    None, True, 0, -1, 10**12, 10**40, 1.5, -1.5, "", " ", "x" * 300, "Ä", "no such", "a\nb", "a\0b",
    [], [1], [[]], {}, {"x": 1}, {"x": "y"}, {"X": "y"}, {"x": "Y"},
]  # fmt: skip


def locations(section: type[Section], above: Location = ()) -> Iterator[Location]:
    """Every field of the file, with the first entry of every list."""
    for key, field in fields_of(section).items():
        yield (*above, key)
        inner = value_type(field.annotation)
        index = (0,) if get_origin(field.annotation) is tuple else ()
        if index:
            yield (*above, key, *index)
        if isinstance(inner, type) and issubclass(inner, Section):
            yield from locations(inner, (*above, key, *index))


def with_value(location: Location, value: object) -> dict[str, Any]:
    for key in reversed(location):
        value = [value] if isinstance(key, int) else {key: value}
    return {"name": "acme-vision", "workspace": "acme", **value}  # pyright: ignore[reportGeneralTypeIssues]


def pydantic_phrases() -> list[re.Pattern[str]]:
    """Pydantic's messages with anything in their gaps, those of kinds that no data can lead to included."""
    phrases: list[re.Pattern[str]] = []
    for error in list_all_errors():
        parts = re.split(r"\{.*?\}", error["message_template_python"])
        pattern = ".*".join(re.escape(part) for part in parts)
        if len(pattern) > len(".*") * len(parts):
            phrases.append(re.compile(pattern))
    return phrases


PHRASES = pydantic_phrases()
LOCATIONS = list(locations(DeploymentConfig))


def test_every_section_is_walked() -> None:
    assert {("apiVersion",), ("models", 0, "id"), ("batch", "workers", "gpu", "max")} <= set(LOCATIONS)


@pytest.mark.parametrize("location", LOCATIONS, ids=str)
def test_no_phrase_of_pydantic_is_shown(location: Location, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = Path("visionfleet.yaml")
    for value in BAD_VALUES:
        text = yaml.dump(with_value(location, value), Dumper=yaml.CSafeDumper)  # some 7,000 files
        file.write_text(text, encoding="utf-8")
        for problem in problems_of(file):
            assert problem.code != "not-allowed", problem  # the fallback, for kinds of errors that nobody has met
            said = f"{problem.rule} {problem.fix}"
            assert not [phrase.pattern for phrase in PHRASES if phrase.fullmatch(problem.rule)], said
            assert not re.search(r"[Ii]nput should|valid (?:integer|string|dictionary|list)|Extra inputs", said)


def kinds_of(schema: object) -> Iterator[str]:
    """The kinds of values that a core schema checks."""
    if isinstance(schema, dict):
        if isinstance(kind := schema.get("type"), str):
            yield kind
        for key, value in schema.items():
            if key not in {"metadata", "serialization"}:
                yield from kinds_of(value)
    elif isinstance(schema, list | tuple):
        for value in schema:
            yield from kinds_of(value)


def test_a_new_kind_of_field_needs_words_for_its_errors() -> None:
    """Every kind raises errors of its own: before this list grows, DESCRIPTIONS does, and BAD_VALUES where it must."""
    kinds = set(kinds_of(DeploymentConfig.__pydantic_core_schema__))

    wrappers = {"default", "nullable", "definitions", "definition-ref", "with-info", "no-info", "model-field"}
    functions = {"function-before", "function-after", "function-wrap", "function-plain"}
    values = {
        "model",
        "model-fields",
        "tuple",
        "str",
        "int",
        "enum",
        "lax-or-strict",
        "is-instance",
        "union",
        "json-or-python",
        "bool",
        "dict",
        "float",
        "tagged-union",
        "literal",  # kinds: whatever is none of them is met by the union
    }
    assert kinds - wrappers - functions <= values
    assert set(DESCRIPTIONS) - {"path_type"} <= {error["type"] for error in list_all_errors()}
