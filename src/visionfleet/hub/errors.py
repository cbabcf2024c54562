"""What the hub refuses, and how it says so: a code for machines, a message for people, the fields at fault."""

from __future__ import annotations

from visionfleet.protocol import STALE_LEASE, TASK_CANCELLED


class HubError(Exception):
    """The hub cannot do what was asked.

    `code` is stable and listed in docs/runbook; `status` is the HTTP status that carries it.
    """

    def __init__(self, status: int, code: str, message: str, **fields: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.fields = fields

    def body(self) -> dict[str, object]:
        """The JSON answer: `{"error": {"code", "message", "fields"}}`."""
        return {"error": {"code": self.code, "message": self.message, "fields": self.fields}}


def not_found(kind: str, name: str) -> HubError:
    """404 for a batch, job, stage or shard that this workspace does not have."""
    return HubError(404, f"{kind}_not_found", f"there is no {kind} '{name}' in this workspace", **{kind: name})


def stale_lease(task_id: str) -> HubError:
    """409: the lease ran out, or another worker holds the task now. Whoever gets this drops the task."""
    return HubError(409, STALE_LEASE, f"task '{task_id}' is no longer leased with this token; drop it", task=task_id)


def task_cancelled(task_id: str) -> HubError:
    """410: the task's job was aborted or ran past its deadline."""
    return HubError(410, TASK_CANCELLED, f"task '{task_id}' was cancelled; drop it", task=task_id)
