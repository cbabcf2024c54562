"""What a client may ask of a job: the body of `POST …/jobs/{job_id}`, in the words of the command line."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Annotated, Any, Literal, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError
from pydantic.alias_generators import to_camel

from visionfleet.config.workflows import Workflow
from visionfleet.hub.errors import HubError
from visionfleet.hub.store.tables import Job
from visionfleet.protocol import MachineType, is_json

IMAGE_JOB = "simple-image-processing-v1"
MAX_WORKERS_A_MACHINE = 64
MAX_TIMEOUT_SECONDS = 366 * 86_400
MAX_PARALLEL_TASKS = 1_000_000

M = TypeVar("M", bound=BaseModel)


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel)


class JobInput(_Message):
    """The batch, or the part of a multipart batch, whose images are processed."""

    type: Literal["staging-batch-input-v1"]
    batch_id: str
    part_name: str | None = None


class ComputeConfiguration(_Message):
    """On what the job runs. `workers_per_machine`: workers of a pod, or how many requests a local one has at once."""

    type: Literal["compute-configuration-v2"]
    machine_type: MachineType = MachineType.CPU
    workers_per_machine: Annotated[int, Field(ge=1, le=MAX_WORKERS_A_MACHINE)] | None = None


class ProcessingSpecification(_Message):
    """Which workflow runs, with what, and what is kept of its answers."""

    type: Literal["workflows-processing-specification-v1"]
    workspace: str
    workflow_id: str
    workflow_parameters: dict[str, JsonValue] = {}
    image_input_name: str | None = None
    persist_images_outputs: bool = False
    images_outputs_to_be_persisted: list[str] | None = None
    aggregation_format: Literal["csv", "jsonl"] = "jsonl"


class JobDefinition(_Message):
    """A job that runs a workflow on every image of a batch."""

    type: Literal["simple-image-processing-v1"]
    job_input: JobInput
    compute_configuration: ComputeConfiguration
    processing_timeout_seconds: Annotated[int, Field(ge=1, le=MAX_TIMEOUT_SECONDS)] | None = None
    max_parallel_tasks: Annotated[int, Field(ge=1, le=MAX_PARALLEL_TASKS)] | None = None
    max_image_failure_rate: Annotated[float, Field(ge=0, le=1)] | None = None
    processing_specification: ProcessingSpecification
    inference_backend: Literal["inference-models"] | None = None

    def failures_allowed(self, images: int, default: int) -> int:
        """How many of a task's `images` may fail before the task does."""
        if self.max_image_failure_rate is None:
            return default
        # as it was written: 0.29 of 100 is 29, though the nearest float to 0.29 lies below it
        return int(Decimal(repr(self.max_image_failure_rate)) * images)


class ComputeOverride(_Message):
    """On what a job runs from a restart on, as far as it is to change."""

    type: Literal["compute-configuration-v2"]
    machine_type: MachineType | None = None
    workers_per_machine: Annotated[int, Field(ge=1, le=MAX_WORKERS_A_MACHINE)] | None = None


class ParametersOverride(_Message):
    """What a restart changes: the body of `POST …/jobs/{job_id}/restart`."""

    type: Literal["parameters-override-v1"]
    compute_configuration: ComputeOverride | None = None
    processing_timeout_seconds: Annotated[int, Field(ge=1, le=MAX_TIMEOUT_SECONDS)] | None = None
    max_parallel_tasks: Annotated[int, Field(ge=1, le=MAX_PARALLEL_TASKS)] | None = None
    max_image_failure_rate: Annotated[float, Field(ge=0, le=1)] | None = None


def definition_of(job: Job) -> JobDefinition:
    """A job's definition as it holds now: what was sent, with what each restart has changed."""
    return parse_definition(overridden(job.definition, job.overrides))


def overridden(definition: dict[str, Any], overrides: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The definition with each override over it, the last one on top; None changes nothing."""
    for override in overrides:
        definition = _over(definition, {key: value for key, value in override.items() if key != "type"})
    return definition


def check_override(body: dict[str, Any]) -> dict[str, Any]:
    """An override as it was sent. Raises HubError 400 that names each field at fault."""
    _parsed(ParametersOverride, body, "the restart's parameters have")
    return body


def parse_definition(body: dict[str, Any]) -> JobDefinition:
    """The job that `body` describes. Raises HubError 400 that names each field at fault."""
    if body.get("type") != IMAGE_JOB:
        message = f"this hub runs jobs of type '{IMAGE_JOB}'"
        raise HubError(400, "job_type_unsupported", message, type=str(body.get("type")))
    if not is_json(body):
        message = "the job definition holds text that is not Unicode, or a number that is not finite"
        raise HubError(400, "job_definition_invalid", message)
    return _parsed(JobDefinition, body, "the job definition has")


def check_against_workflow(definition: JobDefinition, workflow: Workflow) -> str:
    """The name of the image input. Raises HubError 400 where the job names inputs or outputs that are not there."""
    specification = definition.processing_specification
    image_input = specification.image_input_name or workflow.image_inputs[0]
    if image_input not in workflow.image_inputs:
        raise _unknown("imageInputName", image_input, workflow.image_inputs)
    inputs = [entry["name"] for entry in workflow.specification["inputs"] if "name" in entry]
    for name in specification.workflow_parameters:
        if name not in inputs or name == image_input:
            raise _unknown("workflowParameters", name, [i for i in inputs if i != image_input])
    if specification.images_outputs_to_be_persisted and not specification.persist_images_outputs:
        message = "image outputs are named, but none are to be saved: add `--save-image-outputs`"
        raise HubError(400, "job_definition_invalid", message, persistImagesOutputs="false")
    for name in specification.images_outputs_to_be_persisted or ():
        if name not in workflow.outputs:
            raise _unknown("imagesOutputsToBePersisted", name, workflow.outputs)
    return image_input


def _parsed(model: type[M], body: dict[str, Any], what_has: str) -> M:
    try:
        return model.model_validate(body)
    except ValidationError as error:
        fields = {".".join(str(step) for step in problem["loc"]): _fault(problem) for problem in error.errors()}
        message = f"{what_has} fields that cannot be taken: " + ", ".join(sorted(fields))
        raise HubError(400, "job_definition_invalid", message, **fields) from error


def _over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        if isinstance(value, dict):
            merged[key] = _over(merged.get(key) or {}, cast("dict[str, Any]", value))
        elif value is not None:
            merged[key] = value
    return merged


def _unknown(field: str, name: str, known: Any) -> HubError:
    message = f"{field}: the workflow has no '{name}'; it has: {', '.join(known) or 'none'}"
    return HubError(400, "job_definition_invalid", message, **{field: name})


def _fault(problem: Any) -> str:
    if problem["type"] == "extra_forbidden":
        return "not supported by this hub"
    if problem["type"] == "missing":
        return "missing"
    return str(problem["msg"])
