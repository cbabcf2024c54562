"""Why workers do not run, or have failed, in words that say what to do: from what the cluster tells of Jobs and pods.

A text holds no names of pods and no counts: it stays the same while its cause does, and is written once.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from visionfleet.hub.executor.jobs import WORKER, WorkersJob

Object = Mapping[str, Any]

SLOW_START_SECONDS = 60.0  # an image that is pulled, a volume that is mounted, a server that loads its models
MAX_CHARACTERS = 700
_SCHEDULING = (
    (r"no nodes available", "the cluster has no node for pods: add one"),
    (r"Insufficient nvidia\.com/gpu", "no node has a free GPU: add one, or wait until other pods have ended"),
    (
        r"Insufficient (cpu|memory|ephemeral-storage)",
        "no node has enough free {}: add one, or have workers ask for less",
    ),
    (r"Too many pods", "the nodes have as many pods as they may: add one"),
    (
        r"affinity/selector",
        "no node has the labels that the pods ask for: compare the nodeSelector of their PodTemplate with the nodes",
    ),
    (
        r"untolerated taint",
        "nodes have a taint that the pods do not tolerate: add it to tolerations of serverless.workers, or free a node",
    ),
    (r"were unschedulable", "nodes are cordoned: `kubectl uncordon` lets pods come again"),
    (r"(?i)persistentvolumeclaim", "a volume of the pods is not there: `kubectl get persistentvolumeclaims` tells why"),
)
_CREATION = (
    (
        r"exceeded quota: (\S+), requested: (.+?), used: .*?, limited: (.+)",
        "the namespace's quota '{}' is used up ({} asked for, {} allowed): raise it, or wait until others have ended",
    ),
    (r'violates PodSecurity "([^"]+)": (.+)', "the namespace's Pod Security level {} refuses the pods: {}"),
    (r'serviceaccount "([^"]+)" not found', "the pods' service account '{}' is missing: the chart makes it"),
)
_ADMISSION = (
    (r"LocalQueue (\S+) doesn't exist", "the namespace has no LocalQueue '{}'"),
    (r"ClusterQueue (\S+) doesn't exist", "there is no ClusterQueue '{}'"),
    (r"(LocalQueue|ClusterQueue) (\S+) is (?:inactive|stopped)", "the {} '{}' admits nothing: its status tells why"),
    (r"resource (\S+) unavailable in ClusterQueue", "its ClusterQueue has no quota of {}, which the pods ask for"),
    (
        r"insufficient quota for (\S+) in flavor",
        "a job's pods ask for more {} than its ClusterQueue ever has: lower batch.workers, or raise the quota",
    ),
    (r"insufficient unused quota for (\S+) in flavor", "others use its quota of {}"),
)
_PULLING = frozenset(("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "ImageInspectError"))
_BROKEN = {
    "CreateContainerConfigError": "the container '{}' lacks what its settings name",
    "CreateContainerError": "the container '{}' cannot be made",
    "RunContainerError": "the container '{}' cannot be started",
    "StartError": "the container '{}' cannot be started",
}


@dataclass(frozen=True)
class Obstacle:
    """What is in the way, in our words, and what the cluster itself says."""

    text: str
    detail: str = ""


def refusal(message: str) -> Obstacle:
    """Why the cluster does not take a Job or a pod."""
    plain = re.sub(r'^(Error creating: )?(pods|jobs\.batch) "[^"]*" is forbidden: ', "", message)
    known = _translate(message, _CREATION)
    return _obstacle("; ".join(known) or f"the cluster refuses the workers' pods: {plain}", message)


def is_suspended(job: WorkersJob) -> Obstacle:
    """A Job that somebody keeps from running."""
    return Obstacle(f"the Job of the workers is suspended: `kubectl edit job {job.name}` can resume it")


def in_queue(queue: str, workload: Object | None) -> Obstacle:
    """A Job that is Kueue's to start, and why it does not yet. `workload`: what Kueue has noted about it."""
    conditions = (workload or {}).get("status", {}).get("conditions", ())
    message = next((each["message"] for each in conditions if each["type"] == "QuotaReserved"), "")
    waits = f"waits in the queue '{queue}' until Kueue admits it"
    return _obstacle(": ".join([waits, *_translate(message, _ADMISSION)[:1]]), message)


def not_created(events: Sequence[Object]) -> Obstacle | None:
    """Why a Job has no pods, where the last that happened to it is that one could not be made."""
    newest = max(events, key=_when, default=None)
    if newest is None or newest.get("reason") != "FailedCreate":
        return None
    return refusal(newest.get("message", ""))


def of_pods(pods: Iterable[Object], now: float) -> Obstacle | None:
    """What keeps most of the pods from running; None where they are on their way."""
    found = Counter(obstacle for pod in pods if not _has_ended(pod) and (obstacle := _of_pod(pod, now)) is not None)
    return found.most_common(1)[0][0] if found else None


def stuck(pods: Iterable[Object], now: float) -> Object | None:
    """A pod that has a node, and for long no container: only its events tell why."""
    return next((pod for pod in pods if _is_being_made(pod) and _age(pod, now) > SLOW_START_SECONDS), None)


