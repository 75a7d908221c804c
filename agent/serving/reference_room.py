"""The routes that show what the site has measured and done: neighbours, percentiles, the site."""

import json
from typing import Annotated, Any, Self

from fastapi import FastAPI, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from agent.errors import Refused
from agent.serving import audit, bodies, problems
from agent.serving.app import Room
from agent.serving.asking import loaded
from agent.serving.bodies import Asked, MeasuredValue
from agent.serving.callers import demand
from agent.serving.percentiles import Percentiles
from agent.serving.problems import Problem
from agent.serving.questions import Questions
from agent.serving.shown import Shown
from agent.serving.surveyed import OWN_COMPOUNDS
from agent.serving.swap import Models

_JSON = "application/json"
_RETRY_AFTER = {"Retry-After": "5"}
_PROBLEM: dict[str, Any] = {problems.MEDIA_TYPE: {"schema": problems.SCHEMA}}
_NO_REFERENCE = "This site shows no measured compounds here: none was frozen yet, or its policy."


class NeighboursRequest(BaseModel):
    """One structure; with an endpoint, only compounds that were measured for it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    smiles: str | None = None
    molblock: str | None = None
    endpoint: Annotated[str, Field(max_length=200)] | None = None
    most: Annotated[int, Field(ge=1, le=50)] = 10

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.smiles is None) == (self.molblock is None):
            raise ValueError("give either smiles or molblock")
        return self


class MeasuredCompoundValue(MeasuredValue):
    """As beside a prediction, with the date of the newest measurement, or an empty text."""

    newest: str


class NeighbourOut(BaseModel):
    """A compound of the site: Tanimoto's coefficient on counts, 0 .. 1, and its values."""

    smiles: str
    similarity: float
    measured: dict[str, MeasuredCompoundValue]


class NeighboursResponse(BaseModel):
    """The most similar compounds, the most similar first; `smiles` is what was asked about."""

    release: str
    version: int
    smiles: str
    neighbours: list[NeighbourOut]


class PercentileSet(BaseModel):
    """By endpoint the predicted values at 0 %, 1 %, .. 100 % of `n` compounds, in its unit."""

    name: str
    n: int
    endpoints: dict[str, list[float]]


class PercentilesResponse(BaseModel):
    """The release whose predictions they are; the site's own compounds only with scope data."""

    release: str
    version: int
    sets: list[PercentileSet]


def reference_room(
    models: Models, questions: Questions, shown: Shown, percentiles: Percentiles
) -> Room:
    """Returns what adds the routes to the app.

    Args:
        models: Which release answers.
        questions: Who looks for neighbours.
        shown: What the keeper laid out.
        percentiles: What was worked out of the release.
    """

    def add(app: FastAPI) -> None:
        _add_neighbours(app, models, questions, shown)
        _add_percentiles(app, percentiles)
        _add_site(app, shown)

    return add


def shows(request: Request, shown: Shown, percentiles: Percentiles) -> list[str]:
    """Names the routes below that have something for a caller.

    A page that asks for what is not there has an error in the browser's console each time.
    """
    found = percentiles.found()
    has = {
        # Whether a reference shows compounds is known once it was tried to rank them.
        "neighbours": bool(reference := shown.for_caller(request))
        and (found is None or found.reference != reference or found.ranks_own),
        "percentiles": found is not None,
        "site": shown.site_report() is not None,
    }
    return [name for name, there in has.items() if there]


def _add_neighbours(app: FastAPI, models: Models, questions: Questions, shown: Shown) -> None:
    schema = NeighboursRequest.model_json_schema()

    @app.post(
        "/v1/neighbours",
        response_model=None,
        responses={
            200: {"model": NeighboursResponse},
            **problems.documented(401, 403, 413, 422, 429, 503),
            404: {"description": "The site shows no compounds.", "content": _PROBLEM},
        },
        openapi_extra={"requestBody": {"required": True, "content": {_JSON: {"schema": schema}}}},
    )
    async def neighbours(request: Request) -> Response:
        """Finds this site's most similar compounds and what was measured of them."""
        demand(request, "data")
        body = _parsed(await bodies.read_body(request, bodies.MAX_EXPLAIN_BYTES))
        reference, release = shown.current(), _identity(models)
        if not reference:
            raise Problem(404, "no_reference", _NO_REFERENCE)
        asked = (
            Asked(body.smiles, "smiles")
            if body.smiles is not None
            else Asked(body.molblock or "", "molblock")
        )
        (piece,) = bodies.chunks([asked])
        try:
            found = await questions.neighbours(reference, piece, body.endpoint, body.most)
        except Refused as refused:
            status = 404 if refused.code == "no_reference" else 422
            raise Problem(status, refused.code, refused.reason) from None
        audit.tell(request.scope, structures=1, bad=0, release=release["release"])
        return _answer({**release, **json.loads(found)})


def _parsed(content: bytes) -> NeighboursRequest:
    try:
        return NeighboursRequest.model_validate_json(content)
    except ValidationError as error:
        raise Problem(422, "malformed", bodies.sentence(error)) from None


def _add_percentiles(app: FastAPI, percentiles: Percentiles) -> None:
    @app.get(
        "/v1/percentiles",
        response_model=None,
        responses={
            200: {"model": PercentilesResponse},
            **problems.documented(401, 403, 429),
            503: {"description": "They are being worked out; try later.", "content": _PROBLEM},
        },
    )
    async def spread(request: Request) -> Response:
        """Tells how the release's predictions are spread over known compounds."""
        may_see = "data" in demand(request, "predict").scopes
        found = percentiles.found()
        if found is None:
            sentence = "The percentiles are being worked out; try again in a while."
            raise Problem(503, "not_yet", sentence, _RETRY_AFTER)
        sets = [one for one in found.sets if may_see or one["name"] != OWN_COMPOUNDS]
        return _answer({"release": found.release, "version": found.version, "sets": sets})


def _add_site(app: FastAPI, shown: Shown) -> None:
    @app.get(
        "/v1/site",
        response_model=dict[str, Any],
        responses={
            **problems.documented(401, 403, 429),
            404: {"description": "No report is there yet.", "content": _PROBLEM},
        },
    )
    async def site(request: Request) -> Response:
        """Tells what this site has measured, given and got back, as its keeper reports it."""
        demand(request, "predict")
        report = shown.site_report()
        if report is None:
            raise Problem(404, "no_report", "The keeper has written no report yet; start it.")
        return _answer(report)


def _identity(models: Models) -> dict[str, Any]:
    card = loaded(models).card
    return {"release": card.release_id, "version": card.version}


def _answer(document: dict[str, Any]) -> Response:
    return Response(json.dumps(document, ensure_ascii=False).encode(), media_type=_JSON)
