"""Pydantic's errors into ours: what the reader sees is written here, never there.

The table at the end holds one function for each kind of error that the models can raise; a test checks that none is
missing.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from types import NoneType
from typing import Any, cast

from annotated_types import Ge, Le
from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from visionfleet.config.aws_kinds import AWS_TEXT_RULES
from visionfleet.config.errors import near_miss
from visionfleet.config.fields import (
    KIND,
    OF_KEY,
    constraints,
    field_at,
    fields_of,
    kind_of,
    section_at,
    sections_at,
    sections_with,
    value_type,
    without_kinds,
)
from visionfleet.config.gitops import GITOPS_TEXT_RULES
from visionfleet.config.kinds import TEXT_RULES
from visionfleet.config.kubernetes_kinds import KUBERNETES_TEXT_RULES
from visionfleet.config.secrets import NOT_A_REFERENCE
from visionfleet.config.section import Location, Section


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem before it has a place: with the key at `location` where `of_key` is set, else with its value.

    `shows_value` is unset where the value would say nothing, or may be a secret.
    """

    location: Location
    code: str
    rule: str
    fix: str
    of_key: bool = False
    shows_value: bool = True


def findings_of(error: ValidationError, root: type[Section]) -> Iterator[Finding]:
    """What `error`, raised by a model of type `root`, has to say."""
    for details in error.errors(include_url=False):
        if details["type"] == "default_factory_not_called":
            continue  # the field that the default is made from is reported itself
        finding = _finding(details, root)
        yield replace(finding, location=without_kinds(root, finding.location))


@dataclass(frozen=True, slots=True)
class _Error:
    location: Location  # with the kinds that pydantic puts in
    input: object
    context: dict[str, Any]
    root: type[Section]

    @property
    def field(self) -> FieldInfo:
        field = field_at(self.root, self.location)
        assert field is not None, self.location  # noqa: S101 - pydantic reports places in its own models only
        return field

    @property
    def description(self) -> str:
        """The field's description as the end of a sentence."""
        text = (self.field.description or "").rstrip(".")
        return text[:1].lower() + text[1:]


def _finding(details: ErrorDetails, root: type[Section]) -> Finding:
    context = details.get("ctx", {})
    if "rule" in context:
        is_secret = details["type"] == NOT_A_REFERENCE
        return Finding(details["loc"], details["type"], context["rule"], context["fix"], shows_value=not is_secret)
    describe = DESCRIPTIONS.get(details["type"], _otherwise)
    return describe(_Error(details["loc"], details["input"], context, root))


def _missing(error: _Error) -> Finding:
    return Finding(error.location, "missing", "is missing", f"add '{error.location[-1]}': {error.description}")


def _unknown_key(error: _Error) -> Finding:
    *parents, key = error.location
    section = section_at(error.root, tuple(parents))
    rule = f"is not a key of {_where(error.root, tuple(parents))}"
    fix = _other_kind(error.root, tuple(parents), str(key)) or near_miss(str(key), fields_of(section))
    elsewhere = [] if fix.startswith(("did", "it")) else sections_with(error.root, str(key))
    if elsewhere:
        fix = f"it belongs in {' or '.join(elsewhere)}"
    return Finding(error.location, "unknown-key", rule, fix, of_key=True)


def _where(root: type[Section], location: Location) -> str:
    *parents, last = ("the file", *without_kinds(root, location))
    if len(without_kinds(root, location)) < len(location):
        return f"section '{last}' of kind '{location[-1]}'"
    if isinstance(last, int):
        return f"an entry of '{parents[-1]}'"
    return f"section '{last}'" if location else last


def _other_kind(root: type[Section], location: Location, key: str) -> str:
    """The kind of section that has the key, where a kind tells sections apart; else empty."""
    kinds = [kind_of(other) for other in sections_at(root, without_kinds(root, location)) if key in fields_of(other)]
    return f"it belongs to kind: {' or '.join(kinds)}" if kinds else ""


