"""The reference page of the file, `docs/reference/config.md`, made from the JSON Schema and so from the models."""

from typing import Any, cast

from visionfleet.config.document import MAX_DEPTH
from visionfleet.config.files import MEBIBYTE
from visionfleet.config.load import MAX_FILE_BYTES
from visionfleet.config.schema import json_schema

Schema = dict[str, Any]

_HEAD = f"""\
# `visionfleet.yaml`

Generated from the models in `src/visionfleet/config/` by `make generate`; do not edit.

One file describes a deployment. The least that it may hold:

```yaml
name: acme-vision
workspace: acme
```

`visionfleet validate [FILE]` checks it with everything that it names and shows every problem at once.
`visionfleet schema` prints its JSON Schema, for editors.

- Paths are relative to the folder of the file.
- Secrets never stand in the file: `env:NAME` refers to an environment variable, `file:PATH` to a file.
- The file is one YAML document in UTF-8, at most {MAX_FILE_BYTES // MEBIBYTE} MiB and {MAX_DEPTH} levels deep. Scalars
  follow YAML 1.2: `true` and `false` are flags, `yes` and `on` are text, and a version stands in quotes, as `1.10`
  without them is the number 1.1.
- Anchors, aliases, merge keys, tags and repeated keys are refused.
"""


def reference_page() -> str:
    """The page, in Markdown: a table for each section, in the order of the file."""
    schema = json_schema()
    definitions: dict[str, Schema] = schema["$defs"]
    tables = [_table("The file", schema, definitions)]
    tables += [
        _table(", ".join(paths), definitions[name], definitions)
        for name, paths in _sections(schema, definitions, "").items()
    ]
    return "\n".join((_HEAD, *tables))


def _sections(section: Schema, definitions: dict[str, Schema], path: str) -> dict[str, list[str]]:
    """The sections below `section`, each with the places where it stands: some stand at several."""
    found: dict[str, list[str]] = {}
    for key, value in section["properties"].items():
        for name in _definitions(value):
            if "properties" not in definitions[name]:
                continue
            below = f"{path}{key}[]" if value.get("type") == "array" else f"{path}{key}"
            found.setdefault(name, []).append(f"`{below}`{_kind_of(definitions[name])}")
            for inner, paths in _sections(definitions[name], definitions, f"{below}.").items():
                found.setdefault(inner, []).extend(paths)
    return found


def _kind_of(section: Schema) -> str:
    """What tells a section apart from others at its place; empty where it is the only one."""
    kind = section["properties"].get("kind", {}).get("const")
    return f" of kind `{kind}`" if kind else ""


def _table(title: str, section: Schema, definitions: dict[str, Schema]) -> str:
    head = f"## {title}\n\n{section['description']}\n\n| key | type | default | what it is |\n|---|---|---|---|\n"
    rows = (
        f"| `{key}` | {_kind(value, definitions)} | {_default(key, value, section)} | {value['description']} |\n"
        for key, value in section["properties"].items()
    )
    return head + "".join(rows)


def _kind(value: Schema, definitions: dict[str, Schema]) -> str:
    value = next((part for part in value.get("anyOf", ()) if part.get("type") != "null"), value)
    if value.get("type") == "array":
        return f"list of {_kind(value['items'], definitions)}s"
    if "const" in value:
        return f"`{value['const']}`"
    names = _definitions(value)
    if names:
        return ", ".join(f"`{member}`" for member in definitions[names[0]].get("enum", ())) or "section"
    return _SCALARS[value.get("format", value["type"])].format_map(value)


_SCALARS = {
    "integer": "whole number, {minimum} to {maximum}",
    "number": "number, {minimum} to {maximum}",
    "object": "mapping of text to text",
    "boolean": "true or false",
    "path": "path",
    "string": "text",
}


def _default(key: str, value: Schema, section: Schema) -> str:
    if key in section.get("required", ()):
        return "required"
    default = value.get("default")
    if default is None or default in ([], {}):
        return ""
    if isinstance(default, list):
        return ", ".join(f"`{entry}`" for entry in cast("list[object]", default))
    return f"`{str(default).lower()}`" if isinstance(default, bool) else f"`{default}`"


def _definitions(value: Schema) -> list[str]:
    """The definitions that a property refers to, on its own, as an entry of a list, or optionally; several by kind."""
    choices = (value, *value.get("anyOf", ()))
    parts = (*choices, value.get("items", {}), *(part for choice in choices for part in choice.get("oneOf", ())))
    return [part["$ref"].rpartition("/")[2] for part in parts if "$ref" in part]
