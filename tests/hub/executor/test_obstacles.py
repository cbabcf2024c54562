"""What the cluster says, in words that say what to do, and that stay the same while the cause does."""

from __future__ import annotations

from typing import Any

import pytest

from tests.hub.executor.test_shares import job
from visionfleet.hub.executor import obstacles

NOW = 1_800_000_000.0
LONG_AGO = "2027-01-15T07:00:00Z"  # an hour before
JUST_NOW = "2027-01-15T08:00:00Z"


def pod(phase: str = "Pending", name: str = "acme-j1-x", created: str = JUST_NOW, **status: Any) -> dict[str, Any]:
    metadata = {"name": name, "uid": name, "creationTimestamp": created}
    return {"metadata": metadata, "status": {"phase": phase, **status}}


def unscheduled(message: str, **fields: Any) -> dict[str, Any]:
    conditions = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}]
    return pod(conditions=conditions, **fields)


def container(name: str = "worker", **state: Any) -> dict[str, Any]:
    return {"name": name, "image": "registry.acme.example/server:1", "ready": False, "restartCount": 0, "state": state}


def event(reason: str, message: str, at: str = JUST_NOW, kind: str = "Warning") -> dict[str, Any]:
    return {"reason": reason, "message": message, "lastTimestamp": at, "type": kind, "metadata": {}}


def text(obstacle: obstacles.Obstacle | None) -> str:
    assert obstacle is not None
    return obstacle.text


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (
            "0/1 nodes are available: 1 Insufficient nvidia.com/gpu. preemption: 0/1 nodes are available: …",
            "no node has a free GPU",
        ),
        ("0/3 nodes are available: 3 Insufficient memory.", "no node has enough free memory"),
        ("0/3 nodes are available: 3 Insufficient ephemeral-storage.", "no node has enough free ephemeral-storage"),
        (
            "0/2 nodes are available: 2 node(s) had untolerated taint {a: b}.",
            "add it to tolerations of serverless.workers",
        ),
        ("0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.", "nodeSelector"),
        ("0/2 nodes are available: 2 node(s) were unschedulable.", "kubectl uncordon"),
        ("0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.", "a volume of the pods"),
        ('persistentvolumeclaim "acme-worker-cpu-cache" not found', "a volume of the pods"),
        ("no nodes available to schedule pods", "the cluster has no node"),
        ("0/2 nodes are available: 2 Too many pods.", "as many pods as they may"),
        ("0/1 nodes are available: 1 something new.", "no node takes the workers' pods: 0/1 nodes are available"),
    ],
)
def test_a_pod_without_a_node_says_what_no_node_has(message: str, words: str) -> None:
    found = obstacles.of_pods([unscheduled(message)], NOW)
    assert words in text(found)
    assert found is not None
    assert found.detail == message


def test_a_text_stays_the_same_while_only_counts_change() -> None:
    texts = {
        text(obstacles.of_pods([unscheduled(f"0/{n} nodes are available: {n} Insufficient nvidia.com/gpu.")], NOW))
        for n in (1, 2, 30)
    }
    assert len(texts) == 1


def test_each_reason_that_nodes_give_is_told() -> None:
    message = "0/3 nodes are available: 1 Insufficient nvidia.com/gpu, 2 node(s) had untolerated taint {x: }."
    assert "free GPU" in text(obstacles.of_pods([unscheduled(message)], NOW))
    assert "taint" in text(obstacles.of_pods([unscheduled(message)], NOW))


