"""A Git repository whose trees Flux installs: with the servers that a company has, on this machine.

    with company(cluster, folder) as acme:
        acme.follow("Flux")               # the commands of the guide under this heading
        acme.wait_until_out("vision")     # the HelmRelease is what the last commit says
        acme.left()                       # what is in the namespace

The inference server is a STAND-IN under the name of the real one's image: it loads the hub's models, and runs none.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import sys
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from engines.build import locate

from tests.docs.console import commands_under
from tests.docs.pages import GITOPS_GUIDE, ROOT
from tests.docs.shell import Shell
from tests.engines import postgresql, versitygw
from tests.engines.authority import Authority
from tests.engines.cluster import Cluster
from tests.engines.cluster.flux import KINDS, flux_in
from tests.engines.cluster.flux import NAMESPACE as FLUX
from tests.engines.cluster.images import Image, python_image, visionfleet_image
from tests.engines.edge_image import GOOD, STUB
from tests.engines.engine import missing, printed, wait_until
from tests.engines.git_server import BRANCH, PASSWORD, USER, GitServer, git_server
from tests.engines.helm import CHART, NAMESPACE, Object, helm
from tests.engines.registry import registry
from visionfleet import __version__

EXAMPLE = ROOT / "examples" / "cluster"
OWN_IMAGE = f"visionfleet/visionfleet:{__version__}"
SERVER_IMAGE = "roboflow/roboflow-inference-server-cpu:1.8.3"
IDENTITY = {f"GIT_{who}_{what}": "test@acme.example" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
OUT_SECONDS = 480  # several times what a release takes: the machine may be busy
_OWN = {  # what a namespace has that nobody made
    "configmap/kube-root-ca.crt",
    "serviceaccount/default",
}


@dataclass
class Company:
    """Its cluster with Flux, and a clone of its repository."""

    cluster: Cluster
    git: GitServer
    folder: Path
    environment: Mapping[str, str]
    addresses: Mapping[str, str]  # what the guide writes, and what is there
    logs: Path
    followed: list[str] = field(default_factory=list)

    def translate(self, text: str) -> str:
        """This machine's addresses in place of those of the guide."""
        anything = re.compile("|".join(map(re.escape, self.addresses)))
        return anything.sub(lambda found: self.addresses[found[0]], text)

    def follow(self, heading: str) -> None:
        """Type what stands under a heading of the guide: it does what the guide says."""
        self.followed.append(heading)
        log = self.logs / f"{len(self.followed)}.txt"
        Shell(self.folder, log, self.environment, self.translate).check(commands_under(GITOPS_GUIDE, heading))

    def run(self, *command: str, folder: Path | None = None) -> str:
        """What a command prints, in the clone; fails with what it says."""
        return printed(command, self.environment, folder or self.folder, OUT_SECONDS).strip()

    def commit(self, message: str) -> None:
        """All that has changed is pushed, and Flux told to look."""
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--message", message)
        self.run("git", "push", "--quiet")

    def sync(self, name: str) -> None:
        """Flux looks at the repository now, and not only within the next minute."""
        self.ask("gitrepository", f"visionfleet-{name}", FLUX)

    def ask(self, kind: str, name: str, namespace: str) -> None:
        """What `flux reconcile` does, until the controller has done what it was asked for."""
        token = secrets.token_hex(8)
        asked = f"reconcile.fluxcd.io/requestedAt={token}"
        self.cluster.kubectl("annotate", "--overwrite", kind, name, asked, f"--namespace={namespace}")
        handled = f"--for=jsonpath={{.status.lastHandledReconcileAt}}={token}"
        self.cluster.kubectl("wait", f"{kind}/{name}", handled, f"--namespace={namespace}", f"--timeout={OUT_SECONDS}s")

    def release(self, name: str, namespace: str = NAMESPACE) -> Object:
        """The HelmRelease, as the cluster has it."""
        return self.cluster.get("helmrelease", name, f"--namespace={namespace}")

    def wait_until_out(self, name: str, namespace: str = NAMESPACE, *, ready: str = "True") -> None:
        """Until Flux has done what the last commit says, with this outcome."""
        commit = self.run("git", "rev-parse", "HEAD")

        def is_out() -> bool:
            sync = self.cluster.get("kustomization", f"visionfleet-{name}", f"--namespace={FLUX}")
            if not sync.get("status", {}).get("lastAppliedRevision", "").endswith(commit):
                return False
            release = self.release(name, namespace)
            is_seen = release.get("status", {}).get("observedGeneration") == release["metadata"]["generation"]
            return is_seen and condition(release, "Ready")["status"] == ready

        wait_until(is_out, f"{name} is out as of {commit}", OUT_SECONDS, lambda: self.state(name, namespace))

    def history(self, name: str, namespace: str = NAMESPACE) -> list[tuple[int, str]]:
        """The release's revisions and their states, the oldest first."""
        done = helm("history", name, f"--namespace={namespace}", "--output=json", environment=self.cluster.environment)
        assert done.returncode == 0, done.stderr
        return [(entry["revision"], entry["status"]) for entry in json.loads(done.stdout)]

    def events(self, release: str, namespace: str = NAMESPACE) -> list[str]:
        """The reasons of what Flux has said of a HelmRelease."""
        of_release = f"--field-selector=involvedObject.kind=HelmRelease,involvedObject.name={release}"
        found = self.cluster.get("events", of_release, f"--namespace={namespace}")
        return [each["reason"] for each in found["items"]]

    def left(self, namespace: str = NAMESPACE) -> set[str]:
        """What is in a namespace, but for what Kubernetes makes itself, and events."""
        verbs = ("api-resources", "--namespaced", "--verbs=list,delete", "--output=name")
        kinds = [kind for kind in self.cluster.kubectl(*verbs).split() if not kind.startswith("events")]
        found = self.cluster.kubectl("get", ",".join(kinds), f"--namespace={namespace}", "--output=name").split()
        return set(found) - _OWN

    def state(self, name: str, namespace: str = NAMESPACE) -> str:
        """What a person would look at."""
        commands = (
            ("get", ",".join(KINDS), "--all-namespaces"),
            ("describe", f"helmrelease/{name}", f"--namespace={namespace}"),
            ("get", "all,configmaps,secrets,serviceaccounts", f"--namespace={namespace}"),
        )
        return "\n".join(self.cluster.run_kubectl(*command).stdout for command in commands)


