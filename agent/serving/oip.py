"""The Open Inference Protocol, version 2: what inference clients of all kinds already speak.

https://github.com/open-inference/open-inference-protocol; errors are problem documents that have
the protocol's `error` as well.
"""

from typing import Any, Protocol

from fastapi import FastAPI, Request, Response

from agent import __version__, clock
from agent.releases.card import ModelCard
from agent.serving import bodies, frames, problems, tensors
from agent.serving.answers import Answering
from agent.serving.asking import best, failed, in_order, loaded
from agent.serving.bodies import Asked
from agent.serving.callers import demand
from agent.serving.frames import Frame
from agent.serving.metrics import metrics_of
from agent.serving.problems import Problem
from agent.serving.schemas import inlined
from agent.serving.swap import Models
from agent.serving.tensors import (
    INPUT,
    InferRequest,
    InferResponse,
    Metadata,
    Question,
    Tensor,
    Wanted,
)

MODEL = "onggi"
_HEAD = "Inference-Header-Content-Length"
_READ_HERE_BYTES = 65_536  # a larger body is read by a worker
_ROOT = f"/v2/models/{MODEL}"
_VERSION = _ROOT + "/versions/{version}"
_JSON, _BYTES = "application/json", "application/octet-stream"
_EXAMPLE = {
    "id": "42",
    "inputs": [{"name": INPUT, "shape": [2], "datatype": "BYTES", "data": ["CCO", "c1ccccc1O"]}],
}


class Compute(Protocol):
    """Who does the chemistry: `Pool`, or this process in a test."""

    async def read_tensors(
        self, content: bytes, head_bytes: int | None
    ) -> tuple[Question, list[bytes]]:
        """Reads a large request and cuts its structures into pieces, as `bodies.chunks` does."""

    async def tensors(
        self, release: str, piece: bytes, wanted: list[Wanted], *, quick: bool
    ) -> Frame:
        """Answers one piece: `good`, `bad`, `failed`, and the `lengths` of the columns behind."""


class Room:
    """Adds the routes to an app.

    Args:
        models: Which release answers.
        compute: Who answers.
        width: How many pieces of one call may be worked on at the same time.
    """

    def __init__(self, models: Models, compute: Compute, width: int = 1) -> None:
        self._models = models
        self._compute = compute
        self._width = width

    def __call__(self, app: FastAPI) -> None:
        """Adds them."""
        _add_health(app, self._models)
        _add_metadata(app, self._models)
        self._add_infer(app)

    def _add_infer(self, app: FastAPI) -> None:
        metrics = metrics_of(app)
        told = problems.documented(401, 403, 404, 413, 422, 429, 503)

        async def infer(request: Request) -> Response:
            """Predicts every endpoint: SMILES in, a tensor for each output asked for.

            An endpoint's tensor is in its own unit; `.lower` and `.upper` hold the measured value
            nine times in ten, `.inside` says whether the model knows such compounds. A structure
            that cannot be read is NaN (null in JSON), with its cause in `error`.
            """
            demand(request, "predict")
            version = request.path_params.get("version")
            head_bytes = _head_bytes(request)
            content = await bodies.read_body(request)
            began_s = clock.monotonic_s()
            question, pieces, quick = await self._read(content, head_bytes)
            card, wanted, answers = await self._answers(version, question, pieces, quick=quick)
            good, bad = (sum(head[kind] for head, _ in answers) for kind in ("good", "bad"))
            cut = [frames.cut(body, head["lengths"]) for head, body in answers]
            body, of_json = tensors.render(card, question, wanted, cut)
            metrics.predicted(good, bad, clock.monotonic_s() - began_s)
            if of_json is None:
                return Response(body, media_type=_JSON)
            return Response(body, headers={_HEAD: str(of_json)}, media_type=_BYTES)

        for path in (f"{_ROOT}/infer", f"{_VERSION}/infer"):
            app.add_api_route(
                path,
                infer,
                methods=["POST"],
                response_model=None,
                responses={200: _given(), **told},
                openapi_extra={**_taken(), **_at(path)},
            )

    async def _read(
        self, content: bytes, head_bytes: int | None
    ) -> tuple[Question, list[bytes], bool]:
        if len(content) > _READ_HERE_BYTES:
            return *await self._compute.read_tensors(content, head_bytes), False
        question, smiles = tensors.read(content, head_bytes)
        asked = [Asked(text, "smiles") for text in smiles]
        return question, bodies.chunks(asked), bodies.is_quick(asked)

    async def _answers(
        self, version: str | None, question: Question, pieces: list[bytes], *, quick: bool
    ) -> tuple[ModelCard, list[Wanted], list[Frame]]:
        async def ask(release: Answering) -> list[Frame]:
            wanted, name = question.wanted(release.card), release.card.release_id

            async def one(piece: bytes) -> Frame:
                return await self._compute.tensors(name, piece, wanted, quick=quick)

            return await in_order(one, pieces, self._width)

        if version is None:
            release, answers = await best(self._models, ask, failed)
        else:
            release = _of_version(self._models, version)
            answers = await ask(release)
        return release.card, question.wanted(release.card), answers