@pytest.mark.parametrize("name", ["acme-j1-01234567-aaaaa", "acme-j1-01234567-bbbbb"])
def test_a_quota_that_is_used_up_is_told_without_the_pods_name(name: str) -> None:
    message = (
        f'Error creating: pods "{name}" is forbidden: exceeded quota: compute, '
        "requested: limits.memory=5Gi,pods=1, used: limits.memory=8Gi,pods=2, limited: limits.memory=8Gi,pods=2"
    )
    found = text(obstacles.not_created([event("FailedCreate", message)]))
    assert found == (
        "the namespace's quota 'compute' is used up (limits.memory=5Gi,pods=1 asked for, limits.memory=8Gi,pods=2 "
        "allowed): raise it, or wait until others have ended"
    )


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (
            'pods "x" is forbidden: violates PodSecurity "restricted:latest": privileged (container "worker" must …)',
            "Pod Security level restricted:latest refuses the pods: privileged",
        ),
        (
            'pods "x" is forbidden: error looking up service account acme/w: serviceaccount "w" not found',
            "service account 'w' is missing",
        ),
        (
            'Error creating: pods "x" is forbidden: failed quota: q: must specify limits.cpu',
            "the cluster refuses the workers' pods: failed quota: q: must specify limits.cpu",
        ),
    ],
)
def test_a_pod_that_is_not_taken_says_by_whom(message: str, words: str) -> None:
    assert words in text(obstacles.not_created([event("FailedCreate", message)]))


def test_a_failure_to_create_that_is_over_is_no_obstacle() -> None:
    events = [event("SuccessfulCreate", "Created pod", JUST_NOW, "Normal"), event("FailedCreate", "no", LONG_AGO)]
    assert obstacles.not_created(events) is None
    assert obstacles.not_created([]) is None
    assert obstacles.not_created(events[::-1]) is None


@pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"])
def test_an_image_that_cannot_be_pulled_is_named_alike_however_often_it_is_tried(reason: str) -> None:
    status = {"initContainerStatuses": [container("server", waiting={"reason": reason, "message": f"{reason} …"})]}
    found = text(obstacles.of_pods([pod(**status)], NOW))
    assert found.startswith("the image registry.acme.example/server:1 cannot be pulled")


def test_a_missing_secret_is_named() -> None:
    waiting = {"reason": "CreateContainerConfigError", "message": 'secret "acme-keys" not found'}
    found = text(obstacles.of_pods([pod(containerStatuses=[container(waiting=waiting)])], NOW))
    assert found == "the container 'worker' lacks what its settings name: secret \"acme-keys\" not found"


def test_a_server_that_ends_again_and_again_is_told_between_its_starts_too() -> None:
    ended = {"terminated": {"exitCode": 1, "message": "Traceback\nValueError: no such model\n"}}
    between = {**container("server", running={"startedAt": JUST_NOW}), "restartCount": 2, "lastState": ended}
    waits = {**container("server", waiting={"reason": "CrashLoopBackOff"}), "restartCount": 2, "lastState": ended}
    texts = {text(obstacles.of_pods([pod(initContainerStatuses=[each])], NOW)) for each in (between, waits)}
    assert texts == {"the container 'server' ends again and again: server exited with 1: ValueError: no such model"}


def test_a_server_that_takes_long_is_told_and_one_that_starts_is_not() -> None:
    def found(since: str) -> obstacles.Obstacle | None:
        status = {**container("server", running={"startedAt": since}), "started": False}
        return obstacles.of_pods([pod(initContainerStatuses=[status])], NOW)

    assert found(JUST_NOW) is None
    assert "'server' is not ready yet" in text(found(LONG_AGO))


def test_what_keeps_most_pods_is_told() -> None:
    pods = [unscheduled("1 Insufficient memory."), *(unscheduled("1 Insufficient cpu.") for _ in range(2))]
    assert "free cpu" in text(obstacles.of_pods(pods, NOW))


def test_pods_that_have_ended_or_run_keep_nothing() -> None:
    ended = unscheduled("1 Insufficient cpu.", phase="Failed")
    assert obstacles.of_pods([ended, pod("Running", containerStatuses=[container(running={})])], NOW) is None


