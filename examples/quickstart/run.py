"""visionfleet's quickstart: a batch of photographs, from staging to exported results, on this machine.

Hub, Roboflow Inference server and one worker are started from visionfleet.yaml in this folder. Then the unmodified
`inference rf-cloud` command line does what it does against the hosted platform. Every command is printed as one would
type it. At the end everything that was started is stopped, unless --keep is given.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from make_model import write_package
from rich.table import Table
from terminal import StepError, Steps, console, note_signals, run, say, shown, wait_until

from visionfleet.config import DeploymentConfig, load
from visionfleet.hub.keys import create_key, revoke_key
from visionfleet.local.errors import LocalError
from visionfleet.local.processes import tail
from visionfleet.local.runtime import Runtime, locate
from visionfleet.local.servers import without_proxy
from visionfleet.local.state import State

HERE = Path(__file__).resolve().parent
FILE = HERE / "visionfleet.yaml"
MODEL = HERE / "models" / "colour-cells"
PHOTOS = HERE / "photos"
RESULTS = HERE / "results"
STATE = HERE / "state"
WORKFLOW = "count-colours"
INGEST_SECONDS = 120
JOB_SECONDS = 600
LOG_LINES = 15


@dataclass(frozen=True)
class Client:
    """A client of the hub: the runtime's command line with a key, and the same API for waiting."""

    config: DeploymentConfig
    runtime: Runtime
    key: str

    def command(self, name: str, *flags: str, **options: str) -> None:
        """Runs `inference rf-cloud NAME --option value … FLAGS`."""
        typed = ["inference", "rf-cloud", *name.split()]
        for option, value in options.items():
            typed += [f"--{option.replace('_', '-')}", value]
        typed += flags
        url = self.config.hub.public_url
        environment = {**without_proxy(os.environ, url), "API_BASE_URL": url, "ROBOFLOW_API_KEY": self.key}
        run([str(self.runtime.inference), *typed[1:]], typed=typed, environment=environment, logs=["hub"])

    def get(self, service: str, path: str) -> Any:
        """What the command line would get, for a loop that would start it again and again."""
        url = f"{self.config.hub.public_url}/{service}/v1/external/{self.config.workspace}/{path}"
        answer = httpx.get(url, params={"api_key": self.key}, trust_env=False)
        answer.raise_for_status()
        return answer.json()


def main() -> int:
    """Runs the quickstart; gives the exit code."""
    parser = argparse.ArgumentParser(description="The main job on this machine.")
    parser.add_argument("--keep", action="store_true", help="leave the stack running")
    keep = parser.parse_args().keep
    note_signals()
    steps = Steps(total=7)
    was_running = done = False
    try:
        earlier = State.read(STATE)
        was_running = earlier is not None and earlier.is_running
        go_through(steps)
        done = True
    except StepError as error:
        report_failure(steps, error)
    except LocalError as error:
        report_failure(steps, StepError(str(error)))
    except httpx.HTTPError as error:
        report_failure(steps, StepError(f"the hub did not answer as it should: {error}", "hub"))
    finally:
        finish(keep=was_running or (keep and done))
    return 0 if done else 1


def go_through(steps: Steps) -> None:
    """The steps, each of which may raise StepError."""
    steps.begin("The inference runtime: server 1.8.3 and command line, in an environment of their own")
    visionfleet("local", "install")

    steps.begin("The sample: a model package and 48 photographs")
    write_package(MODEL)
    say(f"{shown(MODEL)}: a generated ONNX package that finds coloured cells")
    config = load(FILE)
    runtime = locate(config.inference.version)
    make_photos(runtime)

    steps.begin("Hub, inference server and worker")
    visionfleet("local", "up", "--file", shown(FILE), "--runtime", "native")

    key_id, key = create_key(config, name="quickstart", role="client")
    try:
        run_batch(steps, Client(config, runtime, key))
    finally:
        revoke_key(config, key_id)


def run_batch(steps: Steps, client: Client) -> None:
    """From the folder of photographs to the folder of results."""
    run_id = f"{datetime.now(UTC):%y%m%d-%H%M%S}"
    batch_id, job_id = f"photos-{run_id}", f"job-{run_id}"
    count = len(list(PHOTOS.glob("*.jpg")))

    steps.begin("Stage the photographs")
    say("in a shell of your own:")
    say(f"$ export PATH={client.runtime.inference.parent}:$PATH API_BASE_URL={client.config.hub.public_url}")
    say(f"$ export ROBOFLOW_API_KEY=$(.venv/bin/visionfleet hub keys create --name me --file {shown(FILE)})")
    client.command("data-staging create-batch-of-images", batch_id=batch_id, images_dir=shown(PHOTOS))
    wait_for_ingest(client, batch_id, count)

    steps.begin("Process them with the workflow")
    client.command(
        "batch-processing process-images-with-workflow",
        "--save-image-outputs",
        batch_id=batch_id,
        workflow_id=WORKFLOW,
        job_id=job_id,
        machine_type="cpu",
        aggregation_format="jsonl",
    )
    job = watch_job(client, job_id)
    if job["error"]:
        client.command("batch-processing fetch-logs", job_id=job_id)
        raise StepError(f"job {job_id} ended with an error: {job['lastNotification']}", "worker-1", "inference")

    steps.begin("Export the results")
    target = RESULTS / run_id
    for output_batch in output_batches(client, job_id, stage="export"):
        client.command("data-staging export-batch", batch_id=output_batch, target_dir=shown(target))

    steps.begin("What came out")
    show_results(target, count, seconds_of(job))
    say(f"the whole quickstart: {steps.seconds:.0f} s")


