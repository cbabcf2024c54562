"""What Karpenter's own definitions say of a manifest, from the Go module that engines/karpenter pins.

A cluster drops fields that a definition does not know, without a word; here they are errors. The rules in CEL that the
definitions also hold are not evaluated: only an API server does that.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from tests.engines.engine import missing

MODULE = "github.com/aws/karpenter-provider-aws"
PINS = Path(__file__).parents[2] / "engines" / "karpenter"


def complaints(manifest: Mapping[str, Any]) -> list[str]:
    """What is wrong with a manifest; empty where Karpenter's definition takes it. Skips visibly without Go."""
    schema = _schemas()[manifest["apiVersion"], manifest["kind"]]
    errors = jsonschema.Draft202012Validator(schema).iter_errors(manifest)
    return [f"{error.json_path}: {error.message}" for error in errors]


@cache
def _schemas() -> Mapping[tuple[str, str], Mapping[str, Any]]:
    schemas: dict[tuple[str, str], Mapping[str, Any]] = {}
    for file in (_module() / "pkg" / "apis" / "crds").glob("karpenter.*.yaml"):
        definition = yaml.safe_load(file.read_text(encoding="utf-8"))["spec"]
        for version in definition["versions"]:
            api = f"{definition['group']}/{version['name']}"
            schemas[api, definition["names"]["kind"]] = _closed(version["schema"]["openAPIV3Schema"])
    return schemas


def _module() -> Path:
    if shutil.which("go") is None:
        missing("Karpenter's definitions", "install Go, which fetches them")
    done = subprocess.run(
        ["go", "mod", "download", "-json", MODULE],
        cwd=PINS,
        env={**os.environ, "GOWORK": "off", "GOFLAGS": "-mod=readonly"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        missing("Karpenter's definitions", f"go mod download says {done.stdout}{done.stderr}")
    return Path(json.loads(done.stdout)["Dir"])


def _closed(schema: Any) -> Any:
    """The schema, with no properties but those that it names."""
    if isinstance(schema, list):
        return [_closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items()}
    names_properties = isinstance(schema.get("properties"), dict) and schema.get("type") == "object"
    return {"additionalProperties": False, **closed} if names_properties else closed
