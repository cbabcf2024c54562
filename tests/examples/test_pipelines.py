"""The example's pipelines: what they may do, and that what they run is right.

Each of their commands is either run here, in a copy of the example, or stands in NOT_RUN with the reason.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from engines.build import locate

from tests.engines import kubeconform, versitygw
from tests.engines.cluster import Cluster
from tests.engines.crds import crd_files
from tests.engines.engine import missing

ROOT = Path(__file__).parents[2]
ACME = ROOT / "examples" / "acme"
GITHUB, GITLAB = ACME / "ci/github-actions.yml", ACME / "ci/gitlab-ci.yml"
FULL_VERSION = re.compile(r"v?\d+\.\d+\.\d+(-\w+)?")
SCHEMA_FILE = "{{.Group}}_{{.ResourceAPIVersion}}_{{.ResourceKind}}.json"
DEFINITIONS = ("argo-cd", "flux-helm", "flux-source", "flux-kustomize", "gateway-api", "karpenter", "keda", "keda-http")

# what a command starts with, and why no test runs it
NOT_RUN = {
    "make -C visionfleet setup": "it installs what this test has",
    "apt-get": "it installs what this test has",
    "git lfs": "the example's weights are in the checkout",
    "git clone": "it fetches this checkout",
    "go install": "`make engines` builds the same versions",
    "export": "it is of the runner's own folders",
    "(umask 077": "the token is GitLab's",
    "pulumi preview": "it needs an account; tests/docs runs it against a stand-in",
}


@dataclass(frozen=True)
class Command:
    """A command of a job."""

    job: str
    text: str

    @property
    def not_run(self) -> str | None:
        return next((reason for start, reason in NOT_RUN.items() if self.text.startswith(start)), None)


def load(file: Path) -> dict[str, Any]:
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def github_jobs() -> dict[str, Any]:
    return load(GITHUB)["jobs"]


def gitlab_jobs() -> dict[str, Any]:
    """The jobs, with what they extend."""
    data = load(GITLAB)
    jobs = {name: job for name, job in data.items() if isinstance(job, dict) and "script" in job}
    return {name: {**data.get(job.get("extends", ""), {}), **job} for name, job in jobs.items()}


def commands(file: Path) -> Iterator[Command]:
    if file == GITHUB:
        for name, job in github_jobs().items():
            yield from (Command(name, step["run"]) for step in job["steps"] if "run" in step)
    else:
        for name, job in gitlab_jobs().items():
            yield from (Command(name, text) for text in [*job.get("before_script", []), *job["script"]])


both = pytest.mark.parametrize("file", [GITHUB, GITLAB], ids=lambda file: file.stem)


def test_on_github_jobs_read_and_ask_for_aws_s_token_where_they_need_it() -> None:
    assert load(GITHUB)["permissions"] == {"contents": "read"}
    with_token = {name for name, job in github_jobs().items() if "id-token" in job.get("permissions", {})}
    to_aws = {name for name, job in github_jobs().items() if "configure-aws-credentials" in yaml.safe_dump(job)}
    assert with_token == to_aws == {"preview", "publish"}
    for name in with_token:
        assert github_jobs()[name]["permissions"] == {"contents": "read", "id-token": "write"}


def test_on_gitlab_jobs_ask_for_aws_s_token_where_they_need_it() -> None:
    assert {name for name, job in gitlab_jobs().items() if "id_tokens" in job} == {"preview", "publish"}


def test_no_job_has_a_token_for_somebody_elses_change() -> None:
    assert github_jobs()["publish"]["if"] == "github.event_name == 'push'"
    assert "head.repo.full_name == github.repository" in github_jobs()["preview"]["if"]
    publish, preview = (gitlab_jobs()[name]["rules"][0]["if"] for name in ("publish", "preview"))
    assert "$CI_DEFAULT_BRANCH" in publish
    assert "$CI_MERGE_REQUEST_SOURCE_PROJECT_ID == $CI_PROJECT_ID" in preview


@both
def test_no_secret_is_stored_at_the_pipelines_place(file: Path) -> None:
    assert not re.search(r"secrets\.|ACCESS_KEY|PASSWORD|PASSPHRASE", file.read_text())


def test_actions_are_of_a_commit_and_keep_no_credentials() -> None:
    steps = [step for job in github_jobs().values() for step in job["steps"] if "uses" in step]
    assert len(steps) > 5
    for step in steps:
        action, _, version = step["uses"].partition("@")
        assert re.fullmatch("[0-9a-f]{40}", version), step
        assert action != "actions/checkout" or step["with"]["persist-credentials"] is False


def test_images_and_tools_are_of_a_full_version() -> None:
    for job in gitlab_jobs().values():
        assert FULL_VERSION.fullmatch(job["image"].rpartition(":")[2]), job["image"]
    for command in (*commands(GITHUB), *commands(GITLAB)):
        assert all(map(FULL_VERSION.fullmatch, re.findall(r"go install \S+@(\S+)", command.text)))


@both
def test_the_tree_is_where_the_file_says(file: Path) -> None:
    data = load(file)
    tree = data.get("env", data.get("variables"))["TREE"]
    assert tree == load(ACME / "visionfleet.yaml")["serverless"]["gitops"]["path"]


@both
def test_what_is_not_run_is_needed_and_known(file: Path) -> None:
    reasons = {command.not_run for command in commands(file)}
    assert None in reasons
    run = [command.text for command in commands(file) if command.not_run is None]
    assert [text.split()[0] for text in run] == ["visionfleet", "visionfleet", "helm", "kubeconform", "visionfleet"]


@pytest.fixture(scope="module")
def schemas(real_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where kubeconform finds the schemas that a cluster itself publishes."""
    for name in (*DEFINITIONS, "prometheus"):
        # too large for the annotation that plain apply writes
        real_cluster.kubectl("apply", "--server-side", *(f"--filename={file}" for file in crd_files(name)))
    real_cluster.kubectl("wait", "crd", "--all", "--for=condition=Established", "--timeout=300s")
    folder = kubeconform.schemas(real_cluster, tmp_path_factory.mktemp("schemas"))
    return f"{folder}/{SCHEMA_FILE}"


