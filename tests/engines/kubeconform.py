"""The real kubeconform, with schemas that an API server itself publishes: no network is needed, and none is outdated.

    install_definitions(cluster, ["keda"])          # the kinds of other projects
    complaints(objects, schemas(cluster, folder))   # [] where each object is as its schema has it

A server drops fields that it does not know, without a word; these schemas are closed, so that they are errors.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from engines.build import locate

from tests.engines.cluster import Cluster
from tests.engines.crds import crd_files
from tests.engines.engine import missing, wait_until

COMPONENTS = "#/components/schemas/"
SECONDS = 300
Schema = Mapping[str, Any]


def install_definitions(cluster: Cluster, projects: Iterable[str]) -> None:
    """Other projects' kinds, until the server publishes their schemas. What makes them work is not installed."""
    definitions = [yaml.safe_load(file.read_text()) for project in projects for file in crd_files(project)]
    cluster.apply(*definitions)
    apis = {f"apis/{each['spec']['group']}/{_stored(each)}" for each in definitions}
    wait_until(lambda: apis <= _published(cluster).keys(), "the server publishes the definitions' schemas")


def schemas(cluster: Cluster, folder: Path) -> Path:
    """The folder, filled with a file for each kind that the cluster knows."""
    for name, address in _published(cluster).items():
        if name.startswith(("api/", "apis/")):
            _write(json.loads(cluster.kubectl("get", "--raw", address)), folder)
    return folder


def complaints(objects: Iterable[Mapping[str, Any]], folder: Path) -> list[str]:
    """What kubeconform says of the objects; a kind without a schema is an error, too."""
    engine = locate("kubeconform")
    if engine is None:
        missing("kubeconform", "python engines/build.py kubeconform")
    assert engine is not None
    done = subprocess.run(
        [str(engine / "kubeconform"), "-strict", f"-schema-location={folder}/{_NAME}", "-output=json"],
        input=yaml.safe_dump_all(objects),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.stdout, done.stderr
    return [f"{found['kind']} {found['name']}: {found['msg']}" for found in json.loads(done.stdout)["resources"]]


# with the kind in lower case; of the core, kubeconform takes the version for the group
_NAME = "{{ .Group }}_{{ .ResourceAPIVersion }}_{{ .ResourceKind }}.json"


def _published(cluster: Cluster) -> Mapping[str, str]:
    """Where the schemas of each version of an API are."""
    paths = json.loads(cluster.kubectl("get", "--raw", "/openapi/v3"))["paths"]
    return {name: path["serverRelativeURL"] for name, path in paths.items()}


def _stored(definition: Mapping[str, Any]) -> str:
    return next(version["name"] for version in definition["spec"]["versions"] if version["storage"])


def _write(document: Schema, folder: Path) -> None:
    components = document.get("components", {}).get("schemas", {})
    for name, schema in components.items():
        for kind in schema.get("x-kubernetes-group-version-kind", []):
            group = kind["group"] or kind["version"]
            file = folder / f"{group}_{kind['version']}_{kind['kind'].lower()}.json"
            if not file.exists():
                file.write_text(json.dumps(_whole(name, components)))


def _whole(name: str, components: Mapping[str, Schema]) -> dict[str, Any]:
    """A schema with all that it refers to."""
    found, waiting = dict[str, Any](), [name]
    while waiting:
        if (part := waiting.pop()) not in found:
            found[part] = _closed(components[part])
            waiting += _references(components[part])
    return {"$ref": f"{COMPONENTS}{name}", "components": {"schemas": found}}


def _references(schema: object) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(reference := schema.get("$ref"), str):
            yield reference.removeprefix(COMPONENTS)
        schema = list(schema.values())
    if isinstance(schema, list):
        for item in schema:
            yield from _references(item)


def _closed(schema: object) -> Any:
    """The schema, with no properties but those that it names."""
    if isinstance(schema, list):
        return [_closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items()}
    names_properties = isinstance(closed.get("properties"), dict) and closed.get("type") == "object"
    is_open = closed.get("x-kubernetes-preserve-unknown-fields") is True
    return {"additionalProperties": False, **closed} if names_properties and not is_open else closed
