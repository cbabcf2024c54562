"""What the hub's threads do while the database or the bucket is away: they try again, and say so once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import structlog
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from visionfleet.hub.objects.errors import StorageUnavailable

# InternalError is PostgreSQL's for a transaction that it has given up, and for a server that has become a standby
DATABASE_AWAY = (OperationalError, InterfaceError, InternalError, PoolTimeout)
AWAY = (*DATABASE_AWAY, StorageUnavailable)

T = TypeVar("T")
log = structlog.get_logger()


class Steps:
    """What a thread does again and again, whatever happens. `name` is in what is logged of it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._away = False

    def take(self, step: Callable[[], T]) -> T | None:
        """Do one; None where it failed."""
        try:
            result = step()
        except AWAY as error:
            self._wait(reason_of(error))
            return None
        except Exception:
            log.exception(f"{self._name}_error")  # noqa: G004 - structlog: the event's own name
            return None
        if self._away:
            log.info(f"{self._name}_goes_on")  # noqa: G004
            self._away = False
        return result

    def _wait(self, reason: str) -> None:
        # a traceback a second for as long as it takes would bury what brought it about
        if not self._away:
            log.warning(f"{self._name}_waits", reason=reason)  # noqa: G004
            self._away = True


def reason_of(error: Exception) -> str:
    """The error as one line."""
    return " ".join(str(error).split())