def test_a_pod_that_hangs_on_its_node_is_told_by_its_last_warning() -> None:
    waits = {"containerStatuses": [container(waiting={"reason": "ContainerCreating"})]}
    assert obstacles.stuck([pod(**waits)], NOW) is None
    assert obstacles.stuck([pod(created=LONG_AGO, **waits)], NOW) is not None
    message = 'MountVolume.SetUp failed for volume "models": hostPath type check failed'
    events = [event("Pulled", "done", JUST_NOW, "Normal"), event("FailedMount", message, LONG_AGO)]
    assert message in text(obstacles.of_events(events))
    assert obstacles.of_events([]) is None


def failed(message: str, code: int = 3, at: str = JUST_NOW, **more: Any) -> dict[str, Any]:
    terminated = {"exitCode": code, "message": message, "finishedAt": at, **more}
    server = container("server", terminated={"exitCode": 137, "finishedAt": JUST_NOW})
    return pod("Failed", containerStatuses=[container(terminated=terminated)], initContainerStatuses=[server])


def test_a_failed_job_says_first_what_its_last_worker_said() -> None:
    pods = [failed("old", 1, LONG_AGO), failed("{…}\nthe worker ends: the hub refused the request\n")]
    ended = job("a", 1, failure="Container worker failed with exit code 3")
    assert obstacles.failure_of(ended, pods) == (
        "worker exited with 3: the worker ends: the hub refused the request; "
        "the cluster has given up on the workers: Container worker failed with exit code 3"
    )
    assert obstacles.failure_of(ended, []).startswith("the cluster has given up")


def test_a_worker_without_memory_is_told_as_such() -> None:
    assert "out of memory" in text(obstacles.of_endings([failed("", 137, reason="OOMKilled")]))


def test_a_pod_whose_node_is_gone_has_failed_too() -> None:
    gone = pod("Failed", reason="NodeLost", message="the node is gone")
    assert text(obstacles.of_endings([gone])).endswith("the worker's pod failed: the node is gone")
    assert obstacles.of_endings([pod("Running")]) is None


def test_a_job_that_somebody_has_suspended_says_how_to_resume_it() -> None:
    assert "kubectl edit job a" in text(obstacles.is_suspended(job("a", 1, suspended=True)))


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("LocalQueue team-a doesn't exist", ": the namespace has no LocalQueue 'team-a'"),
        ("ClusterQueue shared doesn't exist", ": there is no ClusterQueue 'shared'"),
        ("ClusterQueue shared is inactive", ": the ClusterQueue 'shared' admits nothing: its status tells why"),
        (
            "couldn't assign flavors to pod set main: resource memory unavailable in ClusterQueue",
            ": its ClusterQueue has no quota of memory, which the pods ask for",
        ),
        (
            "couldn't assign flavors to pod set main: insufficient quota for cpu in flavor spot, …",
            ": a job's pods ask for more cpu than its ClusterQueue ever has: lower batch.workers, or raise the quota",
        ),
        (
            "couldn't assign flavors to pod set main: insufficient unused quota for nvidia.com/gpu in flavor spot, …",
            ": others use its quota of nvidia.com/gpu",
        ),
        ("something new", ""),
        ("", ""),
    ],
)
def test_a_job_in_a_queue_says_what_kueue_waits_for(message: str, words: str) -> None:
    workload = {"status": {"conditions": [{"type": "QuotaReserved", "status": "False", "message": message}]}}
    found = obstacles.in_queue("team-a", workload)
    assert text(found) == f"waits in the queue 'team-a' until Kueue admits it{words}"
    assert found.detail == message


@pytest.mark.parametrize("workload", [None, {}, {"status": {}}])
def test_a_job_that_kueue_has_not_looked_at_says_that_it_waits(workload: dict[str, Any] | None) -> None:
    assert text(obstacles.in_queue("team-a", workload)) == "waits in the queue 'team-a' until Kueue admits it"


def test_a_long_text_is_cut_to_what_the_database_takes() -> None:
    assert len(text(obstacles.refusal("x" * 5000))) <= 1024
