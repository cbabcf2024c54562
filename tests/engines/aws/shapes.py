"""From the inputs of a Pulumi resource to the parameters of an AWS call, by the call's own model.

Pulumi writes `cidrBlock` where the API writes `CidrBlock`; botocore's model of the call says which members there are
and of which type. So one rule maps nearly everything, and the table names only what the rule cannot guess.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

NUMBERS = {"integer": int, "long": int, "float": float, "double": float}


class UnknownInput(Exception):
    """The stand-in does not know what to do with an input: its table must say so."""


def simplify(value: Any) -> Any:
    """A value as JSON has it: the protocol sends every number as a float."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {key: simplify(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [simplify(item) for item in value]
    return value


def find_member(shape: Shape | None, name: str, parent: str = "") -> str | None:
    """The member that an input means: its own name, in the plural or the singular, or with its parent's name before."""
    members = {plain(member): member for member in shape.members} if isinstance(shape, StructureShape) else {}
    own, above = plain(name), plain(parent)
    candidates = (own, f"{own}s", own.removesuffix("s"), above + own, above.removesuffix("s") + own, f"{own}config")
    return next((members[candidate] for candidate in candidates if candidate in members), None)


def plain(name: str) -> str:
    """A name without case and separators: what `vpcSecurityGroupIds` and `VPC-SecurityGroup_IDs` share."""
    return name.replace("_", "").replace("-", "").lower()


def convert(value: Any, shape: Shape, path: str, rename: Mapping[str, str] | None = None) -> Any:
    """A value as the shape wants it. Raises UnknownInput for a nested name that the shape does not have."""
    if isinstance(shape, StructureShape):
        return _structure(value, shape, path, rename or {})
    if isinstance(shape, ListShape):
        return [convert(item, shape.member, path, rename) for item in _items(value, shape)]
    if isinstance(shape, MapShape):
        return {key: convert(item, shape.value, f"{path}.{key}", rename) for key, item in value.items()}
    return _scalar(value, shape.type_name)


def as_text(value: Any) -> str:
    """A value where the API takes text only; a list is one text with commas (an Auto Scaling group's subnets)."""
    if isinstance(value, list):
        return ",".join(map(as_text, value))
    return value if isinstance(value, str) else json.dumps(value)


def _scalar(value: Any, kind: str) -> Any:
    if kind == "boolean":
        return value if isinstance(value, bool) else str(value).lower() == "true"
    if kind in NUMBERS:
        return NUMBERS[kind](value)
    if kind == "blob":
        return value if isinstance(value, bytes) else str(value).encode()
    return value if kind == "timestamp" else as_text(value)


def _items(value: Any, shape: ListShape) -> list[Any]:
    """A list as it is, a single value as a list of one, a map as the API's list of keys and values."""
    members = getattr(shape.member, "members", {})
    key = next((name for name in ("Key", "TagKey", "key", "Name") if name in members), None)
    if isinstance(value, Mapping) and key and len(members) == 2:
        (other,) = set(members) - {key}
        return [{key: name, other: item} for name, item in sorted(value.items())]
    return list(value) if isinstance(value, list) else [value]


def _structure(value: Any, shape: StructureShape, path: str, rename: Mapping[str, str]) -> dict[str, Any]:
    """A nested block: itself, a list of one, or the value of a structure's first member (`{Value: true}`)."""
    if isinstance(value, list):
        value = value[0] if value else {}
    if not isinstance(value, Mapping):
        value = {next(iter(shape.members)): value}
    result = {}
    for name, item in value.items():
        if item is None or name == "__defaults":
            continue
        where = f"{path}.{name}"
        member = find_member(shape, rename.get(where, name), path.rpartition(".")[2])
        if member is None:
            raise UnknownInput(f"{where} has no member of {shape.name} (those are {', '.join(shape.members)})")
        result[member] = convert(item, shape.members[member], where, rename)
    return result
