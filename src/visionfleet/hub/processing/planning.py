"""A processing stage before it begins: whether the job can run here, and the tasks that its images are cut into."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import insert
from sqlalchemy.orm import Session

from visionfleet.hub import tasks
from visionfleet.hub.context import Hub
from visionfleet.hub.errors import HubError
from visionfleet.hub.processing.definitions import JobDefinition, check_against_workflow
from visionfleet.hub.processing.stages import PROCESSING, StagePlan, start_stage
from visionfleet.hub.registry import UnknownWorkflow
from visionfleet.hub.store.tables import ImageState, Job, TaskImage, TaskKind
from visionfleet.protocol import MachineType


def check_job(hub: Hub, workspace: str, definition: JobDefinition) -> str:
    """The image input's name, once the workflow and the machine that the job asks for are known to be there."""
    specification = definition.processing_specification
    if specification.workspace != workspace:
        message = f"a job of workspace '{workspace}' cannot run workflows of another one"
        raise HubError(400, "job_definition_invalid", message, workspace=specification.workspace)
    workers = hub.config.batch.workers
    if definition.compute_configuration.machine_type == MachineType.GPU and workers.gpu is None:
        message = "this deployment has no GPU workers: ask for machine type 'cpu', or add batch.workers.gpu to the file"
        raise HubError(400, "machine_type_unavailable", message, machineType="gpu")
    try:
        workflow = hub.registry.workflow(specification.workflow_id)
    except UnknownWorkflow as error:
        raise HubError(404, "workflow_not_found", str(error), workflowId=specification.workflow_id) from error
    return check_against_workflow(definition, workflow)


def plan_processing(
    hub: Hub,
    session: Session,
    job: Job,
    definition: JobDefinition,
    images: Sequence[int],
    output_row: int | None = None,
) -> None:
    """Begin the processing of `images`, rows of files: one task for each run of them.

    `output_row`: the batch that an earlier stage of the job has begun to fill.
    """
    image_input = check_job(hub, job.workspace, definition)
    size = hub.config.batch.images_per_task
    runs = [images[start : start + size] for start in range(0, len(images), size)]
    stage = start_stage(hub, session, job, StagePlan(PROCESSING, len(runs), definition.max_parallel_tasks, output_row))
    for run in runs:
        allowed = definition.failures_allowed(len(run), hub.config.batch.max_failed_images)
        task = tasks.enqueue(
            session,
            hub.store.clock(),
            TaskKind.PROCESS,
            {"image_input": image_input, "failures_allowed": allowed},
            job_row=job.row,
            stage_id=stage.id,
            machine_type=definition.compute_configuration.machine_type,
        )
        session.flush()
        rows = [{"task_id": task.id, "file_row": row, "state": ImageState.PENDING} for row in run]
        session.execute(insert(TaskImage), rows)
