"""JSON schemas for the OpenAPI document, and what it says of all routes."""

from typing import Any, cast

from fastapi import FastAPI
from pydantic import BaseModel

from agent.records import Json

_TOKEN = {
    "type": "http",
    "scheme": "bearer",
    "description": "Needed where the site checks access; `GET /v1/me` says whether it does.",
}


def complete(app: FastAPI) -> None:
    """Lets the app's document say how a caller shows a token."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        document = made()
        document.setdefault("components", {})["securitySchemes"] = {"token": _TOKEN}
        document["security"] = [{}, {"token": []}]
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def inlined(model: type[BaseModel]) -> dict[str, Json]:
    """Returns a model's schema in one piece.

    A request body that a route reads by itself is described by hand, and OpenAPI looks references
    up in the document, where such a body's definitions are not.
    """
    schema: dict[str, Json] = model.model_json_schema()
    known = cast("dict[str, Json]", schema.pop("$defs", {}))
    return cast("dict[str, Json]", _resolved(schema, known))


def _resolved(part: Json, known: dict[str, Json]) -> Json:
    if isinstance(part, list):
        return [_resolved(entry, known) for entry in part]
    if not isinstance(part, dict):
        return part
    reference = part.get("$ref")
    if isinstance(reference, str):
        return _resolved(known[reference.rpartition("/")[2]], known)
    return {name: _resolved(entry, known) for name, entry in part.items()}
