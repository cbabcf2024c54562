"""The stable codes of the source, read from its syntax tree: which calls make one, and where it stands in them."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from tests.docs.pages import ROOT

SOURCE = ROOT / "src" / "visionfleet"


@dataclass(frozen=True)
class Area:
    """A part of the source whose codes have a page of the runbook.

    `calls`: function -> the position of the code among its arguments, or its keyword. `forms`: functions that make the
    code of that argument. `returns`: functions that return the code first in a tuple. `tables`: dictionaries whose
    values are codes. Besides these, whatever is called `code` is one.
    """

    folders: tuple[str, ...]
    calls: dict[str, int | str]
    forms: dict[str, str] = field(default_factory=dict)
    returns: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()


HUB = Area(
    folders=("hub",),
    calls={
        "HubError": 1,
        "not_found": 0,
        "_check_id": 0,
        "BadImage": 0,
        "BadShard": 0,
        "Rejected": 1,
        "refuse": 1,
        "_refuse_shard": 2,
        "Event": 1,
    },
    forms={"not_found": "{}_not_found", "_check_id": "{}_id_invalid"},
    returns=("_problem", "_name_problem"),
    tables=("HTTP_CODES",),
)
VALIDATE = Area(
    folders=("config",),
    calls={
        "Problem": -1,
        "Finding": 1,
        "Breach": 2,
        "Fault": 4,
        "_add": 2,
        "refusal": 0,
        "refuse_file": 1,
        "_problem": 1,
    },
)
WORKER = Area(
    folders=("worker",),
    calls={"TaskFailed": 0, "ImageFailed": 0, "RequestRejected": 0, "HubRefused": 1, "LogEntry": "type"},
    tables=("_TASK_ERRORS",),
)


def codes(area: Area) -> set[str]:
    """Every code of an area. A name of the area that makes none any more is an error: it has been renamed."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for path in (path for folder in area.folders for path in sorted((SOURCE / folder).rglob("*.py"))):
        module = ast.parse(path.read_text(encoding="utf-8"))
        for name, node in _places(module, area):
            form = area.forms.get(name, "{}")
            found[name] |= {form.format(code) for code in _texts(node, path)}
    silent = {*area.calls, *area.returns, *area.tables} - {name for name, values in found.items() if values}
    assert not silent, f"no code comes from {sorted(silent)} in {area.folders}: mend tests/docs/codes.py"
    return set().union(*found.values())


def messages(folder: str, error: str) -> set[str]:
    """The first line of what each `error(…)` in a folder says, `…` standing for what is filled in."""
    calls = (node for node in _nodes(folder) if isinstance(node, ast.Call) and _name(node.func) == error)
    return {_template(call.args[0]) for call in calls}


def reasons(folder: str, function: str) -> set[str]:
    """The same for the texts that a function of the folder returns."""
    defined = (node for node in _nodes(folder) if isinstance(node, ast.FunctionDef) and node.name == function)
    returned = (node.value for body in defined for node in ast.walk(body) if isinstance(node, ast.Return))
    values = (value.orelse if isinstance(value, ast.IfExp) else value for value in returned)
    return {_template(value) for value in values if not (isinstance(value, ast.Constant) and value.value is None)}


def reports(paths: Iterable[Path], errors: Collection[str]) -> set[str]:
    """The first line of what each of these errors says in the files; a text that a function has named first counts."""
    modules = [ast.parse(path.read_text(encoding="utf-8")) for path in paths]
    functions = (node for module in modules for node in ast.walk(module) if isinstance(node, ast.FunctionDef))
    return {text for function in functions for text in _reports(function, errors) if re.search(r"\w", text)}


def _reports(function: ast.FunctionDef, errors: Collection[str]) -> Iterator[str]:
    inner = list(ast.walk(function))
    named = {
        node.targets[0].id: node.value
        for node in inner
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    for node in inner:
        if isinstance(node, ast.Call) and _name(node.func) in errors and node.args:
            text = node.args[0]
            first = text.values[0] if isinstance(text, ast.JoinedStr) else None
            begins = first.value if isinstance(first, ast.FormattedValue) else text
            if isinstance(begins, ast.Name):
                text = named.get(begins.id, text)
            yield _template(text)


def _nodes(folder: str) -> Iterator[ast.AST]:
    for path in sorted((SOURCE / folder).rglob("*.py")):
        yield from ast.walk(ast.parse(path.read_text(encoding="utf-8")))


def _places(module: ast.Module, area: Area) -> Iterator[tuple[str, ast.expr]]:
    """The expressions that hold codes, each with the name that says so."""
    for node in ast.walk(module):
        match node:
            case ast.Call(func=function) if (name := _name(function)) in area.calls:
                argument = _argument(node, area.calls[name])
                if argument is not None:
                    yield name, argument
            case ast.FunctionDef(name=name) if name in area.returns:
                tuples = (inner.value for inner in ast.walk(node) if isinstance(inner, ast.Return))
                yield from ((name, value.elts[0]) for value in tuples if isinstance(value, ast.Tuple))
            case ast.Assign(targets=[ast.Name(id="code")], value=value):
                yield "code", value
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Dict(values=values)) if name in area.tables:
                yield from ((name, value) for value in values)
            case ast.Dict(keys=keys, values=values):
                pairs = zip(keys, values, strict=True)
                yield from (("code", value) for key, value in pairs if getattr(key, "value", None) == "code")


def _argument(call: ast.Call, where: int | str) -> ast.expr | None:
    if isinstance(where, int) and -len(call.args) <= where < len(call.args):
        return call.args[where]
    keyword = where if isinstance(where, str) else "code"
    return next((given.value for given in call.keywords if given.arg == keyword), None)


def _texts(node: ast.AST, path: Path) -> Iterator[str]:
    """The strings in an expression, and those that constants of the module stand for; nothing of what it formats."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.Name(id=name) if name.isupper():
            module = ".".join(path.relative_to(ROOT / "src").with_suffix("").parts)
            value = getattr(import_module(module), name)
            yield from (value,) if isinstance(value, str) else ()
        case ast.JoinedStr() | ast.Subscript() | ast.Dict():
            return
        case _:
            for child in ast.iter_child_nodes(node):
                yield from _texts(child, path)


def _name(function: ast.expr) -> str:
    return getattr(function, "id", None) or getattr(function, "attr", "")


def _template(node: ast.expr) -> str:
    pieces = node.values if isinstance(node, ast.JoinedStr) else [node]
    text = "".join(str(piece.value) if isinstance(piece, ast.Constant) else "…" for piece in pieces)
    first = text.partition("\n")[0]
    while "……" in first:
        first = first.replace("……", "…")
    return first
