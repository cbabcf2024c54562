"""What can stop a worker, a task or an image. An error's docstring is its message where none is given."""

from visionfleet.protocol import WORKER_HUB_AWAY, WORKER_REFUSED


class WorkerError(Exception):
    """The worker cannot go on."""

    exit_code = 1

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.__doc__)


class LeaseLost(WorkerError):
    """The task belongs to another worker now, or its job has ended: nothing more may be written for it."""


class HubUnavailable(WorkerError):
    """The hub did not answer in time."""

    exit_code = WORKER_HUB_AWAY


class HubRefused(WorkerError):
    """The hub refused a request; `status` and `code` say which rule it broke."""

    exit_code = WORKER_REFUSED

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"the hub refused the request: {message} ({status} {code})")
        self.status = status
        self.code = code


class TaskFailed(WorkerError):
    """The task cannot be finished; `retryable` where a later attempt, or another worker, may do better."""

    def __init__(self, code: str, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.code = code
        self.retryable = retryable


class ImageFailed(WorkerError):
    """An image has no result and never will; the others go on."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class RequestRejected(ImageFailed):
    """The inference server refused a request: one of its images, or each, is the cause."""


class InferenceUnavailable(WorkerError):
    """The inference server cannot take the request now; a later try may succeed."""


class NoAnswer(InferenceUnavailable):
    """The inference server broke the connection or did not answer in time."""
