"""The API's one renderer of errors: RFC 9457 problem documents from the catalogue of tau.errors."""

import json
import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from tau.errors import (
    KeyMissing,
    MethodNotAllowed,
    RequestInvalid,
    RequestNotJson,
    RouteNotFound,
    TauError,
    UnexpectedError,
)

logger = logging.getLogger("tau.api")


def problem(error: TauError, *, request_id: str | None) -> Response:
    """The problem document of an error, with its status and headers."""
    document: dict[str, Any] = {
        "type": f"urn:tau:error:{error.code}",
        "title": HTTPStatus(error.http_status).phrase,
        "status": error.http_status,
        "detail": error.message,
    }
    document |= error.to_dict()
    headers = {}
    if request_id is not None:
        document["request_id"] = request_id
        headers["X-Request-ID"] = request_id
    if error.http_status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if error.http_status in (429, 503):
        headers["Retry-After"] = str(error.details.get("retry_after_s", 1))
    return Response(
        json.dumps(document, separators=(",", ":"), default=str),
        status_code=error.http_status,
        media_type="application/problem+json",
        headers=headers,
    )


def _request_id(request: Request) -> str | None:
    return getattr(request.state, "request_id", None)


async def _tau_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, TauError):
        raise error
    return problem(error, request_id=_request_id(request))


async def _invalid_request(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    # Who has no key learns nothing about what a request should look like.
    if "authorization" not in request.headers:
        return problem(KeyMissing(), request_id=_request_id(request))
    return problem(explain(error), request_id=_request_id(request))


def explain(error: RequestValidationError) -> TauError:
    """What is wrong with a request, field by field."""
    faults = error.errors()
    if faults and faults[0]["type"] == "json_invalid":
        return RequestNotJson(f"The body is not JSON: {faults[0]['ctx']['error']}.")
    fields = [
        {
            "field": ".".join(str(part) for part in fault["loc"][1:]) or str(fault["loc"][0]),
            "reason": "is no field" if fault["type"] == "extra_forbidden" else fault["msg"],
        }
        for fault in faults
    ]
    first = fields[0] if fields else {"field": "body", "reason": "is not valid"}
    return RequestInvalid(f"{first['field']}: {first['reason']}", fields=fields[:20])


async def _http_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    path = request.url.path[:200]
    known: dict[int, TauError] = {
        400: RequestNotJson("The body can't be read as JSON."),
        404: RouteNotFound(f"No route {path}.", next=["tau schema"]),
        405: MethodNotAllowed(f"{request.method} is not for {path}."),
    }
    found = known.get(error.status_code) or RequestInvalid(str(error.detail))
    return problem(found, request_id=_request_id(request))


async def _unexpected(request: Request, error: Exception) -> Response:
    request_id = _request_id(request)
    logger.error("a request failed", exc_info=error, extra={"request_id": request_id})
    return problem(UnexpectedError(), request_id=request_id)


Handler = Callable[[Request, Exception], Awaitable[Response]]
HANDLERS: dict[type[Exception], Handler] = {
    TauError: _tau_error,
    RequestValidationError: _invalid_request,
    HTTPException: _http_error,
    Exception: _unexpected,
}


def install(app: FastAPI) -> None:
    """Make these the app's only answers to errors."""
    for kind, handler in HANDLERS.items():
        app.add_exception_handler(kind, handler)
