"""The definitions of other projects' Kubernetes APIs, from the Go modules that engines/crds pins.

    complaints("keda", manifest)                    # what is wrong with it; [] where the definition takes it
    c.kubectl("apply", "--server-side", *(f"--filename={file}" for file in crd_files("keda")))

A cluster drops fields that a definition does not know, without a word; for `complaints` they are errors. The rules in
CEL that definitions also hold are evaluated by an API server only.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, cast

import jsonschema
import yaml
from engines.build import BuildError, module_folder

from tests.engines.engine import missing

_KIND = "kind: CustomResourceDefinition"


class Source(NamedTuple):
    """A Go module and the files with definitions in it."""

    module: str
    files: str


SOURCES = {
    "argo-cd": Source("github.com/argoproj/argo-cd/v3", "manifests/crds/*-crd.yaml"),
    "flux-helm": Source("github.com/fluxcd/helm-controller", "config/crd/bases/*.yaml"),
    "flux-kustomize": Source("github.com/fluxcd/kustomize-controller", "config/crd/bases/*.yaml"),
    "flux-source": Source("github.com/fluxcd/source-controller", "config/crd/bases/*.yaml"),
    "gateway-api": Source("sigs.k8s.io/gateway-api", "config/crd/standard/*.yaml"),
    "karpenter": Source("github.com/aws/karpenter-provider-aws", "pkg/apis/crds/karpenter.*.yaml"),
    "keda": Source("github.com/kedacore/keda/v2", "config/crd/bases/*.yaml"),
    "keda-http": Source("github.com/kedacore/http-add-on", "config/crd/bases/*.yaml"),
    "kueue": Source("sigs.k8s.io/kueue", "config/components/crd/bases/*.yaml"),
    "prometheus": Source(
        "github.com/prometheus-operator/prometheus-operator", "example/prometheus-operator-crd/*monitors.yaml"
    ),
}


@cache
def crd_files(name: str) -> list[Path]:
    """The definitions of a project. Skips visibly where they are not to be had."""
    source = SOURCES[name]
    try:
        folder = module_folder("crds", source.module)
    except BuildError as error:
        missing(f"the definitions of {name}", str(error))
        raise
    # a policy lies among the Gateway API's definitions
    files = [file for file in sorted(folder.glob(source.files)) if _KIND in file.read_text(encoding="utf-8")]
    assert files, f"{folder} holds no {source.files}"
    return files


def complaints(name: str, manifest: Mapping[str, Any]) -> list[str]:
    """What is wrong with a manifest; empty where the project's definition takes it."""
    schemas = _schemas(name)
    kind = manifest["apiVersion"], manifest["kind"]
    if kind not in schemas:
        return [f"{name} has no {' '.join(kind)}; it has {sorted(schemas)}"]
    errors = jsonschema.Draft202012Validator(schemas[kind]).iter_errors(manifest)  # pyright: ignore[reportUnknownMemberType]
    return [f"{error.json_path}: {error.message}" for error in errors]


@cache
def _schemas(name: str) -> Mapping[tuple[str, str], Mapping[str, Any]]:
    schemas: dict[tuple[str, str], Mapping[str, Any]] = {}
    for file in crd_files(name):
        definition = yaml.load(file.read_text(encoding="utf-8"), yaml.CSafeLoader)["spec"]
        for version in definition["versions"]:
            api = f"{definition['group']}/{version['name']}"
            schemas[api, definition["names"]["kind"]] = _closed(version["schema"]["openAPIV3Schema"])
    return schemas


def _closed(schema: object) -> Any:
    """The schema, with no properties but those that it names."""
    if isinstance(schema, list):
        return [_closed(item) for item in cast("list[object]", schema)]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in cast("dict[str, object]", schema).items()}
    names_properties = isinstance(closed.get("properties"), dict) and closed.get("type") == "object"
    is_open = closed.get("x-kubernetes-preserve-unknown-fields") is True
    return {"additionalProperties": False, **closed} if names_properties and not is_open else closed