def visionfleet(*arguments: str) -> None:
    """Runs `visionfleet …` of this environment."""
    program = str(Path(sys.executable).with_name("visionfleet"))
    run([program, *arguments], typed=(shown(Path(program)), *arguments), environment=dict(os.environ))


def make_photos(runtime: Runtime) -> None:
    """Makes the photographs with the runtime's Python, which has scikit-image."""
    typed = [str(runtime.python), shown(HERE / "make_photos.py"), shown(PHOTOS)]
    run(typed, typed=typed, environment=dict(os.environ))


def wait_for_ingest(client: Client, batch_id: str, count: int) -> None:
    """Until the hub has every photograph; a job on a batch that still arrives would be refused."""

    def staged() -> int:
        return client.get("data-staging", f"batches/{batch_id}/count")["count"]

    wait_until(lambda: staged() >= count, lambda: f"{staged()} of {count} are staged", timeout=INGEST_SECONDS)
    client.command("data-staging show-batch-details", batch_id=batch_id)


def watch_job(client: Client, job_id: str) -> dict[str, Any]:
    """Shows the job again and again until it has ended; gives its metadata."""
    shown_jobs: list[dict[str, Any]] = []

    def show() -> bool:
        # asked before it is shown: what is shown last is the job that has ended
        shown_jobs.append(client.get("batch-processing", f"jobs/{job_id}")["job"])
        client.command("batch-processing show-job-details", job_id=job_id)
        return shown_jobs[-1]["isTerminal"]

    wait_until(
        show, lambda: f"{shown_jobs[-1]['currentStage']}: {shown_jobs[-1]['lastNotification']}", timeout=JOB_SECONDS
    )
    return shown_jobs[-1]


def seconds_of(job: dict[str, Any]) -> float:
    """How long the job took, from the moment the hub had it to its end."""
    return (datetime.fromisoformat(job["lastUpdate"]) - datetime.fromisoformat(job["createdAt"])).total_seconds()


def output_batches(client: Client, job_id: str, stage: str) -> list[str]:
    """The batches that a stage of the job filled."""
    stages = client.get("batch-processing", f"jobs/{job_id}/stages")["stages"]
    return [batch for each in stages if each["processingStageName"] == stage for batch in each["outputBatches"]]


def show_results(target: Path, expected: int, seconds: float) -> None:
    """The table, the folders, and what to try next. Raises StepError when an image is missing."""
    records = [json.loads(line) for path in target.rglob("results.jsonl") for line in path.read_text().splitlines()]
    annotated = [path for path in target.rglob("*.jp*g") if path.is_file()]
    if len(records) != expected or len(annotated) != expected:
        raise StepError(
            f"{expected} photographs gave {len(records)} results and {len(annotated)} annotated images",
            "worker-1",
            "inference",
        )
    classes = Counter(found["class"] for record in records for found in record["predictions"]["predictions"])
    table = Table(
        "class", "detections", title=f"{len(records)} images, {seconds:.1f} s, {expected / seconds:.0f} images/s"
    )
    for name, number in classes.most_common():
        table.add_row(name, str(number))
    console.print(table)
    results = next(target.rglob("results.jsonl"))
    say(f"results:          {shown(results)}")
    say(f"annotated images: {shown(annotated[0].parent)}")
    say("try next:")
    say("  put pictures of your own into a folder and stage it: make quickstart KEEP=1 leaves the servers running")
    say(f"  change the confidence in {shown(HERE / 'workflows' / 'count-colours.json')}, or write a workflow beside it")
    say(f"  put the package of a trained YOLOv8 model into {shown(FILE)}")


def report_failure(steps: Steps, error: StepError) -> None:
    """Which step, what failed, and the last lines of the logs that matter."""
    console.print(f"\nthe quickstart failed at '{steps.title}':\n{error}", style="bold red", markup=False)
    for name in error.logs:
        path = STATE / "logs" / f"{name}.log"
        lines = tail(path, LOG_LINES)
        if lines:
            console.print(f"\nthe last lines of {shown(path)}:\n{lines}", markup=False)


def finish(*, keep: bool) -> None:
    """Stops the stack, or says how to."""
    program = str(Path(sys.executable).with_name("visionfleet"))
    down = [program, "local", "down", "--file", str(FILE)]
    if keep:
        typed = (shown(Path(program)), *down[1:-1], shown(FILE))
        say(f"\n  everything goes on running; to stop it: {shlex.join(typed)}")
        return
    if FILE.with_name("state").exists():
        # a session of its own: a second Ctrl-C does not reach it
        subprocess.run(down, check=False, stdin=subprocess.DEVNULL, start_new_session=True)


if __name__ == "__main__":
    sys.exit(main())