def of_events(events: Sequence[Object]) -> Obstacle | None:
    """What the last warning about a pod says."""
    newest = max((each for each in events if each.get("type") == "Warning"), key=_when, default=None)
    if newest is None:
        return None
    message = newest.get("message", "")
    return _obstacle(f"a worker's pod cannot start ({newest.get('reason')}): {message}", message)


def of_endings(pods: Iterable[Object]) -> Obstacle | None:
    """How the pod that failed last did, where one has."""
    ending = last_ending(pods)
    return None if ending is None else _obstacle(f"a worker failed, and another one is to follow: {ending}", ending)


def failure_of(job: WorkersJob, pods: Iterable[Object]) -> str:
    """Why a Job has failed: what its last worker said, and the cluster's verdict."""
    ending = last_ending(pods)
    verdict = f"the cluster has given up on the workers: {job.failure}"
    return _cut(verdict if ending is None else f"{ending}; {verdict}")


def last_ending(pods: Iterable[Object]) -> str | None:
    """How the newest of the pods that failed ended: its worker's exit code, and the last line that it wrote."""
    failed = [pod for pod in pods if pod["status"].get("phase") == "Failed"]
    newest = max(failed, key=_ended_at, default=None)
    if newest is None:
        return None
    for status in newest["status"].get("containerStatuses", ()):
        ended = status["state"].get("terminated")
        if ended and ended["exitCode"] != 0:
            return _ending(status["name"], ended)
    message = newest["status"].get("message") or newest["status"].get("reason") or "its node is gone"
    return f"the worker's pod failed: {message}"


def _of_pod(pod: Object, now: float) -> Obstacle | None:
    status = pod["status"]
    for condition in status.get("conditions", ()):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return _unscheduled(condition.get("message", ""))
    return next(filter(None, (_of_container(each, now) for each in _containers(status))), None)


def _unscheduled(message: str) -> Obstacle:
    known = _translate(message, _SCHEDULING)
    return _obstacle("; ".join(known) or f"no node takes the workers' pods: {message}", message)


def _of_container(status: Object, now: float) -> Obstacle | None:
    name, state = status["name"], status["state"]
    waiting = state.get("waiting", {})
    reason, message = waiting.get("reason", ""), waiting.get("message", "")
    if reason in _PULLING:
        fix = "check its name and the registry's credentials (imagePullSecrets)"
        return _obstacle(f"the image {status['image']} cannot be pulled: {fix}", message)
    if reason in _BROKEN:
        return _obstacle(f"{_BROKEN[reason].format(name)}: {message}", message)
    if status.get("restartCount", 0) and not status.get("ready"):
        ended = status.get("lastState", {}).get("terminated")
        how = f": {_ending(name, ended)}" if ended else ""
        return _obstacle(f"the container '{name}' ends again and again{how}", message)
    if name != WORKER and status.get("started") is False and _running_for(state, now) > SLOW_START_SECONDS:
        return Obstacle(f"the container '{name}' is not ready yet: workers start after it")
    return None


def _containers(status: Object) -> Iterator[Object]:
    yield from status.get("initContainerStatuses", ())
    yield from status.get("containerStatuses", ())


def _ending(name: str, ended: Object) -> str:
    lines = [line.strip() for line in ended.get("message", "").splitlines() if line.strip()]
    if ended.get("reason") == "OOMKilled":
        return f"{name} was out of memory (OOMKilled): give it more, or fewer workers to a machine"
    return f"{name} exited with {ended['exitCode']}" + (f": {lines[-1]}" if lines else "")


def _translate(message: str, table: Iterable[tuple[str, str]]) -> list[str]:
    found = ((re.search(pattern, message), words) for pattern, words in table)
    return [words.format(*match.groups()) for match, words in found if match]


def _obstacle(text: str, detail: str) -> Obstacle:
    return Obstacle(_cut(text), detail)


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= MAX_CHARACTERS else f"{line[: MAX_CHARACTERS - 1]}…"


def _has_ended(pod: Object) -> bool:
    return pod["status"].get("phase") in ("Succeeded", "Failed")


def _is_being_made(pod: Object) -> bool:
    waiting = [each["state"].get("waiting", {}).get("reason") for each in _containers(pod["status"])]
    return bool(waiting) and all(reason in ("ContainerCreating", "PodInitializing") for reason in waiting)


def _age(pod: Object, now: float) -> float:
    return now - _seconds(pod["metadata"]["creationTimestamp"])


def _running_for(state: Object, now: float) -> float:
    running = state.get("running")
    return now - _seconds(running["startedAt"]) if running else 0.0


def _ended_at(pod: Object) -> str:
    workers = pod["status"].get("containerStatuses", ())
    ended = [each["state"].get("terminated", {}).get("finishedAt") or "" for each in workers]
    return max(ended, default="")


def _when(event: Object) -> str:
    series: Object = event.get("series") or {}
    times = (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"))
    return next(filter(None, times), "")


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).astimezone(UTC).timestamp()