def _head_bytes(request: Request) -> int | None:
    given = request.headers.get(_HEAD)
    if given is None:
        return None
    if not (given.isascii() and given.isdigit() and len(given) < len(str(bodies.MAX_BODY_BYTES))):
        sentence = f"{_HEAD} is no number of bytes; give the length of the JSON."
        raise Problem(422, "malformed", sentence)
    return int(given)


def _of_version(models: Models, version: str) -> Answering:
    """Returns the release of a version: the one that serves, or for a while the one before it.

    Raises:
        Problem: 404 `no_such_version`, or 503.
    """
    now = loaded(models)
    for release in (now, models.stand_in(now)):
        if release is not None and str(release.card.version) == version:
            return release
    sentence = f"That version is not loaded; {_ROOT} names the one that is."
    raise Problem(404, "no_such_version", sentence)


def _add_health(app: FastAPI, models: Models) -> None:
    @app.get("/v2/health/live")
    async def live() -> dict[str, bool]:
        """Answers as long as the process does."""
        return {"live": True}

    @app.get("/v2/health/ready", responses=problems.documented(503))
    async def ready() -> dict[str, bool]:
        """Answers 200 once a release is loaded."""
        loaded(models)
        return {"ready": True}

    @app.get(f"{_ROOT}/ready", responses=problems.documented(503))
    async def model_ready() -> dict[str, str | bool]:
        """Answers 200 once a release is loaded."""
        loaded(models)
        return {"name": MODEL, "ready": True}

    @app.get(
        f"{_VERSION}/ready",
        responses=problems.documented(404, 503),
        openapi_extra=_at(_VERSION),
    )
    async def version_ready(request: Request) -> dict[str, str | bool]:
        """Answers 200 if this version is loaded."""
        _of_version(models, request.path_params["version"])
        return {"name": MODEL, "ready": True}


def _add_metadata(app: FastAPI, models: Models) -> None:
    @app.get("/v2")
    async def server() -> dict[str, str | list[str]]:
        """Names this server and what it adds to the protocol."""
        return {"name": MODEL, "version": __version__, "extensions": ["binary_tensor_data"]}

    @app.get(
        _ROOT,
        response_model=None,
        responses={200: {"model": Metadata}, **problems.documented(401, 403, 503)},
    )
    async def model(request: Request) -> Response:
        """Describes the release that answers: its input and its outputs."""
        demand(request, "predict")
        return Response(_metadata(loaded(models).card), media_type=_JSON)

    @app.get(
        _VERSION,
        response_model=None,
        responses={200: {"model": Metadata}, **problems.documented(401, 403, 404, 503)},
        openapi_extra=_at(_VERSION),
    )
    async def version(request: Request) -> Response:
        """Describes the release of this version."""
        demand(request, "predict")
        release = _of_version(models, request.path_params["version"])
        return Response(_metadata(release.card), media_type=_JSON)


def _metadata(card: ModelCard) -> bytes:
    metadata = Metadata(
        name=MODEL,
        versions=[str(card.version)],
        platform="onggi_release",
        inputs=[Tensor(name=INPUT, datatype="BYTES", shape=[-1])],
        outputs=[
            Tensor(name=name, datatype=column.datatype, shape=[-1])
            for name, column in tensors.outputs_of(card).items()
        ],
    )
    return metadata.model_dump_json().encode()


def _taken() -> dict[str, Any]:
    told = {"schema": inlined(InferRequest), "example": _EXAMPLE}
    binary = {"schema": {"type": "string", "format": "binary"}}
    return {"requestBody": {"required": True, "content": {_JSON: told, _BYTES: binary}}}


def _given() -> dict[str, Any]:
    binary = {_BYTES: {"schema": {"type": "string", "format": "binary"}}}
    return {"model": InferResponse, "description": "The tensors.", "content": binary}


def _at(path: str) -> dict[str, Any]:
    if path.startswith(_VERSION):
        name = {"name": "version", "in": "path", "required": True, "schema": {"type": "string"}}
        return {"parameters": [name]}
    return {}
