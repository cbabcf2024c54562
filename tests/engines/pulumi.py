"""The real Pulumi engine on a stack of its own, against moto. A test module asks for it by

    pytest_plugins = ("tests.engines.cloud",)

    def test_x(aws: Aws, pulumi: Pulumi) -> None:
        stack = pulumi.stack(folder_of_Pulumi_yaml, {"visionfleet:file": "/path/visionfleet.yaml"})
        assert stack.up().changes == {"create": 12}
        assert stack.up().is_unchanged
        assert stack.outputs()["bucket"] == aws.client("s3").list_buckets()["Buckets"][0]["Name"]

The project's folder is not written to: configuration, state and Pulumi's own home lie in the test's folder. The AWS
provider plugin is the stand-in of tests/engines/aws; VISIONFLEET_AWS_PLUGIN=real takes the real one.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from engines.build import ENGINES, locate

from tests.engines.engine import missing, stop
from tests.engines.moto import Aws

ROOT = Path(__file__).parents[2]
NEEDED = ("pulumi", "pulumi-language-python")
PLUGIN = "pulumi-resource-aws"
PASSPHRASE = "a passphrase for tests"
REAL_PLUGIN = os.environ.get("VISIONFLEET_AWS_PLUGIN") == "real"
# the real plugin asks AWS itself for these things before it looks at its endpoint
REAL_PLUGIN_SETTINGS = {
    "aws:skipCredentialsValidation": "true",
    "aws:skipMetadataApiCheck": "true",
    "aws:s3UsePathStyle": "true",
}
TIMEOUT_SECONDS = 1800
INTERRUPT_DELAY_SECONDS = 1.0  # a creation takes this much longer, so that there is a middle to interrupt


@dataclass(frozen=True, slots=True)
class Step:
    """What the engine did, or would do, with one resource."""

    operation: str  # create, update, replace, delete, same, refresh, read …
    type: str
    name: str
    changed: tuple[str, ...] = ()  # the inputs that differ


@dataclass(frozen=True)
class Run:
    """One command of the engine: its exit code, all that it said, and its event log."""

    command: str
    code: int
    text: str
    events: Sequence[Mapping[str, Any]] = field(default=(), repr=False)

    @cached_property
    def changes(self) -> dict[str, int]:
        """How many resources were created, updated, replaced, deleted; the unchanged ones are left out."""
        totals: Counter[str] = Counter()
        for event in self.events:
            totals.update(event.get("summaryEvent", {}).get("resourceChanges") or {})
        return {operation: count for operation, count in totals.items() if count and operation != "same"}

    @property
    def is_unchanged(self) -> bool:
        """Whether nothing had to be done."""
        return not self.changes

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """The steps in the engine's order, the stack's own and unchanged ones left out."""
        planned = [event["resourcePreEvent"]["metadata"] for event in self.events if "resourcePreEvent" in event]
        return tuple(_step(metadata) for metadata in planned if metadata["op"] != "same")

    def names(self, operation: str, kind: str = "") -> list[str]:
        """The names of the resources that a step had, of a type where one is given (a part of it, as `ec2/vpc`)."""
        return sorted(step.name for step in self.steps if step.operation == operation and kind in step.type)

    @cached_property
    def errors(self) -> list[str]:
        """What the engine reports as errors."""
        diagnostics = [event["diagnosticEvent"] for event in self.events if "diagnosticEvent" in event]
        return [item["message"] for item in diagnostics if item["severity"] == "error"]


class Stack:
    """A stack of a project, in a folder of the test's own."""

    def __init__(self, project: Path, folder: Path, environment: Mapping[str, str], name: str = "test") -> None:
        self.project = project
        self.folder = folder
        self.name = name
        self.environment = {**os.environ, **environment}
        self.environment.pop("PYTHONDONTWRITEBYTECODE", None)  # to compile pulumi_aws each time takes many seconds
        # commands that would write beside Pulumi.yaml run beside a copy
        shutil.copy(project / "Pulumi.yaml", folder)
        self._runs = 0

    def configure(self, settings: Mapping[str, str], secrets: Mapping[str, str] | None = None) -> None:
        """`pulumi config set`; secrets are encrypted."""
        for key, value in settings.items():
            self.call("config", "set", key, value)
        for key, value in (secrets or {}).items():
            self.call("config", "set", "--secret", key, value)

    def preview(self, *options: str, fails: bool = False) -> Run:
        """`pulumi preview`."""
        return self._run("preview", *options, fails=fails)

    def up(self, *options: str, fails: bool = False) -> Run:
        """`pulumi up`, without the preview."""
        return self._run("up", "--yes", "--skip-preview", *options, fails=fails)

    def refresh(self, *options: str, fails: bool = False) -> Run:
        """`pulumi refresh`: the state learns what AWS has."""
        return self._run("refresh", "--yes", "--skip-preview", *options, fails=fails)

    def destroy(self, *options: str, fails: bool = False) -> Run:
        """`pulumi destroy`."""
        return self._run("destroy", "--yes", "--skip-preview", *options, fails=fails)

    def interrupted_up(self, after: int) -> Run:
        """`pulumi up`, two resources at a time, that gets a SIGINT once `after` of AWS's are there, as by Ctrl-C."""
        log = self._log("up")
        environment = {**self.environment, "VISIONFLEET_STANDIN_DELAY": str(INTERRUPT_DELAY_SECONDS)}
        command = self._operation("up", "--yes", "--skip-preview", "--parallel", "2", "--event-log", str(log))
        output = log.with_suffix(".txt")
        with output.open("w") as text:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                env=environment,
                stdout=text,
                stderr=text,
                cwd=self.project,
                start_new_session=True,
            )
        try:
            _wait_for_creations(process, log, after)
            process.send_signal(signal.SIGINT)
            code = process.wait(TIMEOUT_SECONDS)
        finally:
            stop(process)
        return Run("up", code, output.read_text(), _events(log))

    def unprotect(self) -> None:
        """`pulumi state unprotect --all`: Pulumi's own protection ends; what AWS itself protects stays so."""
        self.call("state", "unprotect", "--all", "--yes")

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs, secrets included."""
        return json.loads(self.call("stack", "output", "--json", "--show-secrets"))

    def export(self) -> dict[str, Any]:
        """The state as `pulumi stack export` gives it: secrets stay encrypted."""
        return json.loads(self.call("stack", "export"))

    def resources(self, kind: str = "") -> list[dict[str, Any]]:
        """The resources in the state, of a type where one is given (a part of it)."""
        resources = self.export()["deployment"].get("resources") or []
        return [resource for resource in resources if kind in resource["type"]]

    def call(self, *arguments: str) -> str:
        """Any command on the stack that must go well; returns what it printed."""
        done = subprocess.run(
            self._command(*arguments),
            stdin=subprocess.DEVNULL,
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"pulumi {' '.join(arguments)}\n{done.stdout}{done.stderr}"
        return done.stdout

    def _run(self, command: str, *options: str, fails: bool) -> Run:
        log = self._log(command)
        done = subprocess.run(
            self._operation(command, "--event-log", str(log), *options),
            stdin=subprocess.DEVNULL,
            env=self.environment,
            cwd=self.project,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
        assert (done.returncode != 0) == fails, f"pulumi {command}: exit {done.returncode}\n{done.stdout}"
        return Run(command, done.returncode, done.stdout, _events(log))

    def _command(self, *arguments: str) -> list[str]:
        return ["pulumi", *arguments, "--stack", self.name, "--non-interactive", "--color", "never"]

    def _operation(self, *arguments: str) -> list[str]:
        return [*self._command(*arguments), "--config-file", str(self.folder / f"Pulumi.{self.name}.yaml")]

    def _log(self, command: str) -> Path:
        self._runs += 1
        return self.folder / f"{self._runs:02}-{command}.jsonl"


class Pulumi:
    """The engine, and the account that it works on."""

    def __init__(self, folder: Path, aws: Aws) -> None:
        self._folder = folder
        self._stacks: list[Stack] = []
        for name in ("state", "home", "bin"):
            (folder / name).mkdir(parents=True)
        # the language host of 3.78 does not read `virtualenv` of Pulumi.yaml, and takes the `python` that comes first
        python = Path(sys.prefix) / "bin"
        path = [str(python), _plugin(folder / "bin"), *(str(locate(name)) for name in NEEDED), os.environ["PATH"]]
        self.environment = {
            **aws.environment,
            "PATH": os.pathsep.join(path),
            "PULUMI_BACKEND_URL": (folder / "state").as_uri(),
            "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
            "PULUMI_HOME": str(folder / "home"),
            "PULUMI_SKIP_UPDATE_CHECK": "1",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "1",
            "PULUMI_DEBUG_COMMANDS": "1",  # --event-log is one of those
            "PULUMI_OPTION_NON_INTERACTIVE": "1",
            "VIRTUAL_ENV": sys.prefix,
        }

    def stack(self, project: Path, settings: Mapping[str, str] | None = None, name: str = "test") -> Stack:
        """A new stack of the project whose Pulumi.yaml is in the folder."""
        folder = self._folder / f"stack-{len(self._stacks)}-{name}"
        folder.mkdir()
        stack = Stack(project, folder, self.environment, name)
        stack.call("stack", "init")
        stack.configure({**(REAL_PLUGIN_SETTINGS if REAL_PLUGIN else {}), **(settings or {})})
        self._stacks.append(stack)
        return stack


def engine(folder: Path, aws: Aws) -> Pulumi:
    """The engine; where it is not built, the test is skipped visibly."""
    for name in NEEDED:
        if locate(name) is None:
            missing(f"{name} {ENGINES[name].version}", "make engines")
    return Pulumi(folder, aws)


def program(folder: Path, source: str, name: str = "small") -> Path:
    """A project of one file, for tests of the engine itself. Writing it again changes the program."""
    folder.mkdir(parents=True, exist_ok=True)
    options = f"{{name: python, options: {{virtualenv: {sys.prefix}}}}}"
    (folder / "Pulumi.yaml").write_text(f"name: {name}\nruntime: {options}\n")
    (folder / "__main__.py").write_text(source)
    return folder


def _plugin(folder: Path) -> str:
    """The folder that holds the provider plugin: the stand-in, made here, or the real one."""
    if not REAL_PLUGIN:
        launcher = folder / PLUGIN
        launcher.write_text(
            f'#!/bin/sh\n# a STAND-IN for the AWS provider plugin\nPYTHONPATH="{ROOT}" exec "{sys.executable}" '
            '-W ignore -m tests.engines.aws.plugin "$@"\n'
        )
        launcher.chmod(0o755)
        return str(folder)
    installed = sorted(Path.home().glob(f".pulumi/plugins/resource-aws-v*/{PLUGIN}"))
    found = shutil.which(PLUGIN) or (installed[-1] if installed else None)
    if found is None:
        missing("Pulumi's AWS plugin", "pulumi plugin install resource aws, or unset VISIONFLEET_AWS_PLUGIN")
    return str(Path(str(found)).parent)


def _step(metadata: Mapping[str, Any]) -> Step:
    urn = metadata["urn"].split("::")
    return Step(metadata["op"], metadata["type"], urn[3], tuple(metadata.get("diffs") or ()))


def _events(log: Path) -> list[dict[str, Any]]:
    """What the log holds by now; its last line may be half written."""
    return list(_parsed(log.read_text().splitlines())) if log.exists() else []


def _parsed(lines: Sequence[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            return


def _wait_for_creations(process: subprocess.Popen[bytes], log: Path, count: int) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        done = [event["resOutputsEvent"]["metadata"] for event in _events(log) if "resOutputsEvent" in event]
        created = [step for step in done if step["op"] == "create" and step["type"].startswith("aws:")]
        if len(created) >= count:
            return
        time.sleep(0.05)
    pytest.fail(f"pulumi up ended before {count} resources were created")