def _unknown_value(error: _Error) -> Finding:
    if not isinstance(error.input, str):
        return _wrong_kind("text")(error)
    members = cast("type[StrEnum]", value_type(error.field.annotation))
    noun = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", members.__name__).lower()
    fix = near_miss(error.input, [member.value for member in members])
    return Finding(error.location, "unknown-value", f"is not a known {noun}", fix)


def _wrong_kind(needed: str) -> "Callable[[_Error], Finding]":
    def describe(error: _Error) -> Finding:
        rule = f"is {KINDS[type(error.input)]} where {needed} is needed"
        return Finding(
            error.location, "wrong-kind", rule, _kind_fix(error, needed), shows_value=error.input is not None
        )

    return describe


def _kind_fix(error: _Error, needed: str) -> str:
    if needed == "a mapping" and sections_at(error.root, error.location):
        keys = dict.fromkeys(key for section in sections_at(error.root, error.location) for key in fields_of(section))
        return f"write its keys below it ({', '.join(keys)}), or remove it"
    if error.input is None:
        return f"give it a value or remove it: {error.description}"
    if needed == "text" and isinstance(error.input, float):
        return "put it in quotes: without them 1.10 is the number 1.1"
    if needed == "text" and isinstance(error.input, int):
        return "put it in quotes"
    if needed.endswith("number") and isinstance(error.input, str) and re.fullmatch("[0-9]{1,18}", error.input):
        return "write it without quotes and leading zeros"
    return f"write {needed}: {error.description}"


def _kind_missing(error: _Error) -> Finding:
    kinds = ", ".join(kind_of(section) for section in sections_at(error.root, error.location))
    return Finding((*error.location, KIND), "missing", "is missing", f"add 'kind', one of: {kinds}")


def _unknown_kind(error: _Error) -> Finding:
    kinds = [kind_of(section) for section in sections_at(error.root, error.location)]
    fix = near_miss(str(error.context["tag"]), kinds)
    return Finding((*error.location, KIND), "unknown-value", f"is not a kind of '{error.location[-1]}'", fix)


def _bad_text(error: _Error) -> Finding:
    rules = TEXT_RULES | AWS_TEXT_RULES | KUBERNETES_TEXT_RULES | GITOPS_TEXT_RULES
    rule = rules[error.context["pattern"]]
    return Finding(error.location, "bad-text", rule.rule, rule.fix, of_key=error.location[-1] == OF_KEY)


def _half_a_character(error: _Error) -> Finding:
    rule = "holds half of a character, as '\\ud83d' is"
    return Finding(error.location, "bad-text", rule, "write the character itself")


def _out_of_range(error: _Error) -> Finding:
    low = next(rule.ge for rule in constraints(error.field) if isinstance(rule, Ge))
    high = next(rule.le for rule in constraints(error.field) if isinstance(rule, Le))
    return Finding(error.location, "out-of-range", f"is not from {low} to {high}", error.description)


def _otherwise(error: _Error) -> Finding:
    """No model raises such an error today; if one does tomorrow, its reader still gets our words."""
    return Finding(error.location, "not-allowed", "is not allowed here", error.description)


# the kinds of values that `document.read` makes
KINDS: dict[type, str] = {
    NoneType: "empty",
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "a mapping",
}
DESCRIPTIONS: dict[str, Callable[[_Error], Finding]] = {
    "missing": _missing,
    "extra_forbidden": _unknown_key,
    "enum": _unknown_value,
    "union_tag_invalid": _unknown_kind,
    "union_tag_not_found": _kind_missing,
    "model_type": _wrong_kind("a mapping"),
    "model_attributes_type": _wrong_kind("a mapping"),  # of sections that a kind tells apart
    "dict_type": _wrong_kind("a mapping"),  # of the user's own keys
    "tuple_type": _wrong_kind("a list"),
    "string_type": _wrong_kind("text"),
    "path_type": _wrong_kind("text"),
    "int_type": _wrong_kind("a whole number"),
    "float_type": _wrong_kind("a number"),
    "bool_type": _wrong_kind("true or false"),
    "string_pattern_mismatch": _bad_text,
    "string_unicode": _half_a_character,
    "greater_than_equal": _out_of_range,
    "less_than_equal": _out_of_range,
}
