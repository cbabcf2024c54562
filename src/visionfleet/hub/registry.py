"""What the unmodified inference server asks of its platform: workflows, models, and the files of model packages.

The answers have the fields that inference 1.8.3 parses: `inference/core/roboflow_api.py` (workflow, stat) and
`inference_models/weights_providers/roboflow.py` (weights).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from visionfleet.config import DeploymentConfig, Model
from visionfleet.config.packages import Package, read_package
from visionfleet.config.workflows import Workflow, read_workflows
from visionfleet.hub.objects.errors import ObjectMissing

PACKAGES_PREFIX = "packages/"
"""Keys of package files start with this; they are served from the models' folders, not from the storage."""


class UnknownWorkflow(Exception):
    """There is no workflow of this id."""

    def __init__(self, workflow_id: str, known: Iterable[str]) -> None:
        super().__init__(f"there is no workflow '{workflow_id}'; known are: {', '.join(sorted(known)) or 'none'}")


class UnknownModel(Exception):
    """There is no model of this id."""

    def __init__(self, model_id: str, known: Iterable[str]) -> None:
        super().__init__(f"there is no model '{model_id}'; known are: {', '.join(sorted(known)) or 'none'}")


class Registry:
    """The workflows and models of one deployment, read once: a hub that is started again sees what has changed."""

    def __init__(self, config: DeploymentConfig) -> None:
        """Read all workflows and packages. Raises ConfigError."""
        self._workflows = read_workflows(config.workflows)
        self._models = {model.id: (model, read_package(model)) for model in config.models}
        self._files = {
            _key(package, file.name): file.path for _, package in self._models.values() for file in package.files
        }

    def workflow(self, workflow_id: str) -> Workflow:
        """Return a workflow. Raises UnknownWorkflow."""
        try:
            return self._workflows[workflow_id]
        except KeyError:
            raise UnknownWorkflow(workflow_id, self._workflows) from None

    def workflow_response(self, workflow_id: str) -> dict[str, Any]:
        """Return the answer to `GET /{workspace}/workflows/{id}`. Raises UnknownWorkflow."""
        workflow = self.workflow(workflow_id)
        config = json.dumps({"specification": workflow.specification})
        return {"workflow": {"id": workflow.id, "name": workflow.id, "config": config}, "status": "ok"}

    def model_stat(self, model_id: str) -> dict[str, Any]:
        """Return the answer to `GET /models/v1/external/stat`. Raises UnknownModel."""
        model, _ = self._model(model_id)
        return {"modelMetadata": _description(model)}

    def model_weights(self, model_id: str, sign: Callable[[str], str]) -> dict[str, Any]:
        """Return the answer to `GET /models/v1/external/weights`. Raises UnknownModel.

        `sign` makes of a package file's key the URL that the server asks HEAD and GET of.
        """
        model, package = self._model(model_id)
        metadata = {"type": "external-model-metadata-v1", "modelId": model.id, **_description(model)}
        return {"modelMetadata": {**metadata, "modelPackages": [_package(package, sign)]}}

    def object(self, key: str) -> Path:
        """Return the path of a package file by its key. Raises ObjectMissing, also for one that was deleted since."""
        path = self._files.get(key)
        if path is None or not path.is_file():
            raise ObjectMissing(f"there is no object {key!r}")
        return path

    def _model(self, model_id: str) -> tuple[Model, Package]:
        try:
            return self._models[model_id]
        except KeyError:
            raise UnknownModel(model_id, self._models) from None


def _description(model: Model) -> dict[str, Any]:
    return {"modelArchitecture": model.architecture, "modelVariant": model.variant, "taskType": model.task}


def _package(package: Package, sign: Callable[[str], str]) -> dict[str, Any]:
    files = [
        {"fileHandle": file.name, "downloadUrl": sign(_key(package, file.name)), "md5Hash": file.md5}
        for file in package.files
    ]
    return {
        "type": "external-model-package-v1",
        "packageId": package.package_id,
        "packageManifest": _onnx_manifest(package),
        "packageFiles": files,
        "trustedSource": True,
    }


def _onnx_manifest(package: Package) -> dict[str, Any]:
    """Describe the ONNX graph. A static batch size is given exactly where the graph has one: the server checks."""
    batch = {} if package.dynamic_batch else {"staticBatchSize": package.static_batch}
    return {
        "type": "onnx-model-package-v1",
        "backendType": "onnx",
        "dynamicBatchSize": package.dynamic_batch,
        **batch,
        "quantization": "fp32",
        "opset": package.opset,
    }


def _key(package: Package, name: str) -> str:
    return f"{PACKAGES_PREFIX}{package.package_id}/{name}"
