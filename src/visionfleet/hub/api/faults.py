"""Every error as `{"error": {"code", "message", "fields"}}`."""

from __future__ import annotations

import json

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from sqlalchemy.exc import DataError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from visionfleet.hub.errors import HubError
from visionfleet.hub.objects.errors import (
    InvalidKey,
    ObjectMissing,
    StorageError,
    StorageFull,
    StorageUnavailable,
    TooLarge,
)
from visionfleet.hub.objects.signing import InvalidSignature
from visionfleet.hub.outages import DATABASE_AWAY

STORAGE_STATUS: dict[type[StorageError], int] = {
    InvalidKey: 400,
    ObjectMissing: 404,
    TooLarge: 413,
    StorageUnavailable: 503,
    StorageFull: 507,
}
RETRY_SECONDS = 5
FULL_DATABASE = ("disk is full", "No space left on device")  # SQLite's words, PostgreSQL's
HTTP_CODES = {404: "route_not_found", 405: "method_not_allowed", 413: "request_too_large"}

log = structlog.get_logger()


def install_fault_handlers(app: FastAPI) -> None:
    """Turn what services raise into answers."""
    app.add_exception_handler(HubError, _hub_error)
    app.add_exception_handler(StorageError, _storage_error)
    app.add_exception_handler(InvalidSignature, _signature_error)
    for kind in DATABASE_AWAY:
        app.add_exception_handler(kind, _database_error)
    app.add_exception_handler(DataError, _data_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(ClientDisconnect, _client_gone)
    app.add_exception_handler(Exception, _unexpected)


def _answer(error: HubError) -> Response:
    # ASCII alone: a field may hold half of a surrogate pair that the client sent, which UTF-8 cannot hold
    headers = {"Retry-After": str(RETRY_SECONDS)} if error.status == 503 else None
    return Response(json.dumps(error.body()), status_code=error.status, headers=headers, media_type="application/json")


async def _hub_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HubError)  # noqa: S101 - FastAPI's handler type takes any exception
    return _answer(error)


async def _storage_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, StorageError)  # noqa: S101
    status = STORAGE_STATUS.get(type(error), 500)
    if status in (500, 503):
        log.error("storage_error", reason=str(error))
    return _answer(HubError(status, error.code, str(error)))


async def _signature_error(_request: Request, error: Exception) -> Response:
    return _answer(HubError(403, InvalidSignature.code, str(error)))


async def _database_error(_request: Request, error: Exception) -> Response:
    log.error("database_error", reason=str(error))
    if any(words in str(error) for words in FULL_DATABASE):
        return _answer(HubError(507, StorageFull.code, "the disk of the hub's database is full: nothing was written"))
    # the command line tries a 503 again
    return _answer(HubError(503, "database_unavailable", "the database did not answer; try again"))


async def _data_error(_request: Request, error: Exception) -> Response:
    # PostgreSQL's text holds no NUL, and no more characters than its column says
    log.warning("value_refused", reason=str(error))
    return _answer(HubError(400, "request_invalid", "the request holds text that cannot be stored, such as a NUL"))


async def _validation_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    fields = {".".join(str(step) for step in problem["loc"]): str(problem["msg"]) for problem in error.errors()}
    return _answer(HubError(400, "request_invalid", "the request has fields that cannot be taken", **fields))


async def _http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    code = HTTP_CODES.get(error.status_code, "request_refused")
    return _answer(HubError(error.status_code, code, str(error.detail)))


async def _client_gone(_request: Request, _error: Exception) -> Response:
    """Nobody reads this; the status is nginx's, for the metrics."""
    return Response(status_code=499)


async def _unexpected(request: Request, error: Exception) -> Response:
    log.error("unexpected_error", path=request.url.path, exc_info=error)
    return _answer(HubError(500, "internal_error", "the hub failed; its log has the reason"))
