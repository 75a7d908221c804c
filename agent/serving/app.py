"""The HTTP routes: thin, around `Models`; nothing of a request is logged."""

import json
from collections.abc import Callable, Iterable
from typing import Protocol

from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST

from agent import __version__, clock
from agent.errors import Refused
from agent.releases.card import ModelCard
from agent.serving import audit, bodies, problems, schemas
from agent.serving.answers import Answering
from agent.serving.asking import best, failed, in_order, loaded
from agent.serving.bodies import (
    ExplainRequest,
    ExplainResponse,
    PredictRequest,
    PredictResponse,
    Ready,
)
from agent.serving.frames import Frame
from agent.serving.metrics import CountedRequests, Metrics
from agent.serving.problems import Problem
from agent.serving.straight import Answer, Straight
from agent.serving.swap import Models

_READ_HERE_BYTES = 65_536  # a larger body is read by a worker: a big one holds the GIL for 0.1 s
_PREDICT, _EXPLAIN, _MODEL = "/v1/predict", "/v1/explain", "/v1/model"
_ROUTES = frozenset(
    {_PREDICT, _EXPLAIN, _MODEL, "/healthz", "/readyz", "/metrics", "/openapi.json"}
)
_JSON = "application/json"
_PROBLEMS = problems.documented(401, 403, 413, 422, 429, 503)

Room = Callable[[FastAPI], None]


class Compute(Protocol):
    """Who does the chemistry: `Pool`, or this process in a test."""

    async def split(self, body: bytes) -> list[bytes]:
        """Reads a large call and cuts it into pieces, as `bodies.chunks` does."""

    async def predict(
        self, release: str, piece: bytes, *, quick: bool, reference: str = ""
    ) -> Frame:
        """Answers one piece: how many are `good`, `bad` and `failed`, and the rendered answers."""

    async def explain(self, release: str, piece: bytes, endpoint: str | None) -> bytes:
        """Tells what each atom of one structure contributes, rendered."""


def create_app(
    models: Models,
    compute: Compute,
    width: int = 1,
    rooms: Iterable[Room] = (),
    reference: Callable[[Request], str] = lambda _: "",
) -> FastAPI:
    """Builds the app.

    Args:
        models: Which release answers; somebody else calls its `step`.
        compute: Who answers.
        width: How many pieces of one call may be worked on at the same time.
        rooms: What adds the other routes, each with what it needs.
        reference: Names what says what the site measured itself, to a caller who may see it.
    """
    app = FastAPI(title="Onggi predict", version=__version__, docs_url=None, redoc_url=None)
    metrics = app.state.metrics = Metrics()
    problems.install(app)
    predict = _add_predict(app, models, metrics, _Caller(compute, width), reference)
    app.add_middleware(Straight, path=_PREDICT, answer=predict)
    app.add_middleware(CountedRequests, metrics=metrics, routes=_ROUTES)
    _add_explain(app, models, compute)
    _add_state(app, models, metrics)
    for add in rooms:
        add(app)
    schemas.complete(app)
    return app


def _add_predict(
    app: FastAPI,
    models: Models,
    metrics: Metrics,
    caller: "_Caller",
    reference: Callable[[Request], str],
) -> Answer:
    taken = {"schema": schemas.inlined(PredictRequest), "examples": bodies.PREDICT_EXAMPLES}
    body = {"required": True, "content": {_JSON: taken}}

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
        known = reference(request)

        # One release and one reference for all pieces: a swap in between never mixes two.
        async def ask(release: Answering) -> list[Frame]:
            name = release.card.release_id
            return await caller.answers(name, pieces, quick=quick, reference=known)

        release, answers = await best(models, ask, failed)
        card = release.card
        rendered = bodies.render(card.release_id, card.version, [body for _, body in answers])
        good, bad = (sum(head[kind] for head, _ in answers) for kind in ("good", "bad"))
        metrics.predicted(good, bad, clock.monotonic_s() - began_s)
        audit.tell(request.scope, structures=good + bad, bad=bad, release=card.release_id)
        return Response(rendered, media_type=_JSON)

    return predict


def _add_explain(app: FastAPI, models: Models, compute: Compute) -> None:
    taken = {"schema": schemas.inlined(ExplainRequest), "example": bodies.EXPLAIN_EXAMPLE}

    @app.post(
        _EXPLAIN,
        response_model=None,
        responses={200: {"model": ExplainResponse}, **_PROBLEMS},
        openapi_extra={"requestBody": {"required": True, "content": {_JSON: taken}}},
    )
    async def explain(request: Request) -> Response:
        """Tells what each atom of one structure contributes to its predictions."""
        content = await bodies.read_body(request, bodies.MAX_EXPLAIN_BYTES)
        asked, endpoint = bodies.parse_explain(content)
        (piece,) = bodies.chunks([asked])

        async def ask(release: Answering) -> bytes:
            return await compute.explain(release.card.release_id, piece, endpoint)

        try:
            release, rendered = await best(models, ask)
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

    async def answers(
        self, release: str, pieces: list[bytes], *, quick: bool, reference: str = ""
    ) -> list[Frame]:
        """Returns each piece's answer, in order.

        Raises:
            Problem: The first that a piece met; the others are given up.
        """

        async def ask(piece: bytes) -> Frame:
            return await self._compute.predict(release, piece, quick=quick, reference=reference)

        return await in_order(ask, pieces, self._width)


def _add_state(app: FastAPI, models: Models, metrics: Metrics) -> None:
    @app.get(
        _MODEL,
        response_model=None,
        responses={200: {"model": ModelCard}, **problems.documented(401, 403, 503)},
    )
    async def model() -> Response:
        """Returns the card of the release that answers."""
        return Response(loaded(models).card.to_bytes(), media_type=_JSON)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Answers as long as the process does."""
        return {"status": "ok"}

    @app.get(
        "/readyz",
        response_model=None,
        responses={200: {"model": Ready}, **problems.documented(503)},
    )
    async def readyz() -> Response:
        """Answers 200 once a release is loaded, and says which."""
        card = loaded(models).card
        ready = {
            "status": "ready",
            "release": card.release_id,
            "version": card.version,
            "problem": models.serving().problem,
        }
        return Response(json.dumps(ready).encode(), media_type=_JSON)

    @app.get("/metrics", response_class=PlainTextResponse, responses=problems.documented(401, 403))
    async def figures() -> Response:
        """Returns counts and durations for Prometheus."""
        serving = models.serving()
        content = metrics.render(serving.release, serving.version)
        return Response(content, media_type=CONTENT_TYPE_LATEST)
