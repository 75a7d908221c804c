"""`/v1/batch`: a file comes in, a job works on it, a file goes out."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal

from fastapi import FastAPI, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from agent.serving import audit, problems
from agent.serving.app import Room
from agent.serving.batch import clerks, folder
from agent.serving.batch.folder import INPUT
from agent.serving.batch.jobs import Job, Jobs
from agent.serving.callers import demand
from agent.serving.problems import Problem

BATCH = "/v1/batch"
NDJSON = "application/x-ndjson"
STREAMED_ROWS, USUAL_ROWS = 512, 4096  # rows a part: whoever waits wants to see some soon
_WRITTEN_BYTES = 1 << 20
_CHECKED_BYTES = 64 << 20
_RENDERED_AT_ONCE = 4
_MEDIA_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "sdf": "chemical/x-mdl-sdfile",
    "parquet": "application/vnd.apache.parquet",
    "ndjson": NDJSON,
}
_WRITTEN: dict[str, Any] = {name: {} for name in _MEDIA_TYPES.values()}
_INPUT_TYPES = {
    "text/csv": "csv",
    "text/tab-separated-values": "csv",
    "chemical/x-mdl-sdfile": "sdf",
    "chemical/x-daylight-smiles": "smi",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
}
_DOCUMENT: dict[str, Any] = {"content": {problems.MEDIA_TYPE: {}}}
_UPLOAD: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            name: {"schema": {"type": "string", "format": "binary"}}
            for name in (*_INPUT_TYPES, "application/octet-stream")
        },
    }
}

InputFormat = Annotated[
    Literal["csv", "sdf", "smi", "xlsx"] | None,
    Query(alias="format", description="The file's format; by default its content tells."),
]
ResultFormat = Annotated[
    Literal["csv", "sdf", "parquet", "ndjson"], Query(alias="format", description="What to write.")
]
Column = Annotated[str, Query(max_length=200, description="A column's name.")]
Endpoints = Annotated[list[str], Query(alias="endpoint", description="These endpoints alone.")]


class Fault(BaseModel):
    """Why a job failed."""

    code: str
    detail: str


class JobOut(BaseModel):
    """One job; `total` is unknown until all of the file was read."""

    job: str
    state: folder.Stage
    total: int | None
    done: int
    bad: int
    release: str | None
    created: str
    finished: str | None
    note: str | None = None
    problem: Fault | None = None
    links: dict[str, str]


class JobList(BaseModel):
    """The caller's jobs, the oldest first."""

    jobs: list[JobOut]


def room(jobs: Jobs, reference: Callable[[Request], str] = lambda _: "") -> Room:
    """Returns what adds the routes to the app.

    Args:
        jobs: The jobs.
        reference: As of `create_app`.
    """
    return lambda app: _add(app, jobs, reference)


def _add(app: FastAPI, jobs: Jobs, reference: Callable[[Request], str]) -> None:
    _add_upload(app, jobs, reference)
    _add_state(app, jobs)
    _add_result(app, jobs, reference)


def _add_upload(app: FastAPI, jobs: Jobs, reference: Callable[[Request], str]) -> None:
    @app.post(
        BATCH,
        status_code=202,
        response_model=None,
        responses={
            200: {"description": "The answers, a line each.", "content": {NDJSON: {}}},
            202: {"model": JobOut},
            413: {"description": "The file is too large.", **_DOCUMENT},
            422: {"description": "A parameter is none.", **_DOCUMENT},
            429: {"description": "Too many of the caller's jobs wait.", **_DOCUMENT},
            507: {"description": "The disk is full.", **_DOCUMENT},
        },
        openapi_extra=_UPLOAD,
    )
    async def upload(
        request: Request,
        fmt: InputFormat = None,
        structure: Column = "",
        id: Column = "",  # noqa: A002
    ) -> Response:
        """Takes a file of up to a million structures: CSV, SDF, SMI or XLSX.

        With `Accept: application/x-ndjson` the answers are the answer, as they come; else it is a
        job to ask for. `structure` and `id` name columns.
        """
        owner = demand(request, "predict").name
        streamed = NDJSON in request.headers.get("accept", "")
        kind = fmt or _INPUT_TYPES.get(request.headers.get("content-type", "").split(";")[0], "")
        asked = folder.Request(
            job="",
            owner=owner,
            created="",
            fmt=kind,
            structure=structure,
            id=id,
            size=0,
            rows_a_part=STREAMED_ROWS if streamed else USUAL_ROWS,
            measured=bool(reference(request)),
        )
        job = await _received(request, jobs, asked)
        audit.tell(request.scope, job=job.name)
        where = {"Location": f"{BATCH}/{job.name}"}
        if streamed:
            lines = _followed(jobs, job, request)
            return StreamingResponse(lines, media_type=NDJSON, headers=where)
        return Response(_shown(job), 202, where, "application/json")


async def _received(request: Request, jobs: Jobs, asked: folder.Request) -> Job:
    """Writes the body to the disk as it comes, and makes a job of it."""
    length = request.headers.get("content-length", "")
    upload = jobs.upload(asked.owner, int(length) if length.isdigit() else None)
    try:
        await _write_body(request, jobs, upload / INPUT)
        return await jobs.add(upload, asked)
    except BaseException:  # a caller who hangs up leaves nothing behind, either
        await asyncio.shield(asyncio.to_thread(shutil.rmtree, upload, ignore_errors=True))
        raise


