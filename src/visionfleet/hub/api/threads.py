"""Threads for what waits for the storage, apart from those of all other requests.

A bucket that hangs holds each call for up to a minute. Workers that commit would soon have every thread of the web
server, and no heartbeat would come through: all leases would run out, though nothing else is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar

from anyio import CapacityLimiter
from anyio.lowlevel import RunVar
from anyio.to_thread import run_sync

STORAGE_THREADS = 24

P = ParamSpec("P")
T = TypeVar("T")
_limiter: RunVar[CapacityLimiter] = RunVar("visionfleet_storage_threads")


def waits_for_storage(call: Callable[P, T]) -> Callable[P, Coroutine[Any, Any, T]]:
    """The call, run on one of these threads: for a route as well as for a part of one."""

    @wraps(call)
    async def run(*args: P.args, **kwargs: P.kwargs) -> T:
        return await run_sync(partial(call, *args, **kwargs), limiter=_own_limiter())

    return run


def _own_limiter() -> CapacityLimiter:
    """The event loop's own, as tests have several."""
    try:
        return _limiter.get()
    except LookupError:
        limiter = CapacityLimiter(STORAGE_THREADS)
        _limiter.set(limiter)
        return limiter
