"""Refusals as HTTP: problem documents (RFC 9457) with a code for machines."""

from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from agent.errors import Refused, TryLater

_STATUS = {
    "unsigned_request": HTTPStatus.UNAUTHORIZED,
    "bad_request": HTTPStatus.UNAUTHORIZED,
    "unknown_silo": HTTPStatus.UNAUTHORIZED,
    "bad_signature": HTTPStatus.UNAUTHORIZED,
    "wrong_time": HTTPStatus.UNAUTHORIZED,
    "replayed_request": HTTPStatus.UNAUTHORIZED,
    "unknown_envelope": HTTPStatus.NOT_FOUND,
    "unknown_object": HTTPStatus.NOT_FOUND,
    "unknown_round": HTTPStatus.NOT_FOUND,
    "not_participant": HTTPStatus.FORBIDDEN,
    "loopback_only": HTTPStatus.FORBIDDEN,
    "wrong_id": HTTPStatus.BAD_REQUEST,
    "body_too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
}


def problem(status: int, code: str, detail: str, **headers: str) -> Response:
    """Returns a problem document.

    Args:
        status: HTTP status.
        code: A stable word.
        detail: A sentence.
        headers: More headers; underscores stand for hyphens.
    """
    content = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": int(status),
        "code": code,
        "detail": detail,
    }
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return JSONResponse(content, status, named, "application/problem+json")


def refused(refusal: Refused, status: int | None = None) -> Response:
    """Returns the problem document of a refusal; its code decides the status if none is given."""
    chosen = status or _STATUS.get(refusal.code, HTTPStatus.BAD_REQUEST)
    return problem(chosen, refusal.code, refusal.reason)


def install(app: FastAPI) -> None:
    """Makes every fault of every route a problem document."""
    app.add_exception_handler(Refused, _on_refused)
    app.add_exception_handler(TryLater, _on_try_later)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_invalid)


async def _on_refused(_request: Request, error: Exception) -> Response:
    if not isinstance(error, Refused):
        raise error
    return refused(error)


async def _on_try_later(_request: Request, error: Exception) -> Response:
    return problem(HTTPStatus.SERVICE_UNAVAILABLE, "try_later", str(error), Retry_After="5")


async def _on_http(_request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    return problem(error.status_code, "no_such_route", str(error.detail))


async def _on_invalid(_request: Request, _error: Exception) -> Response:
    return problem(
        HTTPStatus.UNPROCESSABLE_ENTITY, "bad_parameter", "A query parameter is missing or wrong."
    )