async def _write_body(request: Request, jobs: Jobs, path: Path) -> None:
    received, checked, piece = 0, 0, bytearray()
    with path.open("xb") as handle:
        async for chunk in request.stream():
            piece += chunk
            received += len(chunk)
            if received - checked > _CHECKED_BYTES or received > jobs.limits.input_bytes:
                jobs.check_size(received, len(piece))
                checked = received
            if len(piece) >= _WRITTEN_BYTES:
                await asyncio.to_thread(_write, handle, piece)
                piece = bytearray()
        await asyncio.to_thread(_write, handle, piece)


def _write(handle: BinaryIO, piece: bytearray) -> None:
    try:
        handle.write(piece)
        handle.flush()
    except OSError as error:
        raise Problem(507, "disk_full", "Predict cannot keep the file; try later.") from error


def _tell(request: Request, job: Job) -> None:
    """Tells the audit log what left."""
    state = job.state
    audit.tell(
        request.scope,
        job=job.name,
        structures=state.done,
        bad=state.bad,
        release=state.release,
    )


async def _followed(jobs: Jobs, job: Job, request: Request) -> AsyncIterator[bytes]:
    arguments = ["--format", "ndjson", "--follow"]
    if job.request.measured:
        arguments.append("--measured")
    try:
        async with aclosing(clerks.rendered(job.path, arguments)) as lines:
            async for piece in lines:
                yield piece
    finally:
        _tell(request, job)
        if job.state.state not in folder.ENDED:  # whoever waited hung up
            await asyncio.shield(jobs.cancel(job))


def _add_state(app: FastAPI, jobs: Jobs) -> None:
    unknown: dict[int | str, dict[str, Any]] = {
        404: {"description": "The caller has no such job.", **_DOCUMENT}
    }

    @app.get(BATCH, response_model=None, responses={200: {"model": JobList}})
    async def own_jobs(request: Request) -> Response:
        """Lists the caller's jobs."""
        owner = demand(request, "predict").name
        listed = b", ".join(_shown(job) for job in jobs.all_of(owner))
        return Response(b'{"jobs": [' + listed + b"]}", media_type="application/json")

    @app.get(BATCH + "/{name}", response_model=None, responses={200: {"model": JobOut}, **unknown})
    async def one_job(request: Request, name: str) -> Response:
        """Says how far a job is."""
        job = jobs.own(demand(request, "predict").name, name)
        return Response(_shown(job), media_type="application/json")

    @app.delete(BATCH + "/{name}", status_code=204, response_model=None, responses=unknown)
    async def cancel(request: Request, name: str) -> Response:
        """Ends a job that is not done, and removes one that is."""
        await jobs.cancel(jobs.own(demand(request, "predict").name, name))
        return Response(status_code=204)


def _add_result(app: FastAPI, jobs: Jobs, reference: Callable[[Request], str]) -> None:
    at_once = asyncio.Semaphore(_RENDERED_AT_ONCE)

    @app.get(
        BATCH + "/{name}/result",
        response_model=None,
        responses={
            200: {"description": "The file.", "content": _WRITTEN},
            404: {"description": "The caller has no such job.", **_DOCUMENT},
            409: {"description": "The job is not done.", **_DOCUMENT},
            422: {"description": "A parameter is none.", **_DOCUMENT},
        },
    )
    async def result(
        request: Request,
        name: str,
        fmt: ResultFormat = "csv",
        endpoints: Endpoints = [],  # noqa: B006
    ) -> Response:
        """Returns the caller's rows, in order, with what was predicted beside them."""
        job = jobs.own(demand(request, "predict").name, name)
        await _check(job, endpoints)
        _tell(request, job)
        arguments = ["--format", fmt, *(f"--endpoint={one}" for one in endpoints)]
        if reference(request):  # the token may be another one than the job's, of the same name
            arguments.append("--measured")
        name = f'attachment; filename="onggi-{job.name}.{fmt}"'
        return StreamingResponse(
            _rendered(job, arguments, at_once),
            media_type=_MEDIA_TYPES[fmt],
            headers={"Content-Disposition": name},
        )


async def _check(job: Job, endpoints: list[str]) -> None:
    if job.state.state != "done":
        detail = f"The job is {job.state.state}; its result is there once it is done."
        if job.state.problem:
            detail = f"The job failed: {job.state.problem[1]}"
        raise Problem(409, "not_done", detail)
    release = await asyncio.to_thread(folder.read_release, job.path)
    names = {task.task for task in release.tasks}
    if unknown := [one for one in endpoints if one not in names]:
        detail = f"The release has no endpoint {unknown[0][:60]!r}; see /v1/model."
        raise Problem(422, "unknown_endpoint", detail)


async def _rendered(
    job: Job, arguments: list[str], at_once: asyncio.Semaphore
) -> AsyncIterator[bytes]:
    # A process that fails half-way breaks the connection: a part is never taken for the whole.
    async with at_once, aclosing(clerks.rendered(job.path, arguments)) as pieces:
        async for piece in pieces:
            yield piece


def _shown(job: Job) -> bytes:
    here = f"{BATCH}/{job.name}"
    state = job.state
    document: dict[str, object] = {
        "job": job.name,
        "state": state.state,
        "total": state.total,
        "done": state.done + job.ahead,
        "bad": state.bad,
        "release": state.release or None,
        "created": job.request.created,
        "finished": state.finished or None,
        **({"note": state.note} if state.note else {}),
        "links": {"self": here, "result": f"{here}/result", "cancel": here},
    }
    if state.problem:
        document["problem"] = {"code": state.problem[0], "detail": state.problem[1]}
    return json.dumps(document).encode()
