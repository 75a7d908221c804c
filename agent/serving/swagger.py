"""Swagger UI at `/docs`, from our own files: the framework's own would load it from elsewhere."""

import hashlib
from importlib.resources import files

from fastapi import FastAPI, Request, Response

from agent.serving.problems import Problem

_PAGE = "index.html"
_TYPES = {
    _PAGE: "text/html; charset=utf-8",
    "initializer.js": "text/javascript; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
}


def add(app: FastAPI) -> None:
    """Adds the page and its files."""

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> Response:
        """Returns the page."""
        return _file(request, _PAGE)

    @app.get("/static/swagger/{name}", include_in_schema=False)
    async def part(request: Request) -> Response:
        """Returns one of its files."""
        name = request.path_params["name"]
        if name not in _TYPES:
            raise Problem(404, "no_such_route", "See /docs for the routes.")
        return _file(request, name)


def _file(request: Request, name: str) -> Response:
    content = files("agent.serving").joinpath("static", "swagger", name).read_bytes()
    # A browser asks each time and gets the file only where it is another one.
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if request.headers.get("If-None-Match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=_TYPES[name], headers=headers)
