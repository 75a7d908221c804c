"""The HTTP routes: thin, around `Models`; nothing of a request is logged."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Protocol, TypeVar

from fastapi import FastAPI, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from agent import __version__, clock, log
from agent.errors import Refused
from agent.serving import audit, bodies, problems
from agent.serving.answers import Answering
from agent.serving.bodies import ExplainRequest, ExplainResponse, PredictResponse
from agent.serving.frames import Frame
from agent.serving.metrics import CountedRequests, Metrics
from agent.serving.problems import Problem
from agent.serving.swap import Models

_LOGGER = logging.getLogger(__name__)
_READ_HERE_BYTES = 65_536  # a larger body is read by a worker: a big one holds the GIL for 0.1 s
_RETRY_AFTER_S = 5
# What a release on trial is not blamed for: nothing failed, or the one before would say the same.
_NOT_ITS_FAULT = frozenset({"busy", "bad_structure", "unknown_endpoint"})
_PREDICT, _EXPLAIN, _MODEL = "/v1/predict", "/v1/explain", "/v1/model"
_ROUTES = frozenset(
    {_PREDICT, _EXPLAIN, _MODEL, "/healthz", "/readyz", "/metrics", "/openapi.json"}
)
_JSON = "application/json"
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"description": text, "content": {problems.MEDIA_TYPE: {}}}
    for status, text in (
        (413, "Too many structures, or too long a body."),
        (422, "The body is malformed, or its structures take too long."),
        (503, "No release is loaded yet, or too much is asked; try again later."),
    )
}

T = TypeVar("T")
Room = Callable[[FastAPI], None]


class Compute(Protocol):
    """Who does the chemistry: `Pool`, or this process in a test."""

    async def split(self, body: bytes) -> list[bytes]:
        """Reads a large call and cuts it into pieces, as `bodies.chunks` does."""

    async def predict(self, release: str, piece: bytes, *, quick: bool) -> Frame:
        """Answers one piece: how many are `good`, `bad` and `failed`, and the rendered answers."""

    async def explain(self, release: str, piece: bytes, endpoint: str | None) -> bytes:
        """Tells what each atom of one structure contributes, rendered."""


def create_app(
    models: Models, compute: Compute, width: int = 1, rooms: Iterable[Room] = ()
) -> FastAPI:
    """Builds the app.

    Args:
        models: Which release answers; somebody else calls its `step`.
        compute: Who answers.
        width: How many pieces of one call may be worked on at the same time.
        rooms: What adds the other routes, each with what it needs.
    """
    app = FastAPI(title="Onggi predict", version=__version__, docs_url=None, redoc_url=None)
    metrics = Metrics()
    problems.install(app)
    app.add_middleware(CountedRequests, metrics=metrics, routes=_ROUTES)
    _add_predict(app, models, metrics, _Caller(compute, width))
    _add_explain(app, models, compute)
    _add_state(app, models, metrics)
    for add in rooms:
        add(app)
    return app


def _add_predict(app: FastAPI, models: Models, metrics: Metrics, caller: "_Caller") -> None:
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
        pieces, quick = await caller.pieces(content)

        # One release for all pieces: a swap in between never mixes two in an answer.
        async def ask(release: Answering) -> list[Frame]:
            return await caller.answers(release.card.release_id, pieces, quick=quick)

        release, answers = await _best(models, ask, _failed)
        card = release.card
        rendered = bodies.render(card.release_id, card.version, [body for _, body in answers])
        good, bad = (sum(head[kind] for head, _ in answers) for kind in ("good", "bad"))
        metrics.predicted(good, bad, clock.monotonic_s() - began_s)
        audit.tell(request.scope, structures=good + bad, bad=bad, release=card.release_id)
        return Response(rendered, media_type=_JSON)


def _failed(answers: list[Frame]) -> bool:
    return any(head["failed"] for head, _ in answers)


async def _best(
    models: Models,
    ask: Callable[[Answering], Awaitable[T]],
    failed: Callable[[T], bool] = lambda _: False,
) -> tuple[Answering, T]:
    """Asks the release that serves; where it fails on trial, the one before answers instead."""
    release = _loaded(models)
    stand_in = models.stand_in(release)
    if stand_in is None:
        return release, await ask(release)
    try:
        answer = await ask(release)
    except (Problem, Refused) as error:
        if error.code in _NOT_ITS_FAULT:
            raise
        log.event(_LOGGER, "trial_failed", release=release.card.release_id, code=error.code)
    except Exception:
        # The boundary: whatever a new release does on trial, the old one is at hand.
        _LOGGER.warning("trial_raised", exc_info=True)
    else:
        if not failed(answer):
            return release, answer
    answer = await ask(stand_in)
    if not failed(answer):
        models.strike(release)
    return stand_in, answer


def _add_explain(app: FastAPI, models: Models, compute: Compute) -> None:
    schema = ExplainRequest.model_json_schema()

    @app.post(
        _EXPLAIN,
        response_model=None,
        responses={200: {"model": ExplainResponse}, **_PROBLEMS},
        openapi_extra={"requestBody": {"required": True, "content": {_JSON: {"schema": schema}}}},
    )
    async def explain(request: Request) -> Response:
        """Tells what each atom of one structure contributes to its predictions."""
        content = await bodies.read_body(request, bodies.MAX_EXPLAIN_BYTES)
        asked, endpoint = bodies.parse_explain(content)
        (piece,) = bodies.chunks([asked])

        async def ask(release: Answering) -> bytes:
            return await compute.explain(release.card.release_id, piece, endpoint)

        try:
            release, rendered = await _best(models, ask)
        except Refused as refused:
            raise Problem(422, refused.code, refused.reason) from None
        audit.tell(request.scope, structures=1, bad=0, release=release.card.release_id)
        return Response(rendered, media_type=_JSON)


class _Caller:
    """Carries a call to the workers and back.

    Args:
        compute: Who answers.
        width: How many pieces of one call may be worked on at the same time.
    """

    def __init__(self, compute: Compute, width: int) -> None:
        self._compute = compute
        self._width = width

    async def pieces(self, content: bytes) -> tuple[list[bytes], bool]:
        """Returns the pieces of a call, and whether a person waits for it."""
        if len(content) > _READ_HERE_BYTES:
            return await self._compute.split(content), False
        asked = bodies.parse(content)
        return bodies.chunks(asked), bodies.is_quick(asked)

    async def answers(self, release: str, pieces: list[bytes], *, quick: bool) -> list[Frame]:
        """Returns each piece's answer, in order.

        Raises:
            Problem: The first that a piece met; the others are given up.
        """
        if len(pieces) == 1:
            return [await self._compute.predict(release, pieces[0], quick=quick)]
        width = asyncio.Semaphore(self._width)

        async def one(piece: bytes) -> Frame:
            async with width:
                return await self._compute.predict(release, piece, quick=quick)

        tasks = [asyncio.create_task(one(piece)) for piece in pieces]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()


def _loaded(models: Models) -> Answering:
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
