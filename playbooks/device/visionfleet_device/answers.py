"""What the hub answers the inference server about a release's models and workflows: asked once, kept in the release."""

from __future__ import annotations

import hashlib
import json
from contextlib import contextmanager
from typing import Any, Dict, Generator, List, NamedTuple, cast
from urllib.parse import quote, urlsplit

from visionfleet_device import links
from visionfleet_device.errors import DeviceError
from visionfleet_device.hub import Hub, shown
from visionfleet_device.paths import Bundle

_ANEW = "start the hub again, so that it reads its files anew, then release again"


class Answers(NamedTuple):
    """By model and by workflow. Models' files are without URLs: who answers has them in a place of its own."""

    models: dict[str, dict[str, Any]]  # {"stat", "weights"}
    workflows: dict[str, dict[str, Any]]

    def are_for(self, release: dict[str, Any]) -> bool:
        """Whether they are all that a release needs."""
        models = {model["id"] for model in release["models"]}
        workflows = {workflow["id"] for workflow in release["workflows"]}
        return models == self.models.keys() and workflows == self.workflows.keys()


def ask(hub: Hub, release: dict[str, Any]) -> Answers:
    """The hub's answers. Raises DeviceError where they are not about the packages and workflows of the release."""
    answers = Answers({}, {})
    for model in release["models"]:
        with _understood(f"model {model['id']}"):
            answers.models[model["id"]] = _model(hub, model)
    for workflow in release["workflows"]:
        with _understood(f"workflow {workflow['id']}"):
            answers.workflows[workflow["id"]] = _workflow(hub, release["workspace"], workflow)
    return answers


def links_of(hub: Hub, model: dict[str, Any]) -> dict[str, str]:
    """By name, the URLs that the hub signs for the files of a model's package. They hold for an hour."""
    with _understood(f"model {model['id']}"):
        package = _package(model, _weights(hub, model))
        urls = {file["fileHandle"]: file["downloadUrl"] for file in package["packageFiles"]}
        return {file["name"]: _web(urls[file["name"]]) for file in model["files"]}


def write(bundle: Bundle, answers: Answers) -> None:
    """Keep them in a release."""
    links.write_json(bundle.platform / "models.json", answers.models)
    links.write_json(bundle.platform / "workflows.json", answers.workflows)


def read(bundle: Bundle) -> Answers | None:
    """Those of a release; None where they are not here."""
    models = links.read_json(bundle.platform / "models.json")
    workflows = links.read_json(bundle.platform / "workflows.json")
    return None if models is None or workflows is None else Answers(models, workflows)


def _web(url: str) -> str:
    if urlsplit(url).scheme not in ("http", "https"):
        raise ValueError(f"a downloadUrl is neither http nor https: {shown(url)}")
    return url


def _model(hub: Hub, model: dict[str, Any]) -> dict[str, Any]:
    stat = hub.get("/models/v1/external/stat", modelId=model["id"])
    weights = _weights(hub, model)
    package = _package(model, weights)
    missing = {file["name"] for file in model["files"]} - {file["fileHandle"] for file in package["packageFiles"]}
    if missing:
        raise DeviceError(f"the hub's package of model {model['id']} has no {', '.join(sorted(missing))}", _ANEW)
    files = [{key: file[key] for key in file if key != "downloadUrl"} for file in package["packageFiles"]]
    metadata = {**weights["modelMetadata"], "modelPackages": [{**package, "packageFiles": files}]}
    return {"stat": stat, "weights": {**weights, "modelMetadata": metadata}}


def _weights(hub: Hub, model: dict[str, Any]) -> dict[str, Any]:
    return hub.get("/models/v1/external/weights", modelId=model["id"])


def _package(model: dict[str, Any], weights: dict[str, Any]) -> dict[str, Any]:
    packages = cast("List[Dict[str, Any]]", weights["modelMetadata"]["modelPackages"])
    for package in packages:
        if package["packageId"] == model["package_id"]:
            return package
    served = ", ".join(package["packageId"] for package in packages) or "none"
    message = f"the hub serves package {served} of model {model['id']}, and the release asks for {model['package_id']}"
    raise DeviceError(message, _ANEW)


def _workflow(hub: Hub, workspace: str, workflow: dict[str, Any]) -> dict[str, Any]:
    answer = hub.get(f"/{quote(workspace, safe='')}/workflows/{quote(workflow['id'], safe='')}")
    specification = json.loads(answer["workflow"]["config"])["specification"]
    if _digest(specification) != workflow["sha256"]:
        raise DeviceError(f"the hub serves workflow {workflow['id']} otherwise than the release asks for it", _ANEW)
    return answer


@contextmanager
def _understood(what: str) -> Generator[None, None, None]:
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        message = f"the hub's answer about {what} is not understood: {error!r}"
        raise DeviceError(message, "bring hub and device to the same version: playbooks/site.yml") from error


def _digest(value: object) -> str:
    """As the release has it: SHA-256 of canonical JSON."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
