"""Errors over HTTP as problem documents (RFC 9457); they never repeat what was sent."""

import http
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the workers raise problems, too; the framework is half of what they would load
    from fastapi import FastAPI, Request, Response
    from fastapi.exceptions import RequestValidationError
    from starlette.exceptions import HTTPException

MEDIA_TYPE = "application/problem+json"
SCHEMA: dict[str, Any] = {
    "title": "Problem",
    "type": "object",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "description": "A stable word for machines."},
        "detail": {"type": "string", "description": "A sentence that says what to do."},
        "error": {"type": "string", "description": "The same, on the routes below /v2."},
    },
}
_DESCRIBED = {
    401: ("token_missing", "Access is on: send a token that is known and has not expired."),
    403: ("not_allowed", "The token lacks the scope that this needs."),
    404: ("no_such_version", "That version is not loaded."),
    413: ("body_too_large", "Too many structures, or too long a body."),
    422: ("malformed", "The body is malformed, or its structures take too long."),
    429: ("too_many_requests", "The token's share is used up; try again later."),
    503: ("no_release", "No release is loaded yet, or too much is asked; try again later."),
}


class Problem(Exception):
    """A request that gets no result.

    Args:
        status: The HTTP status.
        code: A stable snake_case word for machines.
        detail: A sentence that tells the caller what to do.
        headers: More headers of the answer.
    """

    def __init__(
        self, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(code)
        self.status, self.code, self.detail = status, code, detail
        self.headers = dict(headers or {})

    def document(self) -> dict[str, str | int]:
        """Returns the problem document."""
        return {
            "type": "about:blank",
            "title": http.HTTPStatus(self.status).phrase,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
        }

    def response(self, *, as_error: bool = False) -> "Response":
        """Returns the answer; `as_error` adds what the Open Inference Protocol calls `error`."""
        from fastapi import Response

        also = {"error": self.detail} if as_error else {}
        content = json.dumps({**self.document(), **also}).encode()
        return Response(content, self.status, self.headers, MEDIA_TYPE)


def install(app: "FastAPI") -> None:
    """Makes every error of the app a problem document."""
    from fastapi.exceptions import RequestValidationError
    from starlette.exceptions import HTTPException

    @app.exception_handler(Problem)
    async def problem(request: "Request", error: Problem) -> "Response":
        return _told(request, error)

    @app.exception_handler(HTTPException)
    async def no_such_route(request: "Request", error: "HTTPException") -> "Response":
        detail = "See /openapi.json for the routes and their methods."
        return _told(request, Problem(error.status_code, "no_such_route", detail, error.headers))

    @app.exception_handler(RequestValidationError)
    async def malformed(request: "Request", error: "RequestValidationError") -> "Response":
        # pydantic's messages may quote what was sent; the place alone may not.
        place = ".".join(str(part) for part in error.errors()[0]["loc"])
        detail = f"The request is malformed at {place}. See /openapi.json for its shape."
        return _told(request, Problem(422, "malformed", detail))

    @app.exception_handler(Exception)
    async def unforeseen(request: "Request", _error: Exception) -> "Response":
        detail = "Predict met a fault of its own; its log says where."
        return _told(request, Problem(500, "internal", detail))


def _told(request: "Request", problem: Problem) -> "Response":
    return problem.response(as_error=request.scope["path"].startswith("/v2"))


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Returns what OpenAPI shall say of the problems that a route may answer with."""
    return {status: _described(status, *_DESCRIBED[status]) for status in statuses}


def _described(status: int, code: str, text: str) -> dict[str, Any]:
    example = Problem(status, code, text).document()
    return {
        "description": text,
        "content": {MEDIA_TYPE: {"schema": SCHEMA, "example": example}},
    }
