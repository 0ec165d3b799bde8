"""Errors as RFC 9457 problem documents."""

import json
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from serve_app.errors import (
    EcgServeError,
    InvalidParameter,
    MethodNotAllowed,
    NotFound,
    RequestError,
    Unavailable,
)

__all__ = ["Problem", "install", "problem_members", "problem_response"]

MEDIA_TYPE = "application/problem+json"


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
    hint: str = Field(description="What the caller can do.")
    error: str = Field(description="The detail again, for Open Inference Protocol clients.")
    errors: list[FieldError] = []


def problem_response(error: EcgServeError, request_id: str) -> Response:
    """The problem document of ``error``, with its status and, where due, Retry-After."""
    members = problem_members(error, request_id)
    headers = {"Cache-Control": "no-store"}
    if isinstance(error, Unavailable):
        headers["Retry-After"] = str(error.retry_after_s)
    return Response(json.dumps(members), error.status, headers, media_type=MEDIA_TYPE)


def problem_members(error: EcgServeError, request_id: str) -> dict[str, Any]:
    """The members of the problem document of ``error``."""
    return {
        **error.extra,
        "type": f"urn:ecg-fm-serve:problem:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "code": error.code,
        "request_id": request_id,
        "hint": error.hint,
        "error": error.detail,
    }


def install(app: FastAPI) -> None:
    """Have the app answer every known error with its problem."""
    app.add_exception_handler(EcgServeError, _ours)
    app.add_exception_handler(RequestValidationError, _bad_query)
    app.add_exception_handler(HTTPException, _routing)


def _request_id(request: Request) -> str:
    return str(request.scope.get("request_id", ""))


async def _ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, EcgServeError)  # noqa: S101 - registered for this class
    return problem_response(error, _request_id(request))


async def _bad_query(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class
    fields = [
        {"field": str(item["loc"][-1]), "message": str(item["msg"]).removeprefix("Value error, ")}
        for item in error.errors()
    ]
    detail = "; ".join(f"{item['field']}: {item['message']}" for item in fields)
    problem = InvalidParameter(f"Query parameters: {detail}.", extra={"errors": fields})
    return problem_response(problem, _request_id(request))


async def _routing(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class
    known = {404: NotFound, 405: MethodNotAllowed}.get(error.status_code, RequestError)
    response = problem_response(known(str(error.detail)), _request_id(request))
    response.status_code = error.status_code
    response.headers.update(error.headers or {})
    return response
