"""Errors as RFC 9457 problem documents."""

import json
from typing import Any, Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Mount
from starlette.types import Scope

from serve_app.errors import (
    EcgServeError,
    InvalidParameter,
    MethodNotAllowed,
    NotFound,
    RequestError,
    Unavailable,
)

__all__ = [
    "MEDIA_TYPE",
    "PROBLEM_SCHEMA",
    "Problem",
    "install",
    "problem_members",
    "problem_response",
]

MEDIA_TYPE: Final = "application/problem+json"
_METHODS: Final = ("DELETE", "GET", "PATCH", "POST", "PUT")
PROBLEM_SCHEMA: Final = "#/components/schemas/Problem"


class FieldError(BaseModel):
    """One field at fault."""

    field: str
    message: str


class Problem(BaseModel):
    """RFC 9457 problem document; further members depend on the code."""

    type: str = Field(examples=["urn:ecg-fm-serve:problem:invalid_signal"])
    title: str
    status: int
    detail: str
    code: str = Field(description="Stable, for programs.")
    request_id: str
    trace_id: str = Field("", description="Of W3C Trace Context, as in the `traceparent` header.")
    hint: str = Field(description="What the caller can do.")
    error: str = Field(description="The detail again, for Open Inference Protocol clients.")
    errors: list[FieldError] = []


def problem_members(error: EcgServeError, request_id: str, trace_id: str = "") -> dict[str, Any]:
    """The members of the problem document, JSON-able."""
    return {
        **error.extra,
        "type": f"urn:ecg-fm-serve:problem:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "code": error.code,
        "request_id": request_id,
        "trace_id": trace_id,
        "hint": error.hint,
        "error": error.detail,
    }


def problem_response(error: EcgServeError, scope: Scope) -> Response:
    """The problem document of ``error``, with its status and, where due, Retry-After."""
    members = problem_members(error, scope.get("request_id", ""), scope.get("trace_id", ""))
    headers = {"Cache-Control": "no-store"}
    if isinstance(error, Unavailable):
        headers["Retry-After"] = str(error.retry_after_s)
    return Response(json.dumps(members), error.status, headers, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Have the app answer every known error with its problem."""
    app.add_exception_handler(EcgServeError, _ours)
    app.add_exception_handler(RequestValidationError, _bad_query)
    app.add_exception_handler(HTTPException, _routing)


async def _ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, EcgServeError)  # noqa: S101 - registered for this class
    return problem_response(error, request.scope)


async def _bad_query(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class
    fields = [
        {"field": str(item["loc"][-1]), "message": str(item["msg"]).removeprefix("Value error, ")}
        for item in error.errors()
    ]
    detail = "; ".join(f"{item['field']}: {item['message']}" for item in fields)
    problem = InvalidParameter(f"Query parameters: {detail}.", extra={"errors": fields})
    return problem_response(problem, request.scope)


async def _routing(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class
    headers = dict(error.headers or {})
    if error.status_code == MethodNotAllowed.status:
        headers["Allow"] = ", ".join(_allowed(request))
        if request.method == "OPTIONS":
            return Response(None, 204, headers)
    response = problem_response(_routing_error(request, error), request.scope)
    response.status_code = error.status_code
    response.headers.update(headers)
    return response


def _routing_error(request: Request, error: HTTPException) -> EcgServeError:
    if error.status_code == NotFound.status:
        at_end = "Leave the slash at the end out." if request.url.path.endswith("/") else None
        return NotFound("No such path.", hint=at_end)
    if error.status_code == MethodNotAllowed.status:
        return MethodNotAllowed(
            f"This path does not take {request.method[:20]}.",
            hint=f"It takes {', '.join(_allowed(request))}.",
        )
    return RequestError(str(error.detail))


def _allowed(request: Request) -> list[str]:
    """The methods of every route with this path."""
    methods = {method for method in _METHODS if _is_routed(request, method)}
    return sorted(methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set()))


def _is_routed(request: Request, method: str) -> bool:
    # A mounted app was given the rest of the path alone.
    root = request.scope.get("app_root_path", request.scope.get("root_path", ""))
    scope = {**request.scope, "method": method, "root_path": root}
    return any(
        method == "GET" if isinstance(route, Mount) else True
        for route in request.app.router.routes
        if route.matches(scope)[0] is Match.FULL
    )