@dataclass(frozen=True)
class Repository:
    """A copy of the example as its pipelines find it: the tree committed, a checkout of visionfleet in it."""

    folder: Path
    environment: Mapping[str, str]

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-eo", "pipefail", "-c", command],
            stdin=subprocess.DEVNULL,
            cwd=self.folder,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    def results(self, file: Path, job: str = "check") -> list[int]:
        """The exit codes of a job's commands that are run here."""
        done = [self.run(each.text) for each in commands(file) if each.job == job and each.not_run is None]
        print("\n".join(f"{each.args[-1]}\n{each.stdout}{each.stderr}" for each in done))
        return [each.returncode for each in done]


@pytest.fixture(params=[GITHUB, GITLAB], ids=lambda file: file.stem)
def pipeline(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.fixture
def repository(pipeline: Path, schemas: str, tmp_path: Path) -> Repository:
    folder = tmp_path / "gitops"
    shutil.copytree(ACME, folder)
    (folder / "visionfleet").symlink_to(ROOT)
    data = load(pipeline)
    variables = {name: str(value) for name, value in (data.get("env") or data["variables"]).items()}
    tools = [Path(sys.executable).parent, *map(built, ("helm", "kubeconform"))]
    path = {"PATH": ":".join(map(str, [*tools, os.environ["PATH"]])), "SCHEMAS": schemas, "CRD_SCHEMAS": schemas}
    repository = Repository(folder, {**variables, **path})
    done = repository.run('visionfleet render gitops visionfleet.yaml --out "$TREE"')
    assert done.returncode == 0, done.stderr
    return repository


def built(engine: str) -> Path:
    folder = locate(engine)
    if folder is None:
        missing(engine, "make engines")
    assert folder is not None
    return folder


@pytest.mark.engine
def test_every_check_goes_well_on_the_example(repository: Repository, pipeline: Path) -> None:
    assert repository.results(pipeline) == [0, 0, 0, 0]


@pytest.mark.engine
def test_a_tree_that_was_not_rendered_again_is_found_out(repository: Repository, pipeline: Path) -> None:
    file = repository.folder / "visionfleet.yaml"
    file.write_text(file.read_text().replace("replicas: {min: 2, max: 8}", "replicas: {min: 2, max: 9}"))
    assert repository.results(pipeline) == [0, 1, 0, 0]


@pytest.mark.engine
def test_objects_that_a_cluster_would_not_take_are_found_out(repository: Repository, pipeline: Path) -> None:
    tree = repository.folder / repository.environment["TREE"]
    values, application = tree / "values.yaml", tree / "argocd/application.yaml"
    values.write_text(values.read_text().replace("digest: sha256:", "digest: sha512:"))
    application.write_text(application.read_text().replace("selfHeal: true", "selfHeals: true"))
    file, compared, made, of_tree = repository.results(pipeline)
    assert (file, compared) == (0, 1)
    assert made != 0
    assert of_tree != 0


@pytest.mark.engine
def test_what_is_published_is_what_the_tree_asks_for(repository: Repository, pipeline: Path, tmp_path: Path) -> None:
    tree = repository.folder / repository.environment["TREE"]
    digest = yaml.safe_load((tree / "values.yaml").read_text())["deployment"]["digest"]
    with versitygw.serving(tmp_path / "s3") as server:
        server.make_bucket("hub")
        storage = {
            "URL": "s3://hub",
            "ENDPOINT": server.endpoint,
            "REGION": versitygw.REGION,
            "ACCESS_KEY_ID": versitygw.KEY_ID,
            "SECRET_ACCESS_KEY": versitygw.SECRET,
        }
        named = {f"VISIONFLEET_STORAGE_{name}": value for name, value in storage.items()}
        at_server = Repository(repository.folder, {**repository.environment, **named})
        assert at_server.results(pipeline, "publish") == [0]
        (key,) = server.client.list_objects_v2(Bucket="hub", Prefix="deployments/", Delimiter="/")["Contents"]
    assert key["Key"] == f"deployments/{digest.removeprefix('sha256:')}.json"
