"""The file as a whole."""

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

from pydantic import Field, field_validator

from visionfleet.config import hub as hub_section
from visionfleet.config import inference as inference_section
from visionfleet.config.batch import Batch
from visionfleet.config.cloud import Cloud
from visionfleet.config.cloud_rules import CLOUD_RULES
from visionfleet.config.dedicated import Dedicated
from visionfleet.config.edge import Edge
from visionfleet.config.edge_rules import EDGE_RULES
from visionfleet.config.hub import Hub
from visionfleet.config.inference import Inference
from visionfleet.config.kinds import Domain, FolderPath, Label, Slug
from visionfleet.config.models import Model
from visionfleet.config.section import Breach, RuledSection, defaults, entries, peek, refusal
from visionfleet.config.serverless import Serverless
from visionfleet.config.serverless_rules import SERVERLESS_RULES

# the server reads workflows of this workspace from its own disk and never asks the hub (inference.core.roboflow_api)
RESERVED_WORKSPACE = "local"


class ApiVersion(StrEnum):
    """The form of the file."""

    V1 = "visionfleet/v1"


def _ports_apart(data: object) -> Iterator[Breach]:
    hub = peek(data, "hub", "port", default=hub_section.PORT)
    inference = peek(data, "inference", "port", default=inference_section.PORT)
    if hub == inference:
        location = ("hub", "port") if peek(data, "hub", "port") is not None else ("inference", "port")
        other = "inference.port" if location[0] == "hub" else "hub.port"
        yield Breach(location, hub, "same-port", f"is also {other}", "give the hub and the inference server two ports")


def _models_unique(data: object) -> Iterator[Breach]:
    first: dict[str, int] = {}
    for index, model in enumerate(entries(peek(data, "models"))):
        model_id = peek(model, "id")
        if isinstance(model_id, str) and first.setdefault(model_id, index) != index:
            rule = f"is also models[{first[model_id]}].id"
            yield Breach(("models", index, "id"), model_id, "duplicate-id", rule, "give each model an id of its own")


class DeploymentConfig(RuledSection):
    """A deployment: everything that visionfleet reads, checked and frozen."""

    cross_rules = (_ports_apart, _models_unique, *CLOUD_RULES, *SERVERLESS_RULES, *EDGE_RULES)

    api_version: ApiVersion = Field(
        default=ApiVersion.V1, alias="apiVersion", description="Form of the file; this release reads visionfleet/v1."
    )
    name: Label = Field(description="Name of the deployment: the prefix of everything that is created.")
    workspace: Slug = Field(description="Workspace slug that Roboflow clients see.")
    domain: Domain | None = Field(default=None, description="Domain under which endpoints get their names.")
    inference: Inference = Field(default_factory=defaults(Inference), description="The Roboflow Inference server.")
    models: tuple[Model, ...] = Field(default=(), description="The models that clients may ask for.")
    workflows: FolderPath = Field(
        default=Path("./workflows"), description="Folder of workflows: a JSON file each, its stem being the id."
    )
    hub: Hub = Field(default_factory=defaults(Hub), description="The hub: workflows, models and batch processing.")
    cloud: Cloud | None = Field(
        default=None, description="Where in AWS the deployment is; nothing is made there unless given."
    )
    serverless: Serverless = Field(
        default_factory=defaults(Serverless), description="Hub, serving and batch workers on Kubernetes."
    )
    dedicated: tuple[Dedicated, ...] = Field(default=(), description="Endpoints on machines of their own.")
    edge: Edge = Field(default_factory=defaults(Edge), description="The devices at the edge.")
    batch: Batch = Field(default_factory=defaults(Batch), description="Batch processing.")

    @field_validator("workspace")
    @classmethod
    def _workspace_free(cls, value: str) -> str:
        if value == RESERVED_WORKSPACE:
            rule = "is reserved: the inference server reads this workspace from its own disk"
            raise refusal("reserved-workspace", rule, "take the slug of your Roboflow workspace, or any other name")
        return value
