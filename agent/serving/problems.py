"""Errors over HTTP as problem documents (RFC 9457); they never repeat what was sent."""

import http
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the workers raise problems, too; the framework is half of what they would load
    from fastapi import FastAPI, Request, Response

MEDIA_TYPE = "application/problem+json"


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

    def response(self) -> "Response":
        """Returns the problem document."""
        from fastapi import Response

        document = {
            "type": "about:blank",
            "title": http.HTTPStatus(self.status).phrase,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
        }
        content = json.dumps(document).encode()
        return Response(content, self.status, self.headers, MEDIA_TYPE)


def install(app: "FastAPI") -> None:
    """Makes every error of the app a problem document."""
    from starlette.exceptions import HTTPException

    @app.exception_handler(Problem)
    async def problem(_request: "Request", error: Problem) -> "Response":
        return error.response()

    @app.exception_handler(HTTPException)
    async def no_such_route(_request: "Request", error: HTTPException) -> "Response":
        detail = "See /openapi.json for the routes and their methods."
        return Problem(error.status_code, "no_such_route", detail, error.headers).response()

    @app.exception_handler(Exception)
    async def unforeseen(_request: "Request", _error: Exception) -> "Response":
        detail = "Predict met a fault of its own; its log says where."
        return Problem(500, "internal", detail).response()
