"""The HTTP face: routes only. Every rule is in the module that a route calls."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from starlette.concurrency import run_in_threadpool

from agent.clock import Clock, monotonic_s
from agent.errors import Refused
from agent.wire.documents import Feed
from agent.wire.request import OFFSET, RECEIPT_TYPE, REFUSAL_TYPE
from consortium.answers import Answer
from consortium.auth import Claim, authenticate
from consortium.certificate import is_loopback
from consortium.enrol import Enrolment
from consortium.envelopes import Desk, Known, WrongOffset
from consortium.faults import install, problem, refused
from consortium.feed import read_feed, read_round
from consortium.folder import Folder
from consortium.objects import object_path
from consortium.record import read_part
from consortium.repository import metadata_file
from consortium.rotation import Rotations
from consortium.status import read_status
from consortium.store import Store, newest

_MAX_BODY_BYTES = 2 << 20  # a piece of a blob has at most 1 MiB
_LONGEST_WAIT_S = 25.0
_POLL_S = 0.25
_JSON = {"Content-Type": "application/json"}
_REFUSAL_STATUS = {"equivocation": 409, "round_closed": 410, "expired": 410}


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated request."""

    silo: str
    body: bytes


Door = Callable[[Request], Awaitable[Caller]]


def create_app(
    store: Store, folder: Folder, desk: Desk, enrolment: Enrolment, time: Clock
) -> FastAPI:
    """Builds the aggregator's application; it serves no documentation pages.

    Args:
        store: The database.
        folder: Where published objects are.
        desk: Takes envelopes in.
        enrolment: Takes silos in.
        time: The clock, read once a request.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    install(app)
    door = _door(store, time)
    app.include_router(_open_routes(store, folder, enrolment, time))
    app.include_router(_rotation_routes(Rotations(store, enrolment.consortium), door))
    app.include_router(_published_routes(store, folder, door))
    app.include_router(_envelope_routes(desk, door, time))
    return app


def _door(store: Store, time: Clock) -> Door:
    def check(claim: Claim) -> str:
        with store.writing() as session:
            return authenticate(session, claim, time())

    async def enter(request: Request) -> Caller:
        body = await _body(request)
        path, query = request.scope["raw_path"], request.scope["query_string"]
        target = (path + b"?" + query if query else path).decode("ascii", "replace")
        claim = Claim(request.method, target, request.headers, body)
        return Caller(await run_in_threadpool(check, claim), body)

    return enter


async def _body(request: Request) -> bytes:
    parts: list[bytes] = []
    length = 0
    async for part in request.stream():
        length += len(part)
        if length > _MAX_BODY_BYTES:
            raise Refused("body_too_large", f"Send at most {_MAX_BODY_BYTES} bytes a request.")
        parts.append(part)
    return b"".join(parts)


def _open_routes(store: Store, folder: Folder, enrolment: Enrolment, time: Clock) -> APIRouter:
    router = APIRouter()

    @router.post("/v1/enrol")
    async def enrol(request: Request) -> Response:
        body = await _body(request)
        try:
            answer = await run_in_threadpool(enrolment.enrol, body, time())
        except Refused as refusal:
            return refused(refusal, 403)
        # 202: the request is kept, and officers must sign a roster before there is more to say.
        return Response(answer.content, 200 if answer.admitted else 202, _JSON)

    @router.get("/v1/status")
    def status(request: Request) -> Response:
        _check_local(request)
        with store.reading() as session:
            return JSONResponse(read_status(session, folder, enrolment.consortium, time()))

    @router.get("/healthz")
    async def healthz() -> Response:
        return JSONResponse({"status": "ok"})

    return router


def _check_local(request: Request) -> None:
    # Who takes part, and whose updates counted, is nobody's business outside this machine.
    if request.client is None or not is_loopback(request.client.host):
        raise Refused(
            "loopback_only", "Ask on the aggregator's own host, or run `onggi-aggregator status`."
        )


def _rotation_routes(rotations: Rotations, door: Door) -> APIRouter:
    router = APIRouter()

    @router.post("/v1/rotations")
    def rotation(caller: Annotated[Caller, Depends(door)]) -> Response:
        return Response(rotations.take(caller.body, caller.silo), 202, _JSON)

    return router


def _published_routes(store: Store, folder: Folder, door: Door) -> APIRouter:
    router = APIRouter()

    @router.get("/v1/roster")
    def roster(_caller: Annotated[Caller, Depends(door)]) -> Response:
        with store.reading() as session:
            return Response(newest(session, "roster").document, media_type="application/json")

    @router.get("/v1/feed")
    async def feed(
        caller: Annotated[Caller, Depends(door)],
        after: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
        wait_s: Annotated[float, Query(ge=0, le=_LONGEST_WAIT_S)] = 0.0,
    ) -> Response:
        found = await _wait_for_items(store, caller.silo, after, wait_s)
        return Response(found.to_bytes(), media_type="application/json")

    @router.get("/v1/rounds/{round_id}/state")
    def state(round_id: str, caller: Annotated[Caller, Depends(door)]) -> Response:
        with store.reading() as session:
            content = read_round(session, caller.silo, round_id)
        return Response(content, media_type="application/json")

    @router.get("/v1/rounds/{round_id}/record/{part}")
    def record(round_id: str, part: str, caller: Annotated[Caller, Depends(door)]) -> Response:
        with store.reading() as session:
            content = read_part(session, round_id, part, caller.silo)
        return Response(content, media_type="application/json")

    @router.get("/v1/repository/{sha256}")
    def repository(sha256: str, _caller: Annotated[Caller, Depends(door)]) -> Response:
        path = object_path(folder.objects, sha256)
        return FileResponse(path, media_type="application/octet-stream")

    @router.get("/v1/repository/metadata/{name}")
    def repository_metadata(name: str, _caller: Annotated[Caller, Depends(door)]) -> Response:
        with store.reading() as session:
            return Response(metadata_file(session, name), media_type="application/json")

    @router.get("/v1/repository/targets/{path:path}")
    def repository_target(path: str, _caller: Annotated[Caller, Depends(door)]) -> Response:
        # A consistent snapshot's name begins with the hash, and the hash says it all.
        name = path.rpartition("/")[2]
        found = object_path(folder.objects, name.partition(".")[0])
        return FileResponse(found, media_type="application/octet-stream")

    return router


async def _wait_for_items(store: Store, silo: str, after: int, wait_s: float) -> Feed:
    # Polling the database, not an in-process signal: `onggi-aggregator plan` is another process.
    def read(start: int) -> Feed:
        with store.reading() as session:
            return read_feed(session, silo, start)

    until = monotonic_s() + wait_s
    found = await run_in_threadpool(read, after)
    while not found.items and (found.last > after or monotonic_s() < until):
        if found.last == after:
            await asyncio.sleep(_POLL_S)
        after = found.last
        found = await run_in_threadpool(read, after)
    return found


def _envelope_routes(desk: Desk, door: Door, time: Clock) -> APIRouter:
    router = APIRouter()

    @router.put("/v1/envelopes/{envelope_id}/header")
    def header(envelope_id: str, caller: Annotated[Caller, Depends(door)]) -> Response:
        found = desk.put_header(envelope_id, caller.silo, caller.body, time())
        if isinstance(found, Known):
            return JSONResponse({"state": "known", "offset": found.offset})
        return _signed(found)

    @router.head("/v1/envelopes/{envelope_id}")
    def offset(envelope_id: str, caller: Annotated[Caller, Depends(door)]) -> Response:
        held = desk.offset(envelope_id, caller.silo)
        if held is None:
            return Response(status_code=404)
        return Response(headers={OFFSET: str(held)})

    @router.put("/v1/envelopes/{envelope_id}/blob")
    def blob(
        envelope_id: str,
        caller: Annotated[Caller, Depends(door)],
        offset: Annotated[int, Query(ge=0)],
    ) -> Response:
        found = desk.put_piece(envelope_id, caller.silo, offset, caller.body, time())
        if isinstance(found, WrongOffset):
            sentence = f"Send the blob from byte {found.offset}."
            return problem(409, "wrong_offset", sentence, Onggi_Offset=str(found.offset))
        if isinstance(found, Known):
            return JSONResponse({"offset": found.offset}, 202)
        return _signed(found)

    return router


def _signed(answer: Answer) -> Response:
    if answer.kind == "receipt":
        return Response(answer.document, media_type=RECEIPT_TYPE)
    status = _REFUSAL_STATUS.get(answer.code, 403)
    return Response(answer.document, status, media_type=REFUSAL_TYPE)
