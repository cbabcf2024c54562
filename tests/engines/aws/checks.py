"""What the provider decides before any call: names and tags that it adds, and which changes replace a resource."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

from tests.engines.aws.kinds import Kind

Properties = dict[str, Any]
DEFAULTS = "__defaults"  # the names of the inputs that the provider, not the program, has given
SUFFIX_DIGITS = 7


@dataclass(frozen=True, slots=True)
class Differences:
    """What has changed, what of it replaces the resource, and whether the old one must go first."""

    changed: list[str]
    replacing: list[str]
    delete_first: bool


def complete(
    kind: Kind, urn: str, news: Properties, olds: Properties, default_tags: dict[str, str], proposed: str
) -> Properties:
    """The program's inputs with the provider's own: default tags below its tags, and a name where it gave none."""
    inputs = {name: value for name, value in news.items() if value is not None}
    if kind.tags and default_tags:
        inputs["tags"] = {**default_tags, **(inputs.get("tags") or {})}
    if kind.named and kind.named not in inputs:
        inputs[kind.named] = _kept_name(kind, inputs, olds) or _new_name(kind, urn, inputs, proposed)
        inputs[DEFAULTS] = [kind.named]
    return inputs


def compare(kind: Kind | None, old: Properties, new: Properties) -> Differences:
    """How the new inputs differ from the old ones; without a kind nothing replaces (a provider's own settings)."""
    names = sorted({*old, *new} - {DEFAULTS})
    changed = [name for name in names if old.get(name) != new.get(name)]
    replacing = kind.replaces(changed) if kind else []
    # two things of one name cannot be there at once
    named = bool(kind and kind.named and kind.named not in (new.get(DEFAULTS) or []))
    same = bool(kind and kind.named and old.get(kind.named) == new.get(kind.named))
    return Differences(changed, replacing, bool(replacing) and named and same)


def _kept_name(kind: Kind, inputs: Properties, olds: Properties) -> str | None:
    prefix = f"{kind.named}Prefix"
    given_before = kind.named in (olds.get(DEFAULTS) or [])
    return olds.get(kind.named) if given_before and olds.get(prefix) == inputs.get(prefix) else None


def _new_name(kind: Kind, urn: str, inputs: Properties, proposed: str) -> str:
    """What the engine proposes, or a random one that starts as asked; never longer than AWS takes."""
    prefix = inputs.get(f"{kind.named}Prefix")
    base = urn.rpartition("::")[2]
    suffix = secrets.token_hex(SUFFIX_DIGITS)[:SUFFIX_DIGITS]
    name = f"{prefix}{suffix}" if prefix else (proposed or f"{base}-{suffix}")
    if len(name) > kind.name_limit:
        name = f"{base[: kind.name_limit - SUFFIX_DIGITS - 1]}-{suffix}"
    return name if name.startswith(kind.name_prefix) else f"{kind.name_prefix}{name}"
