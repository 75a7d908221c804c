"""The HTTP routes: thin, around `Models`; nothing of a request is logged."""

import json
import logging
from typing import Any

import anyio
from fastapi import FastAPI, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from agent import __version__, clock
from agent.records import InvalidStructure
from agent.serving import bodies, problems
from agent.serving.bodies import Asked, PredictResponse
from agent.serving.metrics import CountedRequests, Metrics
from agent.serving.predictor import FAILED_STEP, Answer, Predictor
from agent.serving.problems import Problem
from agent.serving.swap import Models

_LOGGER = logging.getLogger(__name__)
_SLICE = 32  # structures of one call computed in a row (some 20 ms); then other calls get a turn
_RETRY_AFTER_S = 5
_PREDICT, _MODEL = "/v1/predict", "/v1/model"
_ROUTES = frozenset({_PREDICT, _MODEL, "/healthz", "/readyz", "/metrics", "/openapi.json"})
_JSON = "application/json"
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"description": text, "content": {problems.MEDIA_TYPE: {}}}
    for status, text in (
        (413, "Too many structures, or too long a body."),
        (422, "The body is malformed."),
        (503, "No release is loaded yet; try again later."),
    )
}


def create_app(models: Models, threads: int = 1) -> FastAPI:
    """Builds the app.

    Args:
        models: Which predictor answers; somebody else calls its `step`.
        threads: How many slices may be computed at the same time.
    """
    app = FastAPI(title="Onggi predict", version=__version__, docs_url=None, redoc_url=None)
    metrics = Metrics()
    problems.install(app)
    app.add_middleware(CountedRequests, metrics=metrics, routes=_ROUTES)
    _add_predict(app, models, metrics, anyio.CapacityLimiter(threads))
    _add_state(app, models, metrics)
    return app


def _add_predict(
    app: FastAPI, models: Models, metrics: Metrics, limiter: anyio.CapacityLimiter
) -> None:
    body = {"required": True, "content": {_JSON: {"schema": bodies.request_schema()}}}

    @app.post(
        _PREDICT,
        response_model=None,
        responses={200: {"model": PredictResponse}, **_PROBLEMS},
        openapi_extra={"requestBody": body},
    )
    async def predict(request: Request) -> Response:
        """Predicts every endpoint for one or many structures, in order."""
        content = await bodies.read_body(request)
        began_s = clock.monotonic_s()
        asked = await anyio.to_thread.run_sync(bodies.parse, content)
        predictor, answers = await _best_answers(models, asked, limiter)
        card = predictor.card
        rendered = await anyio.to_thread.run_sync(
            bodies.render, card.release_id, card.version, asked, answers
        )
        good = sum(isinstance(answer, dict) for answer in answers)
        metrics.predicted(good, len(answers) - good, clock.monotonic_s() - began_s)
        return Response(rendered, media_type=_JSON)


async def _best_answers(
    models: Models, asked: list[Asked], limiter: anyio.CapacityLimiter
) -> tuple[Predictor, list[Answer]]:
    """Asks the release that serves; where it fails on trial, the one before answers instead."""
    predictor = _loaded(models)
    stand_in = models.stand_in(predictor)
    if stand_in is None:
        return predictor, await _answers(predictor, asked, limiter)
    try:
        answers = await _answers(predictor, asked, limiter)
    except Exception:
        # The boundary: whatever a new release does on trial, the old one is at hand.
        _LOGGER.warning("trial_raised", exc_info=True)
    else:
        if not _failed(answers):
            return predictor, answers
    answers = await _answers(stand_in, asked, limiter)
    if not _failed(answers):
        models.strike(predictor)
    return stand_in, answers


def _failed(answers: list[Answer]) -> bool:
    return any(isinstance(one, InvalidStructure) and one.step == FAILED_STEP for one in answers)


async def _answers(
    predictor: Predictor, asked: list[Asked], limiter: anyio.CapacityLimiter
) -> list[Answer]:
    # One predictor for all slices: a swap in between never mixes two releases in an answer.
    answers: list[Answer] = []
    for start in range(0, len(asked), _SLICE):
        batch = [(one.structure, one.fmt) for one in asked[start : start + _SLICE]]
        answers += await anyio.to_thread.run_sync(predictor.predict, batch, limiter=limiter)
    return answers


def _loaded(models: Models) -> Predictor:
    predictor = models.current()
    if predictor is None:
        raise Problem(
            503,
            "no_release",
            f"No model is loaded yet: {models.serving().problem} Try again in a while.",
            {"Retry-After": str(_RETRY_AFTER_S)},
        )
    return predictor


def _add_state(app: FastAPI, models: Models, metrics: Metrics) -> None:
    @app.get(_MODEL, response_model=None, responses={503: _PROBLEMS[503]})
    async def model() -> Response:
        """Returns the card of the release that answers."""
        return Response(_loaded(models).card.to_bytes(), media_type=_JSON)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Answers as long as the process does."""
        return {"status": "ok"}

    @app.get("/readyz", response_model=None, responses={503: _PROBLEMS[503]})
    async def readyz() -> Response:
        """Answers 200 once a release is loaded, and says which."""
        card = _loaded(models).card
        ready = {
            "status": "ready",
            "release": card.release_id,
            "version": card.version,
            "problem": models.serving().problem,
        }
        return Response(json.dumps(ready).encode(), media_type=_JSON)

    @app.get("/metrics", include_in_schema=False)
    async def figures() -> Response:
        serving = models.serving()
        content = metrics.render(serving.release, serving.version)
        return Response(content, media_type=CONTENT_TYPE_LATEST)
