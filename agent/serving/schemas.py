"""JSON schemas for the OpenAPI document, and what it says of all routes."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from pydantic import BaseModel

from agent.records import Json

if TYPE_CHECKING:  # the workers read bodies, which have schemas, and load no framework
    from fastapi import FastAPI

_NULL: Json = {"type": "null"}
_TOKEN = {
    "type": "http",
    "scheme": "bearer",
    "description": "Needed where the site checks access; `GET /v1/me` says whether it does.",
}


def complete(app: "FastAPI") -> None:
    """Lets the app's document say how a caller shows a token."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        document = made()
        document.setdefault("components", {})["securitySchemes"] = {"token": _TOKEN}
        document["security"] = [{}, {"token": []}]
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def either(*names: str) -> Callable[[dict[str, Any]], None]:
    """Says in a model's schema that just one of these is given."""

    def add(schema: dict[str, Any]) -> None:
        schema["oneOf"] = [{"required": [name]} for name in names]

    return add


def inlined(model: type[BaseModel]) -> dict[str, Json]:
    """Returns a model's schema in one piece.

    A request body that a route reads by itself is described by hand, and OpenAPI looks references
    up in the document, where such a body's definitions are not. What may be null is described as
    what may be left out.
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
    made = {name: _resolved(entry, known) for name, entry in part.items()}
    some = made.get("anyOf")
    if not isinstance(some, list) or _NULL not in some:
        return made
    rest = [entry for entry in some if entry != _NULL]
    said = {name: entry for name, entry in made.items() if name not in ("anyOf", "default")}
    return (
        {**said, **rest[0]}
        if len(rest) == 1 and isinstance(rest[0], dict)
        else {**said, "anyOf": rest}
    )