@contextmanager
def company(cluster: Cluster, folder: Path) -> Generator[Company]:
    """All servers, and a clone with what the guide's file names; a chart in the registry and the charts' repository."""
    address = cluster.host_address
    authority = Authority(folder / "authority")
    with ExitStack() as running:
        database = running.enter_context(postgresql.serving(address))
        storage = running.enter_context(versitygw.serving(folder / "s3", address))
        storage.make_bucket("vision")
        charts = running.enter_context(registry(folder / "registry", address, authority))
        git = running.enter_context(git_server(folder / "git", address, authority))
        _push_chart(folder, charts.host, authority.certificate)
        for image in _images(folder):
            cluster.load_image(image)
        running.enter_context(flux_in(cluster, authority.certificate))
        clone = folder / "clone"
        made = Company(
            cluster=cluster,
            git=git,
            folder=clone,
            environment={**_environment(cluster, storage), **git.environment},
            addresses={
                "https://git.acme.example": git.url,
                "registry.acme.example": charts.host,
                "http://minio.storage:9000": storage.endpoint,
                "http://127.0.0.1:9000": storage.endpoint,
            },
            logs=folder,
        )
        _fill(made, database.create("vision"))
        yield made


def condition(release: Object, kind: str) -> dict[str, Any]:
    """A condition of an object of Flux's."""
    found = (each for each in release.get("status", {}).get("conditions", []) if each["type"] == kind)
    return next(found, {"status": "Unknown", "reason": "", "message": ""})


def _environment(cluster: Cluster, storage: versitygw.VersityGW) -> dict[str, str]:
    kubernetes = locate("kubernetes")
    if kubernetes is None:
        missing("kubectl", "make engines")
    # what the guide exports under one heading is there under the next, too
    published = {
        "URL": "s3://vision/hub",
        "ENDPOINT": storage.endpoint,
        "ACCESS_KEY_ID": versitygw.KEY_ID,
        "SECRET_ACCESS_KEY": versitygw.SECRET,
    }
    return {
        "PATH": f"{Path(sys.executable).parent}:{kubernetes}:{os.environ['PATH']}",
        "KUBECONFIG": str(cluster.kubeconfig),
        "COLUMNS": "160",
        "S3_KEY_ID": versitygw.KEY_ID,
        "S3_KEY": versitygw.SECRET,
        "AWS_REGION": versitygw.REGION,
        **{f"VISIONFLEET_STORAGE_{name}": value for name, value in published.items()},
        **IDENTITY,
    }


def _fill(made: Company, database: str) -> None:
    """A repository with one commit, the folders that the guide's file names, and the files of its Secrets."""
    url = made.git.make("vision/gitops")
    made.folder.mkdir()
    for command in (
        ("init", "--quiet", f"--initial-branch={BRANCH}"),
        ("remote", "add", "origin", url),
        ("commit", "--quiet", "--allow-empty", "--message", "Begin"),
        ("push", "--quiet", "--set-upstream", "origin", BRANCH),
    ):
        made.run("git", *command)
    for name in ("models", "workflows"):
        shutil.copytree(EXAMPLE / name, made.folder / name)
    hub = {
        "DATABASE_URL": database,
        "SIGNING_KEY": secrets.token_hex(32),
        "S3_KEY_ID": versitygw.KEY_ID,
        "S3_KEY": versitygw.SECRET,
    }
    keys = {name: secrets.token_hex(32) for name in ("server", "worker")}
    for name, content in (("hub", hub), ("keys", keys), ("git", {"username": USER, "password": PASSWORD})):
        lines = "".join(f"{key}={value}\n" for key, value in content.items())
        (made.folder / f"{name}.env").write_text(lines)
    (made.folder / ".gitignore").write_text("*.env\n")


def _push_chart(folder: Path, host: str, ca: Path) -> None:
    for command in (
        ("package", str(CHART), "--destination", str(folder)),
        ("push", f"{folder}/visionfleet-{__version__}.tgz", f"oci://{host}/charts", "--ca-file", str(ca)),
    ):
        done = helm(*command)
        assert done.returncode == 0, f"{command}: {done.stderr}"


def _images(folder: Path) -> list[Image]:
    """Under the names that the tree has: the node pulls none."""
    own = visionfleet_image()
    settings = folder / "settings.json"
    settings.write_text(json.dumps({"version": "1.8.3", **asdict(GOOD)}))
    content = [(STUB, f"/opt/stub/{STUB.name}"), (settings, "/opt/stub/settings.json")]
    server = python_image(SERVER_IMAGE, content, entrypoint=["/usr/bin/python3", f"/opt/stub/{STUB.name}"])
    return [Image(OWN_IMAGE, own.layers, own.settings), server]
